"""Reading sources: one stream at a time, claimed by row, window by window."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.errors import CrossoverError, SourceError, StorageError
from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, HOUR, BillRow, Problem, utc_day
from monitor.ports import Pull, Read, StreamSpec
from monitor.storage import work
from monitor.storage.engine import Database
from monitor.storage.tables import fetch, quarantine
from monitor.storage.write import Changes, Window, put_window

log = logging.getLogger("crossover.collect")

_FIRST_RETRY = 60
_LONGEST_RETRY = 6 * HOUR
_ERROR_CAP = 1000
_NONE = Changes()


class Pace(NamedTuple):
    """How far back and how often sources are read; seconds unless the name says days."""

    every: int
    overlap_days: int
    deep_days: int
    settle: int
    backfill_days: Mapping[str, int]
    claim: int


class Collected(NamedTuple):
    """What one claimed stream brought."""

    source: str
    stream: str
    changes: Changes
    problems: int
    error: str


def collect_next(database: Database, source: Pull, pace: Pace, now: int) -> Collected | None:
    """Claim the source's next stream that is due and read it; None: nothing is due.

    A failure is recorded and backs off. It never stops another source, which has a worker of its
    own.
    """
    with database.write() as conn:
        claim = work.claim(conn, "stream", now, pace.claim, source.name)
    if claim is None:
        return None
    spec = next((s for s in source.streams() if s.name == claim.row["name"]), None)
    if spec is None:
        # A stream that is no longer configured keeps its rows; nothing is read for a day.
        _finish(database, claim, next_at=now + DAY)
        return Collected(source.name, claim.row["name"], _NONE, 0, "")
    return _collect(database, source, spec, claim, pace, now)


def _collect(
    database: Database, source: Pull, spec: StreamSpec, claim: work.Claim, pace: Pace, now: int
) -> Collected:
    stream_id = int(claim.key)
    deep = claim.row["deep_at"] <= now
    total, problems = Changes(), 0
    try:
        for start, end in _windows(database, source.name, stream_id, spec, pace, now, deep=deep):
            read = one_currency(source.read(spec.name, start, end, now))
            changes = store(database, claim, read, now, pace.settle, asked_from=start)
            total = Changes(*(a + b for a, b in zip(total, changes, strict=True)))
            problems += len(read.problems)
            _progress(source.name, spec.name, start, end, changes)
    except StorageError as error:
        # The database may be what fails, or another worker may have the stream by now.
        with suppress(StorageError):
            _failed(database, source.name, spec.name, claim, error, total, now)
        raise
    except Exception as error:
        if not isinstance(error, CrossoverError):
            log.exception("%s %s failed", source.name, spec.name)
        return _failed(database, source.name, spec.name, claim, error, total, now)
    deep_at = now + DAY if deep else claim.row["deep_at"]
    _finish(database, claim, next_at=now + pace.every, failures=0, deep_at=deep_at)
    return Collected(source.name, spec.name, total, problems, "")


def _windows(
    database: Database,
    source: str,
    stream_id: int,
    spec: StreamSpec,
    pace: Pace,
    now: int,
    *,
    deep: bool,
) -> Sequence[tuple[int, int]]:
    """Whole UTC days from where the stream is closed, less the overlap, to the end of today."""
    with database.read() as conn:
        closed = conn.scalar(
            text("SELECT closed_through FROM watermark WHERE stream_id = :s"), {"s": stream_id}
        )
    today = utc_day(now)
    first = today - pace.backfill_days.get(source, pace.deep_days) * DAY
    if closed is None:
        start = first
    else:
        back = pace.deep_days if deep else pace.overlap_days
        # Never past today: a clock that was set back must not make an empty window. Never past
        # what is closed, however long ago: a gap would keep the stream from closing for ever.
        start = min(closed, max(first, min(closed, today) - back * DAY))
    step = spec.chunk_days * DAY
    end = today + DAY
    return [(at, min(at + step, end)) for at in range(start, end, step)]


def one_currency(read: Read) -> Read:
    """A line item of a day is billed once: in a second currency it is a problem, never a sum."""
    chosen: dict[object, str] = {}
    rows, problems = [], list(read.problems)
    for row in read.rows:
        if isinstance(row, BillRow) and row.currency != chosen.setdefault(row[:3], row.currency):
            problems.append(_billed_twice(row, chosen[row[:3]]))
        else:
            rows.append(row)
    return read._replace(rows=rows, problems=problems)


def _billed_twice(row: BillRow, chosen: str) -> Problem:
    named = {name: value for name, value in row.dims._asdict().items() if value}
    return Problem(
        f"bill of {day_of(row.day)}, {row.line_item!r}",
        f"billed in {row.currency} beside {chosen} on the same day; only {chosen} counts",
        json.dumps(row._asdict() | {"dims": named, "day": day_of(row.day)}),
    )


def store(
    database: Database, claim: work.Claim, read: Read, now: int, settle: int, asked_from: int
) -> Changes:
    """Put one complete read into the database with its watermark, in one transaction.

    Raises:
        DatabaseBusy: the read took so long that another worker has the stream; its answer is newer.
    """
    stream_id = int(claim.key)
    closed = min(read.end, utc_day(now - settle))
    window = Window(
        stream_id,
        read.start,
        read.end,
        closed if closed > read.start else None,
        seen_at=now,
        asked_from=asked_from,
    )
    with database.write() as conn:
        work.hold(conn, claim)
        changes = put_window(conn, window, read.rows)  # type: ignore[arg-type]
        keep_problems(conn, stream_id, read.problems, now)
        _record(conn, stream_id, now, read=read, changes=changes)
    return changes


def keep_problems(conn: Connection, stream_id: int, problems: Sequence[Problem], now: int) -> None:
    """Quarantine rows that could not be read; the same one again only counts up."""
    at = datetime.fromtimestamp(now, UTC)
    for problem in problems:
        digest = hashlib.sha256(f"{problem.reason}\0{problem.payload}".encode()).hexdigest()
        seen = conn.execute(
            quarantine.update()
            .where(quarantine.c.stream_id == stream_id, quarantine.c.digest == digest)
            .values(count=quarantine.c["count"] + 1, last_seen=at, place=problem.place)
        )
        if seen.rowcount == 0:
            conn.execute(
                quarantine.insert().values(
                    stream_id=stream_id,
                    digest=digest,
                    place=problem.place,
                    reason=problem.reason,
                    payload=problem.payload,
                    first_seen=at,
                    last_seen=at,
                )
            )


def _record(
    conn: Connection,
    stream_id: int,
    now: int,
    *,
    read: Read | None = None,
    changes: Changes = _NONE,
    error: str = "",
) -> None:
    at = datetime.fromtimestamp(now, UTC)
    conn.execute(
        fetch.insert().values(
            stream_id=stream_id,
            started_at=at,
            finished_at=at,
            status="failed" if error else "ok",
            request=json.dumps(dict(read.request) if read else {}, default=str),
            pages=read.pages if read else 0,
            rows_new=changes.new,
            rows_changed=changes.changed,
            rows_gone=changes.gone,
            problems=len(read.problems) if read else 0,
            notes="; ".join(read.notes) if read else "",
            error=error[:_ERROR_CAP],
        )
    )


def _failed(
    database: Database,
    source: str,
    stream: str,
    claim: work.Claim,
    error: Exception,
    total: Changes,
    now: int,
) -> Collected:
    failures = claim.row["failures"] + 1
    wait = min(_FIRST_RETRY * 2 ** min(failures - 1, 10), _LONGEST_RETRY)
    if isinstance(error, SourceError) and error.retry_after is not None:
        wait = int(error.retry_after) + 1
    known = isinstance(error, CrossoverError)
    said = str(error) if known else f"{type(error).__name__}: {error}"
    log.warning("%s", said, extra={"stream": stream, "retry_in_seconds": wait})
    with database.write() as conn:
        _record(conn, int(claim.key), now, error=said)
        work.finish(conn, claim, next_at=now + wait, failures=failures)
    return Collected(source, stream, total, 0, said)


def _finish(database: Database, claim: work.Claim, **values: object) -> None:
    with database.write() as conn:
        work.finish(conn, claim, **values)


def _progress(source: str, stream: str, start: int, end: int, changes: Changes) -> None:
    days = (
        f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d}..{datetime.fromtimestamp(end, UTC):%m-%d}"
    )
    log.info(
        "%s %s %s: %d new, %d changed, %d gone",
        source,
        stream,
        days,
        *changes,
        extra={"source": source, "stream": stream},
    )


def collect_all(
    database: Database, source: Pull, pace: Pace, now: int, *, deep: bool = False
) -> list[Collected]:
    """Read every stream of a source now, due or not; one that a daemon is reading is left.

    `deep` reads as far back as is else read once a day.
    """
    with database.write() as conn:
        conn.execute(
            text(
                f"UPDATE stream SET next_at = 0{', deep_at = 0' if deep else ''}"
                " WHERE source_id = (SELECT id FROM source WHERE name = :n)"
            ),
            {"n": source.name},
        )
    found = []
    while (collected := collect_next(database, source, pace, now)) is not None:
        found.append(collected)
    return found
