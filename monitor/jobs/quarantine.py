"""Rows that could not be read: read their days again, after what read them was mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain.errors import CrossoverError
from monitor.domain.usage import DAY
from monitor.jobs.collect import Asked, Pace, collect_next
from monitor.ports import Pull
from monitor.storage import collecting
from monitor.storage.collecting import Waiting
from monitor.storage.engine import Database

MOST = 0.001
"""The share of rows in quarantine that is more than an oddity of the data."""
_LOOKED_AT = 7 * DAY


class Replayed(NamedTuple):
    """What became of the rows of one stream."""

    source: str
    stream: str
    rows: int
    """That were in quarantine."""
    left: int
    """That still are."""
    error: str


def chosen(conn: Connection, source: str = "", number: int | None = None) -> list[Waiting]:
    """The rows that a replay is about."""
    return collecting.waiting(conn, source, number)


def replay(
    database: Database,
    sources: Mapping[str, Pull],
    pace: Pace,
    rows: Sequence[Waiting],
    now: int,
) -> list[Replayed]:
    """Read the days of rows in quarantine again, stream by stream."""
    by_stream = sorted(rows, key=lambda row: (row.source, row.stream))
    return [
        _replay(database, sources.get(source), pace, list(group), now)
        for (source, _), group in groupby(by_stream, key=lambda row: (row.source, row.stream))
    ]


def _replay(
    database: Database, source: Pull | None, pace: Pace, rows: Sequence[Waiting], now: int
) -> Replayed:
    stream = rows[0].stream
    spans = sorted({(r.day_from, r.day_to) for r in rows if r.day_from is not None})
    error = ""
    if source is None or not spans:
        error = "it is not read by days: import the file, or send it, again"
    for start, end in _joined(spans):
        if source is None or error:
            break
        found = collect_next(database, source, pace, now, Asked(days=(start, end)), stream)
        if found is None:
            error = "somebody is reading it just now"
        elif found.error:
            error = found.error
    with database.read() as conn:
        left = {row.id for row in collecting.waiting(conn, rows[0].source)}
    count = sum(row.id in left for row in rows)
    return Replayed(rows[0].source, stream, len(rows), count, error)


def _joined(spans: Sequence[tuple[int | None, int | None]]) -> list[tuple[int, int]]:
    """Stretches of days that touch or overlap, as one; they come sorted."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        assert start is not None
        assert end is not None
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def little_is_unread(database: Database, now: int) -> str:
    """Says how much of what was read last could not be read.

    Raises:
        CrossoverError: of some stream more than a row of a thousand.
    """
    with database.read() as conn:
        found = collecting.unread(conn, datetime.fromtimestamp(now - _LOOKED_AT, UTC))
    many = [item for item in found if item.problems > MOST * item.rows]
    if many:
        first = max(many, key=lambda item: item.problems / item.rows)
        raise CrossoverError(
            f"{first.source} {first.stream}: {first.problems:,} of {first.rows:,} rows of the last"
            " 7 days could not be read",
            "See `crossover quarantine list`; after an update `crossover quarantine replay`.",
        )
    return "every row could be read" if not found else "at most a row of a thousand is unread"
