"""What OpenTelemetry says of token use: views of it, and which one of them counts.

The same tokens may reach us several times: as spans of the vendor's own SDK, as spans of an
instrumentation beside it, as one of three generations of metrics, as an agent's log events. Each
of these is a view of one service's use of one provider. They are never added up: each is kept
by itself, and for each day one counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.domain.usage import DAY, Dimensions, Event, Problem, Quantities

STREAM_CAP = 100
"""Characters of a stream's name."""

SPANS = "spans"
AGENT_EVENTS = "claude_code.api_request"
AGENT_TOKENS = "claude_code.token.usage"
COUNTERS = "gen_ai.client.inference.usage"
BY_TYPE = "gen_ai.client.inference.tokens"
HISTOGRAM = "gen_ai.client.token.usage"
KINDS = (SPANS, AGENT_EVENTS, AGENT_TOKENS, COUNTERS, BY_TYPE, HISTOGRAM)
"""The kinds of view, the one that knows most first: spans and events know each request, the
counters the cache, and the older metrics neither."""

NEARLY = 0.95
"""A view that saw less than this part of what another saw that day is not preferred to it: its
spans are sampled, it began in mid-day, or it does not see each kind of call."""


class View(NamedTuple):
    """One way in which one service's use of one provider is reported."""

    service: str
    provider: str
    kind: str
    """One of KINDS."""
    scope: str
    """The instrumentation scope's name."""

    @property
    def stream(self) -> str:
        """The name of the stream that it is kept in."""
        name = f"{self.service}/{self.provider}: {self.kind} of {self.scope or 'no scope'}"
        # Two views may not share a name: with these in it, it can be read in two ways.
        plain = "/" not in self.service and ": " not in self.provider and self.scope != "no scope"
        if plain and "~" not in name and len(name) <= STREAM_CAP:
            return name
        digest = hashlib.sha256("\0".join(self).encode()).hexdigest()[:12]
        return f"{name[: STREAM_CAP - 13]}~{digest}"

    @property
    def rank(self) -> tuple[int, int]:
        """How much it knows, the least first: the vendor's own SDK before whoever wraps it."""
        own = self.scope.startswith(f"com.{self.provider}.")
        return KINDS.index(self.kind), 0 if own else 1


class Choice(NamedTuple):
    """A view that is named in the configuration; '' is any."""

    service: str
    provider: str
    kind: str
    scope: str = ""

    def means(self, view: View) -> bool:
        """Whether it names this view."""
        wanted = (self.service, self.provider, self.kind, self.scope)
        return all(name in ("", said) for name, said in zip(wanted, view, strict=True))


def choose(seen: Mapping[View, int], choices: Sequence[Choice] = ()) -> View:
    """The view that counts among those of one service, provider and day.

    Args:
        seen: the tokens of each; at least one.
        choices: the configured ones; the first that means any of these views decides.
    """
    for choice in choices:
        named = [view for view in seen if choice.means(view)]
        if named:
            return _best({view: seen[view] for view in named})
    return _best(seen)


def _best(seen: Mapping[View, int]) -> View:
    most = max(seen.values())
    full = [view for view, tokens in seen.items() if tokens >= NEARLY * most]
    return min(full, key=lambda view: (view.rank, -seen[view], view))


class Sighting(NamedTuple):
    """One request, or one increment of a metric, as one view saw it."""

    view: View
    event: Event


class Level(NamedTuple):
    """How far a cumulative series was read."""

    at: int
    """Nanoseconds since the epoch."""
    value: int
    requests: int


class Point(NamedTuple):
    """A reading of a cumulative series."""

    view: View
    series: str
    """A digest of all that tells it from other series, its start included."""
    started: bool
    """Whether it says since when it counts."""
    level: Level
    dims: Dimensions
    parts: tuple[tuple[str, int], ...]
    """To which token classes its value is added, and from which it is taken (-1)."""
    counts_requests: bool

    def event(self, value: int, count: int) -> Event:
        """What was used since an earlier reading."""
        return Event(
            event_id("point", self.series, str(self.level.at)),
            self.level.at // 10**9,
            self.dims,
            quantities(self.parts, value, count if self.counts_requests else None),
        )


class Telemetry(NamedTuple):
    """What one request to the receiver says of token use."""

    sightings: Sequence[Sighting] = ()
    points: Sequence[Point] = ()
    rejected: int = 0
    """Data points, spans or log records that say something of it and cannot be used."""
    why: str = ""
    """Why they were rejected."""
    problems: Sequence[tuple[str, Problem]] = ()
    """The stream of each, and what is counted in quarantine: nothing that was sent stands in it."""


def quantities(
    parts: Sequence[tuple[str, int]], value: int, requests: int | None = None
) -> Quantities:
    """A value in its token classes."""
    found = Quantities(**{name: sign * value for name, sign in parts})
    return found if requests is None else found._replace(requests=requests)


def event_id(*parts: str) -> str:
    """One id for what these name."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=20).hexdigest()


def increments(before: Level | None, points: Sequence[Point]) -> tuple[list[Event], Level]:
    """What a cumulative series adds, and how far it is read then.

    A series that says since when it counts begins with its whole value; one that does not begins
    with a level from which later ones are told. A reading that is no newer than the last is in it
    already. A value that fell was set back, and counts from 0.

    Args:
        before: how far it was read; None: never.
        points: readings of this one series, at least one, in any order.
    """
    events = []
    level = before
    for point in sorted(points, key=lambda p: (p.level.at, -p.level.value)):
        now = point.level
        if level is None:
            if point.started:
                events.append(point.event(now.value, now.requests))
        elif now.at <= level.at:
            continue
        elif now.value < level.value or now.requests < level.requests:
            events.append(point.event(now.value, now.requests))
        elif (now.value, now.requests) != (level.value, level.requests):
            events.append(point.event(now.value - level.value, now.requests - level.requests))
        level = now
    assert level is not None
    return events, level


def group_days(sightings: Sequence[Sighting]) -> dict[tuple[str, str], set[int]]:
    """For each service and provider the UTC days of what was seen."""
    found: dict[tuple[str, str], set[int]] = {}
    for view, event in sightings:
        found.setdefault((view.service, view.provider), set()).add(event.at - event.at % DAY)
    return found
