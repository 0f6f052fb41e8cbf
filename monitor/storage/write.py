"""Two of the three doors into the fact tables: windows and events (minutes: `fleet`).

Every writer is idempotent: the same input again changes nothing and says so. Each runs in the
caller's transaction, marks the days it touched as dirty, and moves the watermark with its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.usage import (
    DAY,
    HOUR,
    QUANTITY_FIELDS,
    BillRow,
    Dimensions,
    Event,
    Quantities,
    UsageRow,
    add,
    utc_day,
)
from monitor.storage import bulk
from monitor.storage.tables import SERIES_DIMENSIONS, bill, dirty, request_log, usage

_Key = tuple[Any, ...]
_Row = tuple[Any, ...]
_Read = UsageRow | BillRow


class Changes(NamedTuple):
    """How many stored rows a write added, changed and removed."""

    new: int = 0
    changed: int = 0
    gone: int = 0


class Window(NamedTuple):
    """Whole UTC days of one stream that were read completely."""

    stream_id: int
    start: int
    end: int
    """Half open, epoch seconds of midnight."""
    closed_through: int | None = None
    """Days before this instant will not change any more, as far as the provider says."""
    seen_at: int | None = None
    asked_from: int | None = None
    """Earlier than `start` where the provider keeps no older days: the gap is final."""


class _Fact(NamedTuple):
    table: str
    keys: tuple[str, ...]
    """The series, the time, and what else tells rows apart."""
    values: tuple[str, ...]
    rows: Callable[[Mapping[Dimensions, int], Sequence[Any]], Iterator[_Row]]
    """Read rows in the order of `columns`."""
    join: Callable[[_Row, _Row], _Row]
    """Two rows of the same key as one."""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys + self.values

    def key(self, row: _Row) -> _Key:
        return row[: len(self.keys)]


def _usage_rows(ids: Mapping[Dimensions, int], rows: Sequence[UsageRow]) -> Iterator[_Row]:
    return ((ids[dims], start, seconds, *q) for dims, start, seconds, q in rows)


def _bill_rows(ids: Mapping[Dimensions, int], rows: Sequence[BillRow]) -> Iterator[_Row]:
    return ((ids[dims], *rest) for dims, *rest in rows)


def _join_usage(a: _Row, b: _Row) -> _Row:
    return (*a[:2], max(a[2], b[2]), *add(Quantities(*a[3:]), Quantities(*b[3:])))


def _join_bill(a: _Row, b: _Row) -> _Row:
    if a[4] != b[4]:
        raise ValueError(f"line item {a[2]!r} is billed in {a[4]} and in {b[4]} on one day")
    return (*a[:3], a[3] + b[3], a[4])


_USAGE = _Fact(
    usage.name,
    ("series_id", "bucket_start"),
    ("bucket_seconds", *QUANTITY_FIELDS),
    _usage_rows,
    _join_usage,
)
_BILL = _Fact(
    bill.name, ("series_id", "day", "line_item"), ("amount_pico", "currency"), _bill_rows, _join_bill
)


def put_window(
    conn: Connection, window: Window, rows: Sequence[UsageRow] | Sequence[BillRow]
) -> Changes:
    """Make the window hold exactly `rows`: new ones added, changed ones updated, others removed.

    Raises:
        ValueError: a row lies outside the window, or is not what the stream feeds (a reader's
            error, nothing was written).
    """
    feeds, closed_before = _lock_stream(conn, window.stream_id)
    fact = _BILL if feeds == "bill" else _USAGE
    _refuse_strangers(window, feeds, rows)
    ids = series_ids(conn, window.stream_id, {row[0] for row in rows})
    changes, days = _replace(conn, fact, window, list(fact.rows(ids, rows)))
    mark_dirty(conn, window.stream_id, _restating(days, closed_before))
    _move_watermark(conn, window, closed_before)
    return changes


def _refuse_strangers(
    window: Window, feeds: str, rows: Sequence[UsageRow] | Sequence[BillRow]
) -> None:
    if rows and isinstance(rows[0], BillRow) != (feeds == "bill"):
        raise ValueError(f"stream {window.stream_id} feeds {feeds}, not {type(rows[0]).__name__}")
    for at in (min(row[1] for row in rows), max(row[1] for row in rows)) if rows else ():
        if not window.start <= at < window.end:
            raise ValueError(f"row at {at} lies outside the window {window.start}..{window.end}")


def _lock_stream(conn: Connection, stream_id: int) -> tuple[str, int | None]:
    """Serialise writers of one stream; returns what it feeds and how far it was closed."""
    conn.execute(
        text("INSERT INTO watermark (stream_id) VALUES (:s) ON CONFLICT DO NOTHING"),
        {"s": stream_id},
    )
    lock = " FOR UPDATE OF w" if conn.dialect.name == "postgresql" else ""
    query = (
        "SELECT t.feeds, w.closed_through FROM watermark w JOIN stream t ON t.id = w.stream_id"
        f" WHERE w.stream_id = :s{lock}"
    )
    feeds, closed = conn.execute(text(query), {"s": stream_id}).one()
    return feeds, closed


def _restating(days: Iterable[int], closed_before: int | None) -> dict[int, bool]:
    """Days that changed, and whether each had been closed before."""
    return {day: closed_before is not None and day + DAY <= closed_before for day in days}


def _move_watermark(conn: Connection, window: Window, closed_before: int | None) -> None:
    """Close what was read and is final; never back, and never over a day that was not read."""
    closed = min(window.closed_through or 0, window.end)
    reaches = closed > window.start if closed_before is None else window.start <= closed_before
    conn.execute(
        text(
            "UPDATE watermark SET closed_through = :closed, seen_at = COALESCE(:seen, seen_at)"
            " WHERE stream_id = :s"
        ),
        {
            "closed": max(closed_before or 0, closed) if reaches else closed_before,
            "seen": window.seen_at,
            "s": window.stream_id,
        },
    )


def _replace(
    conn: Connection, fact: _Fact, window: Window, rows: list[_Row]
) -> tuple[Changes, set[int]]:
    """Make the window hold exactly `rows`; returns the changes and the days that have any."""
    width = len(fact.keys)
    before = {row[:width]: row for row in _stored(conn, fact, window)}
    wanted = {row[:width]: row for row in rows}
    if len(wanted) < len(rows):
        wanted = _joined(fact, rows)
    if wanted == before:
        return Changes(), set()
    gone = list(before.keys() - wanted.keys())
    new = [row for key, row in wanted.items() if key not in before]
    changed = [row for key, row in wanted.items() if before.get(key, row) != row]
    bulk.insert(conn, fact.table, fact.columns, new)
    bulk.update(
        conn, fact.table, fact.values, fact.keys, [(*r[width:], *r[:width]) for r in changed]
    )
    bulk.delete(conn, fact.table, fact.keys, gone)
    days = {row[1] - row[1] % DAY for row in (*new, *changed, *gone)}
    return Changes(len(new), len(changed), len(gone)), days


def _joined(fact: _Fact, rows: list[_Row]) -> dict[_Key, _Row]:
    """Rows of the same key are disjoint parts of one, so they are added."""
    whole: dict[_Key, _Row] = {}
    for row in rows:
        key = row[: len(fact.keys)]
        whole[key] = fact.join(whole[key], row) if key in whole else row
    return whole


def _stored(conn: Connection, fact: _Fact, window: Window) -> list[_Row]:
    # Spelled so that PostgreSQL looks each series up by key whatever it believes about sizes.
    among = "= ANY (ARRAY({}))" if conn.dialect.name == "postgresql" else "IN ({})"
    series = among.format("SELECT id FROM series WHERE stream_id = ?")
    return bulk.select(
        conn,
        f"SELECT {', '.join(fact.columns)} FROM {fact.table} WHERE series_id {series}"
        f" AND {fact.keys[1]} >= ? AND {fact.keys[1]} < ?",
        (window.stream_id, window.start, window.end),
    )


def mark_dirty(conn: Connection, stream_id: int, days: Mapping[int, bool]) -> None:
    """Tell the roll-up which days changed; the flag: the day had been closed before.

    The update on conflict takes the row's lock, which is the point: a roll-up that is about to
    delete the same mark waits for this transaction and then reads its rows.
    """
    bulk.upsert(
        conn,
        dirty.name,
        ("stream_id", "day", "n", "restates"),
        "(stream_id, day) DO UPDATE SET n = dirty.n + 1,"
        " restates = dirty.restates OR excluded.restates",
        [(stream_id, day, 1, restates) for day, restates in sorted(days.items())],
    )


def series_ids(conn: Connection, stream_id: int, wanted: set[Dimensions]) -> dict[Dimensions, int]:
    """The id of each combination of dimensions in a stream; new ones are made."""
    if not wanted:
        return {}
    found = _known_series(conn, stream_id)
    missing = sorted(wanted - found.keys())
    if not missing:
        return found
    accounts = {name: account_id(conn, name) for name in sorted({d.account for d in missing})}
    bulk.insert_ignore(
        conn,
        "series",
        ("stream_id", "account_id", *SERIES_DIMENSIONS),
        [(stream_id, accounts[dims.account], *dims[1:]) for dims in missing],
    )
    return _known_series(conn, stream_id)


def _known_series(conn: Connection, stream_id: int) -> dict[Dimensions, int]:
    columns = ", ".join(f"s.{name}" for name in SERIES_DIMENSIONS)
    rows = bulk.select(
        conn,
        f"SELECT s.id, a.name, {columns} FROM series s JOIN account a ON a.id = s.account_id"
        " WHERE s.stream_id = ?",
        (stream_id,),
    )
    return {Dimensions(*row[1:]): row[0] for row in rows}


def account_id(conn: Connection, name: str) -> int:
    """The id of an account; an unknown one is made, and any source may count for it."""
    conn.execute(text("INSERT INTO account (name) VALUES (:n) ON CONFLICT DO NOTHING"), {"n": name})
    found = conn.scalar(text("SELECT id FROM account WHERE name = :n"), {"n": name})
    assert found is not None
    return int(found)


def put_events(
    conn: Connection, source_id: int, stream_id: int, events: Iterable[Event]
) -> Changes:
    """Add requests once each, by id: within the batch, and against the days around each.

    A repeated id keeps the larger usage (the last streamed chunk, a corrected log line). The
    hourly buckets of `usage` move by the difference. `gone` is always 0.
    """
    _, closed_before = _lock_stream(conn, stream_id)
    batch = _largest(events)
    if not batch:
        return Changes()
    ids = series_ids(conn, stream_id, {event.dims for event in batch.values()})
    known = bulk.existing_events(conn, source_id, batch)
    new: list[_Row] = []
    changed: list[_Row] = []
    hours: dict[tuple[int, int], Quantities] = {}
    for event in batch.values():
        series = ids[event.dims]
        before = known.get(event.id)
        if before is None:
            new.append(
                (event.id, source_id, utc_day(event.at), event.at, series, *event.quantities)
            )
            _move(hours, series, event.at, event.quantities)
        elif event.quantities.tokens > before.quantities.tokens:
            changed.append((*event.quantities, event.id, source_id, before.day))
            _move(hours, before.series_id, before.at, _minus(event.quantities, before.quantities))
    bulk.ensure_partitions(conn, request_log.name, (row[2] for row in new))
    columns = ("event_id", "source_id", "day", "at", "series_id", *QUANTITY_FIELDS)
    bulk.insert(conn, request_log.name, columns, new)
    bulk.update(conn, request_log.name, QUANTITY_FIELDS, columns[:3], changed)
    _add_to_usage(conn, hours)
    mark_dirty(conn, stream_id, _restating({utc_day(start) for _, start in hours}, closed_before))
    return Changes(len(new), len(changed))


def _largest(events: Iterable[Event]) -> dict[str, Event]:
    batch: dict[str, Event] = {}
    for event in events:
        seen = batch.get(event.id)
        if seen is None or event.quantities.tokens > seen.quantities.tokens:
            batch[event.id] = event
    return batch


def _minus(a: Quantities, b: Quantities) -> Quantities:
    return Quantities(
        *(
            None if x is None and y is None else (x or 0) - (y or 0)
            for x, y in zip(a, b, strict=True)
        )
    )


def _move(
    hours: dict[tuple[int, int], Quantities], series: int, at: int, quantities: Quantities
) -> None:
    key = (series, at - at % HOUR)
    seen = hours.get(key)
    hours[key] = add(seen, quantities) if seen else quantities


def _add_to_usage(conn: Connection, hours: dict[tuple[int, int], Quantities]) -> None:
    sums = ", ".join(
        f"{name} = CASE WHEN usage.{name} IS NULL THEN excluded.{name}"
        f" ELSE usage.{name} + COALESCE(excluded.{name}, 0) END"
        for name in QUANTITY_FIELDS
    )
    bulk.upsert(
        conn,
        "usage",
        _USAGE.columns,
        f"(series_id, bucket_start) DO UPDATE SET {sums}",
        [(series, start, HOUR, *q) for (series, start), q in sorted(hours.items())],
    )
