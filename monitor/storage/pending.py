"""Changes of the price list that were too large to take over without a person's word."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.price_jumps import jump
from monitor.domain.pricing import RateCard


class Pending(NamedTuple):
    """A change that waits; `percent` is the largest of any rate, None: beyond measure."""

    id: int
    account: str
    provider: str
    model: str
    context: str
    valid_from: int
    percent: int | None
    source_version: str
    seen_at: int


def confirmed(
    conn: Connection, key: tuple[str, str, str, str], old: RateCard, new: RateCard, now: int
) -> bool:
    """Whether a person confirmed this change; one that is not known yet is written down."""
    names = ("account", "provider", "model", "context")
    said = hashlib.sha256(json.dumps([new.rates, new.tiers]).encode()).hexdigest()
    found = jump(old, new)
    conn.execute(
        text(
            "INSERT INTO rate_pending (account, provider, model, context, valid_from, digest,"
            " percent, source_version, seen_at) VALUES (:account, :provider, :model, :context,"
            " :valid_from, :digest, :percent, :version, :now)"
            " ON CONFLICT (account, provider, model, context, valid_from, digest)"
            " DO UPDATE SET seen_at = excluded.seen_at"
        ),
        {
            **dict(zip(names, key, strict=True)),
            "valid_from": new.valid_from,
            "digest": said,
            "percent": None if found is None else _percent(found),
            "version": new.source_version,
            "now": now,
        },
    )
    at: int | None = conn.scalar(
        text(
            "SELECT confirmed_at FROM rate_pending WHERE account = :account"
            " AND provider = :provider AND model = :model AND context = :context"
            " AND valid_from = :valid_from AND digest = :digest"
        ),
        {**dict(zip(names, key, strict=True)), "valid_from": new.valid_from, "digest": said},
    )
    return at is not None


def waiting(conn: Connection) -> list[Pending]:
    """The changes that wait, oldest first."""
    rows = conn.execute(
        text(
            f"SELECT {', '.join(Pending._fields)} FROM rate_pending WHERE confirmed_at IS NULL"
            " ORDER BY id"
        )
    )
    return [Pending(*row) for row in rows]


def forget(conn: Connection, before: int) -> None:
    """Drop what waits and was not seen since: the list took it back."""
    conn.execute(
        text("DELETE FROM rate_pending WHERE confirmed_at IS NULL AND seen_at < :b"), {"b": before}
    )


def confirm(conn: Connection, now: int) -> int:
    """Let every change that waits be taken over; returns how many there were."""
    return conn.execute(
        text("UPDATE rate_pending SET confirmed_at = :now WHERE confirmed_at IS NULL"), {"now": now}
    ).rowcount


def _percent(change: Fraction) -> int:
    # A list that is wrong by a factor of a million is not wrong by more in any way that matters.
    return min(round(change * 100), 10**9)
