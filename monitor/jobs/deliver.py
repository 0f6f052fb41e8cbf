"""Sending what is in the outbox: stored bytes, one recipient at a time.

Promise: never lost; repeated only after a crash between the server's acceptance and our mark, or
after a connection that broke in just that place, and then byte-identical.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping

from sqlalchemy import text

from monitor.domain.usage import DAY, HOUR
from monitor.ports import Channel, Delivery
from monitor.storage import work
from monitor.storage.engine import Database

log = logging.getLogger("crossover.deliver")

_FIRST_RETRY = 60
_LONGEST_RETRY = HOUR
_MISCONFIGURED_WAIT = 15 * 60
_GIVE_UP = {"alert": DAY, "report": 3 * DAY}
"""Seconds after which a message is dead: an old alert misleads, an old report still informs."""


def deliver_next(
    database: Database,
    channels: Mapping[str, Channel],
    now: int,
    claim_seconds: int,
    jitter: random.Random,
    name: str | None = None,
) -> Delivery | None:
    """Send the next message that is due; None: nothing is due. Holds no lock while it sends.

    With the `name` of a channel only its messages: one that hangs must not keep the others.
    """
    with database.write() as conn:
        claim = work.claim(conn, "outbox", now, claim_seconds, channel=name)
    if claim is None:
        return None
    channel = channels.get(claim.row["channel"])
    if channel is None:
        delivery = Delivery("misconfigured", "connect", None, "this channel is not configured")
    else:
        delivery = channel.send(claim.row["recipient"], bytes(claim.row["message"]))
    _mark(database, claim, delivery, now, jitter)
    return delivery


def _mark(
    database: Database, claim: work.Claim, delivery: Delivery, now: int, jitter: random.Random
) -> None:
    values: dict[str, object] = {
        "attempts": claim.row["attempts"] + 1,
        "last_phase": delivery.phase,
        "last_code": delivery.code,
        "last_text": delivery.text,
    }
    values |= _next(claim, delivery, now, jitter)
    with database.write() as conn:
        work.finish(conn, claim, **values)
        if delivery.outcome == "misconfigured":
            # The settings are wrong, not the message: the queue waits and nothing dies of it.
            work.hold_outbox(conn, claim.row["channel"], now + _MISCONFIGURED_WAIT)
    level = logging.INFO if delivery.outcome == "sent" else logging.WARNING
    log.log(
        level,
        "%s to %s: %s (%s)",
        claim.row["kind"],
        claim.row["recipient"],
        delivery.outcome,
        delivery.text,
        extra={"message_id": claim.row["message_id"], "phase": delivery.phase},
    )


def _next(
    claim: work.Claim, delivery: Delivery, now: int, jitter: random.Random
) -> dict[str, object]:
    if delivery.outcome == "sent":
        return {"state": "sent", "sent_at": now}
    if delivery.outcome == "permanent":
        return {"state": "dead"}
    if delivery.outcome == "misconfigured":
        return {"attempts": claim.row["attempts"], "next_at": now + _MISCONFIGURED_WAIT}
    if now - claim.row["created_at"] >= _GIVE_UP.get(claim.row["kind"], DAY):
        return {"state": "dead"}
    ceiling = min(_FIRST_RETRY * 2 ** min(claim.row["attempts"], 10), _LONGEST_RETRY)
    wait = max(1, round(jitter.uniform(0, ceiling)))
    again = {"ambiguous": claim.row["ambiguous"] + (delivery.outcome == "ambiguous")}
    return {"next_at": now + wait, **again}


def waiting(database: Database, now: int) -> int:
    """How many messages are due now."""
    with database.read() as conn:
        found = conn.scalar(
            text("SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND next_at <= :n"),
            {"n": now},
        )
    return int(found or 0)
