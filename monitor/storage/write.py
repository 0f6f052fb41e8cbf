"""The first of the three doors into the fact tables: windows (events: `events`, minutes: `fleet`).

Every writer is idempotent: the same input again changes nothing and says so. Each runs in the
caller's transaction, marks the days it touched as dirty, and moves the watermark with its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from operator import eq, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.usage import (
    DAY,
    QUANTITY_FIELDS,
    BillRow,
    Dimensions,
    UsageRow,
    add,
    utc_day,
)
from monitor.storage import bulk
from monitor.storage.tables import SERIES_DIMENSIONS, bill, dirty, usage

# Rows of a window that are compared with what is stored at once.
_AT_ONCE = 20_000

_Row = tuple[Any, ...]
_Groups = Mapping[int, list[Any]]


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
    """The series, the time, and what else tells rows apart; read rows begin with the same."""
    values: tuple[str, ...]
    key: Callable[[Any], Any]
    """What tells read rows of one series apart."""
    rows: Callable[[_Groups], Iterator[_Row]]
    """Read rows as rows of the table."""
    join: Callable[[Any, Any], Any]
    """Two read rows of the same key as one."""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys + self.values


def _usage_rows(groups: _Groups) -> Iterator[_Row]:
    return (
        (i, start, seconds) + quantities  # noqa: RUF005 - in three quarters of the time
        for i, rows in groups.items()
        for _, start, seconds, quantities in rows
    )


def _bill_rows(groups: _Groups) -> Iterator[_Row]:
    return ((i, *row[1:]) for i, rows in groups.items() for row in rows)


def _join_usage(a: UsageRow, b: UsageRow) -> UsageRow:
    return a._replace(seconds=max(a.seconds, b.seconds), quantities=add(a.quantities, b.quantities))


def _join_bill(a: BillRow, b: BillRow) -> BillRow:
    if a.currency != b.currency:
        raise ValueError(f"{a.line_item!r} is billed in {a.currency} and {b.currency} on one day")
    return a._replace(amount_pico=a.amount_pico + b.amount_pico)


USAGE = _Fact(
    usage.name,
    ("series_id", "bucket_start"),
    ("bucket_seconds", *QUANTITY_FIELDS),
    itemgetter(1),
    _usage_rows,
    _join_usage,
)
_BILL = _Fact(
    bill.name,
    ("series_id", "day", "line_item"),
    ("amount_pico", "currency"),
    itemgetter(1, 2),
    _bill_rows,
    _join_bill,
)


def put_window(
    conn: Connection, window: Window, rows: Sequence[UsageRow] | Sequence[BillRow]
) -> Changes:
    """Make the window hold exactly `rows`: new ones added, changed ones updated, others removed.

    Raises:
        ValueError: a row lies outside the window, or is not what the stream feeds (a reader's
            error, nothing was written).
    """
    feeds, closed_before = lock_stream(conn, window.stream_id)
    fact = _BILL if feeds == "bill" else USAGE
    if rows and isinstance(rows[0], BillRow) != (fact is _BILL):
        raise ValueError(f"stream {window.stream_id} feeds {feeds}, not {type(rows[0]).__name__}")
    by_dimensions = _grouped(fact, window, rows)
    ids = series_ids(conn, window.stream_id, by_dimensions.keys())
    groups = dict(sorted((ids[dims], group) for dims, group in by_dimensions.items()))
    total, touched = Changes(), set[int]()
    for stretch, part in _stretches(window, groups):
        changes, days = _replace(conn, fact, stretch, part)
        total = Changes(*map(sum, zip(total, changes, strict=True)))
        touched |= days
    mark_dirty(conn, window.stream_id, restating(touched, closed_before))
    _move_watermark(conn, window, closed_before)
    return total


def _grouped(fact: _Fact, window: Window, rows: Iterable[Any]) -> dict[Dimensions, list[Any]]:
    """Read rows by series, one a key: rows of the same key are disjoint parts, and add up."""
    groups: dict[Dimensions, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    for dims, group in groups.items():
        whole = group if len(set(map(fact.key, group))) == len(group) else _joined(fact, group)
        groups[dims] = sorted(whole, key=fact.key)
        for at in (groups[dims][0][1], groups[dims][-1][1]):
            if not window.start <= at < window.end:
                outside = f"lies outside the window {window.start}..{window.end}"
                raise ValueError(f"row at {at} {outside}")
    return groups


def _joined(fact: _Fact, rows: Iterable[Any]) -> list[Any]:
    whole: dict[Any, Any] = {}
    for row in rows:
        key = fact.key(row)
        whole[key] = fact.join(whole[key], row) if key in whole else row
    return list(whole.values())


def _stretches(window: Window, groups: _Groups) -> Iterator[tuple[Window, _Groups]]:
    """The window in parts of whole days, so that little of what is stored is read at once."""
    days = (window.end - window.start) // DAY
    if days <= 1 or sum(map(len, groups.values())) <= _AT_ONCE:
        yield window, groups
        return
    middle = window.start + days // 2 * DAY
    for part in (window._replace(end=middle), window._replace(start=middle)):
        inside = {
            i: [row for row in rows if part.start <= row[1] < part.end]
            for i, rows in groups.items()
        }
        yield from _stretches(part, inside)


def lock_stream(conn: Connection, stream_id: int) -> tuple[str, int | None]:
    """Serialise writers of one stream; returns what it feeds and how far it was closed."""
    lock = " FOR UPDATE OF w" if conn.dialect.name == "postgresql" else ""
    query = text(
        "SELECT t.feeds, w.closed_through FROM watermark w JOIN stream t ON t.id = w.stream_id"
        f" WHERE w.stream_id = :s{lock}"
    )
    found = conn.execute(query, {"s": stream_id}).first()
    if found is None:
        first = "INSERT INTO watermark (stream_id) VALUES (:s) ON CONFLICT DO NOTHING"
        conn.execute(text(first), {"s": stream_id})
        found = conn.execute(query, {"s": stream_id}).one()
    return found.feeds, found.closed_through


def restating(days: Iterable[int], closed_before: int | None) -> dict[int, bool]:
    """Days that changed, and whether each had been closed before."""
    return {day: closed_before is not None and day + DAY <= closed_before for day in days}


def _move_watermark(conn: Connection, window: Window, closed_before: int | None) -> None:
    """Close what was read and is final; never back, and never over a day that was not read."""
    closed = min(window.closed_through or 0, window.end)
    if closed_before is None:
        moves = closed > window.start
    else:
        since = window.start if window.asked_from is None else window.asked_from
        moves = since <= closed_before < closed
    conn.execute(
        text(
            "UPDATE watermark SET closed_through = :closed, seen_at = COALESCE(:seen, seen_at)"
            " WHERE stream_id = :s"
        ),
        {
            "closed": closed if moves else closed_before,
            "seen": window.seen_at,
            "s": window.stream_id,
        },
    )


def close_stream(conn: Connection, stream_id: int, through: int, now: int) -> None:
    """Days before `through` are complete; what was closed stays closed."""
    conn.execute(
        text("INSERT INTO watermark (stream_id) VALUES (:s) ON CONFLICT DO NOTHING"),
        {"s": stream_id},
    )
    conn.execute(
        text(
            "UPDATE watermark SET seen_at = :now, closed_through ="
            " CASE WHEN COALESCE(closed_through, 0) > :t THEN closed_through ELSE :t END"
            " WHERE stream_id = :s"
        ),
        {"t": through, "now": now, "s": stream_id},
    )


def last_used(conn: Connection, stream_id: int) -> int | None:
    """The beginning of the newest bucket of usage in a stream."""
    # Series by series, each by its key: their buckets are by the million.
    last: int | None = conn.scalar(
        text(
            "SELECT MAX((SELECT MAX(u.bucket_start) FROM usage u WHERE u.series_id = s.id))"
            " FROM series s WHERE s.stream_id = :s"
        ),
        {"s": stream_id},
    )
    return last


def _replace(
    conn: Connection, fact: _Fact, window: Window, groups: _Groups
) -> tuple[Changes, set[int]]:
    """Make the window hold exactly these rows; returns the changes and the days that have any."""
    count = sum(map(len, groups.values()))
    stored = _stored(conn, fact, window)
    if not stored:
        # Drawn one by one: PostgreSQL stores some while the next are made.
        bulk.insert(conn, fact.table, fact.columns, fact.rows(groups))
        times = set(map(itemgetter(1), chain.from_iterable(groups.values())))
        return Changes(new=count), {utc_day(at) for at in times}
    # Both in the order of the key, which is the cheapest way to see that nothing changed.
    if len(stored) == count and all(map(eq, sorted(stored), fact.rows(groups))):
        return Changes(), set()
    return _reconcile(conn, fact, stored, fact.rows(groups))


def _reconcile(
    conn: Connection, fact: _Fact, stored: Iterable[_Row], rows: Iterable[_Row]
) -> tuple[Changes, set[int]]:
    width = len(fact.keys)
    before = {row[:width]: row for row in stored}
    wanted = {row[:width]: row for row in rows}
    gone = list(before.keys() - wanted.keys())
    new = [row for key, row in wanted.items() if key not in before]
    changed = [row for key, row in wanted.items() if before.get(key, row) != row]
    bulk.insert(conn, fact.table, fact.columns, new)
    bulk.update(
        conn, fact.table, fact.values, fact.keys, [(*r[width:], *r[:width]) for r in changed]
    )
    bulk.delete(conn, fact.table, fact.keys, gone)
    days = {utc_day(row[1]) for row in (*new, *changed, *gone)}
    return Changes(len(new), len(changed), len(gone)), days


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


def stored_bills(conn: Connection, stream_id: int, day: int) -> list[BillRow]:
    """What a stream has of one day."""
    rows = _stored(conn, _BILL, Window(stream_id, day, day + DAY))
    series = dimensions_of(conn, stream_id) if rows else {}
    return [BillRow(series[series_id], *row) for series_id, *row in rows]


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


def series_ids(
    conn: Connection, stream_id: int, wanted: AbstractSet[Dimensions]
) -> dict[Dimensions, int]:
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


def dimensions_of(conn: Connection, stream_id: int) -> dict[int, Dimensions]:
    """The dimensions of each series of a stream, by its id."""
    return {i: dims for dims, i in _known_series(conn, stream_id).items()}


def series_count(conn: Connection, stream_id: int) -> int:
    """How many series a stream has."""
    query = "SELECT COUNT(*) FROM series WHERE stream_id = ?"
    return int(bulk.select(conn, query, (stream_id,))[0][0])


def account_id(conn: Connection, name: str) -> int:
    """The id of an account; an unknown one is made, and any source may count for it."""
    conn.execute(text("INSERT INTO account (name) VALUES (:n) ON CONFLICT DO NOTHING"), {"n": name})
    found = conn.scalar(text("SELECT id FROM account WHERE name = :n"), {"n": name})
    assert found is not None
    return int(found)
