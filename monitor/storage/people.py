"""What people answer: acknowledgements, silences, used links, who left which report."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, text

from monitor.domain import alert_keys
from monitor.domain.silences import Silence, Window, suppressed
from monitor.domain.usage import DAY

_SECRET = "link_secret"  # noqa: S105 - the name of a row
_KEEP_LINKS = 400 * DAY
"""Longer than any link works: one that is forgotten has expired."""

_FIRING = ("firing", "resolving")


def link_secret(conn: Connection) -> str:
    """What links are signed with where the configuration names nothing; '' before it was drawn."""
    found = conn.scalar(text("SELECT value FROM meta WHERE key = :k"), {"k": _SECRET})
    return str(found or "")


def draw_link_secret(conn: Connection) -> None:
    """Draw that secret, once for the life of the database."""
    conn.execute(
        text("INSERT INTO meta (key, value) VALUES (:k, :v) ON CONFLICT DO NOTHING"),
        {"k": _SECRET, "v": secrets.token_hex(32)},
    )


def use_link(conn: Connection, nonce: str, action: str, now: int) -> bool:
    """Mark a link as used; False: it was used before. Of two at once one wins."""
    conn.execute(text("DELETE FROM used_link WHERE used_at < :t"), {"t": now - _KEEP_LINKS})
    added = conn.execute(
        text(
            "INSERT INTO used_link (nonce, action, used_at) VALUES (:n, :a, :t)"
            " ON CONFLICT DO NOTHING"
        ),
        {"n": nonce, "a": action, "t": now},
    )
    return added.rowcount == 1


def link_used_at(conn: Connection, nonce: str) -> int | None:
    """When a link was used; None: never."""
    found: int | None = conn.scalar(
        text("SELECT used_at FROM used_link WHERE nonce = :n"), {"n": nonce}
    )
    return found


def silences(conn: Connection) -> list[Silence]:
    """Every silence, the last to end first."""
    rows = conn.execute(
        text(
            'SELECT id, kind, rule, subject, since, until, "by", why, ended_at FROM silence'
            " ORDER BY until DESC, id DESC"
        )
    )
    return [Silence(*row) for row in rows]


def unended(conn: Connection, now: int) -> list[Silence]:
    """Those that hold, or will."""
    rows = conn.execute(
        text(
            'SELECT id, kind, rule, subject, since, until, "by", why, ended_at FROM silence'
            " WHERE until > :n AND (ended_at IS NULL OR ended_at > :n) ORDER BY until DESC, id DESC"
        ),
        {"n": now},
    )
    return [Silence(*row) for row in rows]


def add_silence(conn: Connection, silence: Silence) -> int:
    """Store one; its id is given by the database."""
    found = conn.scalar(
        text(
            'INSERT INTO silence (kind, rule, subject, since, until, "by", why)'
            " VALUES (:kind, :rule, :subject, :since, :until, :by, :why) RETURNING id"
        ),
        silence._asdict(),
    )
    assert found is not None
    return int(found)


def end_silence(conn: Connection, number: int, now: int) -> bool:
    """End one before its time; False: there is none in force or ahead with this id."""
    ended = conn.execute(
        text("UPDATE silence SET ended_at = :n WHERE id = :id AND until > :n AND ended_at IS NULL"),
        {"id": number, "n": now},
    )
    return ended.rowcount == 1


class Alert(NamedTuple):
    """An alert as people see it."""

    id: int
    key: str
    rule: str
    """Its name, without the version."""
    subject: str
    period: str
    severity: str
    workload: str
    status: str
    since: int | None
    said: str
    """What it says, as JSON; `{}` if it said nothing yet."""
    acknowledged_at: int | None
    acknowledged_by: str
    acknowledged_why: str
    updated_at: int

    @property
    def firing(self) -> bool:
        """Whether it stands, be it that it is about to end."""
        return self.status in _FIRING

    @property
    def acknowledged(self) -> bool:
        """Whether somebody took it up since it began; what ended and came back is open again."""
        return self.acknowledged_at is not None and self.acknowledged_at >= (self.since or 0)


_ALERT = (
    "SELECT id, rule, subject, period, severity, workload, status, since, said, acknowledged_at,"
    " acknowledged_by, acknowledged_why, updated_at FROM alert"
)


def alerts(conn: Connection) -> list[Alert]:
    """Every alert that was ever seen, the one that changed last first."""
    rows = conn.execute(text(f"{_ALERT} ORDER BY updated_at DESC, id DESC"))
    return [_alert(row) for row in rows.mappings()]


def alert(conn: Connection, name: str) -> Alert | None:
    """The alert of a key or of an id; None: there is none."""
    if name.isascii() and name.isdigit() and len(name) < 19:
        where, values = "id = :id", dict[str, object](id=int(name))
    elif key := alert_keys.parse(name):
        where = "rule = :r AND subject = :s AND period = :p"
        values = {"r": key.stored, "s": key.subject, "p": key.period}
    else:
        return None
    row = conn.execute(text(f"{_ALERT} WHERE {where}"), values).mappings().first()
    return _alert(row) if row else None


def _alert(row: RowMapping) -> Alert:
    key = alert_keys.of_row(row["rule"], row["subject"], row["period"])
    return Alert(**{**row, "key": str(key), "rule": key.rule})


def transitions(conn: Connection, alert_id: int) -> list[RowMapping]:
    """What became of an alert, oldest first."""
    rows = conn.execute(
        text(
            "SELECT seq, at, was, became, reason FROM alert_transition WHERE alert_id = :a"
            " ORDER BY seq"
        ),
        {"a": alert_id},
    )
    return list(rows.mappings())


def told(conn: Connection, alert_id: int) -> list[RowMapping]:
    """Who was told of an alert, or is to be, oldest first."""
    rows = conn.execute(
        text(
            "SELECT seq, edge, channel, recipient, state, due_at, told_at FROM notice"
            " WHERE alert_id = :a ORDER BY seq, id"
        ),
        {"a": alert_id},
    )
    return list(rows.mappings())


def acknowledge(conn: Connection, alert_id: int, by: str, why: str, now: int) -> bool:
    """Take an alert up; False: it does not stand."""
    done = conn.execute(
        text(
            "UPDATE alert SET acknowledged_at = :n, acknowledged_by = :b, acknowledged_why = :w"
            " WHERE id = :a AND status IN ('firing', 'resolving')"
        ),
        {"a": alert_id, "b": by, "w": why, "n": now},
    )
    return done.rowcount == 1


def unsubscribe(conn: Connection, recipient: str, report: str, now: int) -> bool:
    """Let a recipient leave a report; False: that was done before."""
    added = conn.execute(
        text(
            "INSERT INTO unsubscribed (recipient, report, at) VALUES (:r, :p, :n)"
            " ON CONFLICT DO NOTHING"
        ),
        {"r": recipient, "p": report, "n": now},
    )
    return added.rowcount == 1


def subscribe(conn: Connection, recipient: str, report: str) -> bool:
    """Let a recipient have a report again; False: nothing was in the way."""
    gone = conn.execute(
        text("DELETE FROM unsubscribed WHERE recipient = :r AND report = :p"),
        {"r": recipient, "p": report},
    )
    return gone.rowcount == 1


def unsubscribed(conn: Connection) -> list[RowMapping]:
    """Who left which report and when, the last first."""
    rows = conn.execute(
        text("SELECT recipient, report, at FROM unsubscribed ORDER BY at DESC, recipient, report")
    )
    return list(rows.mappings())


def left(conn: Connection, recipient: str, report: str) -> bool:
    """Whether a recipient left a report."""
    found = conn.scalar(
        text("SELECT 1 FROM unsubscribed WHERE recipient = :r AND report = :p"),
        {"r": recipient, "p": report},
    )
    return found is not None


class Standing(NamedTuple):
    """How many alerts stand and wait, for whoever operates this."""

    firing: int
    silenced: int
    """Of these, those about which somebody asked for quiet."""
    waiting: int
    """Notices that no message took along yet."""


def standing(conn: Connection, windows: Sequence[Window], now: int) -> Standing:
    """Count what stands."""
    rows = conn.execute(
        text("SELECT rule, subject FROM alert WHERE status IN ('firing', 'resolving')")
    ).all()
    quiet = unended(conn, now)
    silenced = sum(
        bool(suppressed(alert_keys.of_row(rule, subject, "").rule, subject, quiet, windows, now))
        for rule, subject in rows
    )
    waiting = conn.scalar(text("SELECT COUNT(*) FROM notice WHERE state = 'waiting'"))
    return Standing(len(rows), silenced, int(waiting or 0))
