"""What one OTLP body says of token use, gathered: who says it, what is counted, what is refused."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from collectors.otlp_model import Attributes, Origin
from monitor.domain.aliases import provider_id
from monitor.domain.errors import IntakeError
from monitor.domain.names import clean_name
from monitor.domain.telemetry import AGENT_EVENTS, AGENT_TOKENS, Nest, Point, Sighting, View
from monitor.domain.usage import (
    DAY,
    MAX_REQUEST,
    Dimensions,
    Event,
    Problem,
    Quantities,
)

OLDEST_DAYS = 62
"""What is older is not what a client sends late."""

UNKNOWN_SERVICE = "unknown_service"
SECOND = 10**9

_SERVICE = "service.name"

_SENDERS = ("service.instance.id", "k8s.pod.uid", "host.id", "host.name")
"""What tells the processes of a service apart, the surest first. Only a digest is kept."""

_SENDER = 16
"""Characters of a sender's digest."""

_MODEL = (
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "embedding.model_name",
    "ai.response.model",
    "ai.model.id",
    "model",
)
PROVIDER = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "ai.model.provider",
)
USERS = ("user.id", "user.account_uuid")
"""Who works with an agent, as all its signals say it. Only a digest is kept."""

_AGENTS = (AGENT_EVENTS, AGENT_TOKENS)
_AGENTS_PROVIDER = "anthropic"

_TIER = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
)
NAMES = (*_MODEL, *_TIER)
"""The attributes that every signal is asked for."""

SpanId = tuple[str, str]
"""Of its trace, and of itself."""

_OTHERS = 20
"""Spans and records that are none of token use, for each that is: a Collector sends all it has."""


class Unusable(ValueError):
    """Something that says token use and cannot be read; the text names nothing that was sent."""


def too_many(most: int) -> IntakeError:
    """What is answered to a body that holds more than it may."""
    return IntakeError(413, f"a request brings at most {most} events")


class Source(NamedTuple):
    """Whose use it is."""

    view: View
    dims: Dimensions
    sender: str
    """As in `Sighting`."""


class _Resource:
    """What one resource says, read once however much stands under it."""

    def __init__(self, attributes: Attributes, label: str) -> None:
        self.attributes = attributes
        self.service = text(attributes, (_SERVICE,)) or UNKNOWN_SERVICE
        self.label = text(attributes, (label,)) if label else ""

    @cached_property
    def sender(self) -> str:
        """Which process it is, as far as it says so; else the service."""
        said = ((key, text(self.attributes, (key,))) for key in _SENDERS)
        key, name = next((pair for pair in said if pair[1]), ("service", ""))
        return f"{key}:{digest(self.service, name)[:_SENDER]}"

    @cached_property
    def digest(self) -> str:
        """Of all that it says."""
        return digest(sorted(self.attributes.items()))


class Told(NamedTuple):
    """What is the same for all that one origin says."""

    origin: Origin
    scope: str
    digest: str


class Found:
    """What one body says."""

    def __init__(self, label: str, now: int, most: int) -> None:
        self._label = label
        self._most = most
        self._looked_at = 0
        self._resource = _Resource({}, label)
        self._origin = Told(Origin({}, ""), "", "")
        self._earliest, self._latest = (now - OLDEST_DAYS * DAY, now + DAY)
        self.sightings: list[Sighting] = []
        self.points: list[Point] = []
        self.rejected = 0
        self.why: set[str] = set()
        self.problems: list[tuple[str, Problem]] = []
        self.between: list[Nest] = []
        self.parents: dict[SpanId, SpanId] = {}
        self.unnamed: dict[SpanId, int] = {}
        """Of spans that do not say whether they are a request, where in `sightings` each is."""

    def look(self) -> None:
        """Count what is looked at, and give up on a body that holds too much."""
        self._looked_at += 1
        held = len(self.sightings) + len(self.points) + len(self.problems)
        if held > self._most or self._looked_at > _OTHERS * self._most:
            raise too_many(self._most)

    def pass_on(self, nest: Nest) -> None:
        """Keep what lies within an unnamed span, while there is room."""
        if len(self.between) < self._most:
            self.between.append(nest)

    def told(self, origin: Origin) -> Told:
        """What is the same for all that one origin says, made once."""
        if origin is not self._origin.origin:
            if origin.resource is not self._resource.attributes:
                self._resource = _Resource(origin.resource, self._label)
            name = digest(self._resource.digest, origin.scope, origin.version)
            self._origin = Told(origin, clean_name(origin.scope), name)
        return self._origin

    def attempt(self, source: Source, name: str, read: Callable[[Source], None]) -> None:
        """Read one thing, and refuse it alone if it cannot be used."""
        try:
            read(source)
        except Unusable as error:
            self.rejected += 1
            self.why.add(f"{name}: {error}")
            self.problem(source.view, f"{name}: {error}")

    def problem(self, view: View, reason: str) -> None:
        """Count something in quarantine."""
        self.problems.append((view.stream, Problem(view.kind, reason)))

    def source(
        self, origin: Origin, attributes: Attributes, kind: str, provider: str, user: str = ""
    ) -> Source:
        """Whose use it is.

        Args:
            origin: who says it.
            attributes: of the span, point or record.
            kind: of the view.
            provider: its canonical name.
            user: whoever it says was at work, if it is an agent's.
        """
        scope, resource = self.told(origin).scope, self._resource
        dims = Dimensions(
            provider=provider,
            model=text(attributes, _MODEL),
            project=resource.service,
            tier=text(attributes, _TIER),
            label=resource.label,
        )
        sender = f"user:{digest(user)[:_SENDER]}" if user else resource.sender
        return Source(View(resource.service, provider, kind, scope), dims, sender)

    def at(self, nanoseconds: int) -> int:
        """When it was, in epoch seconds.

        Raises:
            Unusable: no client sends of such a time.
        """
        at = nanoseconds // SECOND
        if not self._earliest <= at <= self._latest:
            raise Unusable(f"its time is more than {OLDEST_DAYS} days ago, or to come")
        return at

    def see(self, source: Source, name: str, at: int, found: Quantities) -> None:
        """Count one request."""
        event = Event(name, at, source.dims, found)
        self.sightings.append(Sighting(source.view, event, source.sender))


def provider_of(attributes: Attributes, kind: str, *, dotted: bool = False) -> str:
    """Who served it, by the canonical name; dotted: as `openai.chat`, with what was asked for."""
    if kind in _AGENTS:
        return _AGENTS_PROVIDER
    said = text(attributes, PROVIDER)
    return provider_id(said.partition(".")[0] if dotted else said)


def user_of(attributes: Attributes, kind: str) -> str:
    """Who works with an agent; '' for anything else."""
    return text(attributes, USERS) if kind in _AGENTS else ""


def whole(said: Any, most: int = MAX_REQUEST) -> int:
    """A count of tokens.

    Raises:
        Unusable: it is none.
    """
    if isinstance(said, str) and said.isascii() and said.strip().isdigit() and len(said) < 20:
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise Unusable("a count is not a number")
    if not 0 <= said <= most:
        raise Unusable("a count is negative, or larger than any real one")
    return round(said)


def text(attributes: Attributes, names: tuple[str, ...], cap: int = 200) -> str:
    """The first of these names that says a text, clean."""
    for name in names:
        said = attributes.get(name)
        if isinstance(said, str) and (found := clean_name(said, cap)):
            return found
    return ""


def digest(*parts: object) -> str:
    """One name for all of this."""
    return hashlib.blake2b(repr(parts).encode(errors="replace"), digest_size=20).hexdigest()
