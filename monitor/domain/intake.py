"""What reaches the HTTP intake: who sent it, what they may say, and what is answered."""

from __future__ import annotations

from typing import NamedTuple

from monitor.domain.usage import Dimensions

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


class Answer(NamedTuple):
    """What a sender is told, once what it sent is committed."""

    status: int
    body: bytes
    content_type: str
