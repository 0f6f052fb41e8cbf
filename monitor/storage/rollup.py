"""From usage to priced days: `usage_day` is derived here, and only here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.money import MAX_PICO
from monitor.domain.pricing import Priced, price
from monitor.domain.usage import DAY, QUANTITY_FIELDS, Quantities, add
from monitor.domain.workloads import Rule
from monitor.storage import bulk
from monitor.storage.rates import UNPRICED, Bucket, Cards, RateKey, Resolve
from monitor.storage.setup import assign_series
from monitor.storage.work import closed_at

OWN = "self"
"""The provider name of our own engines: their tokens have no price and no bill."""

TOO_LARGE = "amount_too_large"
"""A day of one series above what the database's column holds (9.2 million dollars): unpriced."""

NEGATIVE = "cache_above_input"
"""More cached tokens than input in one bucket: what is left of the input counts as 0."""

_STANDARD_TIERS = {"", "default", "standard", "auto"}


class Restatement(NamedTuple):
    """A day that changed after it had been closed."""

    stream_id: int
    day: int
    tokens_before: int
    tokens_after: int
    pico_before: int
    pico_after: int


class _Day(NamedTuple):
    quantities: Quantities
    femto: int
    unpriced: int
    flags: frozenset[str]


_COLUMNS = (
    "series_id",
    "day",
    "rate_id",
    *QUANTITY_FIELDS,
    "tokens",
    "estimated_pico",
    "unpriced_tokens",
    "flags",
)
_Row = tuple[Any, ...]


def context_of(tier: str, batch: str) -> str:
    """The pricing context that a series' batch flag and tier ask for.

    A tier is the provider's word for it, with what else a price depends on behind it:
    `priority;context_window=200k-1M`.
    """
    parts = ["processing=batch"] if batch == "true" else []
    named = (part for part in tier.split(";") if part not in _STANDARD_TIERS)
    parts += [part if "=" in part else f"service_tier={part}" for part in named]
    return ";".join(parts)


def waiting(conn: Connection, before: int | None = None) -> list[tuple[int, int]]:
    """Streams and days that wait to be rolled up, oldest first."""
    where = "WHERE day < :b" if before is not None else ""
    rows = conn.execute(
        text(f"SELECT stream_id, day FROM dirty {where} ORDER BY 2, 1"), {"b": before}
    )
    return [(row[0], row[1]) for row in rows]


def refresh(
    conn: Connection,
    dirty: Sequence[tuple[int, int]],
    resolve: Resolve,
    rules: Sequence[Rule],
    now: int,
    *,
    as_open: bool = False,
) -> list[Restatement]:
    """Derive the given (stream, day) pairs anew; returns the closed days that changed.

    `as_open`: with the cards known now, in closed months too. The mark is deleted before the rows
    are read: a writer that comes in between makes a new one.
    """
    assign_series(conn, rules)
    cards = Cards(conn, resolve, now)
    found = (
        _refresh_one(conn, stream_id, day, cards, now, as_open=as_open) for stream_id, day in dirty
    )
    return [restatement for restatement in found if restatement is not None]


def _refresh_one(
    conn: Connection, stream_id: int, day: int, cards: Cards, now: int, *, as_open: bool
) -> Restatement | None:
    mark = conn.execute(
        text("DELETE FROM dirty WHERE stream_id = :s AND day = :d RETURNING restates"),
        {"s": stream_id, "d": day},
    ).first()
    if mark is None:
        return None
    before = _stored(conn, stream_id, day)
    after = _derived(conn, stream_id, day, cards, as_open=as_open)
    _replace(conn, before, after)
    if not mark.restates or _totals(before) == _totals(after):
        return None
    restatement = Restatement(stream_id, day, *_both(_totals(before), _totals(after)))
    conn.execute(
        text(
            "INSERT INTO restatement (stream_id, day, found_at, tokens_before, tokens_after,"
            " pico_before, pico_after) VALUES (:stream_id, :day, :found_at, :tokens_before,"
            " :tokens_after, :pico_before, :pico_after)"
        ).bindparams(found_at=_stamp(conn, now)),
        restatement._asdict(),
    )
    return restatement


def _stamp(conn: Connection, now: int) -> object:
    at = datetime.fromtimestamp(now, UTC)
    # The same text that the UTC column type writes on SQLite, where the driver has no type for it.
    return at if conn.dialect.name == "postgresql" else at.strftime("%Y-%m-%d %H:%M:%S.%f")


def _both(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int, int, int]:
    return before[0], after[0], before[1], after[1]


def _stored(conn: Connection, stream_id: int, day: int) -> dict[_Row, _Row]:
    columns = ", ".join(f"d.{name}" for name in _COLUMNS)
    rows = bulk.select(
        conn,
        f"SELECT {columns} FROM series s JOIN usage_day d ON d.series_id = s.id AND d.day = ?"
        " WHERE s.stream_id = ?",
        (day, stream_id),
    )
    return {row[:3]: row for row in rows}


def _derived(
    conn: Connection, stream_id: int, day: int, cards: Cards, *, as_open: bool
) -> dict[_Row, _Row]:
    month = datetime.fromtimestamp(day, UTC).strftime("%Y-%m")
    closed = None if as_open else closed_at(conn, month)
    quantities = ", ".join(f"u.{name}" for name in QUANTITY_FIELDS)
    rows = bulk.select(
        conn,
        f"SELECT s.id, a.name, s.provider, s.model, s.tier, s.batch, u.bucket_start,"
        f" u.bucket_seconds, {quantities}"
        " FROM series s JOIN account a ON a.id = s.account_id JOIN usage u ON u.series_id = s.id"
        " AND u.bucket_start >= ? AND u.bucket_start < ? WHERE s.stream_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM set_aside x WHERE x.stream_id = s.stream_id"
        " AND x.hour = u.bucket_start - u.bucket_start % 3600)",
        (day, day + DAY, stream_id),
    )
    parts: dict[tuple[int, int], list[_Day]] = defaultdict(list)
    for series_id, account, provider, model, tier, batch, start, seconds, *counts in rows:
        key = RateKey(account, provider, model, context_of(tier, batch))
        at = Bucket(series_id, start, seconds, closed)
        rate_id, part = _priced(cards, key, at, counts)
        parts[series_id, rate_id].append(part)
    derived = (_day_row(series, day, rate, days) for (series, rate), days in parts.items())
    return {row[:3]: row for row in derived}


def _priced(
    cards: Cards, key: RateKey, at: Bucket, counts: Sequence[int | None]
) -> tuple[int, _Day]:
    quantities, clamped = _clamped(counts)
    if key.provider == OWN:
        return UNPRICED, _Day(quantities, 0, 0, frozenset())
    rate_id, card = cards.of(key, at)
    result = price(quantities, card)
    flags = frozenset((*result.flags, NEGATIVE) if clamped else result.flags)
    return rate_id, _Day(quantities, result.femto or 0, result.unpriced_tokens, flags)


def _clamped(counts: Sequence[int | None]) -> tuple[Quantities, bool]:
    """Quantities of which none is negative, and whether one was.

    Cached tokens may come in a counter beside that of the input which has them in it: each is
    taken from the input when it comes, so the order does not matter and the sum can be damaged.
    """
    found = Quantities(*(None if n is None else max(0, n) for n in counts))
    return found, found != tuple(counts)


def _day_row(series_id: int, day: int, rate_id: int, parts: list[_Day]) -> _Row:
    total = parts[0].quantities
    for part in parts[1:]:
        total = add(total, part.quantities)
    pico = Priced(sum(part.femto for part in parts)).pico or 0
    flags = " ".join(sorted(frozenset().union(*(part.flags for part in parts))))
    unpriced = sum(part.unpriced for part in parts)
    if pico > MAX_PICO:
        # No series costs that much in a day: the counts are damaged, and must not stop the others.
        pico, unpriced, flags = 0, total.tokens, f"{flags} {TOO_LARGE}".strip()
    return (series_id, day, rate_id, *total, total.tokens, pico, unpriced, flags)


def _replace(conn: Connection, before: dict[_Row, _Row], after: dict[_Row, _Row]) -> None:
    unchanged = {key for key, row in after.items() if before.get(key) == row}
    keys = _COLUMNS[:3]
    bulk.delete(conn, "usage_day", keys, [key for key in before if key not in unchanged])
    new = [row for key, row in after.items() if key not in unchanged]
    bulk.insert(conn, "usage_day", _COLUMNS, new)


def _totals(rows: dict[_Row, _Row]) -> tuple[int, int]:
    tokens = _COLUMNS.index("tokens")
    return sum(r[tokens] for r in rows.values()), sum(r[tokens + 1] for r in rows.values())


def mark_days(conn: Connection, since: int, *, only_unpriced: bool) -> int:
    """Ask for priced days to be rolled up again, since another rate may apply by now."""
    where = " AND d.unpriced_tokens > 0" if only_unpriced else ""
    return conn.execute(
        text(
            "INSERT INTO dirty (stream_id, day, n, restates)"
            " SELECT DISTINCT s.stream_id, d.day, 1, :no FROM usage_day d"
            f" JOIN series s ON s.id = d.series_id WHERE d.day >= :since{where}"
            " ON CONFLICT DO NOTHING"
        ),
        {"since": since, "no": False},
    ).rowcount
