"""The ledger: scores of what was told, written once when the month is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.storage import bulk

_KEY = ("workload_id", "month", "as_of")
_PROJECTION = (*_KEY, "unit", "days_left", "actual", "q10", "q50", "q90")
_PROJECTION_SCORE = (*_PROJECTION, "error_ppm", "inside", "pinball_ppm", "scored_at")
_ASSESSMENT = (*_KEY, "deployment_id", "volume", "actual_requests")
_MONEY = ("api_pico", "hybrid_pico", "savings_pico")
_ASSESSMENT_SCORE = (*_ASSESSMENT, *_MONEY, "told", "was_right", "scored_at")


class Projected(NamedTuple):
    """A stored projection that has no score yet."""

    as_of: int
    unit: str
    q10: int
    q50: int
    q90: int


class Assessed(NamedTuple):
    """A stored assessment that has no score yet."""

    deployment_id: int
    as_of: int
    volume: str
    scenario: str
    verdict: str


def projections(conn: Connection, workload_id: int, month: str, end: int) -> list[Projected]:
    """Those of a month that were made before its end and are not scored yet."""
    rows = bulk.select(
        conn,
        "SELECT p.as_of, p.unit, p.q10, p.q50, p.q90 FROM projection p"
        " LEFT JOIN projection_score s ON s.workload_id = p.workload_id AND s.month = p.month"
        " AND s.as_of = p.as_of AND s.unit = p.unit WHERE p.workload_id = ? AND p.month = ?"
        " AND p.as_of < ? AND p.q50 IS NOT NULL AND s.scored_at IS NULL",
        (workload_id, month, end),
    )
    return [Projected(*row) for row in rows]


def assessments(conn: Connection, workload_id: int, month: str, end: int) -> list[Assessed]:
    """Those of a month that were made before its end and are not scored yet."""
    rows = bulk.select(
        conn,
        "SELECT a.deployment_id, a.as_of, a.volume, a.scenario, a.verdict FROM assessment a"
        " LEFT JOIN assessment_score s ON s.workload_id = a.workload_id"
        " AND s.deployment_id = a.deployment_id AND s.as_of = a.as_of AND s.volume = a.volume"
        " WHERE a.workload_id = ? AND a.month = ? AND a.as_of < ? AND s.scored_at IS NULL",
        (workload_id, month, end),
    )
    return [Assessed(*row) for row in rows]


def put_projections(conn: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Store scores of projections, in the order of `_PROJECTION_SCORE`."""
    bulk.insert(conn, "projection_score", _PROJECTION_SCORE, list(rows))


def put_assessments(conn: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Store scores of assessments, in the order of `_ASSESSMENT_SCORE`."""
    bulk.insert(conn, "assessment_score", _ASSESSMENT_SCORE, list(rows))
