"""The catalogue of figures: statements over the public views, the same on both engines.

A parameter is written `:name`; days are ISO text and ends are exclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from monitor.domain.scores import HORIZONS, MONTHS
from monitor.storage.setup import ALL

TOLD_HORIZON = 14
"""Days before a month's end of the projections whose record the report tells."""


class Spec(NamedTuple):
    """One figure, or with `columns` a table of them."""

    unit: str
    """usd, usd_per_million, percent, hours, kwh, tokens, requests, count; day, instant, month,
    text, json; '' for a table."""
    about: str
    sql: str
    columns: Mapping[str, str] = {}
    """Column -> unit."""
    keys: tuple[str, ...] = ()
    """The columns that tell rows apart."""


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

# A mean over measured minutes only: an hour without readings is unknown, not idle.
_UTILISATION = (
    "ROUND(SUM(CASE WHEN util_mean IS NOT NULL THEN util_mean * minutes_measured END)"
    " / NULLIF(SUM(CASE WHEN util_mean IS NOT NULL THEN minutes_measured END), 0), 2)"
)
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
        _gpu(_UTILISATION),
    ),
    "gpu.hours_measured": Spec("hours", "GPU hours measured in the week.", _gpu(_HOURS)),
    "gpu.count": Spec("count", "GPUs seen in the week.", _gpu("COUNT(DISTINCT gpu)")),
    "gpu.hosts": Spec(
        "",
        "The week by GPU server.",
        f"SELECT host, COUNT(DISTINCT gpu) AS gpus, {_HOURS} AS hours_measured,"
        f" {_UTILISATION} AS utilisation, ROUND(SUM(energy_wh) / 1000.0, 3) AS energy"
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
_MONTHS = """SELECT workload,
  SUM(CASE WHEN day >= :month_first THEN tokens - unpriced_tokens ELSE 0 END) AS now_priced,
  SUM(CASE WHEN day >= :month_first THEN estimated_usd ELSE 0 END) AS now_usd,
  SUM(CASE WHEN day >= :month_first THEN tokens ELSE 0 END) AS tokens,
  SUM(CASE WHEN day >= :month_first THEN requests ELSE 0 END) AS requests,
  SUM(CASE WHEN day >= :month_first THEN unpriced_tokens ELSE 0 END) AS unpriced_tokens,
  SUM(CASE WHEN day < :before_same_day THEN tokens ELSE 0 END) AS then_tokens,
  SUM(CASE WHEN day < :before_same_day THEN tokens - unpriced_tokens ELSE 0 END) AS then_priced,
  SUM(CASE WHEN day < :before_same_day THEN estimated_usd ELSE 0 END) AS then_usd,
  (SELECT MIN(day) FROM v_workload_daily) AS first_day
FROM v_workload_daily WHERE day >= :before_first AND day < :as_of GROUP BY workload"""
_SPENDS = f"""SELECT workload, tokens, requests, unpriced_tokens, now_priced, then_priced,
  CASE WHEN now_priced > 0 OR tokens = 0 THEN ROUND(now_usd, 6) END AS spend,
  CASE WHEN first_day <= :before_first AND (then_priced > 0 OR then_tokens = 0)
    THEN ROUND(then_usd, 6) END AS previous
FROM ({_MONTHS}) m"""
_WORKLOADS = f"""SELECT s.workload, s.spend, s.previous, s.spend - s.previous AS change,
  CASE WHEN s.then_priced > 0 THEN
    ROUND((s.now_priced - s.then_priced) * s.previous / s.then_priced, 6) END AS by_volume,
  CASE WHEN s.then_priced > 0 THEN
    ROUND(s.spend - s.now_priced * s.previous / s.then_priced, 6) END AS by_price,
  s.tokens, s.requests, s.unpriced_tokens,
  CASE WHEN s.now_priced > 0 THEN ROUND(s.spend * 1000000.0 / s.now_priced, 6) END AS unit_cost,
  p.q10 AS projected_q10, p.q50 AS projected_q50, p.q90 AS projected_q90
FROM ({_SPENDS}) s LEFT JOIN v_projection p ON p.workload = s.workload AND p.unit = 'usd'
  AND p.month = :month AND p.as_of = (SELECT MAX(as_of) FROM v_projection
    WHERE month = :month AND as_of <= :as_of)"""

_QUANTILES = ("q10", "q50", "q90")
_COSTS = {"requests": "requests", "api_usd": "usd", "self_host_usd": "usd", "savings_usd": "usd"}
_AT_VOLUMES = ", ".join(f"{q}.{name} AS {name}_{q}" for name in _COSTS for q in _QUANTILES)
_JOINS = "\n".join(
    f"  LEFT JOIN v_assessment {q} ON {q}.workload = v.workload"
    f" AND {q}.deployment = v.deployment AND {q}.as_of = v.as_of AND {q}.volume = '{q}'"
    for q in (*_QUANTILES, "ahead")
)
_BREAKEVEN = f"""SELECT v.workload, v.deployment, v.as_of, v.advice, v.reason, v.since,
  q50.month, q50.verdict, q50.crossing_requests, {_AT_VOLUMES},
  ahead.month AS ahead_month, ahead.requests AS ahead_requests,
  ahead.savings_usd AS ahead_savings_usd, q50.scenario, q50.result,
  b.crossing_requests AS crossing_before, b.savings_usd AS savings_before,
  b.scenario AS scenario_before
FROM v_advice v
{_JOINS}
  LEFT JOIN v_assessment b ON b.workload = v.workload AND b.deployment = v.deployment
    AND b.volume = 'q50' AND b.as_of = (SELECT MAX(as_of) FROM v_assessment
      WHERE as_of <= :week_first AND as_of > :week_before)
WHERE v.as_of = (SELECT MAX(as_of) FROM v_advice WHERE as_of <= :as_of AND as_of > :week_first)"""

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
_BREAKEVEN_COLUMNS = {
    "workload": "text",
    "deployment": "text",
    "as_of": "day",
    "advice": "text",
    "reason": "text",
    "since": "day",
    "month": "month",
    "verdict": "text",
    "crossing_requests": "requests",
    **{f"{name}_{q}": unit for name, unit in _COSTS.items() for q in _QUANTILES},
    "ahead_month": "month",
    "ahead_requests": "requests",
    "ahead_savings_usd": "usd",
    "scenario": "json",
    "result": "json",
    "crossing_before": "requests",
    "savings_before": "usd",
    "scenario_before": "json",
}

_WORKLOAD = Spec(
    "",
    "Each workload's month to date, estimated, against the same days of the month before.",
    _WORKLOADS,
    _WORKLOAD_COLUMNS,
    ("workload",),
)
_DEPLOYMENT = Spec(
    "",
    "Each deployment's newest comparison of the week, at the projection's q10, q50 and q90.",
    _BREAKEVEN,
    _BREAKEVEN_COLUMNS,
    ("workload", "deployment"),
)


def _cells(name: str, table: Spec) -> dict[str, Spec]:
    """Each column of a table as a figure of its own, by the table's keys."""
    where = " AND ".join(f"{key} = :{key}" for key in table.keys)
    return {
        f"{name}.{column}": Spec(
            unit,
            f"{table.about} Column {column} of one {table.keys[-1]}.",
            f"SELECT {column} FROM ({table.sql}) one WHERE {where}",
        )
        for column, unit in table.columns.items()
        if column not in table.keys
    }


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
        "SELECT at, rule, subject, seq, became, reason FROM v_alerts"
        " WHERE at >= :told_from AND at < :told_until AND became IN ('firing', 'resolved')",
        {
            "at": "instant",
            "rule": "text",
            "subject": "text",
            "seq": "count",
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

# The newest months of each workload and horizon that were scored by the morning after the week.
_SCORED = f"""SELECT workload, days_left, inside, ABS(error_percent) AS error,
  ROW_NUMBER() OVER (PARTITION BY workload, days_left ORDER BY month DESC) AS age
FROM v_projection_score WHERE unit = 'usd' AND scored_at < :told_until
  AND days_left IN ({", ".join(map(str, HORIZONS))})"""
_RANKED = f"""SELECT workload, days_left, inside, error,
  ROW_NUMBER() OVER (PARTITION BY workload, days_left ORDER BY error IS NULL, error) AS place,
  COUNT(error) OVER (PARTITION BY workload, days_left) AS n
FROM ({_SCORED}) scored WHERE age <= {MONTHS}"""
_PROJECTIONS = f"""SELECT workload, days_left, COUNT(*) AS months, SUM(inside) AS inside,
  ROUND(AVG(CASE WHEN place IN ((n + 1) / 2, (n + 2) / 2) THEN error END), 2) AS median_error
FROM ({_RANKED}) ranked GROUP BY workload, days_left"""


def _record(column: str) -> str:
    return (
        f"SELECT {column} FROM ({_PROJECTIONS}) one"
        f" WHERE workload = '{ALL}' AND days_left = {TOLD_HORIZON}"
    )


_VERDICTS = """SELECT workload, deployment, COUNT(*) AS told, SUM(was_right) AS were_right
FROM v_assessment_score WHERE volume = 'q50' AND scored_at < :told_until
GROUP BY workload, deployment"""
_AHEAD = f"of all workloads' dollars, made {TOLD_HORIZON} days before the month's end"

_RECORD = {
    "record.months": Spec(
        "count", f"Months behind the record of projections {_AHEAD}.", _record("months")
    ),
    "record.inside": Spec(
        "count", f"How many of them fell inside the range, {_AHEAD}.", _record("inside")
    ),
    "record.median_error": Spec(
        "percent", f"The median size of the error {_AHEAD}.", _record("median_error")
    ),
    "record.verdicts_told": Spec(
        "count",
        "Daily verdicts (q50) of closed months.",
        f"SELECT SUM(told) FROM ({_VERDICTS}) each_one",
    ),
    "record.verdicts_right": Spec(
        "count",
        "How many of them were right at the volume that came.",
        f"SELECT SUM(were_right) FROM ({_VERDICTS}) each_one",
    ),
    "record.projections": Spec(
        "",
        f"How the last {MONTHS} months' projections came out, by days before the month's end.",
        _PROJECTIONS,
        {
            "workload": "text",
            "days_left": "count",
            "months": "count",
            "inside": "count",
            "median_error": "percent",
        },
        ("workload", "days_left"),
    ),
    "record.verdicts": Spec(
        "",
        "How many daily verdicts (q50) of closed months were right at the volume that came.",
        _VERDICTS,
        {"workload": "text", "deployment": "text", "told": "count", "were_right": "count"},
        ("workload", "deployment"),
    ),
}

CATALOGUE: Mapping[str, Spec] = {
    **_SPEND,
    **_PROJECTION,
    **_USE,
    "workloads": _WORKLOAD,
    **_cells("workload", _WORKLOAD),
    "breakevens": _DEPLOYMENT,
    **_cells("breakeven", _DEPLOYMENT),
    **_RECORD,
    **_DATA,
}
"""Figure id -> what it is."""
