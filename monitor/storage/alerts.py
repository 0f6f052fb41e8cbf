"""Alert states and their transitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from monitor.domain.alerts import AlertState, State, Transition
from monitor.domain.silences import Window, suppressed
from monitor.storage import people


def load(conn: Connection, rule: str, subject: str) -> AlertState | None:
    """The state of an alert; None: never seen."""
    found: str | None = conn.scalar(
        text("SELECT state FROM alert WHERE rule = :r AND subject = :s"), {"r": rule, "s": subject}
    )
    if found is None:
        return None
    fields: dict[str, Any] = json.loads(found)
    fields |= {"name": State(fields["name"]), "edges": tuple(fields["edges"])}
    return AlertState(**fields)


def save(conn: Connection, rule: str, subject: str, state: AlertState, now: int) -> int:
    """Store the state; returns the alert's id."""
    conn.execute(
        text(
            "INSERT INTO alert (rule, subject, state, status, updated_at)"
            " VALUES (:rule, :subject, :state, :status, :now)"
            " ON CONFLICT (rule, subject, period) DO UPDATE SET state = excluded.state,"
            " status = excluded.status, updated_at = excluded.updated_at"
        ),
        {
            "rule": rule,
            "subject": subject,
            "state": json.dumps(state._asdict()),
            "status": str(state.name),
            "now": now,
        },
    )
    found = conn.scalar(
        text("SELECT id FROM alert WHERE rule = :r AND subject = :s"), {"r": rule, "s": subject}
    )
    assert found is not None
    return int(found)


def append(conn: Connection, alert_id: int, transition: Transition, reason: str) -> None:
    """Append a transition; its number makes it unique."""
    conn.execute(
        text(
            "INSERT INTO alert_transition (alert_id, seq, at, was, became, reason)"
            " VALUES (:a, :seq, :at, :was, :became, :reason)"
        ),
        {
            "a": alert_id,
            "seq": transition.seq,
            "at": transition.as_of,
            "was": str(transition.before),
            "became": str(transition.after),
            "reason": reason,
        },
    )


def silenced(
    conn: Connection, rule: str, subject: str, now: int, windows: Sequence[Window] = ()
) -> str:
    """Who asked for quiet about an alert and why, or what is planned; '' if nobody did.

    Args:
        conn: of any transaction.
        rule: its name, without the version.
        subject: what the alert is about.
        now: UTC epoch seconds.
        windows: planned maintenance of the configuration.
    """
    return suppressed(rule, subject, people.unended(conn, now), windows, now)
