"""The views for finance: budgets, showback, contracts, why bills differ from estimates."""

from __future__ import annotations

from monitor.storage.spelling import COUNTED, Sql


def budget_daily(q: Sql) -> str:
    """Where each budget stood at the end of each day."""
    projected = ", ".join(
        f"{q.one(f'b.{name}_pico')} AS projected_{name}_usd" for name in ("q10", "q50", "q90")
    )
    return f"""
SELECT g.name AS budget, g.period AS every, b.period, {q.day("b.first_day")} AS first_day,
  {q.day("b.end_day")} AS end_day, g.scope, g.scope_name, g.owner, {q.day("b.as_of")} AS as_of,
  {q.one("b.amount_pico")} AS amount_usd, {q.one("b.spent_pico")} AS spent_usd, b.basis,
  b.known_days, b.unpriced_tokens, {projected},
  ROUND(100.0 * b.spent_pico / b.amount_pico, 2) AS percent_spent,
  ROUND(100.0 * b.q50_pico / b.amount_pico, 2) AS percent_projected,
  ROUND(100.0 * (b.as_of - b.first_day) / (b.end_day - b.first_day), 2) AS percent_elapsed,
  b.remark, CASE WHEN g.configured THEN 1 ELSE 0 END AS configured
FROM budget_state b JOIN budget g ON g.id = b.budget_id"""


def budget(_q: Sql) -> str:
    """The newest of them for each budget and period."""
    return """
SELECT b.* FROM v_budget_daily b WHERE b.as_of = (SELECT MAX(n.as_of) FROM v_budget_daily n
  WHERE n.budget = b.budget AND n.period = b.period)"""


def showback_daily(q: Sql) -> str:
    """What each part of the traffic would pay: estimates, because a bill names no workloads."""
    return f"""
SELECT {q.day("d.day")} AS day, COALESCE(w.cost_centre, '') AS cost_centre, s.label,
  COALESCE(w.name, 'unassigned') AS workload, SUM(d.tokens) AS tokens,
  {q.sum_pico("d.estimated_pico")} AS estimated_usd, SUM(d.unpriced_tokens) AS unpriced_tokens
FROM usage_day d JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id
  JOIN account a ON a.id = s.account_id LEFT JOIN workload w ON w.id = s.workload_id
WHERE {COUNTED} AND s.provider <> 'self'
GROUP BY d.day, w.cost_centre, s.label, w.name"""


def showback(_q: Sql) -> str:
    """The same by month, with each part's share of the month."""
    return """
SELECT m.month, m.cost_centre, m.label, m.workload, m.tokens, m.estimated_usd, m.unpriced_tokens,
  ROUND(100.0 * m.estimated_usd / NULLIF(SUM(m.estimated_usd) OVER (PARTITION BY m.month), 0), 2)
    AS share_percent
FROM (SELECT SUBSTR(day, 1, 7) AS month, cost_centre, label, workload, SUM(tokens) AS tokens,
    ROUND(SUM(estimated_usd), 6) AS estimated_usd, SUM(unpriced_tokens) AS unpriced_tokens
  FROM v_showback_daily GROUP BY SUBSTR(day, 1, 7), cost_centre, label, workload) m"""


# One row for each contract and each day on which anything at all was metered. A shortfall is a
# month's: what a finished month did not use is paid all the same. In whole millionths, which both
# engines add alike.
def contract(q: Sql) -> str:
    """How each commitment is drawn down, day by day."""

    def running(over: str) -> str:
        rest = q.micro(f"SUM(k.used_rest) OVER ({over})")
        return f"(SUM(k.used_micro) OVER ({over}) + {rest})"

    def usd(micro: str) -> str:
        return f"ROUND(({micro}) / 1000000.0, 6)"

    def unused(micro: str, of: str) -> str:
        return f"CASE WHEN {micro} > {of}.committed THEN 0 ELSE {of}.committed - {micro} END"

    month = f"(m.used_micro + {q.micro('m.used_rest')})"
    end = "(e.day + 86400)"
    days = f"(({end} - e.first) / 86400.0)"
    known = f"(({end} - e.known_from) / 86400.0)"
    return f"""
WITH days AS (
  SELECT DISTINCT day FROM spend_parts
), each_day AS (
  SELECT c.id, a.name AS account, c.valid_from, c.valid_to,
    c.commit_pico_per_month / 1000000 AS committed, d.day, {q.month_start("d.day")} AS first,
    {q.month_end("d.day")} AS month_end, COALESCE(p.estimated_micro, 0) AS used_micro,
    COALESCE(p.estimated_rest, 0) AS used_rest, COALESCE(p.unpriced_tokens, 0) AS unpriced_tokens,
    CASE WHEN c.valid_from > f.day THEN c.valid_from ELSE f.day END AS known_from
  FROM contract c JOIN account a ON a.id = c.account_id
    JOIN (SELECT MIN(day) AS day FROM days) f ON f.day IS NOT NULL
    JOIN days d ON d.day >= c.valid_from AND (c.valid_to IS NULL OR d.day < c.valid_to)
    LEFT JOIN spend_parts p ON p.account_id = c.account_id AND p.day = d.day
), each_month AS (
  SELECT m.id, m.first, {unused(month, "m")} AS unused
  FROM (SELECT id, first, MIN(committed) AS committed, SUM(used_micro) AS used_micro,
    SUM(used_rest) AS used_rest FROM each_day GROUP BY id, first) m
), by_month AS (
  SELECT id, first, SUM(unused) OVER (PARTITION BY id ORDER BY first) - unused AS short_before,
    ROW_NUMBER() OVER (PARTITION BY id ORDER BY first) AS months
  FROM each_month
), e AS (
  SELECT k.*, {running("PARTITION BY k.id, k.first ORDER BY k.day")} AS used,
    {running("PARTITION BY k.id ORDER BY k.day")} AS drawn,
    SUM(k.unpriced_tokens) OVER (PARTITION BY k.id, k.first ORDER BY k.day) AS unpriced,
    b.short_before, b.months
  FROM each_day k JOIN by_month b ON b.id = k.id AND b.first = k.first
)
SELECT e.account, {q.day("e.day")} AS day, {q.month("e.day")} AS month,
  {q.day("e.valid_from")} AS valid_from, {q.day("e.valid_to")} AS valid_to,
  (e.valid_to - {end}) / 86400 AS days_left, {usd("e.committed")} AS commit_usd,
  {usd("e.used")} AS used_usd, {usd(unused("e.used", "e"))} AS to_use_usd,
  ROUND(e.used / 1000000.0 * ((e.month_end - e.first) / 86400.0) / {days}, 6) AS run_rate_usd,
  {q.day("e.known_from")} AS known_from, {usd("e.committed * e.months")} AS committed_usd,
  {usd("e.drawn")} AS drawn_usd, {usd("e.short_before")} AS shortfall_usd,
  ROUND(e.drawn / 1000000.0 * ((e.valid_to - e.known_from) / 86400.0) / {known}, 6) AS at_end_usd,
  e.unpriced AS unpriced_tokens
FROM e"""


def reconciliation(q: Sql) -> str:
    """Why bills and estimates of closed months differ, by day, provider and model."""
    return f"""
SELECT r.month, {q.day("r.day")} AS day, a.name AS account, r.provider, r.model, r.cause,
  {q.one("r.pico")} AS usd, CASE WHEN r.is_final THEN 1 ELSE 0 END AS final
FROM reconciliation r JOIN account a ON a.id = r.account_id"""
