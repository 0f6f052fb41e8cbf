"""Once a day, days with unpriced tokens are asked again: a rate may have become known."""

from __future__ import annotations

from sqlalchemy import text

from monitor.domain.periods import month_bounds, month_of
from monitor.domain.usage import utc_day
from monitor.storage import rollup
from monitor.storage.engine import Database


def ask_daily(database: Database, now: int) -> int:
    """Mark the present month's unpriced days for a new roll-up; returns how many there are."""
    today = str(utc_day(now))
    with database.write() as conn:
        done = conn.scalar(text("SELECT value FROM meta WHERE key = 'repriced_on'"))
        if done == today:
            return 0
        conn.execute(
            text(
                "INSERT INTO meta (key, value) VALUES ('repriced_on', :v)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            {"v": today},
        )
        return rollup.mark_unpriced(conn, month_bounds(month_of(now))[0])
