"""The rule book: what is watched, and when it fires and lets go."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.alerts import Rule
from monitor.domain.notices import Severity

_MOVES = (
    Rule("crossing", 2, "notice"),
    Rule("move", 1, "warning"),
    Rule("return_to_api", 1, "warning"),
    Rule("about_to_cross", 2, "warning", n=3, m=4, leave_after=30),
)
"""About moving and returning: edges of comparison and advice, without thresholds of their own.

`crossing` is a fact and says so once each way; `move` and `return_to_api` are the advice's.
"""

_WATCHED = (
    Rule("budget", 1, "warning"),
    # A projection wavers: 3 of 4 days to begin, a week to let go.
    Rule("budget_projected", 1, "warning", n=3, m=4, leave_after=7),
    # Two days, because one is often a job that ran late; three would tell a leaked key too late.
    Rule("spend_anomaly", 1, "warning", n=2, m=3, leave_after=2),
    Rule("unpriced_spend", 1, "warning", n=2, m=2, leave_after=2),
    Rule("unreconciled_spend", 1, "warning", n=2, m=2, leave_after=3),
    Rule("price_change", 1, "warning"),
    Rule("model_change", 1, "notice"),
    Rule("expiry", 1, "warning"),
    Rule("gpu_idle", 1, "warning", n=2, m=2, leave_after=3),
    # One day: each more is paid twice.
    Rule("failover_spend", 1, "warning", leave_after=2),
    Rule("source_stale", 1, "warning", n=2, m=2, leave_after=2, cadence="hourly"),
    Rule("telemetry_lost", 1, "warning", n=2, m=2, leave_after=2, cadence="hourly"),
    # An hour at a limit is often one job; an hour of failures is an outage.
    Rule("rate_limit", 1, "warning", n=2, m=3, leave_after=3, cadence="hourly"),
    Rule("availability", 1, "warning", leave_after=2, cadence="hourly"),
    Rule("internal", 1, "warning", cadence="hourly"),
)
"""About spend, sources and the daemon's own work."""

BOOK: Mapping[str, Rule] = {rule.name: rule for rule in (*_MOVES, *_WATCHED)}
"""Every rule by its name, as it is where nothing else is configured."""


class Limits(NamedTuple):
    """What a rule compares with; None: the rule has no such limit. docs/alerts.md says of what."""

    percent: int | None = None
    days: int | None = None
    least_usd: Decimal | None = None
    """Dollars a month below which the rule keeps quiet."""


LIMITS: Mapping[str, Limits] = {
    "spend_anomaly": Limits(percent=30, least_usd=Decimal(100)),
    "unpriced_spend": Limits(percent=1),
    "unreconciled_spend": Limits(percent=10, days=28, least_usd=Decimal(100)),
    "price_change": Limits(percent=1, least_usd=Decimal(50)),
    "model_change": Limits(percent=50),
    "expiry": Limits(days=21),
    "gpu_idle": Limits(percent=80, days=7, least_usd=Decimal(500)),
    "failover_spend": Limits(percent=30, least_usd=Decimal(100)),
    "source_stale": Limits(days=1),
    "rate_limit": Limits(percent=5),
    "availability": Limits(percent=5),
}
"""The limits of each rule that has some, where nothing else is configured."""


class Chosen(NamedTuple):
    """What the configuration changes of a rule; None keeps the book's."""

    enabled: bool = True
    severity: Severity | None = None
    owner: str = ""
    runbook: str = ""
    percent: int | None = None
    days: int | None = None
    least_usd: Decimal | None = None


def limits(changes: Mapping[str, Chosen]) -> dict[str, Limits]:
    """The limits of every rule of the book with the configuration's changes.

    A limit that a rule does not have stays away, whatever is configured for it.
    """
    return {name: _limits(name, changes.get(name, Chosen())) for name in BOOK}


def _limits(name: str, change: Chosen) -> Limits:
    own = LIMITS.get(name, Limits())
    merged = (
        default if default is None or (new := getattr(change, field)) is None else new
        for field, default in own._asdict().items()
    )
    return Limits(*merged)


def chosen(changes: Mapping[str, Chosen]) -> dict[str, Rule]:
    """The book with the configuration's changes; a rule that is off is left out.

    What changes whether a rule fires gives it another version, which begins afresh; who answers
    for it and how loud it is does not.
    """
    return {
        name: _changed(rule, changes.get(name, Chosen()))
        for name, rule in BOOK.items()
        if changes.get(name, Chosen()).enabled
    }


def _changed(rule: Rule, change: Chosen) -> Rule:
    return replace(
        rule,
        version=_version(rule, _limits(rule.name, change)),
        severity=change.severity or rule.severity,
        owner=change.owner or rule.owner,
        runbook=change.runbook or rule.runbook,
    )


def _version(rule: Rule, found: Limits) -> int:
    """The book's own, or one of six digits that other limits have."""
    if found == LIMITS.get(rule.name, Limits()):
        return rule.version
    written = "/".join(str(each) for each in found)
    return rule.version * 100_000 + zlib.crc32(written.encode()) % 100_000
