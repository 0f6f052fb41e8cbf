"""What reaches the HTTP intake: who sent it, what they may say, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.domain.usage import Dimensions, Event

SCOPES = ("usage", "otlp")
"""What a token can allow: each signal of the intake asks for one."""

KIND = "push"
"""The kind of every source that tokens belong to."""

MAX_ID = 200
"""Characters of an event's id that are stored; a longer id is known by its digest."""


class Sender(NamedTuple):
    """Whose token came with a request, and what it fixes: '' leaves it to the event."""

    token_id: int
    token: str
    """The token's name, which is no secret."""
    source: str
    """The name of the source that its events belong to."""
    scopes: frozenset[str]
    account: str = ""
    project: str = ""
    label: str = ""

    def trespass(self, dims: Dimensions) -> str:
        """The dimension in which the sender speaks for somebody else; '' if it does not.

        What an event leaves empty is no trespass: `bind` fills it.
        """
        for name in ("account", "project", "label"):
            fixed = getattr(self, name)
            if fixed and getattr(dims, name) not in ("", fixed):
                return name
        return ""

    def bind(self, dims: Dimensions) -> Dimensions:
        """The dimensions with what the token fixes; without any account it is the source's name."""
        return dims._replace(
            account=self.account or dims.account or self.source,
            project=self.project or dims.project,
            label=self.label or dims.label,
        )


class Refused(NamedTuple):
    """One thing of a request that cannot be used."""

    place: int
    """In the request, from 0."""
    id: str
    """As it was sent, clean; '' where that cannot be read."""
    reason: str
    """For the sender."""
    kept: str
    """For the quarantine: nothing that was sent stands in it."""


class Sent(NamedTuple):
    """What one request holds."""

    events: Sequence[Event]
    refused: Sequence[Refused]


class Limits(NamedTuple):
    """How much one request, and all that wait, may bring."""

    body_bytes: int = 8 * 2**20
    """As it is sent."""
    inflated_bytes: int = 32 * 2**20
    """As it is read."""
    events: int = 10_000
    """Events of one request."""
    body_seconds: float = 30
    """In which a body must have arrived."""
    open_requests: int = 64
    """Being read or waiting at the same time."""
    waiting_events: int = 100_000
    """Events of all requests that wait to be stored."""
    requests_per_minute: int = 600
    """Of one token; as many may come at once."""


class Answer(NamedTuple):
    """What a sender is told, once what it sent is committed."""

    status: int
    body: bytes
    content_type: str
