"""Prices that people set with a command: added, never edited; an end is written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.errors import InputError
from monitor.domain.money import plain
from monitor.domain.periods import day_of


class Stored(NamedTuple):
    """A stored price; `document` is a [[prices.override]] as JSON."""

    id: int
    document: str
    added_at: int


class FxRate(NamedTuple):
    """US dollars for one unit of a currency, from a day on until the next one."""

    currency: str
    day: int
    usd_nano: int
    source: str


def in_force(conn: Connection) -> list[Stored]:
    """Every stored price that nobody ended, in the order in which they were set."""
    rows = conn.execute(
        text(
            "SELECT id, document, added_at FROM price_override WHERE removed_at IS NULL ORDER BY id"
        )
    )
    return [Stored(*row) for row in rows]


def add(conn: Connection, documents: Sequence[str], now: int) -> None:
    """Store prices."""
    for document in documents:
        conn.execute(
            text("INSERT INTO price_override (document, added_at) VALUES (:d, :now)"),
            {"d": document, "now": now},
        )


def end(conn: Connection, number: int, now: int) -> bool:
    """End a stored price; False: no such price is in force."""
    ended = text("UPDATE price_override SET removed_at = :now WHERE id = :i AND removed_at IS NULL")
    return conn.execute(ended, {"i": number, "now": now}).rowcount == 1


def put_fx(conn: Connection, rate: FxRate) -> None:
    """Store a day's rate.

    Raises:
        InputError: the day has another rate, which is kept.
    """
    conn.execute(
        text(
            "INSERT INTO fx (currency, day, usd_nano, source)"
            " VALUES (:currency, :day, :usd_nano, :source) ON CONFLICT DO NOTHING"
        ),
        rate._asdict(),
    )
    row = conn.execute(
        text("SELECT currency, day, usd_nano, source FROM fx WHERE currency = :c AND day = :d"),
        {"c": rate.currency, "d": rate.day},
    ).one()
    stands = FxRate(*row)
    if stands.usd_nano != rate.usd_nano:
        raise InputError(
            f"{rate.currency} has a rate of {day_of(rate.day)} already:"
            f" {plain(Decimal(stands.usd_nano).scaleb(-9))} from {stands.source}",
            "A stored rate is not replaced: write that one, or give another day.",
        )


class Used(NamedTuple):
    """What was used and may have a price."""

    account: str
    provider: str
    model: str
    tier: str
    batch: str


def used_since(conn: Connection, day: int) -> list[Used]:
    """Every account and model that was used on a day or later."""
    rows = conn.execute(
        text(
            "SELECT DISTINCT a.name, s.provider, s.model, s.tier, s.batch FROM usage_day d"
            " JOIN series s ON s.id = d.series_id JOIN account a ON a.id = s.account_id"
            " WHERE d.day >= :day ORDER BY 1, 2, 3, 4, 5"
        ),
        {"day": day},
    )
    return [Used(*row) for row in rows]
