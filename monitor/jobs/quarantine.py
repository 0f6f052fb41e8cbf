"""Rows that could not be read: read their days again, after what read them was mended."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain.errors import CrossoverError
from monitor.domain.usage import DAY, utc_day
from monitor.jobs.collect import Asked, Pace, collect_next
from monitor.jobs.imports import import_files
from monitor.ports import Files, Pull
from monitor.storage import collecting
from monitor.storage.collecting import Waiting
from monitor.storage.engine import Database

_NO_FILE = "import the file, or send it, again"
_IN_FILE = re.compile(r"(.+), (?:line|row) \d+", re.DOTALL)


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
    watched: Mapping[str, Files] = MappingProxyType({}),
) -> list[Replayed]:
    """Read the days, or the watched files, of rows in quarantine again, stream by stream."""
    by_stream = sorted(rows, key=lambda row: (row.source, row.stream))
    return [
        _replay_files(database, watched.get(source), list(group), now)
        if source not in sources
        else _replay(database, sources[source], pace, list(group), now)
        for (source, _), group in groupby(by_stream, key=lambda row: (row.source, row.stream))
    ]


def _replay_files(
    database: Database, files: Files | None, rows: Sequence[Waiting], now: int
) -> Replayed:
    """Of files that were imported by hand it is known neither who is billed nor what is what."""
    found = [_IN_FILE.fullmatch(row.place) for row in rows]
    paths = {match[1] for match in found if match}
    if files is None or not paths:
        how = f"`crossover import --again {min(paths)}`" if paths else _NO_FILE
        error = f"it is not read by days: {how}"
    else:
        errors = import_files(database, rows[0].source, files, now, again=paths.__contains__).errors
        error = "; ".join(map(str, errors))
    return _replayed(database, rows, error)


def _replay(
    database: Database, source: Pull, pace: Pace, rows: Sequence[Waiting], now: int
) -> Replayed:
    stream = rows[0].stream
    error = ""
    if stream not in {spec.name for spec in source.streams()}:
        error = f"it is not read by days: {_NO_FILE}"
    for start, end in _joined(sorted({_span(row, pace) for row in rows})):
        if error:
            break
        found = collect_next(database, source, pace, now, Asked(days=(start, end)), stream)
        if found is None:
            error = "somebody is reading it just now"
        elif found.error:
            error = found.error
    if not error:
        with database.write() as conn:
            for row in rows:
                if row.day_from is None:
                    collecting.settle_dateless(conn, row)
    return _replayed(database, rows, error)


def _replayed(database: Database, rows: Sequence[Waiting], error: str) -> Replayed:
    with database.read() as conn:
        # SQLite gives the id of a row that left to the next one.
        left = {_same(row) for row in collecting.waiting(conn, rows[0].source)}
    count = sum(_same(row) in left for row in rows)
    return Replayed(rows[0].source, rows[0].stream, len(rows), count, error)


def _same(row: Waiting) -> tuple[int, str, str]:
    return row.id, row.reason, row.payload


def _span(row: Waiting, pace: Pace) -> tuple[int, int]:
    """The days of a row; of one from before days were kept, those that were read at the time."""
    if row.day_from is not None and row.day_to is not None:
        return row.day_from, row.day_to
    first, last = (utc_day(int(at.timestamp())) for at in (row.first_seen, row.last_seen))
    return first - pace.deep_days * DAY, last + DAY


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of days that touch or overlap, as one; they come sorted."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
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
        found = collecting.unread(conn, now)
    many = [item for item in found if item.too_many]
    if many:
        first = max(many, key=lambda item: item.problems / item.rows)
        raise CrossoverError(
            f"{first.source} {first.stream}: {first.problems:,} of {first.rows:,} rows of the last"
            " 7 days could not be read",
            "See `crossover quarantine list`; after an update `crossover quarantine replay`.",
        )
    return "every row could be read" if not found else "at most a row of a thousand is unread"
