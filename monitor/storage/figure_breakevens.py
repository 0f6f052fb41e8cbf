"""The figures of each comparison: both bills, how sure they are, and what is advised."""

from __future__ import annotations

from monitor.storage.figure_spec import Spec

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
    "crossing_before": "requests",
    "savings_before": "usd",
    "scenario_before": "json",
}

BREAKEVENS = Spec(
    "",
    "Each deployment's newest comparison of the week, at the projection's q10, q50 and q90.",
    _BREAKEVEN,
    _COLUMNS,
    ("workload", "deployment"),
)
