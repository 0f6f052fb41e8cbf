"""Alert states, their transitions, and the notices that edges leave for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, text

from monitor.domain.alert_keys import Key
from monitor.domain.alerts import AlertState, State, Transition
from monitor.domain.grouping import Waiting
from monitor.domain.notices import Notice, Severity, from_json, to_json
from monitor.domain.routing import Target
from monitor.domain.silences import Window, suppressed
from monitor.storage import people, tables

_FIRING = ("firing", "resolving")


class Stored(NamedTuple):
    """An alert's row as the machine needs it."""

    id: int
    state: AlertState
    since: int | None
    acknowledged: bool
    """Since it began to fire."""


class Kept(NamedTuple):
    """What stands beside an alert's state."""

    severity: Severity
    workload: str
    since: int | None
    """When it began to fire, `as_of`."""
    said: str
    """As `said_to_json` writes it."""


class Open(NamedTuple):
    """An alert that is not at rest."""

    id: int
    rule: str
    """With its version."""
    subject: str
    period: str
    state: AlertState


def load(conn: Connection, key: Key) -> Stored | None:
    """The state of an alert; None: never seen."""
    row = (
        conn.execute(
            text(
                "SELECT id, state, since, acknowledged_at FROM alert"
                " WHERE rule = :r AND subject = :s AND period = :p"
            ),
            {"r": key.stored, "s": key.subject, "p": key.period},
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    taken_up = row["acknowledged_at"]
    acknowledged = taken_up is not None and taken_up >= (row["since"] or 0)
    return Stored(row["id"], _state(row["state"]), row["since"], acknowledged)


def _state(stored: str) -> AlertState:
    fields: dict[str, Any] = json.loads(stored)
    fields |= {"name": State(fields["name"]), "edges": tuple(fields["edges"])}
    if isinstance(fields["told"], bool):
        # As it was stored before notices could go to a digest.
        fields["told"] = "aloud" if fields["told"] else ""
    return AlertState(**fields)


def save(
    conn: Connection,
    key: Key,
    state: AlertState,
    now: int,
    *,
    severity: Severity = "warning",
    workload: str = "",
    since: int | None = None,
    said: str = "{}",
) -> int:
    """Store the state and what is said of it now; returns the alert's id."""
    found = conn.scalar(
        text(
            "INSERT INTO alert (rule, subject, period, severity, workload, state, status, since,"
            " said, updated_at) VALUES (:rule, :subject, :period, :severity, :workload, :state,"
            " :status, :since, :said, :now) ON CONFLICT (rule, subject, period) DO UPDATE SET"
            " severity = excluded.severity, workload = excluded.workload, state = excluded.state,"
            " status = excluded.status, since = excluded.since, said = excluded.said,"
            " updated_at = excluded.updated_at RETURNING id"
        ),
        {
            "rule": key.stored,
            "subject": key.subject,
            "period": key.period,
            "severity": severity,
            "workload": workload,
            "state": json.dumps(state._asdict()),
            "status": str(state.name),
            "since": since,
            "said": said,
            "now": now,
        },
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


def unfinished(conn: Connection) -> list[Open]:
    """Every alert that fires or is about to."""
    rows = conn.execute(
        text(
            "SELECT id, rule, subject, period, state FROM alert"
            " WHERE status IN ('pending', 'firing', 'resolving') ORDER BY id"
        )
    )
    return [Open(row[0], row[1], row[2], row[3], _state(row[4])) for row in rows]


def over(state: AlertState) -> AlertState:
    """The state of an alert that is not observed any more."""
    return state._replace(name=State.RESOLVED, seq=state.seq + 1, marks="", told="", owed=False)


def end(conn: Connection, alert: Open, as_of: int, now: int, reason: str) -> None:
    """End an alert without a message: it is not observed any more."""
    ended = over(alert.state)
    conn.execute(
        text(
            "UPDATE alert SET state = :state, status = 'resolved', updated_at = :n WHERE id = :id"
        ),
        {"state": json.dumps(ended._asdict()), "n": now, "id": alert.id},
    )
    append(
        conn,
        alert.id,
        Transition(ended.seq, alert.state.name, State.RESOLVED, as_of, now),
        reason,
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


# --- notices ---------------------------------------------------------------------------------


def put_notices(
    conn: Connection,
    alert_id: int,
    seq: int,
    notice: Notice,
    targets: Sequence[Target],
    now: int,
    *,
    digest: bool,
) -> None:
    """What an edge has to say to each target, once."""
    for target in targets:
        conn.execute(
            text(
                "INSERT INTO notice (alert_id, seq, edge, channel, recipient, severity, document,"
                " state, made_at, due_at) VALUES (:alert, :seq, :edge, :channel, :recipient,"
                " :severity, :document, :state, :now, :now) ON CONFLICT DO NOTHING"
            ),
            {
                **target._asdict(),
                "alert": alert_id,
                "seq": seq,
                "edge": notice.edge,
                "severity": notice.severity,
                "document": to_json(notice),
                "state": "digest" if digest else "waiting",
                "now": now,
            },
        )


def told_of(conn: Connection, alert_id: int) -> list[Target]:
    """Who heard, or is to hear, that an alert fires, since it was last over."""
    rows = conn.execute(
        text(
            "SELECT DISTINCT channel, recipient FROM notice WHERE alert_id = :a"
            " AND edge IN ('firing', 'unstable') AND state <> 'dropped' AND seq > COALESCE("
            " (SELECT MAX(seq) FROM alert_transition WHERE alert_id = :a AND became = 'resolved'"
            "  AND seq < (SELECT MAX(seq) FROM alert_transition WHERE alert_id = :a)), 0)"
            " ORDER BY channel, recipient"
        ),
        {"a": alert_id},
    )
    return [Target(*row) for row in rows]


def waiting(conn: Connection) -> dict[Target, list[Waiting]]:
    """Every notice that no message took along yet, by target."""
    rows = conn.execute(
        text(
            "SELECT channel, recipient, id, alert_id, seq, edge, severity, made_at, state"
            " FROM notice WHERE state IN ('waiting', 'digest') ORDER BY channel, recipient, id"
        )
    )
    found: dict[Target, list[Waiting]] = {}
    for row in rows.mappings():
        fields = {name: row[name] for name in Waiting._fields if name != "digest"}
        target = Target(row["channel"], row["recipient"])
        each = Waiting(**fields, digest=row["state"] == "digest")
        found.setdefault(target, []).append(each)
    return found


def last_told(conn: Connection, target: Target) -> int | None:
    """When the last message, not a digest, was composed for a target."""
    found: int | None = conn.scalar(
        text(
            "SELECT MAX(told_at) FROM notice WHERE channel = :channel AND recipient = :recipient"
            " AND dedup_key NOT LIKE 'digest/%'"
        ),
        target._asdict(),
    )
    return found


def documents(conn: Connection, ids: Sequence[int]) -> list[tuple[int, Notice]]:
    """The notices of these ids, by their order."""
    rows = tables.notice
    found = conn.execute(
        sa.select(rows.c.id, rows.c.document).where(rows.c.id.in_(ids)).order_by(rows.c.id)
    )
    return [(row[0], from_json(row[1])) for row in found]


def mark(
    conn: Connection, ids: Sequence[int], state: str, now: int | None, dedup_key: str = ""
) -> int:
    """Set notices that wait to `told` or `dropped`; returns how many still waited."""
    rows = tables.notice
    changed = conn.execute(
        rows.update()
        .where(rows.c.id.in_(ids), rows.c.state.in_(("waiting", "digest")))
        .values(state=state, told_at=now, dedup_key=dedup_key)
    )
    return changed.rowcount


def is_busy(conn: Connection, now: int) -> bool:
    """Whether a round of assessments that is due is not through yet."""
    found = conn.scalar(
        text(
            "SELECT 1 FROM run WHERE kind IN ('decide', 'watch', 'health') AND state = 'due'"
            " AND due_at <= :n LIMIT 1"
        ),
        {"n": now},
    )
    return found is not None


class Rows:
    """The alerts of the database, as what raises signals asks for them."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def load(self, key: Key) -> Stored | None:
        """See `load`."""
        return load(self._conn, key)

    def save(self, key: Key, state: AlertState, now: int, kept: Kept) -> int:
        """See `save`."""
        return save(self._conn, key, state, now, **kept._asdict())

    def append(self, alert_id: int, transition: Transition, reason: str) -> None:
        """See `append`."""
        append(self._conn, alert_id, transition, reason)

    def unfinished(self) -> Sequence[Open]:
        """See `unfinished`."""
        return unfinished(self._conn)

    def end(self, alert: Open, as_of: int, now: int, reason: str) -> None:
        """See `end`."""
        end(self._conn, alert, as_of, now, reason)

    def silenced(self, rule: str, subject: str, now: int, windows: Sequence[Window]) -> str:
        """See `silenced`."""
        return silenced(self._conn, rule, subject, now, windows)

    def told_of(self, alert_id: int) -> Sequence[Target]:
        """See `told_of`."""
        return told_of(self._conn, alert_id)

    def put_notices(
        self,
        alert_id: int,
        seq: int,
        notice: Notice,
        targets: Sequence[Target],
        now: int,
        *,
        digest: bool,
    ) -> None:
        """See `put_notices`."""
        put_notices(self._conn, alert_id, seq, notice, targets, now, digest=digest)
