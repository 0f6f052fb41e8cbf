"""What OpenTelemetry says of token use: views of it, and which one of them counts.

The same tokens may reach us several times: as spans of the vendor's own SDK, as spans of an
instrumentation beside it, as one of three generations of metrics, as an agent's log events. Each
of these is a view of one service's use of one provider. Views of the same tokens are never added
up: each is kept by itself, and for each hour one of them counts.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from typing import NamedTuple

from monitor.domain.usage import DAY, HOUR, Dimensions, Event, Problem, Quantities

STREAM_CAP = 100
"""Characters of a stream's name."""

SPANS = "spans"
AGENT_EVENTS = "claude_code.api_request"
AGENT_TOKENS = "claude_code.token.usage"
COUNTERS = "gen_ai.client.inference.usage"
BY_TYPE = "gen_ai.client.inference.tokens"
HISTOGRAM = "gen_ai.client.token.usage"
UNNAMED = "unnamed spans"
KINDS = (SPANS, AGENT_EVENTS, AGENT_TOKENS, COUNTERS, BY_TYPE, HISTOGRAM, UNNAMED)
"""The kinds of view, the one that knows most first: spans and events know each request, the
counters the cache, and the older metrics neither. Spans that do not say whether they are one
request or what goes on around several count where nothing else does."""

_EXACT = (SPANS, AGENT_EVENTS)
"""Kinds that say when each request ended; metrics come up to their interval of export later."""

_LONGEST = 65 * 60 * 10**9
"""Nanoseconds between a series' start and its first reading, at most, where its time is known: an
hour, the longest interval of export in use, and some minutes."""

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

    def parts(self, one: View, other: View) -> bool:
        """Whether it lets one of these count instead of the other, whoever sent them.

        A block that names a service and no provider settles how the provider is called, too.
        """
        return bool(self.service and not self.provider) and self.means(one) != self.means(other)


class Seen(NamedTuple):
    """What one view saw of a day."""

    tokens: Mapping[tuple[int, str], int]
    """By hour (epoch seconds) and model."""
    senders: AbstractSet[str]
    """As in `Sighting`; none: nobody knows."""


class Aside(NamedTuple):
    """An hour of a view that does not count."""

    view: View
    hour: int
    counts: View
    """Which one does instead."""


def set_aside(
    seen: Mapping[View, Seen],
    choices: Sequence[Choice] = (),
    before: Mapping[View, Seen] | None = None,
    last: AbstractSet[View] = frozenset(),
) -> list[Aside]:
    """The hours of views of one service and day that do not count.

    Of views that may have seen the same tokens the best of the day counts. Of the others those
    hours do in which, and around which, it saw nothing, the best of them again first. What comes
    later than the calls that it tells may tell those of the day before in its first hour.

    Args:
        seen: what each saw.
        choices: the configured ones; the first that means any of such views decides for the day.
        before: what each saw of the day before.
        last: the views that count in the last hour of that.
    """
    found = _told_before(seen, choices, before or {}, last)
    told = {(aside.view, aside.hour) for aside in found}
    left = {
        view: saw._replace(tokens={k: n for k, n in saw.tokens.items() if (view, k[0]) not in told})
        for view, saw in seen.items()
    }
    seen = {view: saw for view, saw in left.items() if saw.tokens}
    rivals = _rivals(seen, choices)
    waiting = sorted(seen)
    while waiting:
        group = {waiting[0]}
        while more := set[View]().union(*(rivals[view] for view in group)) - group:
            group |= more
        waiting = [view for view in waiting if view not in group]
        if len(group) > 1:
            found += _asides({view: seen[view] for view in sorted(group)}, rivals, choices)
    return sorted(found)


def _told_before(
    seen: Mapping[View, Seen],
    choices: Sequence[Choice],
    before: Mapping[View, Seen],
    last: AbstractSet[View],
) -> list[Aside]:
    """The first hours of views that may tell what others told in the last of the day before."""
    both = {view: _joined(before.get(view), seen.get(view)) for view in before.keys() | seen.keys()}
    rivals = _rivals(both, choices) if last else {}
    return [
        Aside(view, hour, min(counts))
        for view, saw in seen.items()
        if view.kind not in _EXACT
        and view not in last
        and (counts := rivals.get(view, set()) & last)
        for hour in {hour for hour, _ in saw.tokens if hour % DAY == 0}
    ]


def _joined(*days: Seen | None) -> Seen:
    """What a view saw of several days."""
    known = [saw for saw in days if saw]
    tokens = {at: n for saw in known for at, n in saw.tokens.items()}
    return Seen(tokens, frozenset[str]().union(*(saw.senders for saw in known)))


def _asides(
    seen: Mapping[View, Seen], rivals: Mapping[View, set[View]], choices: Sequence[Choice]
) -> list[Aside]:
    """The same, of views that are rivals or have rivals in common."""
    found = []
    left = {view: {hour for hour, _ in saw.tokens} for view, saw in seen.items()}
    while left:
        decided = any(choice.means(view) for choice in choices for view in left)
        best = choose(_totals(seen, left), choices)
        # An instrument that names two providers says no call twice.
        counts = {view: left.pop(view) for view in [*left] if _reporter(view) == _reporter(best)}
        for view in [*left]:
            against = {other: hours for other, hours in counts.items() if other in rivals[view]}
            taken = {
                hour
                for hour in left[view]
                if any(decided or _meets(view, hour, *other) for other in against.items())
            }
            found += [Aside(view, hour, best) for hour in taken]
            left[view] -= taken
            if not left[view]:
                del left[view]
    return found


def choose(seen: Mapping[View, int], choices: Sequence[Choice] = ()) -> View:
    """The view that counts among some that may have seen the same tokens.

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


def _totals(seen: Mapping[View, Seen], hours: Mapping[View, AbstractSet[int]]) -> dict[View, int]:
    """What the reporter of each view saw in these hours."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for view, known in hours.items():
        tokens = seen[view].tokens.items()
        totals[_reporter(view)] += sum(n for (hour, _), n in tokens if hour in known)
    return {view: totals[_reporter(view)] for view in hours}


def _reporter(view: View) -> tuple[str, str]:
    """Who says it, whatever it calls the provider."""
    return view.kind, view.scope


def _meets(view: View, hour: int, other: View, hours: AbstractSet[int]) -> bool:
    """Whether tokens of an hour may be told in these hours of another view."""
    exact = view.kind in _EXACT and other.kind in _EXACT
    return any(hour + late in hours for late in ((0,) if exact else (-HOUR, 0, HOUR)))


def _rivals(seen: Mapping[View, Seen], choices: Sequence[Choice]) -> dict[View, set[View]]:
    """For each view those that may have seen the same tokens."""
    models: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for view, saw in seen.items():
        for (_, model), tokens in saw.tokens.items():
            models[_reporter(view)][model] += tokens
    rivals: dict[View, set[View]] = {view: set() for view in seen}
    for one, other in combinations(seen, 2):
        if _reporter(one) == _reporter(other):
            continue
        if any(choice.parts(one, other) for choice in choices) or (
            not _apart(seen[one].senders, seen[other].senders)
            and (
                one.provider == other.provider
                or not (one.provider and other.provider)
                or _alike(
                    models[_reporter(one)],
                    models[_reporter(other)],
                    min if UNNAMED in (one.kind, other.kind) else max,
                )
            )
        ):
            rivals[one].add(other)
            rivals[other].add(one)
    return rivals


def _alike(one: Mapping[str, int], other: Mapping[str, int], of: Callable[[int, int], int]) -> bool:
    """Whether these tokens by model are so nearly the same that they are.

    of: max, or min where one may be but a part of the other.
    """
    both = sum(min(tokens, other.get(model, 0)) for model, tokens in one.items())
    return 0 < NEARLY * of(sum(one.values()), sum(other.values())) <= both


def _apart(one: AbstractSet[str], other: AbstractSet[str]) -> bool:
    """Whether no sender of one is known, or may be known, to the other."""
    makes = {sender.partition(":")[0] for sender in one | other}
    return bool(one and other) and len(makes) == 1 and "" not in makes and one.isdisjoint(other)


class Nest(NamedTuple):
    """Ids by which of unnamed spans that lie within each other, and repeat each other, one counts.

    The span around this one is the next unnamed one, or where the body ends on the way to it.
    """

    inner: str
    """Of the mark that is left where an unnamed span lies within this one."""
    outer: str
    """Of the event of the span around this one; '' if there is none."""
    outer_mark: str
    """Of the mark that this one leaves for it."""


class Sighting(NamedTuple):
    """One request, or one increment of a metric, as one view saw it."""

    view: View
    event: Event
    sender: str = ""
    """A digest that tells the process or the user, after what it is made of and a colon; two of
    the same make with different digests never saw the same tokens."""
    nest: Nest | None = None


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
    start: int | None
    """Since when it counts, in nanoseconds since the epoch; None: it does not say."""
    level: Level
    dims: Dimensions
    parts: tuple[tuple[str, int], ...]
    """To which token classes its value is added, and from which it is taken (-1)."""
    counts_requests: bool
    sender: str = ""
    """As in `Sighting`."""

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
    between: Sequence[Nest] = ()
    """Other spans within unnamed ones, which pass on to those a mark that is left for them."""


def quantities(
    parts: Sequence[tuple[str, int]], value: int, requests: int | None = None
) -> Quantities:
    """A value in its token classes."""
    found = Quantities(**{name: sign * value for name, sign in parts})
    return found if requests is None else found._replace(requests=requests)


def event_id(*parts: str) -> str:
    """One id for what these name."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=20).hexdigest()


class Added(NamedTuple):
    """What readings of a cumulative series add."""

    events: Sequence[Event]
    level: Level
    """How far it is read then."""
    unplaced: int = 0
    """Tokens of its first reading of which nobody knows when they were used."""


def increments(before: Level | None, points: Sequence[Point]) -> Added:
    """What a cumulative series adds, and how far it is read then.

    A series that began shortly before its first reading begins with its whole value. One that
    began long before brings what it counted until then, on days that other views told or that
    nobody did: no day is given that, and it begins with a level from which later readings are
    told, like one that does not say when it began. A reading that is no newer than the last is in
    it already. A value that fell was set back, and counts from 0.

    Args:
        before: how far it was read; None: never.
        points: readings of this one series, at least one, in any order.
    """
    events = []
    level, unplaced = before, 0
    for point in sorted(points, key=lambda p: (p.level.at, -p.level.value)):
        now = point.level
        if level is None:
            if point.start is not None and now.at - point.start <= _LONGEST:
                events.append(point.event(now.value, now.requests))
            else:
                unplaced = now.value
        elif now.at <= level.at:
            continue
        elif now.value < level.value or now.requests < level.requests:
            events.append(point.event(now.value, now.requests))
        elif (now.value, now.requests) != (level.value, level.requests):
            events.append(point.event(now.value - level.value, now.requests - level.requests))
        level = now
    assert level is not None
    return Added(events, level, unplaced)


def service_days(sightings: Sequence[Sighting]) -> dict[str, set[int]]:
    """For each service the UTC days of what was seen."""
    found: dict[str, set[int]] = {}
    for sighting in sightings:
        days = found.setdefault(sighting.view.service, set())
        days.add(sighting.event.at - sighting.event.at % DAY)
    return found
