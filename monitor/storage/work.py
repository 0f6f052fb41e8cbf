"""Work is rows: a stream to read, a run to carry out, a message to send.

Whoever claims a row by compare-and-set does the work; the claim expires, so that a crashed worker
delays it and never loses it. The claim's token stands in the WHERE of the closing update: a worker
that was too slow cannot overwrite the one that took over.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping, text

from monitor.domain.errors import DatabaseBusy
from monitor.storage import tables


class Claim(NamedTuple):
    """A row that is ours until `until`."""

    kind: str
    key: Any
    token: str
    until: int
    row: RowMapping


class _Kind(NamedTuple):
    table: str
    key: str
    ready: str
    order: str


# A report is named by its run key without the period and the edition, such as `2026-W47/1`.
_SAME_REPORT = (
    "(run.kind NOT IN ('weekly', 'monthly') OR SUBSTR(r.run_key, 1, LENGTH(r.run_key) - 10)"
    " = SUBSTR(run.run_key, 1, LENGTH(run.run_key) - 10))"
)

# A run waits for earlier ones of its kind, a report for those to the same readers, and all reports
# for the decisions before them: hysteresis and alert states depend on the order of days. A
# correction waits for its own data only.
_KINDS = {
    "stream": _Kind("stream", "id", "next_at <= :now", "next_at, id"),
    "run": _Kind(
        "run",
        "run_key",
        "state = 'due' AND next_at <= :now AND NOT EXISTS (SELECT 1 FROM run r"
        " WHERE r.state = 'due' AND ((r.kind = run.kind AND run.kind <> 'correct'"
        f" AND r.period_end < run.period_end AND {_SAME_REPORT})"
        " OR (r.kind = 'decide' AND run.kind <> 'decide' AND r.period_end <= run.due_at)))",
        "due_at, run_key",
    ),
    "outbox": _Kind("outbox", "id", "state = 'pending' AND next_at <= :now", "next_at, id"),
}


_OF_SOURCE = " AND source_id = (SELECT id FROM source WHERE name = :source)"
_OF_CHANNEL = " AND channel = :channel"


def claim(
    conn: Connection,
    kind: str,
    now: int,
    ttl: int,
    source: str | None = None,
    channel: str | None = None,
    stream: str | None = None,
) -> Claim | None:
    """Take the next row that is ready, or None.

    Of streams those of one source, of messages those of one channel, where it is named; a stream
    that is named itself is ready at any time.
    """
    spec = _KINDS[kind]
    only = (_OF_SOURCE if source else "") + (_OF_CHANNEL if channel else "")
    ready = "name = :stream" if stream else spec.ready
    asked = {"now": now, "source": source, "channel": channel, "stream": stream}
    skip = " FOR UPDATE SKIP LOCKED" if conn.dialect.name == "postgresql" else ""
    row = (
        conn.execute(
            text(
                f"SELECT * FROM {spec.table} WHERE {ready}{only}"
                f" AND (claim IS NULL OR claim_until <= :now) ORDER BY {spec.order} LIMIT 1{skip}"
            ),
            {name: value for name, value in asked.items() if value is not None},
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    token = uuid.uuid4().hex
    taken = conn.execute(
        text(
            f"UPDATE {spec.table} SET claim = :token, claim_until = :until"
            f" WHERE {spec.key} = :key AND (claim IS NULL OR claim_until <= :now)"
        ),
        {"token": token, "until": now + ttl, "key": row[spec.key], "now": now},
    )
    return Claim(kind, row[spec.key], token, now + ttl, row) if taken.rowcount == 1 else None


def finish(conn: Connection, done: Claim, **values: Any) -> None:
    """Write the outcome and give the row back.

    Raises:
        DatabaseBusy: the claim expired and another worker took the row; nothing is written.
    """
    spec = _KINDS[done.kind]
    sets = "".join(f", {name} = :{name}" for name in values)
    updated = conn.execute(
        text(
            f"UPDATE {spec.table} SET claim = NULL, claim_until = NULL{sets}"
            f" WHERE {spec.key} = :key_ AND claim = :token_"
        ),
        {**values, "key_": done.key, "token_": done.token},
    )
    if updated.rowcount != 1:
        raise _lost(spec, done)


def hold(conn: Connection, held: Claim, until: int | None = None) -> None:
    """Make sure, in the transaction that writes a part of the work, that the row is still ours.

    Args:
        conn: that transaction.
        held: the row.
        until: what is left of the work takes so long, in epoch seconds.

    Raises:
        DatabaseBusy: the claim expired and another worker took the row.
    """
    spec = _KINDS[held.kind]
    ours = text(f"UPDATE {spec.table} SET claim_until = :u WHERE {spec.key} = :k AND claim = :t")
    until = max(held.until, until or 0)
    if conn.execute(ours, {"k": held.key, "t": held.token, "u": until}).rowcount != 1:
        raise _lost(spec, held)


def _lost(spec: _Kind, held: Claim) -> DatabaseBusy:
    return DatabaseBusy(
        f"the claim on {spec.table} {held.key} expired and another worker took it",
        "Raise daemon.claim_minutes if this happens often.",
    )


def forget_claims(conn: Connection) -> None:
    """Give every row back: whoever held one is known to be gone."""
    for spec in _KINDS.values():
        conn.execute(text(f"UPDATE {spec.table} SET claim = NULL WHERE claim IS NOT NULL"))


class Planned(NamedTuple):
    """Something that must happen once."""

    run_key: str
    kind: str
    period_start: int
    period_end: int
    due_at: int
    state: str = "due"


def plan(conn: Connection, runs: Sequence[Planned], now: int, rules_hash: str = "") -> int:
    """Add the runs that are not known yet; returns how many were new."""
    added = 0
    for run in runs:
        added += conn.execute(
            text(
                "INSERT INTO run (run_key, kind, period_start, period_end, due_at,"
                " added_at, state, rules_hash) VALUES (:run_key, :kind, :period_start,"
                " :period_end, :due_at, :now, :state, :rules_hash) ON CONFLICT DO NOTHING"
            ),
            {**run._asdict(), "now": now, "rules_hash": rules_hash},
        ).rowcount
    return added


def run_states(conn: Connection, kind: str) -> dict[str, str]:
    """The state of every run of a kind, by run key."""
    rows = conn.execute(text("SELECT run_key, state FROM run WHERE kind = :k"), {"k": kind})
    return {row[0]: row[1] for row in rows}


def decided_at(conn: Connection, first: int, end: int) -> dict[int, int]:
    """The end of each day that was decided -> when, for days that begin in [first, end)."""
    rows = conn.execute(
        text(
            "SELECT period_end, finished_at FROM run WHERE kind = 'decide'"
            " AND state IN ('done', 'skipped') AND finished_at IS NOT NULL"
            " AND period_start >= :first AND period_start < :end"
        ),
        {"first": first, "end": end},
    )
    return {row[0]: row[1] for row in rows}


def unsent(conn: Connection, report: str, kind: str, start: int) -> list[str]:
    """The periods that were skipped after the last one before `start` that was not, oldest first.

    Of a report and kind; `start` is where the asking report's period begins.
    """
    rows = conn.execute(
        text(
            "SELECT run_key, state FROM run WHERE kind = :kind AND period_end <= :start"
            " ORDER BY period_start DESC"
        ),
        {"kind": kind, "start": start},
    )
    found: list[str] = []
    for key, state in rows:
        of, _, period, edition = key.rsplit("/", 3)
        if of != report or edition != "1":
            continue
        if state != "skipped":
            break
        found.append(period)
    return found[::-1]


def told(conn: Connection, run_key: str) -> tuple[str, int] | None:
    """What a report that is done remembers of its head, as JSON, and when it was done."""
    row = conn.execute(
        text("SELECT told, finished_at FROM run WHERE run_key = :k AND state = 'done'"),
        {"k": run_key},
    ).first()
    return (row[0], row[1]) if row else None


def closed_at(conn: Connection, month: str) -> int | None:
    """When a month was closed: its rates do not move after that. None: it is open.

    The newest edition counts: `close/2026-10/2` is of a month that was reopened once.
    """
    found: int | None = conn.scalar(
        text(
            "SELECT MAX(finished_at) FROM run WHERE state = 'done'"
            " AND (run_key = :k OR run_key LIKE :editions)"
        ),
        {"k": f"close/{month}", "editions": f"close/{month}/%"},
    )
    return found


def close_again(conn: Connection, month: str, now: int) -> str:
    """A further edition of a closing that was done, done now; returns its run key."""
    first = f"close/{month}"
    editions = text("SELECT COUNT(*) FROM run WHERE run_key = :k OR run_key LIKE :e")
    done = conn.scalar(editions, {"k": first, "e": f"{first}/%"}) or 0
    key = f"{first}/{done + 1}"
    conn.execute(
        text(
            "INSERT INTO run (run_key, kind, period_start, period_end, due_at, added_at, state,"
            " finished_at, rules_hash) SELECT :key, kind, period_start, period_end, due_at, :now,"
            " 'done', :now, rules_hash FROM run WHERE run_key = :k"
        ),
        {"key": key, "k": first, "now": now},
    )
    return key


class Message(NamedTuple):
    """A rendered message for one recipient, stored before it is sent."""

    dedup_key: str
    kind: str
    channel: str
    recipient: str
    subject: str
    message_id: str
    message: bytes


def post(conn: Connection, messages: Sequence[Message], now: int) -> int:
    """Put messages into the outbox, each dedup key once; returns how many were new."""
    added = 0
    for message in messages:
        added += conn.execute(
            text(
                "INSERT INTO outbox (dedup_key, kind, channel, recipient, subject, message_id,"
                " message, state, next_at, created_at) VALUES (:dedup_key, :kind, :channel,"
                " :recipient, :subject, :message_id, :message, 'pending', :now, :now)"
                " ON CONFLICT DO NOTHING"
            ),
            {**message._asdict(), "now": now},
        ).rowcount
    return added


def outbox(conn: Connection, state: str | None = None) -> list[RowMapping]:
    """Messages without their bytes, newest first."""
    where = "WHERE state = :s" if state else ""
    rows = conn.execute(text(f"SELECT * FROM v_messages {where} ORDER BY id DESC"), {"s": state})
    return list(rows.mappings())


def set_outbox(conn: Connection, message: int, state: str, now: int) -> bool:
    """Send a dead or dropped message again (`pending`), or drop one that was not sent."""
    rows = tables.outbox
    free = sa.or_(rows.c.claim.is_(None), rows.c.claim_until <= now)
    values: dict[str, object] = {"state": state, "next_at": now, "attempts": 0, "claim": None}
    if state == "pending":
        # The time after which it is given up starts again.
        values["created_at"] = now
    changed = conn.execute(
        rows.update().where(rows.c.id == message, rows.c.state != "sent", free).values(values)
    )
    return changed.rowcount == 1


class Dead(NamedTuple):
    """What was given up after its last try."""

    runs: int
    messages: int
    first: str
    """The oldest run, else message, with its error; '' if there is none."""


LEFT_WITHOUT = "left without "
"""Begins the error of a report that was sent although a part of it could not be made."""


def left_without(conn: Connection, since: int) -> list[str]:
    """Reports sent without a part since an epoch second, the newest first, each with the cause."""
    rows = conn.execute(
        text(
            "SELECT run_key, error FROM run WHERE state = 'done' AND finished_at >= :since"
            " AND error LIKE :begins ORDER BY finished_at DESC, run_key"
        ),
        {"since": since, "begins": f"{LEFT_WITHOUT}%"},
    )
    return [f"{key} {error}" for key, error in rows]


def dead(conn: Connection) -> Dead:
    """The runs and messages that were given up and wait for a person."""
    runs = conn.execute(
        text("SELECT run_key, error FROM run WHERE state = 'dead' ORDER BY due_at, run_key")
    ).all()
    messages = conn.execute(
        text("SELECT id, last_text FROM outbox WHERE state = 'dead' ORDER BY id")
    ).all()
    named = [f"{key}: {error}" for key, error in runs]
    named += [f"message {number}: {said}" for number, said in messages]
    return Dead(len(runs), len(messages), named[0] if named else "")


def waiting_channels(conn: Connection, now: int) -> list[str]:
    """The channels that messages are due for."""
    return list(
        conn.scalars(
            text(
                "SELECT DISTINCT channel FROM outbox WHERE state = 'pending' AND next_at <= :now"
                " ORDER BY channel"
            ),
            {"now": now},
        )
    )


def hold_outbox(conn: Connection, channel: str, until: int) -> None:
    """Let a whole channel wait: its settings are wrong, and no message is to blame."""
    conn.execute(
        text(
            "UPDATE outbox SET next_at = :t WHERE channel = :c AND state = 'pending'"
            " AND next_at < :t"
        ),
        {"t": until, "c": channel},
    )


def runs(conn: Connection, state: str | None = None) -> list[RowMapping]:
    """What must happen once, newest due first."""
    where = "WHERE state = :s" if state else ""
    rows = conn.execute(
        text(f"SELECT * FROM v_runs {where} ORDER BY due_at DESC, run_key"), {"s": state}
    )
    return list(rows.mappings())


def set_run(conn: Connection, run_key: str, now: int) -> bool:
    """Let a run that was given up, or that waits for its next try, be tried now.

    False: there is none of this key, it is done or skipped, or a worker has it.
    """
    changed = conn.execute(
        text(
            "UPDATE run SET state = 'due', attempts = 0, next_at = :n, claim = NULL"
            " WHERE run_key = :k AND state IN ('dead', 'due')"
            " AND (claim IS NULL OR claim_until <= :n)"
        ),
        {"k": run_key, "n": now},
    )
    return changed.rowcount == 1


def sign_of_life(conn: Connection, now: int) -> None:
    """Write that a daemon lives: proves that the database can be written."""
    conn.execute(
        text(
            "INSERT INTO meta (key, value) VALUES ('alive_at', :n)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"n": str(now)},
    )
