"""OTLP over HTTP: token use that OpenTelemetry clients send, each view of it kept by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
    group_days,
    increments,
)
from monitor.domain.usage import DAY, Event, Problem, utc_day
from monitor.jobs.intake import Arrival, Parcel, Reading, Signal, put_requests
from monitor.storage import telemetry as stored

SCOPE = "otlp"
MAX_STREAMS = 500
"""Of one source. Names of services come from whoever sends, a pod's id among them; each view is a
stream with a watermark of its own for ever."""

_OTHER = "other"
_CROWDED = f"more than {MAX_STREAMS} views of services: this one is kept under `{_OTHER}`"

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
        return Answer(status, wire.refused(kind, status, said), kind)

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
    rooms = {name: _Room(stored.stream_names(conn, i)) for name, i in sources.items()}
    for sender, found in sent:
        sightings = [*found.sightings, *_read_on(conn, sources[sender.source], found.points)]
        sightings, problems = rooms[sender.source].fitted(sightings, found.problems)
        arrivals += _arrivals(sender, sightings, problems)
        seen[sender.source] += sightings
    put_requests(conn, arrivals, now, settle)
    for source in sorted(seen):
        source_id, sightings = sources[source], seen[source]
        stored.put_views(conn, source_id, {view for view, _ in sightings})
        for group, days in sorted(group_days(sightings).items()):
            stored.decide(conn, source_id, group, days, choices)
        stored.close(conn, source_id, utc_day(now - settle))
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
        for view, event in sightings:
            if self._has(view.stream):
                kept.append(Sighting(view, event))
                continue
            shared = _shared(view.kind)
            moved[view.stream] = Problem(view.kind, _CROWDED)
            dims = event.dims._replace(project=_OTHER)
            kept.append(Sighting(shared, event._replace(dims=dims)))
        placed = [
            (stream if self._has(stream) else _shared(problem.place).stream, problem)
            for stream, problem in problems
        ]
        placed += [(_shared(problem.place).stream, problem) for problem in moved.values()]
        return kept, placed


def _shared(kind: str) -> View:
    """The view of a kind that holds all for which there is no room."""
    return View(_OTHER, _OTHER, kind, "")


def _read_on(conn: Connection, source_id: int, points: Sequence[Point]) -> list[Sighting]:
    """What cumulative series add to what was read of them before."""
    series: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        series[point.series].append(point)
    if not series:
        return []
    before: Mapping[str, Level] = stored.levels(conn, source_id, series.keys())
    after: dict[str, Level] = {}
    found: list[Sighting] = []
    for name, readings in series.items():
        events, after[name] = increments(before.get(name), readings)
        found += [Sighting(readings[0].view, event) for event in events]
    stored.put_levels(conn, source_id, after)
    return found


def _arrivals(sender: Sender, sightings: Sequence[Sighting], said: _Problems) -> list[Arrival]:
    events: dict[str, list[Event]] = defaultdict(list)
    for view, event in sightings:
        events[view.stream].append(event._replace(dims=sender.bind(event.dims)))
    problems = defaultdict(list)
    for stream, problem in said:
        problems[stream].append(problem)
    return [
        Arrival(sender.source, events.get(stream, ()), problems.get(stream, ()), stream)
        for stream in sorted(events.keys() | problems.keys())
    ]
