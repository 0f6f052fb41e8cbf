"""Asking for prices anew: the open months when a price changed, the price list every day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.usage import DAY, utc_day
from monitor.storage import pending, price_changes, rollup
from monitor.storage.engine import Database
from monitor.storage.rates import Bucket, Cards, RateKey, Resolve

USED_DAYS = 62
"""Models that were used in the last two months are asked about."""


class Refreshed(NamedTuple):
    """How many new cards were taken over, and the changes that wait for a person."""

    taken: int
    waiting: Sequence[pending.Pending]


def ask(database: Database, prices_hash: str, now: int) -> int:
    """Mark days of open months for a new roll-up; returns how many were marked.

    All of them when the prices changed (overrides, corrections, the list's version), else once a
    day those with unpriced tokens. A closed month is never asked.
    """
    with database.write() as conn:
        changed = _changed(conn, "prices_hash", prices_hash)
        next_day = _changed(conn, "repriced_on", str(utc_day(now)))
        if not changed and not next_day:
            return 0
        return rollup.mark_days(conn, _open_since(conn), only_unpriced=not changed)


def _changed(conn: Connection, key: str, value: str) -> bool:
    """Whether a remembered value is another now; it is remembered."""
    before: str | None = conn.scalar(text("SELECT value FROM meta WHERE key = :k"), {"k": key})
    conn.execute(
        text(
            "INSERT INTO meta (key, value) VALUES (:k, :v)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"k": key, "v": value},
    )
    return before != value


def _open_since(conn: Connection) -> int:
    """The end of the newest closed month; 0: none is closed."""
    found = conn.scalar(
        text("SELECT MAX(period_end) FROM run WHERE kind = 'close' AND state = 'done'")
    )
    return int(found or 0)


def refresh_daily(database: Database, resolve: Resolve, now: int) -> Refreshed | None:
    """`refresh`, once a UTC day; None: it was done today."""
    with database.write() as conn:
        if not _changed(conn, "refreshed_on", str(utc_day(now))):
            return None
        return _refresh(conn, resolve, now)


def refresh(database: Database, resolve: Resolve, now: int) -> Refreshed:
    """Ask for the card of everything in use, as of now and at the next change that is announced.

    A new card is taken over, unless the price list changed its word too far (`price_jumps`).
    """
    with database.write() as conn:
        return _refresh(conn, resolve, now)


def confirm(database: Database, now: int) -> int:
    """Take over every change that waits, for the open months; returns how many there were."""
    with database.write() as conn:
        confirmed = pending.confirm(conn, now)
        if confirmed:
            rollup.mark_days(conn, _open_since(conn), only_unpriced=False)
        return confirmed


def _refresh(conn: Connection, resolve: Resolve, now: int) -> Refreshed:
    cards, before = Cards(conn, resolve, now), _count_cards(conn)
    for used in price_changes.used_since(conn, utc_day(now) - USED_DAYS * DAY):
        if used.provider != rollup.OWN:
            context = rollup.context_of(used.tier, used.batch)
            key = RateKey(used.account, used.provider, used.model, context)
            at = Bucket(series_id=0, start=now, seconds=0, closed_at=None)
            _, card = cards.of(key, at)
            if card is not None:
                cards.foresee(key, at, card)
    pending.forget(conn, now)
    return Refreshed(_count_cards(conn) - before, pending.waiting(conn))


def _count_cards(conn: Connection) -> int:
    return int(conn.scalar(text("SELECT COUNT(*) FROM rate")) or 0)
