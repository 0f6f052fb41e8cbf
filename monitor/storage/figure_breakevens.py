"""The figures of each comparison: both bills, how sure they are, and what is advised."""

from __future__ import annotations

from monitor.storage.figure_spec import Spec
from monitor.storage.views import FLIPS

_QUANTILES = ("q10", "q50", "q90")
_COSTS = {"requests": "requests", "api_usd": "usd", "self_host_usd": "usd", "savings_usd": "usd"}
_AT_VOLUMES = ", ".join(f"{q}.{name} AS {name}_{q}" for name in _COSTS for q in _QUANTILES)
_PAIR = "{0}.workload = v.workload AND {0}.deployment = v.deployment"
_JOINS = "\n".join(
    f"  LEFT JOIN day {q} ON {_PAIR.format(q)} AND {q}.volume = '{q}'"
    for q in (*_QUANTILES, "ahead")
)
# Column -> its unit and the view's column; a share of 1 is 100 percent.
_SHARES = {
    "probability_cheaper": "q50.probability",
    "never_pays_back": "q50.never_pays_back",
    "net_probability": "q50.net_probability",
    "crossing_probability": "q50.crossing_probability",
    "above_crossing_now": "q50.above_crossing_now",
    "above_crossing_in_a_year": "q50.above_crossing_in_a_year",
    "best_share": "v.best_share",
    "base_load_share": "v.base_load_share",
}
_KNOWN = {
    "draws": ("count", "q50.draws"),
    **{f"drawn_savings_usd_{q}": ("usd", f"q50.savings_{q}_usd") for q in _QUANTILES},
    **{f"payback_months_{q}": ("months", f"q50.payback_{q}_months") for q in _QUANTILES},
    **{f"net_usd_{q}": ("usd", f"q50.net_{q}_usd") for q in _QUANTILES},
    "net_contradicts": ("count", "q50.net_contradicts"),
    "crossing_ahead": ("months", "q50.crossing_ahead"),
    **{f"flip_{n}": ("text", f"q50.flip_{n}") for n in range(1, FLIPS + 1)},
    "optimised_api_usd": ("usd", "v.optimised_api_usd"),
    "savings_against_optimised_usd": ("usd", "v.savings_against_optimised_usd"),
    "constraint_usd": ("usd", "v.constraint_usd"),
    "waiting_usd": ("usd", "v.waiting_usd"),
    "best_share_saves_usd": ("usd", "v.best_share_saves_usd"),
    "base_load_replicas": ("count", "v.base_load_replicas"),
    "base_load_saves_usd": ("usd", "v.base_load_saves_usd"),
    "next_step": ("text", "v.next_step"),
    "next_step_from": ("day", "v.next_step_from"),
    "recommendation": ("json", "v.document"),
}
_JUDGED = ", ".join(
    [f"ROUND(100.0 * {column}, 4) AS {name}" for name, column in _SHARES.items()]
    + [f"{column} AS {name}" for name, (_, column) in _KNOWN.items()]
)
# Days are chosen first, so that no other day's documents are read.
_BREAKEVEN = f"""WITH newest AS (
  SELECT MAX(as_of) AS as_of FROM v_advice WHERE as_of <= :as_of AND as_of > :week_first
), older AS (
  SELECT MAX(as_of) AS as_of FROM v_assessment WHERE as_of <= :week_first AND as_of > :week_before
), day AS (
  SELECT * FROM v_assessment WHERE as_of = (SELECT as_of FROM newest)
), before AS MATERIALIZED (
  SELECT * FROM v_assessment WHERE as_of = (SELECT as_of FROM older) AND volume = 'q50'
)
SELECT v.workload, v.deployment, v.as_of, v.advice, v.reason, v.since,
  q50.month, q50.verdict, q50.crossing_requests, {_AT_VOLUMES},
  ahead.month AS ahead_month, ahead.requests AS ahead_requests,
  ahead.savings_usd AS ahead_savings_usd, q50.scenario, q50.result, q50.assumptions,
  b.crossing_requests AS crossing_before, b.savings_usd AS savings_before,
  b.scenario AS scenario_before, {_JUDGED}
FROM v_advice v
{_JOINS}
  LEFT JOIN before b ON {_PAIR.format("b")}
WHERE v.as_of = (SELECT as_of FROM newest)"""

_COLUMNS = {
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
    "assumptions": "json",
    "crossing_before": "requests",
    "savings_before": "usd",
    "scenario_before": "json",
    **dict.fromkeys(_SHARES, "percent"),
    **{name: unit for name, (unit, _) in _KNOWN.items()},
}

BREAKEVENS = Spec(
    "",
    "Each deployment's newest comparison of the week, at the projection's q10, q50 and q90.",
    _BREAKEVEN,
    _COLUMNS,
    ("workload", "deployment"),
)
