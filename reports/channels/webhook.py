"""A signed JSON document for a program of the reader's own; docs/alerts.md documents both."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from monitor.domain.notices import Group, Notice
from monitor.ports import Delivery, Post
from reports.channels.answers import deliver
from reports.channels.wording import instant

GROUPED = True
VERSION = 1


def compose(group: Group) -> bytes:
    """The document as it is stored and sent."""
    return _bytes(
        {
            "version": VERSION,
            "id": group.dedup_key,
            "organisation": group.organisation,
            "due_at": instant(group.due_at),
            "digest": group.digest,
            "demo": group.demo,
            "alerts": [_alert(notice) for notice in group.notices],
        }
    )


def _alert(notice: Notice) -> dict[str, Any]:
    said = notice.said
    usd = None if said.usd_per_month is None else str(said.usd_per_month)
    return {
        **{name: getattr(notice, name) for name in ("key", "edge", "severity", "rule", "subject")},
        **{name: getattr(notice, name) for name in ("period", "workload", "owner", "runbook")},
        "since": instant(notice.since),
        "at": instant(notice.at),
        "title": said.title,
        "what": said.what,
        "sure": said.sure,
        "cost": said.cost,
        "usd_per_month": usd,
        "actions": list(said.actions),
        "query": said.query,
        "facts": [{"label": label, "value": value} for label, value in said.facts],
        "rests_on": list(said.rests_on),
        "links": dict(notice.links),
    }


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What the header X-Crossover-Signature says: HMAC-SHA256 over `TIMESTAMP.BODY`."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Webhook:
    """One address that takes the documents.

    Args:
        name: of the channel.
        url: where to post; https, or this machine.
        secret: what each message is signed with; empty: it is not signed.
        post: one attempt over HTTP.
        timeout: seconds for one message.
        clock: the instant of an attempt, which is signed too, so that a receiver can refuse a
            message that was recorded and sent again.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secret: str,
        post: Post,
        timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._url, self._secret, self._post, self._timeout = url, secret, post, timeout
        self._clock = clock

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Post the stored bytes; the far side knows a repeat by its Idempotency-Key."""
        del recipient
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(json.loads(message)["id"]),
            "X-Crossover-Timestamp": timestamp,
        }
        if self._secret:
            headers["X-Crossover-Signature"] = signature(self._secret, timestamp, message)
        return deliver(self._post, self._url, message, headers, self._timeout, repeatable=True)

    def probe(self) -> str:
        """Nothing is sent: only a message proves the address."""
        signed = "signed" if self._secret else "not signed"
        return f"{signed}; `crossover alerts test --channel {self.name}` sends a message"
