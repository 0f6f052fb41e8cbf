"""Reading sources: one stream at a time, claimed by row, window by window."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.errors import CrossoverError, SourceError, StorageError
from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, HOUR, BillRow, Problem, utc_day
from monitor.jobs.archive import Archive
from monitor.ports import Pull, Read, StreamSpec
from monitor.storage import collecting, work
from monitor.storage.collecting import Kept, keep_problems
from monitor.storage.engine import Database
from monitor.storage.tables import fetch
from monitor.storage.write import Changes, Window, put_window

__all__ = ["Asked", "Collected", "Pace", "Progress", "collect_all", "collect_next"]

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
    archive: Archive | None = None
    """Where pages are kept, if they are."""


class Collected(NamedTuple):
    """What one claimed stream brought."""

    source: str
    stream: str
    changes: Changes
    problems: int
    error: str


class Progress(NamedTuple):
    """How far the reading of one stream came."""

    source: str
    stream: str
    through: int
    """Days before this instant are read."""
    days: int
    """Read in this call."""
    left: int
    """Days."""
    seconds: float
    """Since this call began with the stream."""
    first: int
    """The first day that the provider has, where it has less than was asked for; else 0."""
    resumed: bool
    """It goes on where an earlier call was interrupted."""


class Asked(NamedTuple):
    """What a reading is to be beyond what is due."""

    since: int | None = None
    """Read from this day on, whatever is known: a back-fill, which goes on where it was cut off."""
    days: tuple[int, int] | None = None
    """Read these days and no others."""
    deep: bool = False
    """Read as far back as is else read once a day."""
    tell: Callable[[Progress], None] | None = None
    stopped: Callable[[], bool] = lambda: False
    """True: end before the next window; what was read is kept."""


_DUE = Asked()


class _Reading:
    """The window that is being read, and what the archive has of it by now."""

    def __init__(self) -> None:
        self.days = (0, 0)
        self.pages: list[Kept] = []

    def begin(self, start: int, end: int) -> None:
        self.days, self.pages = (start, end), []


class _Stream(NamedTuple):
    """A stream that is ours to read."""

    database: Database
    source: Pull
    spec: StreamSpec
    claim: work.Claim
    pace: Pace
    now: int
    asked: Asked
    reading: _Reading

    @property
    def id(self) -> int:
        return int(self.claim.key)


def collect_next(
    database: Database,
    source: Pull,
    pace: Pace,
    now: int,
    asked: Asked = _DUE,
    stream: str | None = None,
) -> Collected | None:
    """Claim the source's next stream that is due and read it; None: nothing is due.

    A failure is recorded and backs off. It never stops another source, which has a worker of its
    own. A stream that is named is read whether it is due or not; None: somebody is reading it.
    """
    with database.write() as conn:
        claim = work.claim(conn, "stream", now, pace.claim, source.name, stream=stream)
    if claim is None:
        return None
    spec = next((s for s in source.streams() if s.name == claim.row["name"]), None)
    if spec is None:
        # A stream that is no longer configured keeps its rows; nothing is read for a day.
        _finish(database, claim, next_at=now + DAY)
        return Collected(source.name, claim.row["name"], _NONE, 0, "")
    return _collect(_Stream(database, source, spec, claim, pace, now, asked, _Reading()))


def _collect(of: _Stream) -> Collected:
    database, claim, now, asked = of.database, of.claim, of.now, of.asked
    deep = claim.row["deep_at"] <= now
    total, problems = Changes(), 0
    try:
        for found, changes in _read_windows(of, deep=deep):
            total = Changes(*(a + b for a, b in zip(total, changes, strict=True)))
            problems += len(found.problems)
    except StorageError as error:
        # The database may be what fails, or another worker may have the stream by now.
        with suppress(StorageError):
            _failed(of, error, total)
        raise
    except Exception as error:
        if not isinstance(error, CrossoverError):
            log.exception("%s %s failed", of.source.name, of.spec.name)
        return _failed(of, error, total)
    done = Collected(of.source.name, of.spec.name, total, problems, "")
    if asked.stopped():
        _finish(database, claim, next_at=now)
        return done
    if asked.days:
        _finish(database, claim, next_at=claim.row["next_at"], failures=0)
        return done
    if asked.since is not None:
        with database.write() as conn:
            collecting.ended(conn, of.id)
    if deep and of.pace.archive:
        of.pace.archive.prune(database, now)
    deep_at = now + DAY if deep else claim.row["deep_at"]
    _finish(
        database,
        claim,
        next_at=now + max(of.pace.every, of.spec.every),
        failures=0,
        deep_at=deep_at,
    )
    return done


def _read_windows(of: _Stream, *, deep: bool) -> Iterator[tuple[Read, Changes]]:
    """Read and store window after window, until all are read or somebody wants an end."""
    source, spec = of.source, of.spec
    began, first = time.monotonic(), 0
    windows, resumed = _windows(of, deep=deep)
    for number, (start, end) in enumerate(windows):
        if of.asked.stopped():
            return
        read = _read(of, start, end)
        seconds = time.monotonic() - began
        changes = store(
            of.database,
            of.claim,
            read,
            of.now,
            max(of.pace.settle, spec.settle),
            asked_from=start,
            since=of.asked.since,
            until=int(of.now + seconds) + of.pace.claim,
            pages=of.reading.pages,
        )
        _progress(source.name, spec.name, start, end, changes)
        if read.start > start:
            first = read.start
        if of.asked.tell:
            done, left = end - windows[0][0], windows[-1][1] - end
            of.asked.tell(
                Progress(
                    *(source.name, spec.name, end, done // DAY, left // DAY, seconds),
                    first=first if read.start < read.end else 0,
                    resumed=resumed and number == 0,
                )
            )
            first = 0 if read.start < read.end else first
        yield read, changes


def _read(of: _Stream, start: int, end: int) -> Read:
    """Read one window, and keep its pages if pages are kept."""
    of.reading.begin(start, end)
    archive = of.pace.archive
    with archive.recording(of.reading.pages) if archive else nullcontext():
        return one_currency(of.source.read(of.spec.name, start, end, of.now))


def _windows(of: _Stream, *, deep: bool) -> tuple[Sequence[tuple[int, int]], bool]:
    """What is read in which parts, and whether that goes on where a back-fill was cut off."""
    step = of.spec.chunk_days * DAY
    today = utc_day(of.now)
    resumed = None
    if of.asked.days:
        start, end = of.asked.days
    else:
        end = today + DAY
        with of.database.read() as conn:
            closed = conn.scalar(
                text("SELECT closed_through FROM watermark WHERE stream_id = :s"), {"s": of.id}
            )
            if of.asked.since is not None:
                resumed = collecting.resumed(conn, of.id, of.asked.since)
        start = _first_day(of, closed, today, deep=deep)
        if of.asked.since is not None:
            start = of.asked.since if resumed is None else min(resumed, today)
    parts = [(at, min(at + step, end)) for at in range(start, end, step)]
    return parts, resumed is not None


def _first_day(of: _Stream, closed: int | None, today: int, *, deep: bool) -> int:
    """From where the stream is closed, less the overlap."""
    pace = of.pace
    first = today - pace.backfill_days.get(of.source.name, pace.deep_days) * DAY
    if closed is None:
        return first
    back = max(pace.deep_days if deep else pace.overlap_days, of.spec.overlap_days)
    # Never past today: a clock that was set back must not make an empty window. Never past what
    # is closed, however long ago: a gap would keep the stream from closing for ever.
    return min(closed, max(first, min(closed, today) - back * DAY))


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
    database: Database,
    claim: work.Claim,
    read: Read,
    now: int,
    settle: int,
    asked_from: int,
    *,
    since: int | None = None,
    until: int | None = None,
    pages: Sequence[Kept] = (),
) -> Changes:
    """Put one complete read into the database with its watermark, in one transaction.

    Args:
        database: where to.
        claim: of the stream.
        read: of whole days.
        now: when it was read.
        settle: seconds after which a day that ended is closed.
        asked_from: the first day that was asked for.
        since: where the back-fill began that this is a part of.
        until: the claim is ours until then.
        pages: what the archive has of it.

    Raises:
        DatabaseBusy: the read took so long that another worker has the stream; its answer is newer.
        SourceError: the provider says that it has no such thing, and rows of it are stored.
    """
    stream_id = int(claim.key)
    closed = min(read.end, utc_day(now - settle))
    days = (read.start, read.end)
    window = Window(
        stream_id,
        read.start,
        read.end,
        closed if closed > read.start else None,
        seen_at=now,
        asked_from=asked_from,
    )
    with database.write() as conn:
        work.hold(conn, claim, until)
        changes = put_window(conn, window, read.rows)  # type: ignore[arg-type]
        if read.lacking and changes.gone:
            raise read.lacking
        collecting.settle_problems(conn, stream_id, days, read.problems)
        keep_problems(conn, stream_id, read.problems, now, days)
        fetch_id = record(conn, stream_id, now, read=read, changes=changes)
        collecting.keep_pages(conn, fetch_id, (asked_from, read.end), pages)
        if since is not None:
            collecting.advance(conn, stream_id, since, read.end)
    return changes


def record(
    conn: Connection,
    stream_id: int,
    now: int,
    *,
    read: Read | None = None,
    changes: Changes = _NONE,
    error: str = "",
) -> int:
    """Write down one attempt to read a stream, and what came of it; returns its id."""
    at = datetime.fromtimestamp(now, UTC)
    made = conn.execute(
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
            rows_read=(read.results or len(read.rows)) if read else 0,
            notes="; ".join(read.notes) if read else "",
            error=error[:_ERROR_CAP],
        )
    )
    key = made.inserted_primary_key
    assert key is not None
    return int(key[0])


def _failed(of: _Stream, error: Exception, total: Changes) -> Collected:
    source, stream, claim, now = of.source.name, of.spec.name, of.claim, of.now
    failures = claim.row["failures"] + 1
    wait = min(_FIRST_RETRY * 2 ** min(failures - 1, 10), _LONGEST_RETRY)
    if isinstance(error, SourceError) and error.retry_after is not None:
        wait = int(error.retry_after) + 1
    known = isinstance(error, CrossoverError)
    said = str(error) if known else f"{type(error).__name__}: {error}"
    log.warning("%s", said, extra={"stream": stream, "retry_in_seconds": wait})
    with of.database.write() as conn:
        fetch_id = record(conn, of.id, now, error=said)
        collecting.keep_pages(conn, fetch_id, of.reading.days, of.reading.pages)
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
    database: Database, source: Pull, pace: Pace, now: int, asked: Asked = _DUE
) -> list[Collected]:
    """Read every stream of a source now, due or not; one that a daemon is reading is left."""
    with database.write() as conn:
        conn.execute(
            text(
                f"UPDATE stream SET next_at = 0{', deep_at = 0' if asked.deep else ''}"
                " WHERE source_id = (SELECT id FROM source WHERE name = :n)"
            ),
            {"n": source.name},
        )
    found: list[Collected] = []
    while not asked.stopped():
        collected = collect_next(database, source, pace, now, asked)
        if collected is None:
            break
        found.append(collected)
    return found
