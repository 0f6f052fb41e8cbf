"""What the rules about the daemon's own work are told, read from stored rows."""

from __future__ import annotations

import json
from typing import cast

from sqlalchemy import Connection, text

from monitor.domain.periods import Kind, day_of, read_run_key, run_key
from monitor.domain.usage import DAY
from monitor.domain.watch_health import STUCK, Decided, Expiring, Incomplete, Waiting

_REPORTS = "('weekly', 'monthly')"
_TOLD_FOR = 14 * DAY
"""A report that is older is not read any more."""
_LATE = "did not close the day"
"""Ends the note on what late data left out."""


def waiting(conn: Connection, as_of: int) -> Waiting:
    """Messages that wait for longer than they should."""
    rows = conn.execute(
        text(
            "SELECT channel, created_at, last_text FROM outbox WHERE state = 'pending'"
            " AND created_at <= :t ORDER BY created_at, id"
        ),
        {"t": as_of - STUCK},
    ).all()
    channels = sorted({row.channel for row in rows})
    oldest, said = (rows[0].created_at, rows[0].last_text) if rows else (0, "")
    return Waiting(len(rows), channels, oldest, said)


def incomplete(conn: Connection, as_of: int) -> list[Incomplete]:
    """The reports of the last two weeks that left without data, by run key."""
    rows = conn.execute(
        text(
            f"SELECT run_key, told FROM run WHERE kind IN {_REPORTS} AND state = 'done'"
            " AND finished_at > :since AND finished_at <= :t ORDER BY run_key"
        ),
        {"since": as_of - _TOLD_FOR, "t": as_of},
    ).all()
    lacking = {row.run_key: json.loads(row.told).get("missing", []) for row in rows}
    return [Incomplete(key, lacks, _mended(conn, key)) for key, lacks in lacking.items() if lacks]


def _mended(conn: Connection, key: str) -> bool:
    read = read_run_key(key)
    following = run_key(read.report, cast("Kind", read.kind), read.period, read.edition + 1)
    found = text("SELECT 1 FROM run WHERE run_key = :k AND state = 'done'")
    return conn.scalar(found, {"k": following}) is not None


def decided(conn: Connection, as_of: int) -> Decided | None:
    """The newest decision that was made and what failed in it; None: none was made."""
    row = conn.execute(
        text(
            "SELECT period_start, error FROM run WHERE kind = 'decide' AND finished_at <= :t"
            " ORDER BY period_end DESC LIMIT 1"
        ),
        {"t": as_of},
    ).first()
    if row is None:
        return None
    notes = [note for note in row.error.split("; ") if note and not note.endswith(_LATE)]
    return Decided(day_of(row.period_start), notes)


def contracts(conn: Connection) -> list[Expiring]:
    """The newest contract of each account and when it ends; one without an end is left out."""
    rows = conn.execute(
        text(
            "SELECT a.name, c.valid_to FROM contract c JOIN account a ON a.id = c.account_id"
            " WHERE c.valid_to IS NOT NULL AND NOT EXISTS (SELECT 1 FROM contract n"
            " WHERE n.account_id = c.account_id AND (n.valid_to IS NULL"
            " OR n.valid_to > c.valid_to)) ORDER BY a.name"
        )
    )
    return [Expiring(f"with {name}", "contract", end) for name, end in rows]
