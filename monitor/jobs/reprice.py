"""Pricing the open months again when a price became known or was changed."""

from __future__ import annotations

from sqlalchemy import Connection, text

from monitor.domain.usage import utc_day
from monitor.storage import rollup
from monitor.storage.engine import Database


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
