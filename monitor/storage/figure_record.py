"""The figures that say how good past projections and verdicts were."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.domain.scores import HORIZONS, MONTHS
from monitor.storage.figure_spec import Spec
from monitor.storage.setup import ALL

TOLD_HORIZON = 14
"""Days before a month's end of the projections whose record the report tells."""

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

RECORD: Mapping[str, Spec] = {
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
