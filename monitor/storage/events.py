"""The second of the three doors into the fact tables: requests with ids, which count once each.

As with windows, each writer runs in the caller's transaction, the same input again changes nothing,
and days that were touched are marked as dirty. The hours of `usage` move with the log.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection

from monitor.domain.usage import (
    DAY,
    HOUR,
    QUANTITY_FIELDS,
    Dimensions,
    Event,
    Quantities,
    add,
    utc_day,
)
from monitor.storage import bulk
from monitor.storage.tables import request_log, usage
from monitor.storage.write import (
    USAGE,
    Changes,
    dimensions_of,
    lock_stream,
    mark_dirty,
    restating,
    series_ids,
)

_Row = tuple[Any, ...]


class Known(NamedTuple):
    """A stored request."""

    day: int
    at: int
    series_id: int
    quantities: Quantities


_Hours = dict[tuple[int, int], Quantities]
_LOG_COLUMNS = ("event_id", "source_id", "day", "at", "series_id", *QUANTITY_FIELDS)


def put_events(
    conn: Connection,
    source_id: int,
    stream_id: int,
    events: Iterable[Event],
    stored: set[str] | None = None,
) -> Changes:
    """Add requests once each, by id: within the batch, and against the days around each.

    A repeated id keeps the larger usage (the last streamed chunk, a corrected log line). The
    hourly buckets of `usage` move by the difference. `gone` is always 0.

    Args:
        conn: a writing transaction.
        source_id: within which ids tell requests apart.
        stream_id: of that source.
        events: in any order.
        stored: gets the ids that were new or changed.
    """
    batch = _largest(events)
    if not batch:
        return Changes()
    lock_stream(conn, stream_id)
    days = {utc_day(at) for at in {event.at for event in batch.values()}}
    known = _known_events(conn, source_id, batch, days)
    return put_known(conn, source_id, stream_id, batch, known, stored)


def put_known(
    conn: Connection,
    source_id: int,
    stream_id: int,
    batch: Mapping[str, Event],
    known: Mapping[str, Known],
    stored: set[str] | None = None,
) -> Changes:
    """Add requests, one an id, of which those in `known` are stored already.

    `stored` gets the ids that were new or changed.
    """
    _, closed_before = lock_stream(conn, stream_id)
    if not batch:
        return Changes()
    ids = series_ids(conn, stream_id, {event.dims for event in batch.values()})
    # In the order of the key, which spares its index many pages.
    new = [batch[i] for i in sorted(batch.keys() - known.keys())]
    changed = [(batch[i], before) for i, before in known.items() if _grew(batch[i], before)]
    if stored is not None:
        stored.update(event.id for event in new)
        stored.update(event.id for event, _ in changed)
    hours: _Hours = {}
    days = {utc_day(at) for at in {event.at for event in new}}
    bulk.ensure_partitions(conn, request_log.name, days)
    bulk.insert(conn, request_log.name, _LOG_COLUMNS, _logged(source_id, ids, new, hours))
    bulk.update(
        conn,
        request_log.name,
        QUANTITY_FIELDS,
        _LOG_COLUMNS[:3],
        [(*event.quantities, event.id, source_id, before.day) for event, before in changed],
    )
    for event, before in changed:
        hour = (before.series_id, before.at - before.at % HOUR)
        moved = _minus(event.quantities, before.quantities)
        hours[hour] = add(hours[hour], moved) if hour in hours else moved
    _add_to_usage(conn, hours)
    mark_dirty(conn, stream_id, restating({utc_day(start) for _, start in hours}, closed_before))
    return Changes(len(new), len(changed))


def take_back(conn: Connection, source_id: int, stream_id: int, events: Sequence[Event]) -> Changes:
    """Remove stored requests, given as they are stored; the hours of `usage` shrink by them."""
    _, closed_before = lock_stream(conn, stream_id)
    if not events:
        return Changes()
    ids = series_ids(conn, stream_id, {event.dims for event in events})
    hours: _Hours = {}
    for event in events:
        hour = (ids[event.dims], event.at - event.at % HOUR)
        less = _minus(Quantities(), event.quantities)
        hours[hour] = add(hours[hour], less) if hour in hours else less
    keys = [(event.id, source_id, utc_day(event.at)) for event in events]
    bulk.delete(conn, request_log.name, _LOG_COLUMNS[:3], keys)
    _add_to_usage(conn, hours)
    # An hour without a request is not one with none of their tokens.
    empty = [(*hour, 0) for hour in hours]
    bulk.delete(conn, usage.name, (*USAGE.keys, "requests"), empty)
    mark_dirty(conn, stream_id, restating({utc_day(start) for _, start in hours}, closed_before))
    return Changes(gone=len(events))


def withdraw(conn: Connection, source_id: int, stream_id: int, events: Sequence[Event]) -> Changes:
    """Remove those of these requests that are stored exactly so."""
    if not events:
        return Changes()
    lock_stream(conn, stream_id)
    days = {utc_day(event.at) for event in events}
    known = _known_events(conn, source_id, {event.id: event for event in events}, days)
    series = dimensions_of(conn, stream_id)
    stored = {Event(i, k.at, series[k.series_id], k.quantities) for i, k in known.items()}
    return take_back(conn, source_id, stream_id, [event for event in events if event in stored])


def _logged(
    source_id: int, ids: Mapping[Dimensions, int], events: Iterable[Event], hours: _Hours
) -> Iterator[_Row]:
    """Events as rows of the log; once all were drawn, `hours` has their sums."""
    parts: dict[tuple[int, int], list[Quantities]] = defaultdict(list)
    for event_id, at, dims, quantities in events:
        series_id = ids[dims]
        parts[series_id, at - at % HOUR].append(quantities)
        yield (event_id, source_id, at - at % DAY, at, series_id) + quantities  # noqa: RUF005
    # Here PostgreSQL still has rows to store.
    hours.update((hour, _total(found)) for hour, found in parts.items())


def _largest(events: Iterable[Event]) -> dict[str, Event]:
    batch: dict[str, Event] = {}
    for event in events:
        seen = batch.setdefault(event.id, event)
        if seen is not event and event.quantities.tokens > seen.quantities.tokens:
            batch[event.id] = event
    return batch


def _grew(event: Event, before: Known) -> bool:
    # Told apart first, because adding up is the slower half and most repeats are the same.
    return (
        event.quantities != before.quantities and event.quantities.tokens > before.quantities.tokens
    )


def _known_events(
    conn: Connection, source_id: int, batch: Mapping[str, Event], days: AbstractSet[int]
) -> dict[str, Known]:
    """Stored requests with the batch's ids, each at most one day before or after its event."""
    if conn.dialect.name == "postgresql":
        among = "= ANY (ARRAY(SELECT json_array_elements_text(?)))"
    else:
        among = "IN (SELECT value FROM json_each(?))"
    rows = bulk.select(
        conn,
        f"SELECT event_id, day, at, series_id, {', '.join(QUANTITY_FIELDS)} FROM request_log"
        f" WHERE event_id {among} AND source_id = ? AND day >= ? AND day <= ?",
        (json.dumps(list(batch)), source_id, min(days) - DAY, max(days) + DAY),
    )
    found = {}
    for event_id, day, at, series_id, *quantities in rows:
        if abs(day - utc_day(batch[event_id].at)) <= DAY:
            found[event_id] = Known(day, at, series_id, Quantities(*quantities))
    return found


def _minus(a: Quantities, b: Quantities) -> Quantities:
    return Quantities(
        *(
            None if x is None and y is None else (x or 0) - (y or 0)
            for x, y in zip(a, b, strict=True)
        )
    )


def _total(parts: list[Quantities]) -> Quantities:
    """The sum of many; unknown plus unknown stays unknown."""
    return Quantities(*map(_sum, zip(*parts, strict=True)))


def _sum(column: tuple[int | None, ...]) -> int | None:
    unknown = column.count(None)
    if not unknown:
        return sum(cast("tuple[int, ...]", column))
    return None if unknown == len(column) else sum(n for n in column if n is not None)


def _add_to_usage(conn: Connection, hours: _Hours) -> None:
    sums = ", ".join(
        f"{name} = CASE WHEN usage.{name} IS NULL THEN excluded.{name}"
        f" ELSE usage.{name} + COALESCE(excluded.{name}, 0) END"
        for name in QUANTITY_FIELDS
    )
    bulk.upsert(
        conn,
        usage.name,
        USAGE.columns,
        f"(series_id, bucket_start) DO UPDATE SET {sums}",
        [(*hour, HOUR, *moved) for hour, moved in sorted(hours.items())],
    )
