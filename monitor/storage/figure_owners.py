"""The figures of one owner: only what their own workloads cost, estimated."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.storage.figure_spec import ALL_READ, Spec

_OF_MONTH = """FROM v_workload_daily d JOIN v_workload o ON o.workload = d.workload
WHERE o.owner = :owner AND d.day >= :month_first AND d.day < :as_of"""
_PRICED = "SUM(d.tokens) > SUM(d.unpriced_tokens) OR SUM(d.tokens) = 0"
_NOW = f"SELECT CASE WHEN {_PRICED} THEN ROUND(SUM(d.estimated_usd), 6) END {_OF_MONTH}"
# As of a workload: unknown where the data begins later, or where no token had a rate.
_THEN = f"""SELECT CASE WHEN ({_PRICED})
    AND {ALL_READ}
  THEN ROUND(SUM(d.estimated_usd), 6) END
FROM v_workload_daily d JOIN v_workload o ON o.workload = d.workload
WHERE o.owner = :owner AND d.day >= :before_first AND d.day < :before_same_day"""

OWNERS: Mapping[str, Spec] = {
    "owner.spend": Spec(
        "usd", "The owner's workloads from the first of the month, estimated.", _NOW
    ),
    "owner.previous": Spec(
        "usd",
        "The owner's workloads in the same days of the month before; unknown if not all read.",
        _THEN,
    ),
    "owner.change": Spec(
        "percent",
        "The month to date of the owner's workloads against the same days of the month before.",
        f"SELECT ROUND(100.0 * (({_NOW}) - ({_THEN})) / NULLIF(({_THEN}), 0), 2)",
    ),
    "owner.requests": Spec(
        "requests",
        "Requests of the owner's workloads to APIs from the first of the month.",
        f"SELECT SUM(d.requests) {_OF_MONTH}",
    ),
    "owner.tokens": Spec(
        "tokens",
        "Tokens of the owner's workloads through APIs from the first of the month.",
        f"SELECT SUM(d.tokens) {_OF_MONTH}",
    ),
    "owner.unpriced_tokens": Spec(
        "tokens",
        "Of them those for which no rate is known: in no amount, never $0.",
        f"SELECT SUM(d.unpriced_tokens) {_OF_MONTH}",
    ),
    "owner.unit_cost": Spec(
        "usd_per_million",
        "Estimated dollars per million priced tokens of the owner's workloads, month to date.",
        "SELECT CASE WHEN SUM(d.tokens) > SUM(d.unpriced_tokens) THEN"
        " ROUND(SUM(d.estimated_usd) * 1000000.0 / (SUM(d.tokens) - SUM(d.unpriced_tokens)), 6)"
        f" END {_OF_MONTH}",
    ),
}
