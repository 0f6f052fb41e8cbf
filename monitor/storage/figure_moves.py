"""The figures of workloads that moved: the newest closed month of each."""

from __future__ import annotations

from monitor.storage.figure_spec import Spec

_USD = ("promised", "counterfactual", "actual", "saved", "moving", "cumulated")
_PARTS = ("volume", "mix", "price", "own_cost")
_COLUMNS = {
    "workload": "text",
    "deployment": "text",
    "since": "day",
    "month": "month",
    "status": "text",
    "reason": "text",
    **dict.fromkeys(_USD, "usd"),
    **{f"by_{part}": "usd" for part in _PARTS},
    "months_known": "count",
    "paid_back_in": "month",
    "direction": "text",
    "outlook": "text",
}
_READ = ", ".join(f"m.{name}_usd AS {name}" for name in (*_USD, *(f"by_{part}" for part in _PARTS)))
_SELECT = f"""SELECT m.workload, m.deployment, m.since, m.month, m.status, m.reason, {_READ},
  m.months_known, (SELECT MIN(p.month) FROM v_after_move p WHERE p.workload = m.workload
    AND p.since = m.since AND p.month <= m.month AND p.cumulated_usd >= p.moving_usd)
    AS paid_back_in, m.direction, m.outlook
FROM v_after_move m"""
MOVES = Spec(
    "",
    "What own engines saved in the newest closed month of each workload that moved.",
    f"""{_SELECT} WHERE m.month || '-01' >= :before_first AND m.settled_at < :told_until
  AND m.month = (SELECT MAX(n.month) FROM v_after_move n WHERE n.workload = m.workload
    AND n.settled_at < :told_until)""",
    _COLUMNS,
    ("workload",),
)
MOVES_OF_MONTH = Spec(
    "",
    "What own engines saved in this month, of each workload that moved.",
    f"{_SELECT} WHERE m.month = :month",
    _COLUMNS,
    ("workload",),
)
