"""Signed links: what a mail may do without a login, for whom, about what and until when.

A link carries its own meaning, so that nothing is stored until it is used. It is made of the same
words each time, so that a message that is rendered again has the same bytes; its nonce is a hash
of those words, by which a second use is known.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from monitor.domain.errors import LinkError
from monitor.domain.notices import Notice
from monitor.domain.usage import DAY

Action = Literal["acknowledge", "silence", "snooze", "unsubscribe", "report"]
ACTIONS: tuple[Action, ...] = get_args(Action)
ANSWERS: tuple[Action, ...] = ("acknowledge", "snooze", "silence")
"""What a person may answer to an alert."""

READ_DAYS = 92
"""A report's links to what stands behind it work for a quarter."""
UNSUBSCRIBE_DAYS = 366
"""Reports are looked up long after they came; leaving must work then too."""

_VERSION = "v1"
_MAC_BYTES = 18
"""144 bits, 24 characters without a rest, of the 256 of SHA-256."""
_LONGEST = 4096


class Link(NamedTuple):
    """What a signed token says."""

    action: Action
    about: str
    """The alert's key, or the report's name."""
    recipient: str
    """Whom the message went to: who holds the link acts in this name."""
    expires: int
    """UTC epoch seconds; from then on it does nothing."""

    @property
    def nonce(self) -> str:
        """What tells one link from all others, 32 hexadecimal digits."""
        return hashlib.sha256(_body(self).encode()).hexdigest()[:32]


class About(NamedTuple):
    """What a link to a recommendation is about: a day's advice on one way to run a workload."""

    day: str
    """The UTC day, exclusive, that ends what the advice knows."""
    workload: str
    deployment: str

    @property
    def text(self) -> str:
        """The words that a link signs."""
        return json.dumps(["recommendation", *self], ensure_ascii=False, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """Tells workload and deployment from all others, whatever they are called."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def read_about(text: str) -> About:
    """What `About.text` wrote.

    Raises:
        LinkError: it is about something else.
    """
    try:
        kind, day, workload, deployment = json.loads(text)
    except (TypeError, ValueError):
        raise LinkError("unreadable") from None
    if kind != "recommendation":
        raise LinkError("unreadable")
    return About(str(day), str(workload), str(deployment))


class Place(NamedTuple):
    """Where links lead to, and what signs them."""

    url: str = ""
    """Of the HTTP service; empty: there are no links."""
    secret: str = ""
    """Empty: the database has one."""
    days: int = 14
    """So long an alert's links work."""


def sign(secret: str, link: Link) -> str:
    """The token of a link: version, body and signature, safe in a path of an address."""
    signed = f"{_VERSION}.{_body(link)}"
    return f"{signed}.{_mac(secret, signed)}"


def read(secret: str, token: str, now: int) -> Link:
    """The link that a token was made of.

    Raises:
        LinkError: it is unreadable, was not signed by us, or has expired; an expired one says what
            it was, since its signature is ours.
    """
    if len(token) > _LONGEST or not token.isascii() or token.count(".") != 2:
        raise LinkError("unreadable")
    signed, _, mac = token.rpartition(".")
    version, _, body = signed.partition(".")
    if version != _VERSION:
        raise LinkError("unreadable")
    # The text is signed, not what it decodes to: no two spellings of a token are valid.
    if not secret or not hmac.compare_digest(mac.encode(), _mac(secret, signed).encode()):
        raise LinkError("forged")
    link = _parsed(body)
    if now >= link.expires:
        raise LinkError("expired", link)
    return link


def of_notice(
    base_url: str, secret: str, notice: Notice, recipient: str, days: int
) -> dict[str, str]:
    """Name -> URL of what a recipient may answer to a notice; {} without an address or a secret.

    An alert that ended has nothing to answer.
    """
    if not base_url or not secret or notice.edge == "resolved":
        return {}
    expires = notice.at + days * DAY
    return {
        action: _url(base_url, "act", sign(secret, Link(action, notice.key, recipient, expires)))
        for action in ANSWERS
    }


def unsubscribe(base_url: str, secret: str, recipient: str, report: str, at: int) -> str:
    """The URL on which a recipient leaves a report of instant `at`; '' likewise."""
    if not base_url or not secret:
        return ""
    link = Link("unsubscribe", report, recipient, at + UNSUBSCRIBE_DAYS * DAY)
    return _url(base_url, "unsubscribe", sign(secret, link))


def recommendation(base_url: str, secret: str, reader: str, about: About, at: int) -> str:
    """The URL that shows a recommendation to who reads a report of instant `at`; '' likewise."""
    if not base_url or not secret:
        return ""
    link = Link("report", about.text, reader, at + READ_DAYS * DAY)
    return _url(base_url, "report", sign(secret, link))


def unsubscribe_headers(url: str) -> Mapping[str, str]:
    """What RFC 2369 and RFC 8058 want in the head of a message; {} without a URL.

    One-click is promised only over https, as RFC 8058 asks.
    """
    if not url:
        return {}
    one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return {"List-Unsubscribe": f"<{url}>", **(one_click if url.startswith("https:") else {})}


def _url(base: str, place: str, token: str) -> str:
    return f"{base.rstrip('/')}/{place}/{token}"


def _body(link: Link) -> str:
    words = json.dumps(list(link), ensure_ascii=False, separators=(",", ":"))
    return _text(words.encode("utf-8", "surrogatepass"))


def _parsed(body: str) -> Link:
    """What our own signature vouches for; another program with our secret may still differ."""
    try:
        padded = body + "=" * (-len(body) % 4)
        text = base64.b64decode(padded, b"-_", validate=True).decode("utf-8", "surrogatepass")
        action, about, recipient, expires = json.loads(text)
        link = Link(action, str(about), str(recipient), int(expires))
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        raise LinkError("unreadable") from None
    if action not in ACTIONS:
        raise LinkError("unreadable")
    return link


def _mac(secret: str, signed: str) -> str:
    digest = hmac.digest(secret.encode(), f"crossover link {signed}".encode(), "sha256")
    return _text(digest[:_MAC_BYTES])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
