"""Importing files, in batches, each with its own transaction and with how far its files were read.

A file that cannot be read stops no other. What was read before it failed stays; the next import
goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from monitor.domain.errors import InputError, StorageError
from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, Event, Problem, utc_day
from monitor.jobs.collect import record
from monitor.jobs.imported_bills import put_bills
from monitor.ports import Files, Part, StreamSpec
from monitor.storage import setup, work
from monitor.storage.collecting import forget_file, keep_problems
from monitor.storage.cursors import as_text, cursors, put_cursors
from monitor.storage.engine import Database
from monitor.storage.events import put_events, withdraw
from monitor.storage.responses import put_responses
from monitor.storage.write import Changes, close_stream, last_used

log = logging.getLogger("crossover.import")

BATCH = 10_000
"""Requests of a transaction, at least, where files have as many."""
KIND = "import"
EVENTS = StreamSpec("events", "usage", 1)
COSTS = StreamSpec("costs", "bill", 1)
_TOLD = 200
"""Lines of a transaction that are quarantined one by one."""
_FURTHER = "further lines of the same import cannot be read either: only the first are told apart"
_PARTS = 512
"""Parts of a transaction at most: parts without requests have cursors too."""


class Imported(NamedTuple):
    """What an import brought."""

    files: int
    """That had something new."""
    unchanged: int
    rows: int
    new: int
    changed: int
    quarantined: int
    tokens: int
    """Of all readable rows, whether new or known."""
    requests: int
    skipped: int
    """Files in folders that are of no known format."""
    failed: int
    """Files that could not be read."""
    waiting: int
    """Files whose last line has no end yet: it is read when it has."""


NOTHING = Imported(*[0] * 11)


class Result(NamedTuple):
    """What was imported, and what stood in the way."""

    total: Imported
    errors: Sequence[InputError]


class Batch:
    """Parts that are stored together."""

    def __init__(self, *, copies: bool) -> None:
        self.copies = copies
        self.parts: list[tuple[str, Part]] = []
        self.events = 0
        """Requests, and lines that cannot be read."""

    def add(self, path: str, part: Part) -> None:
        """Take in what is stored at the next `Import.flush`."""
        self.parts.append((path, part))
        self.events += len(part.events) + len(part.problems)

    @property
    def full(self) -> bool:
        """Whether it is time to store it."""
        return self.events >= BATCH or len(self.parts) >= _PARTS


class Import:
    """One import into one source.

    Args:
        database: where to.
        source: the source's name; made when missing.
        now: epoch seconds.
        progress: told the rows so far, and the bytes of files that were read.
        again: whether a file is read from its start, though it may not have changed.
    """

    def __init__(
        self,
        database: Database,
        source: str,
        now: int,
        progress: Callable[[int, int], None],
        again: Callable[[str], bool],
    ) -> None:
        self._database, self._now, self._progress = database, now, progress
        self._source, self._again = source, again
        self._anew: set[str] = set()
        with database.write() as conn:
            self._ids = setup.put_stream(conn, source, KIND, EVENTS)
            self._known = cursors(conn, self._ids[0])
        self._claimed: set[str] = set()
        self._bytes = 0
        self._batch = Batch(copies=False)
        self._errors: list[InputError] = []
        self.total = NOTHING

    def run(self, files: Files) -> Result:
        """Read what is new in every file."""
        for path in files.paths():
            try:
                self._file(path, files)
            except InputError as error:
                self._errors.append(error)
        self._flush()
        self._close()
        return Result(self.total._replace(failed=len(self._errors)), self._errors)

    def _file(self, path: str, files: Files) -> None:
        cursor = self._known.get(as_text(path))
        if self._again(as_text(path)):
            cursor = None
            self._anew.add(path)
        reader = files.reader(path, cursor)
        if reader is None:
            self.total = self.total._replace(skipped=self.total.skipped + 1)
            return
        if reader.copies != self._batch.copies:
            self._flush()
            self._batch = Batch(copies=reader.copies)
        seen, waits, before = False, False, self._bytes
        for part in reader.parts(path, cursor):
            seen, waits = True, part.waits
            self._bytes = before + part.cursor.position
            self._batch.add(path, part)
            if self._batch.full:
                self._flush()
        total = self.total
        self.total = total._replace(
            files=total.files + seen,
            unchanged=total.unchanged + (not seen),
            waiting=total.waiting + waits,
        )

    def _flush(self) -> None:
        """Store a batch, and how far its files were read, in one transaction."""
        parts, self._batch.parts, self._batch.events = self._batch.parts, [], 0
        if not parts:
            return
        checked = [_not_ahead(event, self._now) for _, part in parts for event in part.events]
        events = [item for item in checked if isinstance(item, Event)]
        problems = [item for item in checked if isinstance(item, Problem)]
        problems += [problem for _, part in parts for problem in part.problems]
        put = put_responses if self._batch.copies else put_events
        with self._database.write() as conn:
            for account in {event.dims.account for event in events} - self._claimed:
                setup.claim_account(conn, account, self._ids[0])
                self._claimed.add(account)
            for path in self._anew.intersection(path for path, _ in parts):
                forget_file(conn, self._ids[0], as_text(path))
            cut = {event for _, part in parts for event in part.cut}.difference(events)
            gone = withdraw(conn, *self._ids, list(cut))
            changes = _swapped(put(conn, *self._ids, events), gone)
            keep_problems(conn, self._ids[1], _told(problems), self._now)
            for part in (part for _, part in parts if part.bills or part.days):
                _, costs = setup.put_stream(conn, self._source, KIND, COSTS)
                billed, refused = put_bills(conn, costs, part, self._now)
                changes = _sum(changes, billed)
                problems += refused
            put_cursors(conn, self._ids[0], [(path, p.cursor) for path, p in parts], self._now)
        self._anew.difference_update(path for path, _ in parts)
        self._count(sum(part.rows for _, part in parts), changes, events, problems)
        self._progress(self.total.rows, self._bytes)

    def _count(
        self, rows: int, changes: Changes, events: Sequence[Event], problems: Sequence[Problem]
    ) -> None:
        total = self.total
        self.total = total._replace(
            rows=total.rows + rows,
            new=total.new + changes.new,
            changed=total.changed + changes.changed + changes.gone,
            quarantined=total.quarantined + len(problems),
            tokens=total.tokens + sum(event.quantities.tokens for event in events),
            requests=total.requests + sum(event.quantities.requests or 0 for event in events),
        )

    def _close(self) -> None:
        """A file says all it has to say: its days up to the last event are known, once over."""
        with self._database.write() as conn:
            setup.claim_bills(conn, self._ids[0])
            last = last_used(conn, self._ids[1])
            if last is None:
                return
            through = min(utc_day(last) + DAY, utc_day(self._now))
            close_stream(conn, self._ids[1], through, self._now)


def _not_ahead(item: Event, now: int) -> Event | Problem:
    """A request from the day after tomorrow has a mistyped date."""
    if item.at > now + DAY:
        return Problem(f"request {item.id}", f"at {_day(item.at)} lies in the future")
    return item


def _day(at: int) -> str:
    try:
        return str(day_of(at))
    except (ValueError, OverflowError):
        return str(at)


def _told(problems: Sequence[Problem]) -> list[Problem]:
    """The first ones as they are; a file of another kind must not fill the quarantine."""
    rest = (Problem(problem.place, _FURTHER) for problem in problems[_TOLD:])
    return [p._replace(place=as_text(p.place)) for p in (*problems[:_TOLD], *rest)]


def _swapped(put: Changes, gone: Changes) -> Changes:
    """A row in the place of another is no new one."""
    count = min(put.new, gone.gone)
    return Changes(put.new - count, put.changed + count, put.gone + gone.gone - count)


def _sum(a: Changes, b: Changes) -> Changes:
    return Changes(*map(sum, zip(a, b, strict=True)))


def import_files(
    database: Database,
    source: str,
    files: Files,
    now: int,
    progress: Callable[[int, int], None] = lambda _rows, _bytes: None,
    again: Callable[[str], bool] = lambda _path: False,
) -> Result:
    """Store what is new in files; an error of one is kept, and the next is read."""
    return Import(database, source, now, progress, again).run(files)


class Watched(NamedTuple):
    """Files that are imported again and again."""

    name: str
    files: Files
    every: int
    """Seconds."""


def import_due(database: Database, watched: Watched, claim: int, now: int) -> Result | None:
    """Import what is new where it is time to; None: it is not, or another daemon does it.

    A file that cannot be read is told in the record of reads, and tried again the next time.
    """
    with database.write() as conn:
        taken = work.claim(conn, "stream", now, claim, watched.name)
    if taken is None:
        return None
    if taken.row["name"] != EVENTS.name:
        # It goes with the others: nothing is to be read for a day.
        with database.write() as conn:
            work.finish(conn, taken, next_at=now + DAY)
        return Result(NOTHING, [])
    try:
        result = import_files(database, watched.name, watched.files, now)
    except InputError as error:
        result = Result(NOTHING._replace(failed=1), [error])
    except StorageError:
        raise
    except Exception as error:
        # One odd file must not keep the folder from being tried again.
        log.exception("%s failed", watched.name)
        cause = InputError(f"{watched.name} failed: {error!r}", "The log of the daemon says where.")
        result = Result(NOTHING._replace(failed=1), [cause])
    said = as_text("; ".join(map(str, result.errors)))
    if said:
        log.warning("%s: %s", watched.name, said)
    failures = taken.row["failures"] + 1 if said else 0
    with database.write() as conn:
        work.finish(conn, taken, next_at=now + watched.every, failures=failures)
        record(
            conn,
            int(taken.key),
            now,
            changes=Changes(result.total.new, result.total.changed),
            error=said,
        )
    return result
