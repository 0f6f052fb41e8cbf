"""Importing requests from a file, in batches, each with its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from sqlalchemy import text

from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, Event, Problem, utc_day
from monitor.ports import Events, StreamSpec
from monitor.storage import setup
from monitor.storage.collecting import keep_problems
from monitor.storage.engine import Database
from monitor.storage.write import Changes, put_events

BATCH = 5_000
KIND = "import"


class Imported(NamedTuple):
    """What an import brought."""

    rows: int
    new: int
    changed: int
    quarantined: int
    tokens: int
    requests: int
    """Of all readable rows, whether new or known."""


def import_events(
    database: Database, source: Events, now: int, progress: Callable[[int], None]
) -> Imported:
    """Store every event of a source once; a row that cannot be read is quarantined."""
    with database.write() as conn:
        ids = setup.put_stream(conn, source.name, KIND, StreamSpec("events", "usage", 1))
    total = Imported(0, 0, 0, 0, 0, 0)
    last = 0
    for batch in _batches(source.events()):
        checked = [_not_ahead(item, now) for item in batch]
        events = [item for item in checked if isinstance(item, Event)]
        problems = [item for item in checked if isinstance(item, Problem)]
        with database.write() as conn:
            for account in sorted({event.dims.account for event in events}):
                setup.claim_account(conn, account, ids[0])
            changes = put_events(conn, *ids, events)
            keep_problems(conn, ids[1], problems, now)
        last = max([last, *(event.at for event in events)])
        total = _add(total, changes, events, problems)
        progress(total.rows)
    _close(database, ids[1], last, now)
    return total


def _not_ahead(item: Event | Problem, now: int) -> Event | Problem:
    """A request from the day after tomorrow has a mistyped date."""
    if isinstance(item, Event) and item.at > now + DAY:
        return Problem(f"request {item.id}", f"at {day_of(item.at)} lies in the future")
    return item


def _batches(items: Iterator[Event | Problem]) -> Iterator[list[Event | Problem]]:
    while batch := list(islice(items, BATCH)):
        yield batch


def _add(
    total: Imported, changes: Changes, events: list[Event], problems: list[Problem]
) -> Imported:
    return Imported(
        total.rows + len(events) + len(problems),
        total.new + changes.new,
        total.changed + changes.changed,
        total.quarantined + len(problems),
        total.tokens + sum(event.quantities.tokens for event in events),
        total.requests + sum(event.quantities.requests or 0 for event in events),
    )


def _close(database: Database, stream_id: int, last: int, now: int) -> None:
    """A file says all it has to say: its days up to the last event are known."""
    with database.write() as conn:
        conn.execute(
            text(
                "UPDATE watermark SET closed_through ="
                " CASE WHEN COALESCE(closed_through, 0) > :t THEN closed_through ELSE :t END,"
                " seen_at = :now WHERE stream_id = :s"
            ),
            {"t": min(utc_day(last), utc_day(now)) + DAY, "now": now, "s": stream_id},
        )
