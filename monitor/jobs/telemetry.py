"""OTLP over HTTP: token use that OpenTelemetry clients send, each view of it kept by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain.intake import KIND, Answer, Sender
from monitor.domain.telemetry import (
    Choice,
    Level,
    Point,
    Sighting,
    Telemetry,
    View,
    increments,
    service_days,
)
from monitor.domain.usage import DAY, Event, Problem, Quantities, utc_day
from monitor.jobs.intake import Arrival, Parcel, Reading, Signal, put_requests
from monitor.storage import telemetry as stored

SCOPE = "otlp"
MAX_STREAMS = 500
"""Of one source. Names of services come from whoever sends, a pod's id among them; each view is a
stream with a watermark of its own for ever."""

_OTHER = "other"
_CROWDED = f"more than {MAX_STREAMS} views of services: this one is kept under `{_OTHER}`"

_UNPLACED = (
    "a cumulative series began long before its first reading, or does not say when: what it had"
    " counted until then is in no day"
)

_SENDER_DAYS = 70
"""For which who sent what is remembered: longer than anything may be late."""

_FORGET_DAYS = 90
"""After which a cumulative series that says nothing is forgotten."""


class Wire(NamedTuple):
    """How a signal is written: what a collector knows and a job is handed."""

    path: str
    content_types: Sequence[str]
    read: Callable[[bytes, str, int], Telemetry]
    """(body, content type, now) -> what it says; raises IntakeError."""
    accepted: Callable[[str, int, str], bytes]
    """(content type, rejected, message) -> the body of an answer."""
    refused: Callable[[str, int, str], bytes]
    """(content type, status, message) -> the body of an error."""


def signal(wire: Wire, settle: int, choices: Sequence[Choice] = ()) -> Signal:
    """One path of the receiver.

    Args:
        wire: how bodies are read and answered.
        settle: seconds after which a UTC day of a source that goes on sending is complete.
        choices: views that are to count where they report anything.
    """

    def read(body: bytes, content_type: str, sender: Sender, now: int) -> Reading:
        del sender
        found = wire.read(body, content_type, now)
        # Each that is rejected is a problem too.
        return Reading(found, len(found.sightings) + len(found.points) + len(found.problems))

    def put(conn: Connection, parcels: Sequence[Parcel], now: int) -> list[Answer]:
        store(conn, [(parcel.sender, parcel.found) for parcel in parcels], now, settle, choices)
        return [_answer(wire, parcel) for parcel in parcels]

    def refuse(status: int, said: str, content_type: str) -> Answer:
        kind = _kind(wire, content_type)
        # Of these two OTLP's clients try again after the second alone.
        body = wire.refused(kind, status, said)
        return Answer(503 if status == 408 else status, body, kind)

    return Signal(wire.path, SCOPE, wire.content_types, read, put, refuse)


def _kind(wire: Wire, content_type: str) -> str:
    return content_type if content_type in wire.content_types else wire.content_types[0]


def _answer(wire: Wire, parcel: Parcel) -> Answer:
    found: Telemetry = parcel.found
    body = wire.accepted(parcel.content_type, found.rejected, found.why)
    return Answer(200, body, parcel.content_type)


def store(
    conn: Connection,
    sent: Sequence[tuple[Sender, Telemetry]],
    now: int,
    settle: int,
    choices: Sequence[Choice] = (),
) -> None:
    """Store what was sent, each view in a stream of its own, and choose which one counts.

    Args:
        conn: a writing transaction.
        sent: who sent what, in the order of arrival.
        now: epoch seconds.
        settle: seconds after which a UTC day of a source that goes on sending is complete.
        choices: views that are to count where they report anything.
    """
    names = sorted({sender.source for sender, _ in sent})
    sources = {name: stored.lock_source(conn, name, KIND) for name in names}
    arrivals: list[Arrival] = []
    seen: dict[str, list[Sighting]] = defaultdict(list)
    gone: dict[str, Sequence[Sighting]] = {}
    for name, source_id in sources.items():
        room = _Room(stored.stream_names(conn, source_id))
        own = [(sender, found) for sender, found in sent if sender.source == name]
        marks, gone[name] = _marks(conn, source_id, [found for _, found in own])
        for sender, found in own:
            read, unplaced = _read_on(conn, source_id, found.points)
            sightings = [*_innermost(found.sightings, marks), *read]
            sightings, problems = room.fitted(sightings, [*found.problems, *unplaced])
            arrivals += _arrivals(sender, sightings, problems)
            seen[name] += sightings
    put_requests(conn, arrivals, now, settle)
    for name, source_id in sources.items():
        sightings = seen[name]
        stored.put_views(conn, source_id, {seen.view for seen in sightings})
        stored.put_senders(conn, source_id, sightings)
        for service, days in sorted(service_days([*sightings, *gone[name]]).items()):
            stored.decide(conn, source_id, service, days, choices)
        stored.close(conn, source_id, utc_day(now - settle))
        stored.forget_senders(conn, utc_day(now) - _SENDER_DAYS * DAY)
        stored.forget_levels(conn, source_id, (now - _FORGET_DAYS * DAY) * 10**9)


_Problems = Sequence[tuple[str, Problem]]
"""With the stream of each."""


class _Room:
    """Which streams of a source there are, and may still be."""

    def __init__(self, known: set[str]) -> None:
        self._known = known

    def _has(self, stream: str) -> bool:
        if stream not in self._known and len(self._known) < MAX_STREAMS:
            self._known.add(stream)
        return stream in self._known

    def fitted(
        self, sightings: Sequence[Sighting], problems: _Problems
    ) -> tuple[list[Sighting], _Problems]:
        """What was sent, where there is no room for its view as what others share."""
        kept: list[Sighting] = []
        moved: dict[str, Problem] = {}
        for seen in sightings:
            view, event = seen.view, seen.event
            if self._has(view.stream):
                kept.append(seen)
                continue
            shared = _shared(view.kind)
            moved[view.stream] = Problem(view.kind, _CROWDED)
            dims = event.dims._replace(project=_OTHER)
            kept.append(seen._replace(view=shared, event=event._replace(dims=dims)))
        placed = [
            (stream if self._has(stream) else _shared(problem.place).stream, problem)
            for stream, problem in problems
        ]
        placed += [(_shared(problem.place).stream, problem) for problem in moved.values()]
        return kept, placed


def _shared(kind: str) -> View:
    """The view of a kind that holds all for which there is no room."""
    return View(_OTHER, _OTHER, kind, "")


def _read_on(
    conn: Connection, source_id: int, points: Sequence[Point]
) -> tuple[list[Sighting], list[tuple[str, Problem]]]:
    """What cumulative series add to what was read of them before, and what they cannot."""
    series: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        series[point.series].append(point)
    if not series:
        return [], []
    before: Mapping[str, Level] = stored.levels(conn, source_id, series.keys())
    after: dict[str, Level] = {}
    found: list[Sighting] = []
    problems: list[tuple[str, Problem]] = []
    for name, readings in series.items():
        view, sender = readings[0].view, readings[0].sender
        added = increments(before.get(name), readings)
        after[name] = added.level
        found += [Sighting(view, event, sender) for event in added.events]
        if added.unplaced:
            said = Problem(view.kind, _UNPLACED, f"{added.unplaced} tokens")
            problems.append((view.stream, said))
    stored.put_levels(conn, source_id, after)
    return found, problems


def _marks(
    conn: Connection, source_id: int, sent: Sequence[Telemetry]
) -> tuple[set[str], Sequence[Sighting]]:
    """The marks on spans around unnamed ones, and what was counted of these and is taken back.

    They mostly end, and come, from the inside out, in one transaction or in several. In any other
    order the same counts, but where spans between two unnamed ones came before the inner one.
    """
    nested = [(seen, seen.nest) for found in sent for seen in found.sightings if seen.nest]
    if not nested:
        return set(), []
    nests = [nest for _, nest in nested]
    between = [nest for found in sent for nest in found.between]
    days = {utc_day(seen.event.at) for seen, _ in nested}
    wanted = {nest.inner for nest in [*nests, *between]}
    marks = stored.known_events(conn, source_id, wanted, days)
    marks |= {nest.outer_mark for nest in nests}
    marks |= {nest.outer_mark for nest in between if nest.inner in marks}
    around = {seen.event.id for seen, nest in nested if nest.inner in marks}
    around |= {nest.outer for nest in nests if nest.outer}
    return marks, stored.take_back(conn, source_id, around, days)


def _innermost(sightings: Sequence[Sighting], marks: AbstractSet[str]) -> list[Sighting]:
    """What was sent without unnamed spans around others, and the mark that each leaves."""
    kept = [seen for seen in sightings if not seen.nest or seen.nest.inner not in marks]
    for seen in sightings:
        if seen.nest and seen.nest.outer_mark:
            mark = seen.event._replace(id=seen.nest.outer_mark, quantities=Quantities())
            kept.append(seen._replace(event=mark))
    return kept


def _arrivals(sender: Sender, sightings: Sequence[Sighting], said: _Problems) -> list[Arrival]:
    events: dict[str, list[Event]] = defaultdict(list)
    for seen in sightings:
        event = seen.event
        events[seen.view.stream].append(event._replace(dims=sender.bind(event.dims)))
    problems = defaultdict(list)
    for stream, problem in said:
        problems[stream].append(problem)
    return [
        Arrival(sender.source, events.get(stream, ()), problems.get(stream, ()), stream)
        for stream in sorted(events.keys() | problems.keys())
    ]
