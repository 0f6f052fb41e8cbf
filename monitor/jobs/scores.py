"""Scoring a month when it is closed: every projection and assessment of it, once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction

from sqlalchemy import Connection

from monitor.domain.periods import month_bounds
from monitor.domain.scenario import from_document
from monitor.domain.scores import Told, hold, score
from monitor.domain.usage import DAY
from monitor.storage import demand, figures, results, scores
from reports.formats import plural

_MILLION = 10**6


def score_month(conn: Connection, month: str, sources: Sequence[str], now: int) -> int:
    """Score what was told of a month that is over; returns how many scores were added.

    What is scored already stays as it is. A total of which some day is unknown scores nothing.
    """
    return sum(_score_one(conn, w, month, sources, now) for w in demand.workloads(conn))


def _score_one(
    conn: Connection, workload: demand.Workload, month: str, sources: Sequence[str], now: int
) -> int:
    _, end = month_bounds(month)
    told = scores.projections(conn, workload.id, month, end)
    assessed = scores.assessments(conn, workload.id, month, end)
    if not told and not assessed:
        return 0
    actual = {unit: _actual(conn, workload, unit, month, sources) for unit in demand.UNITS}
    rows = [
        _projection_row(workload.id, month, end, each, total, now)
        for each in told
        if (total := actual[each.unit]) is not None  # type: ignore[index]
    ]
    scores.put_projections(conn, rows)
    requests = actual["requests"]
    if requests is None:
        return len(rows)
    held = [_assessment_row(workload.id, month, each, requests, now) for each in assessed]
    scores.put_assessments(conn, held)
    return len(rows) + len(held)


def _actual(
    conn: Connection,
    workload: demand.Workload,
    unit: demand.Unit,
    month: str,
    sources: Sequence[str],
) -> int | None:
    """What came in the month; None: some day of it is unknown, or there was never any use."""
    first, end = month_bounds(month)
    daily = demand.daily(conn, workload, unit, end, sources)
    days = [total for day, total in daily.items() if day >= first]
    known = [total for total in days if total is not None]
    return sum(known) if known and len(known) == len(days) else None


def _projection_row(
    workload_id: int, month: str, end: int, told: scores.Projected, actual: int, now: int
) -> tuple[object, ...]:
    quantiles = Told(told.q10, told.q50, told.q90)
    found = score(quantiles, actual)
    left = (end - told.as_of) // DAY
    key = (workload_id, month, told.as_of, told.unit, left, actual, *quantiles)
    return (*key, _ppm(found.error), found.inside, _ppm(found.pinball), now)


def _ppm(share: Fraction | None) -> int | None:
    """Millionths, at most what the database's column holds."""
    return None if share is None else min(round(share * _MILLION), 2**63 - 1)


def _assessment_row(
    workload_id: int, month: str, told: scores.Assessed, requests: int, now: int
) -> tuple[object, ...]:
    scenario = from_document(json.loads(told.scenario))
    found = hold(scenario, told.verdict, requests)
    key = (workload_id, month, told.as_of, told.deployment_id, told.volume, requests)
    money = (results.pico_of(each) for each in (found.api, found.hybrid, found.savings))
    return (*key, *money, told.verdict, found.was_right, now)


def track_record(conn: Connection, now: int, workload: str = "") -> list[Mapping[str, object]]:
    """The record of projections and verdicts by workload, in figures and in words.

    One row for each workload and horizon, as the figure `record.projections` has it, and one for
    each deployment's verdicts (`record.verdicts`). Empty: no month was scored yet.
    """
    params = figures.period(now // DAY * DAY + DAY)
    found: list[Mapping[str, object]] = []
    for row in figures.rows(conn, "record.projections", **params).rows:
        months = plural(int(str(row["months"])), "month")
        said = f"{row['inside']} of the last {months} fell inside the range"
        about = f"projections {row['days_left']} days before the end"
        found.append(_line(row, about, "inside", "months", said, row["median_error"]))
    for row in figures.rows(conn, "record.verdicts", **params).rows:
        said = f"of {row['told']} verdicts {row['were_right']} were right at the volume that came"
        about = f"verdicts on {row['deployment']}"
        found.append(_line(row, about, "were_right", "told", said, None))
    return [row for row in found if not workload or row["workload"] == workload]


def _line(
    row: Mapping[str, object], about: str, held: str, of: str, said: str, error: object
) -> Mapping[str, object]:
    return {
        "workload": row["workload"],
        "about": about,
        "held": row[held],
        "of": row[of],
        "median_error_percent": error,
        "in_words": said,
    }
