"""The figures of the monthly closing: the bill beside the estimate, and what was restated."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.domain.scores import HORIZONS
from monitor.storage.figure_moves import MOVES_OF_MONTH
from monitor.storage.figure_spec import Spec, cells

_OF_MONTH = "FROM v_spend_daily WHERE day >= :month_first AND day < :as_of"
# Both sides over the days that have a final bill, so that what is late is no difference.
_FINAL = "basis = 'billed' AND billed_usd IS NOT NULL"
BILLS = Spec(
    "",
    "Each account's month: what was billed, what was estimated, and both over the days that have a"
    " final bill.",
    f"""SELECT account, COUNT(*) AS days, SUM(CASE WHEN {_FINAL} THEN 1 ELSE 0 END) AS billed_days,
  ROUND(SUM(usd), 6) AS spend, ROUND(SUM(billed_usd), 6) AS billed,
  ROUND(SUM(estimated_usd), 6) AS estimated,
  ROUND(SUM(CASE WHEN {_FINAL} THEN billed_usd END), 6) AS compared_billed,
  ROUND(SUM(CASE WHEN {_FINAL} THEN COALESCE(estimated_usd, 0) END), 6) AS compared_estimated,
  ROUND(SUM(CASE WHEN {_FINAL} THEN billed_usd - COALESCE(estimated_usd, 0) END), 6) AS difference,
  SUM(unpriced_tokens) AS unpriced_tokens,
  SUM(CASE WHEN unconverted_amount IS NOT NULL THEN 1 ELSE 0 END) AS unconverted_days
{_OF_MONTH} GROUP BY account""",
    {
        "account": "text",
        "days": "count",
        "billed_days": "count",
        "spend": "usd",
        "billed": "usd",
        "estimated": "usd",
        "compared_billed": "usd",
        "compared_estimated": "usd",
        "difference": "usd",
        "unpriced_tokens": "tokens",
        "unconverted_days": "count",
    },
    ("account",),
)
RECONCILED = Spec(
    "",
    "Why the bills of a closed month are above (or below 0: beneath) our estimates, over the days"
    " that are final on both sides.",
    "SELECT account, cause, ROUND(SUM(usd), 6) AS usd, COUNT(DISTINCT day) AS days"
    " FROM v_reconciliation WHERE month = :month AND final = 1 GROUP BY account, cause",
    {"account": "text", "cause": "text", "usd": "usd", "days": "count"},
    ("account", "cause"),
)
_CLOSED = "SELECT MAX(finished_at) FROM v_runs WHERE run_key = 'close/' || CAST(:month AS TEXT)"
_BEFORE = (
    "SELECT MAX(finished_at) FROM v_runs"
    " WHERE run_key = 'close/' || SUBSTR(CAST(:before_first AS TEXT), 1, 7)"
)
RESTATED = Spec(
    "",
    "Closed days found changed from the closing of the month before to that of this one.",
    "SELECT day, source, stream, found_at, tokens_before, tokens_after, usd_before, usd_after"
    f" FROM v_restatement WHERE found_at >= COALESCE(({_BEFORE}), :month_first)"
    f" AND found_at <= COALESCE(({_CLOSED}), :told_until)",
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
)


def _sum(column: str) -> str:
    return f"SELECT SUM({column}) FROM ({BILLS.sql}) each_one"


CLOSING: Mapping[str, Spec] = {
    "bills": BILLS,
    **cells("bill", BILLS),
    "reconciliation": RECONCILED,
    **cells("reconciled", RECONCILED),
    "restatements.month": RESTATED,
    "closing.moves": MOVES_OF_MONTH,
    "closing.projections": Spec(
        "",
        "What the month's dollars of all workloads were projected as, and what came.",
        "SELECT days_left, q10, q50, q90, actual, error_percent AS error, inside"
        " FROM v_projection_score WHERE workload = 'all workloads' AND unit = 'usd'"
        f" AND month = :month AND days_left IN ({', '.join(map(str, HORIZONS))})",
        {
            "days_left": "count",
            "q10": "usd",
            "q50": "usd",
            "q90": "usd",
            "actual": "usd",
            "error": "percent",
            "inside": "count",
        },
        ("days_left",),
    ),
    "closing.compared_billed": Spec(
        "usd", "Billed over the month's days that have a final bill.", _sum("compared_billed")
    ),
    "closing.compared_estimated": Spec(
        "usd", "Estimated over the same days.", _sum("compared_estimated")
    ),
    "closing.difference": Spec(
        "usd", "What the bills are above our estimate, over the same days.", _sum("difference")
    ),
    "closing.difference_percent": Spec(
        "percent",
        "The same, of the estimate.",
        "SELECT ROUND(100.0 * SUM(difference) / NULLIF(SUM(compared_estimated), 0), 2)"
        f" FROM ({BILLS.sql}) each_one",
    ),
    "closing.scored": Spec(
        "count",
        "Projections of this month's dollars, of all workloads, that were scored when it closed.",
        "SELECT COUNT(*) FROM v_projection_score WHERE workload = 'all workloads'"
        " AND unit = 'usd' AND month = :month",
    ),
    "closing.scored_inside": Spec(
        "count",
        "How many of them held the month's total in their range.",
        "SELECT SUM(inside) FROM v_projection_score WHERE workload = 'all workloads'"
        " AND unit = 'usd' AND month = :month",
    ),
    "closing.verdicts": Spec(
        "count",
        "Daily verdicts (q50) of this month that were scored when it closed.",
        "SELECT COUNT(*) FROM v_assessment_score WHERE volume = 'q50' AND month = :month",
    ),
    "closing.verdicts_right": Spec(
        "count",
        "How many of them were right at the volume that came.",
        "SELECT SUM(was_right) FROM v_assessment_score WHERE volume = 'q50' AND month = :month",
    ),
}
