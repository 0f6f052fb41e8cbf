"""From notices to messages: what one target is told together, posted and marked as one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain import links
from monitor.domain.grouping import Rhythm, Waiting, leaving
from monitor.domain.notices import Group, Notice
from monitor.domain.routing import MAIL, Target
from monitor.jobs.mail import Envelope, addressed, signing
from monitor.jobs.recommendation import Enclosing, Enclosure, brings, first
from monitor.ports import Composer
from monitor.storage import alerts, work
from monitor.storage.engine import Database
from monitor.storage.work import Message
from reports import alert
from reports.language import Style
from reports.model import Rendered

log = logging.getLogger("crossover.notify")


class Telling(NamedTuple):
    """How alerts become messages."""

    organisation: str
    envelope: Envelope
    """Who writes, and where links lead to; recipients come from the routes."""
    composers: Mapping[str, Composer] = {}
    """Of channels besides mail, by their name."""
    rhythm: Rhythm = Rhythm()
    demo: bool = False
    style: Style = Style()
    """How mails speak and look."""
    enclosing: Enclosing | None = None
    """Makes what alerts about moving bring along; None: nothing."""


def tell(database: Database, telling: Telling, now: int) -> int:
    """Post what is due to each target; returns how many messages that made.

    Two daemons that do the same at once tell once: who marks the notices posts the message.
    """
    with database.read() as conn:
        waiting = alerts.waiting(conn)
    posted = 0
    enclosed: dict[str, Enclosure] = {}
    for target in waiting:
        try:
            if telling.enclosing:
                enclosed |= _prepare(database, target, telling, now, enclosed)
            with database.write() as conn:
                posted += _tell(conn, target, telling, now, enclosed)
        except Exception:
            # One that cannot be composed keeps no other target waiting.
            log.exception("the alerts for %s were not composed", target.recipient)
    if telling.enclosing and enclosed:
        telling.enclosing.report(database, enclosed, now)
    return posted


def _prepare(
    database: Database,
    target: Target,
    telling: Telling,
    now: int,
    known: Mapping[str, Enclosure],
) -> Mapping[str, Enclosure]:
    """Make what the target's next message brings along, before a transaction holds up who writes.

    What was made for another target is not made again.
    """
    if target.channel != MAIL or telling.enclosing is None:
        return {}
    try:
        with database.read() as conn:
            due = _leaving(conn, target, telling, now)
            alone = [ids for ids, kind in due.messages if kind == "alert"]
            told = [notice for ids in alone for _, notice in alerts.documents(conn, ids)]
            wanted = [notice for notice in first(told) if notice.subject not in known]
            return telling.enclosing.make(conn, wanted)
    except Exception:
        log.exception("the alerts for %s leave without what they bring along", target.recipient)
        return {}


def _leaving(conn: Connection, target: Target, telling: Telling, now: int) -> Due:
    """What of a target's notices leaves now."""
    waiting = alerts.waiting(conn).get(target, [])
    busy = telling.rhythm.group_seconds > 0 and alerts.is_busy(conn, now)
    return due_for(target, waiting, alerts.last_told(conn, target), telling, now, busy=busy)


def _tell(
    conn: Connection,
    target: Target,
    telling: Telling,
    now: int,
    enclosed: Mapping[str, Enclosure],
) -> int:
    due = _leaving(conn, target, telling, now)
    alerts.mark(conn, due.dropped, "dropped", None)
    return sum(_post(conn, target, ids, kind, telling, now, enclosed) for ids, kind in due.messages)


class Due(NamedTuple):
    """What leaves for one target; ids of notices."""

    messages: Sequence[tuple[tuple[int, ...], str]] = ()
    """Each with its kind, alert or digest."""
    dropped: tuple[int, ...] = ()


def due_for(
    target: Target,
    waiting: Sequence[Waiting],
    last_told: int | None,
    telling: Telling,
    now: int,
    *,
    busy: bool,
) -> Due:
    """Which notices leave for a target, and in which messages; see `grouping.leaving`."""
    composer, rhythm = telling.composers.get(target.channel), telling.rhythm
    if composer is None and target.channel != MAIL:
        # Its channel is not configured any more: the notices wait, and /healthz counts them.
        return Due()
    one_by_one = composer is not None and not composer.grouped
    if one_by_one:
        # The far side groups, keeps quiet hours and paces by itself.
        rhythm = Rhythm(group_seconds=0, gap_seconds=0, digest="daily", zone=rhythm.zone)
    due = leaving(waiting, last_told, now, rhythm, busy=busy and not one_by_one)
    messages = [
        (chosen, kind)
        for ids, kind in ((due.message, "alert"), (due.digest, "digest"))
        for chosen in ([(each,) for each in ids] if one_by_one else [ids] if ids else [])
    ]
    return Due(messages, due.dropped)


def _post(
    conn: Connection,
    target: Target,
    ids: Sequence[int],
    kind: str,
    telling: Telling,
    now: int,
    enclosed: Mapping[str, Enclosure],
) -> int:
    key = f"{kind}/{_hash(target, ids)}"
    if alerts.mark(conn, ids, "told", now, key) != len(ids):
        return 0
    group = Group(
        dedup_key=key,
        organisation=telling.organisation,
        notices=[_linked(conn, each, target, telling) for _, each in alerts.documents(conn, ids)],
        due_at=now,
        digest=kind == "digest",
        demo=telling.demo,
    )
    return work.post(conn, composed(group, target, telling, enclosed), now)


def composed(
    group: Group,
    target: Target,
    telling: Telling,
    enclosed: Mapping[str, Enclosure] | None = None,
) -> list[Message]:
    """The message of a group for one target, as the bytes that will be sent."""
    key = f"{group.dedup_key}/{target.recipient}"
    if target.channel == MAIL:
        envelope = telling.envelope._replace(recipients=[target.recipient], report="")
        date = datetime.fromtimestamp(group.due_at, UTC)
        return addressed(
            _mail(group, telling, enclosed or {}), envelope, "alert", group.dedup_key, date
        )
    body = telling.composers[target.channel].compose(group)
    return [Message(key, "alert", *target, alert.subject(group), key, body)]


def _mail(group: Group, telling: Telling, enclosed: Mapping[str, Enclosure]) -> Rendered:
    """The mail, with what its alerts bring along."""
    if group.digest or telling.enclosing is None:
        return alert.build(group, telling.style)
    files, brought = brings(group.notices, enclosed)
    return alert.build(group, telling.style, brought)._replace(attachments=files)


def _linked(conn: Connection, notice: Notice, target: Target, telling: Telling) -> Notice:
    """With links that act in the name of who gets them; other channels name the channel."""
    place = signing(conn, telling.envelope).place
    return notice._replace(
        links=links.of_notice(place.url, place.secret, notice, target.recipient, place.days)
    )


def _hash(target: Target, ids: Sequence[int]) -> str:
    """The same for the same notices, whoever composes them."""
    told = f"{target.channel}/{target.recipient}/{','.join(map(str, ids))}"
    return hashlib.sha256(told.encode()).hexdigest()[:24]
