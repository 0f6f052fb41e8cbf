"""From a rendered report to stored messages: one for each recipient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email import message_from_bytes
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain import address, links
from monitor.domain.links import Place
from monitor.storage import people
from monitor.storage.work import Message
from reports import render
from reports.model import Rendered


class Envelope(NamedTuple):
    """Who writes to whom, and through which channel."""

    sender: str
    domain: str
    recipients: Sequence[str]
    channel: str = "smtp"
    place: Place = Place()
    """Where links lead to; without a secret there are none: `signing` fills it in."""
    report: str = ""
    """What a reader may leave, by a link in the message's head; empty: nothing."""


def signing(conn: Connection, envelope: Envelope) -> Envelope:
    """The envelope with the secret that the database has, where the configuration names none."""
    if not envelope.place.url or envelope.place.secret:
        return envelope
    return envelope._replace(place=envelope.place._replace(secret=people.link_secret(conn)))


def without_leavers(conn: Connection, envelope: Envelope) -> Envelope:
    """The envelope with those recipients alone who did not leave its report."""
    stay = [to for to in envelope.recipients if not people.left(conn, _plain(to), envelope.report)]
    return envelope._replace(recipients=stay)


def _plain(recipient: str) -> str:
    return address.split(recipient)[1] or recipient


def addressed(
    rendered: Rendered, envelope: Envelope, kind: str, dedup_key: str, date: datetime
) -> list[Message]:
    """The message for each recipient, as the bytes that will be sent, now and on any repeat."""
    return [_one(rendered, envelope, to, kind, dedup_key, date) for to in envelope.recipients]


def _one(
    rendered: Rendered, envelope: Envelope, to: str, kind: str, dedup_key: str, date: datetime
) -> Message:
    leave = ""
    if envelope.report:
        url, secret, _ = envelope.place
        at = int(date.timestamp())
        leave = links.unsubscribe(url, secret, _plain(to), envelope.report, at)
    text, html = render.with_leave(rendered.text, rendered.html, leave, rendered.style)
    raw = render.message(
        sender=envelope.sender,
        recipient=to,
        subject=rendered.subject,
        text=text,
        html=html,
        images=rendered.images,
        attachments=rendered.attachments,
        date=date,
        dedup_key=dedup_key,
        domain=envelope.domain,
        headers=links.unsubscribe_headers(leave),
    )
    identity = str(message_from_bytes(raw)["Message-ID"])
    return Message(f"{dedup_key}/{to}", kind, envelope.channel, to, rendered.subject, identity, raw)
