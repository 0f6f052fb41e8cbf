"""The catalogue of figures: statements over the public views, the same on both engines.

A parameter is written `:name`; days are ISO text and ends are exclusive.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.storage.figure_breakevens import BREAKEVENS
from monitor.storage.figure_budgets import FINANCE
from monitor.storage.figure_closing import CLOSING
from monitor.storage.figure_fx import FX
from monitor.storage.figure_moves import MOVES
from monitor.storage.figure_owners import OWNERS
from monitor.storage.figure_recommendation import RECOMMENDATION
from monitor.storage.figure_record import RECORD
from monitor.storage.figure_series import SERIES, UTILISATION
from monitor.storage.figure_spec import ALL_READ, Spec, cells
from monitor.storage.setup import ALL


def _spent(first: str, end: str) -> str:
    return f"SELECT ROUND(SUM(usd), 6) FROM v_spend_daily WHERE day >= :{first} AND day < :{end}"


def _spent_before(first: str, end: str) -> str:
    """As `_spent`, but unknown where the data begins later: a part is no comparison."""
    return (
        f"SELECT CASE WHEN MIN(day) <= :{first} THEN"
        f" ROUND(SUM(CASE WHEN day >= :{first} AND day < :{end} THEN usd END), 6) END"
        " FROM v_spend_daily"
    )


def _change(now: str, before: str) -> str:
    return f"SELECT ROUND(100.0 * (({now}) - ({before})) / NULLIF(({before}), 0), 2)"


def _projected(column: str, unit: str) -> str:
    return (
        f"SELECT {column} FROM v_projection WHERE workload = '{ALL}' AND unit = '{unit}'"
        " AND month = :month AND as_of <= :as_of ORDER BY as_of DESC LIMIT 1"
    )


def _api(column: str) -> str:
    return f"SELECT SUM({column}) FROM v_workload_daily WHERE day >= :month_first AND day < :as_of"


def _gpu(expression: str) -> str:
    return f"SELECT {expression} FROM v_gpu_hourly WHERE hour >= :week_first AND hour < :as_of"


_WEEK = _spent("week_first", "as_of")
_WEEK_BEFORE = _spent_before("week_before", "week_first")
_MONTH = _spent("month_first", "as_of")
_SAME_DAY = _spent_before("before_first", "before_same_day")
_WHOLE_MONTH = _spent_before("before_first", "month_first")
_Q50 = _projected("q50", "usd")

_HOURS = "ROUND(SUM(minutes_measured) / 60.0, 2)"

_SPEND = {
    "spend.week": Spec("usd", "Spend of the week: billed where final, else estimated.", _WEEK),
    "spend.week_before": Spec("usd", "Spend of the week before.", _WEEK_BEFORE),
    "spend.week_change": Spec(
        "percent", "The week's spend against the week before.", _change(_WEEK, _WEEK_BEFORE)
    ),
    "spend.month_to_date": Spec(
        "usd", "Spend from the first of the month: billed where final, else estimated.", _MONTH
    ),
    "spend.month_to_date.billed_share": Spec(
        "percent",
        "How much of the month to date is billed; the rest is estimated.",
        "SELECT ROUND(100.0 * SUM(of_which_billed_usd) / NULLIF(SUM(usd), 0), 2)"
        " FROM v_spend_daily WHERE day >= :month_first AND day < :as_of",
    ),
    "spend.previous_month_same_day": Spec(
        "usd", "Spend of the same days of the month before; unknown if not all read.", _SAME_DAY
    ),
    "spend.change_same_day": Spec(
        "percent",
        "The month to date against the same days of the month before.",
        _change(_MONTH, _SAME_DAY),
    ),
    "spend.previous_month": Spec(
        "usd", "Spend of the whole month before; unknown if not all of it was read.", _WHOLE_MONTH
    ),
    "spend.change_full_month": Spec(
        "percent",
        "The month's projection (q50) against the whole month before.",
        _change(_Q50, _WHOLE_MONTH),
    ),
    "spend.outside_workloads": Spec(
        "usd",
        "Month to date less what workloads' tokens cost: fees, other services, and what estimates"
        " miss of bills. It is spread over nothing.",
        f"SELECT ROUND(({_MONTH}) - COALESCE(({_api('estimated_usd')}), 0), 6)",
    ),
    "spend.first_day": Spec(
        "day", "The first day with any spend.", "SELECT MIN(day) FROM v_spend_daily"
    ),
    "spend.days_unconverted": Spec(
        "count",
        "Account days of the month billed in a currency without a rate: not in any total.",
        "SELECT COUNT(*) FROM v_spend_daily WHERE day >= :month_first AND day < :as_of"
        " AND unconverted_amount IS NOT NULL",
    ),
    "spend.daily": Spec(
        "",
        "Spend by day since the first of the month before.",
        "SELECT day, ROUND(SUM(usd), 6) AS usd FROM v_spend_daily"
        " WHERE day >= :before_first AND day < :as_of GROUP BY day",
        {"day": "day", "usd": "usd"},
        ("day",),
    ),
}

_PROJECTION = {
    **{
        f"projection.{unit}.{q}": Spec(
            unit, f"The month's total as projected, {q} of the 80% range.", _projected(q, unit)
        )
        for unit in ("usd", "tokens", "requests")
        for q in ("q10", "q50", "q90")
    },
    "projection.as_of": Spec(
        "day", "The day (exclusive) the projection was made for.", _projected("as_of", "usd")
    ),
    "projection.history_days": Spec(
        "count", "Days of history behind the projection.", _projected("history_days", "usd")
    ),
    "projection.method": Spec(
        "text", "How it was projected; `actual` is a finished month.", _projected("method", "usd")
    ),
    "projection.flags": Spec(
        "text", "What is doubtful about the projection.", _projected("flags", "usd")
    ),
}

_USE = {
    "tokens.month_to_date": Spec(
        "tokens", "Tokens through APIs from the first of the month.", _api("tokens")
    ),
    "requests.month_to_date": Spec(
        "requests", "Requests to APIs from the first of the month.", _api("requests")
    ),
    "unpriced.tokens": Spec(
        "tokens",
        "Tokens of the month to date for which no rate is known: in no amount, never $0.",
        _api("unpriced_tokens"),
    ),
    "unit_cost.api": Spec(
        "usd_per_million",
        "Estimated dollars per million priced tokens, month to date.",
        "SELECT CASE WHEN SUM(tokens) > SUM(unpriced_tokens) THEN ROUND(SUM(estimated_usd)"
        " * 1000000.0 / (SUM(tokens) - SUM(unpriced_tokens)), 6) END FROM v_workload_daily"
        " WHERE day >= :month_first AND day < :as_of",
    ),
    "served.tokens": Spec(
        "tokens",
        "Tokens served by own engines in the week; unknown without own engines.",
        "SELECT SUM(tokens) FROM v_tokens_served WHERE day >= :week_first AND day < :as_of",
    ),
    "gpu.utilisation": Spec(
        "percent",
        "Mean GPU utilisation over the measured minutes of the week; unknown if not measured.",
        _gpu(UTILISATION),
    ),
    "gpu.hours_measured": Spec("hours", "GPU hours measured in the week.", _gpu(_HOURS)),
    "gpu.count": Spec("count", "GPUs seen in the week.", _gpu("COUNT(DISTINCT gpu)")),
    "gpu.hosts": Spec(
        "",
        "The week by GPU server.",
        f"SELECT host, COUNT(DISTINCT gpu) AS gpus, {_HOURS} AS hours_measured,"
        f" {UTILISATION} AS utilisation, ROUND(SUM(energy_wh) / 1000.0, 3) AS energy"
        " FROM v_gpu_hourly WHERE hour >= :week_first AND hour < :as_of GROUP BY host",
        {
            "host": "text",
            "gpus": "count",
            "hours_measured": "hours",
            "utilisation": "percent",
            "energy": "kwh",
        },
        ("host",),
    ),
}

# Of both months: what was estimated, and tokens that have a rate. A workload whose tokens all lack
# one has no amount.
_MONTHS = f"""SELECT workload,
  SUM(CASE WHEN day >= :month_first THEN tokens - unpriced_tokens ELSE 0 END) AS now_priced,
  SUM(CASE WHEN day >= :month_first THEN estimated_usd ELSE 0 END) AS now_usd,
  SUM(CASE WHEN day >= :month_first THEN tokens ELSE 0 END) AS tokens,
  SUM(CASE WHEN day >= :month_first THEN requests ELSE 0 END) AS requests,
  SUM(CASE WHEN day >= :month_first THEN unpriced_tokens ELSE 0 END) AS unpriced_tokens,
  SUM(CASE WHEN day < :before_same_day THEN tokens ELSE 0 END) AS then_tokens,
  SUM(CASE WHEN day < :before_same_day THEN tokens - unpriced_tokens ELSE 0 END) AS then_priced,
  SUM(CASE WHEN day < :before_same_day THEN estimated_usd ELSE 0 END) AS then_usd,
  {ALL_READ} AS all_read
FROM v_workload_daily WHERE day >= :before_first AND day < :as_of GROUP BY workload"""
_SPENDS = f"""SELECT workload, tokens, requests, unpriced_tokens, now_priced, then_priced,
  CASE WHEN now_priced > 0 OR tokens = 0 THEN ROUND(now_usd, 6) END AS spend,
  CASE WHEN all_read AND (then_priced > 0 OR then_tokens = 0)
    THEN ROUND(then_usd, 6) END AS previous
FROM ({_MONTHS}) m"""
# First by itself, or SQLite stores every projection to join it.
_WORKLOADS = f"""WITH p AS MATERIALIZED (
  SELECT workload, q10, q50, q90 FROM v_projection WHERE unit = 'usd' AND month = :month
    AND as_of = (SELECT MAX(as_of) FROM v_projection WHERE month = :month AND as_of <= :as_of))
SELECT s.workload, s.spend, s.previous, s.spend - s.previous AS change,
  CASE WHEN s.then_priced > 0 THEN
    ROUND((s.now_priced - s.then_priced) * s.previous / s.then_priced, 6) END AS by_volume,
  CASE WHEN s.then_priced > 0 THEN
    ROUND(s.spend - s.now_priced * s.previous / s.then_priced, 6) END AS by_price,
  s.tokens, s.requests, s.unpriced_tokens,
  CASE WHEN s.now_priced > 0 THEN ROUND(s.spend * 1000000.0 / s.now_priced, 6) END AS unit_cost,
  p.q10 AS projected_q10, p.q50 AS projected_q50, p.q90 AS projected_q90
FROM ({_SPENDS}) s LEFT JOIN p ON p.workload = s.workload"""

_WORKLOAD_COLUMNS = {
    "workload": "text",
    "spend": "usd",
    "previous": "usd",
    "change": "usd",
    "by_volume": "usd",
    "by_price": "usd",
    "tokens": "tokens",
    "requests": "requests",
    "unpriced_tokens": "tokens",
    "unit_cost": "usd_per_million",
    "projected_q10": "usd",
    "projected_q50": "usd",
    "projected_q90": "usd",
}
_WORKLOAD = Spec(
    "",
    "Each workload's month to date, estimated, against the same days of the month before.",
    _WORKLOADS,
    _WORKLOAD_COLUMNS,
    ("workload",),
)
_DATA = {
    "data.sources": Spec(
        "",
        "How far each stream was read, and what went wrong.",
        "SELECT source, stream, feeds, counts, closed_through, last_read_at, failures_in_a_row,"
        " last_error, quarantined_rows, days_to_roll_up FROM v_data_quality",
        {
            "source": "text",
            "stream": "text",
            "feeds": "text",
            "counts": "text",
            "closed_through": "instant",
            "last_read_at": "instant",
            "failures_in_a_row": "count",
            "last_error": "text",
            "quarantined_rows": "count",
            "days_to_roll_up": "count",
        },
        ("source", "stream"),
    ),
    "data.quarantined_rows": Spec(
        "count",
        "Rows that could not be read and wait in quarantine.",
        "SELECT SUM(quarantined_rows) FROM v_data_quality",
    ),
    "data.rates": Spec(
        "",
        "Where the rates of the month's models come from, and when they were last checked.",
        "SELECT source, source_version, COUNT(*) AS cards, MIN(checked_at) AS oldest_check,"
        " MAX(checked_at) AS newest_check FROM v_rate WHERE valid_from < :as_of"
        " AND provider || ' ' || model IN (SELECT provider || ' ' || model FROM v_usage_daily"
        " WHERE day >= :month_first AND day < :as_of) GROUP BY source, source_version",
        {
            "source": "text",
            "source_version": "text",
            "cards": "count",
            "oldest_check": "instant",
            "newest_check": "instant",
        },
        ("source", "source_version"),
    ),
    "alerts.week": Spec(
        "",
        "Alerts that fired or ended with one of the week's days.",
        "SELECT at, rule, subject, seq, workload, became, reason FROM v_alerts"
        " WHERE at >= :told_from AND at < :told_until AND became IN ('firing', 'resolved')",
        {
            "at": "instant",
            "rule": "text",
            "subject": "text",
            "seq": "count",
            "workload": "text",
            "became": "text",
            "reason": "text",
        },
        ("at", "rule", "subject", "seq"),
    ),
    "restatements.week": Spec(
        "",
        "Closed days found changed from the week's first day to the day after its last.",
        "SELECT day, source, stream, found_at, tokens_before, tokens_after, usd_before, usd_after"
        " FROM v_restatement WHERE found_at >= :week_first AND found_at < :told_until",
        {
            "day": "day",
            "source": "text",
            "stream": "text",
            "found_at": "instant",
            "tokens_before": "tokens",
            "tokens_after": "tokens",
            "usd_before": "usd",
            "usd_after": "usd",
        },
        ("found_at", "day", "source", "stream"),
    ),
}

CATALOGUE: Mapping[str, Spec] = {
    **_SPEND,
    **_PROJECTION,
    **_USE,
    "workloads": _WORKLOAD,
    **cells("workload", _WORKLOAD),
    "breakevens": BREAKEVENS,
    **cells("breakeven", BREAKEVENS),
    "moves": MOVES,
    **cells("moved", MOVES),
    **RECORD,
    **SERIES,
    **_DATA,
    **FINANCE,
    **CLOSING,
    **OWNERS,
    **FX,
    **RECOMMENDATION,
}
"""Figure id -> what it is."""

FINANCE_CELLS = {
    "budgets": "budget",
    "cost_centres": "cost_centre",
    "labels": "label",
    "contracts": "contract",
    "bills": "bill",
    "reconciliation": "reconciled",
}
"""The tables for finance, and how a cell of each is named."""
