"""What the rules about prices and models are told, read from stored rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from sqlalchemy import Connection, text

from monitor.domain.usage import DAY, QUANTITY_FIELDS, Quantities
from monitor.domain.watch_prices import NEWS, ROLLED_OUT, ModelsSeen, Repriced, family
from monitor.storage import bulk
from monitor.storage.rates import BY_THE_HOUR, RateKey, StoredCard, stored_cards
from monitor.storage.spelling import COUNTED

_DAYS = 28


def repriced(conn: Connection, as_of: int) -> list[Repriced]:
    """Changes of the price of models that were used lately, each with the card before it."""
    cards: dict[RateKey, list[StoredCard]] = defaultdict(list)
    for each in stored_cards(conn, as_of):
        cards[each.key].append(each)
    used = _used(conn, as_of)
    return [
        Repriced(key.account, old.card, new.card, as_of, used[key], _DAYS, _corrected(old, new))
        for key, history in cards.items()
        if key in used
        for old, new in _changes(history, as_of)
    ]


def _changes(history: list[StoredCard], as_of: int) -> Iterable[tuple[StoredCard, StoredCard]]:
    """Each card that is news, and the one that held before: by its beginning, then its addition.

    Cards that hold for hours are those of a price by the hour. One that began long ago was looked
    up late, not changed, unless it takes the place of one that began with it.
    """
    lasting = [each for each in history if not _is_by_the_hour(each)]
    lasting.sort(key=lambda each: (each.card.valid_from, each.added_at))
    for old, new in pairwise(lasting):
        corrected = _corrected(old, new) is not None
        began = new.card.valid_from > as_of - _DAYS * DAY
        # Both looked up at once say only what is announced.
        changed = old.added_at < new.added_at or new.card.valid_from > new.added_at
        if as_of - NEWS < new.added_at and (corrected or (began and changed)):
            yield old, new


def _corrected(old: StoredCard, new: StoredCard) -> int | None:
    """When a card took the place of one that began with it."""
    same = old.card.valid_from == new.card.valid_from and old.added_at < new.added_at
    return new.added_at if same else None


def _is_by_the_hour(each: StoredCard) -> bool:
    until = each.card.valid_until
    return until is not None and until - each.card.valid_from < BY_THE_HOUR


def _used(conn: Connection, as_of: int) -> dict[RateKey, Quantities]:
    columns = ", ".join(f"CAST(SUM(d.{name}) AS BIGINT)" for name in QUANTITY_FIELDS)
    rows = bulk.select(
        conn,
        f"SELECT r.account, r.provider, r.model, r.context, {columns} FROM usage_day d"
        " JOIN rate r ON r.id = d.rate_id JOIN series s ON s.id = d.series_id"
        " JOIN stream t ON t.id = s.stream_id JOIN account a ON a.id = s.account_id"
        f" WHERE {COUNTED} AND d.day >= ? AND d.day < ?"
        " GROUP BY r.account, r.provider, r.model, r.context",
        (as_of - _DAYS * DAY, as_of),
    )
    return {RateKey(*row[:4]): Quantities(*row[4:]) for row in rows}


def models(conn: Connection, as_of: int) -> list[ModelsSeen]:
    """Tokens by workload, family and model on the last closed day, and in weeks long before it."""
    rows = conn.execute(
        text(
            "SELECT w.name, s.model, SUM(CASE WHEN d.day = :day THEN d.tokens ELSE 0 END) AS today,"
            " SUM(CASE WHEN d.day < :new THEN d.tokens ELSE 0 END) AS earlier"
            " FROM usage_day d JOIN series s ON s.id = d.series_id"
            " JOIN stream t ON t.id = s.stream_id JOIN account a ON a.id = s.account_id"
            " JOIN workload w ON w.id = s.workload_id"
            f" WHERE {COUNTED} AND d.day >= :first AND d.day <= :day AND s.provider <> 'self'"
            " GROUP BY w.name, s.model ORDER BY w.name, s.model"
        ),
        {
            "day": as_of - DAY,
            "new": as_of - DAY - ROLLED_OUT,
            "first": as_of - DAY - ROLLED_OUT - _DAYS * DAY,
        },
    )
    found: dict[tuple[str, str], ModelsSeen] = {}
    for name, model, today, earlier in rows:
        key = (name, family(model))
        seen = found.get(key, ModelsSeen(name, as_of, key[1], (), ()))
        found[key] = seen._replace(
            day=(*seen.day, (model, int(today))), before=(*seen.before, (model, int(earlier)))
        )
    return list(found.values())
