"""From a rendered report to stored messages: one for each recipient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email import message_from_bytes
from typing import NamedTuple

from monitor.storage.work import Message
from reports import render
from reports.model import Rendered


class Envelope(NamedTuple):
    """Who writes to whom, and through which channel."""

    sender: str
    domain: str
    recipients: Sequence[str]
    channel: str = "smtp"


def addressed(
    rendered: Rendered, envelope: Envelope, kind: str, dedup_key: str, date: datetime
) -> list[Message]:
    """The message for each recipient, as the bytes that will be sent, now and on any repeat."""
    return [_one(rendered, envelope, to, kind, dedup_key, date) for to in envelope.recipients]


def _one(
    rendered: Rendered, envelope: Envelope, to: str, kind: str, dedup_key: str, date: datetime
) -> Message:
    raw = render.message(
        sender=envelope.sender,
        recipient=to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        images=rendered.images,
        attachments=rendered.attachments,
        date=date,
        dedup_key=dedup_key,
        domain=envelope.domain,
    )
    identity = str(message_from_bytes(raw)["Message-ID"])
    return Message(f"{dedup_key}/{to}", kind, envelope.channel, to, rendered.subject, identity, raw)
