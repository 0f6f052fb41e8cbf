"""One kind of thing that can be sent to the HTTP intake, as the frame around it needs it.

The door for a new signal (`monitor.web.intake` is the frame, `monitor.wiring.intake` names them):

1. The frame checks the size, the token and its scope, the rate, the content type and the
   encoding, inflates within limits, and calls `read` in a thread of its own: no database, no
   transaction. It may raise `IntakeError`, whose status and text are answered.
2. What `read` found waits in a bounded queue. One thread takes what waits, begins one
   transaction, and calls `put` of each signal once, with everything that waits for that signal,
   in the order of arrival. `put` returns one answer for each parcel.
3. The transaction is committed; only then the answers leave.

If `put` fails, all is rolled back and each parcel is put again alone, so one that cannot be
stored costs no other; a database that is gone or busy is answered with 503, for which a sender
tries again. So `put` must be idempotent: it may run twice, and a sender may send again what
was committed. Transactions of several daemons run side by side on PostgreSQL: lock in one order
(`put_requests` does: accounts by name, then streams by id).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from monitor.domain.intake import KIND, Answer, Sender
from monitor.domain.usage import Dimensions, Event, Problem, utc_day
from monitor.ports import StreamSpec
from monitor.storage import setup
from monitor.storage.collecting import keep_problems
from monitor.storage.events import put_events
from monitor.storage.write import close_stream, dimensions_of, series_count

MAX_SERIES = 20_000
"""Combinations of names in one stream. A name that is new with each request, such as an id of a
session as the label, would make every later request dearer."""

_SPARE = 1_000
"""Combinations beyond them, of models and who is billed, before these are one too."""

_OTHER = "other"


class Reading(NamedTuple):
    """What one request body says."""

    found: Any
    """For the signal's own `put`."""
    weight: int
    """How many things that is: the queue is bounded in them."""


class Parcel(NamedTuple):
    """What one request brought, read and waiting to be stored."""

    sender: Sender
    content_type: str
    """One of the signal's, as it was sent, without parameters."""
    found: Any


class Signal(NamedTuple):
    """What can be sent to one path."""

    path: str
    scope: str
    """One of `monitor.domain.intake.SCOPES`."""
    content_types: Sequence[str]
    """Lower case, without parameters; the first is taken where a request names none."""
    read: Callable[[bytes, str, Sender, int], Reading]
    """(inflated body, content type, sender, now) -> what it says; raises IntakeError."""
    put: Callable[[Connection, Sequence[Parcel], int], Sequence[Answer]]
    """(connection, parcels, now) -> an answer for each parcel, in their order."""
    refuse: Callable[[int, str, str], Answer]
    """(status, text, content type of the request) -> how this signal says an error."""


class Arrival(NamedTuple):
    """The requests of one parcel."""

    source: str
    events: Sequence[Event]
    problems: Sequence[Problem] = ()
    """What is refused; counted in quarantine."""
    stream: str = "events"


class Stored(NamedTuple):
    """What became of the events of one arrival."""

    accepted: int
    """New, or larger than what was known of the same request."""
    repeated: int
    """Known already."""


def put_requests(
    conn: Connection, arrivals: Sequence[Arrival], now: int, settle: int
) -> list[Stored]:
    """Store requests of many senders, each once by its id within its source.

    Args:
        conn: a writing transaction.
        arrivals: in the order in which they came.
        now: epoch seconds.
        settle: seconds after which a UTC day of a stream that goes on sending counts as complete;
            what comes later for it is a restatement. Where nothing but what is refused comes, no
            day is complete.
    """
    streams: dict[tuple[int, int], list[Arrival]] = {}
    ids: dict[tuple[str, str], tuple[int, int]] = {}
    for source, stream in sorted({(arrival.source, arrival.stream) for arrival in arrivals}):
        spec = StreamSpec(stream, "usage", 1)
        ids[source, stream] = setup.put_stream(conn, source, KIND, spec)
    for arrival in arrivals:
        streams.setdefault(ids[arrival.source, arrival.stream], []).append(arrival)
    for (_, stream_id), found in streams.items():
        _fit(conn, stream_id, found)
    _claim_accounts(conn, streams)
    fresh: dict[tuple[int, int], set[str]] = {}
    # In one order, so that daemons side by side do not wait for each other in a circle.
    for key in sorted(streams, key=lambda pair: pair[1]):
        fresh[key] = set()
        events = [event for arrival in streams[key] for event in arrival.events]
        put_events(conn, *key, events, fresh[key])
        problems = [problem for arrival in streams[key] for problem in arrival.problems]
        keep_problems(conn, key[1], problems, now)
        if events or not problems:
            # Whoever sends now has sent what was before: days that have settled are complete.
            close_stream(conn, key[1], utc_day(now - settle), now)
    return [
        _counted(arrival.events, fresh[ids[arrival.source, arrival.stream]]) for arrival in arrivals
    ]


def _fit(conn: Connection, stream_id: int, arrivals: list[Arrival]) -> None:
    """Give events whose names there is no room for in a stream the names that all such share."""
    wanted = {event.dims for arrival in arrivals for event in arrival.events}
    if not wanted or series_count(conn, stream_id) + len(wanted) <= MAX_SERIES:
        return
    known = set(dimensions_of(conn, stream_id).values())
    names: dict[Dimensions, Dimensions] = {}
    for dims in sorted(wanted - known):
        names[dims] = _room(dims, known)
        known.add(names[dims])
    for place, arrival in enumerate(arrivals):
        moved = [e._replace(dims=names.get(e.dims, e.dims)) for e in arrival.events]
        if moved != arrival.events:
            full = Problem("names", f"more than {MAX_SERIES} combinations: kept as `{_OTHER}`")
            problems = [*arrival.problems, full]
            arrivals[place] = arrival._replace(events=moved, problems=problems)


def _room(dims: Dimensions, known: Collection[Dimensions]) -> Dimensions:
    if len(known) < MAX_SERIES:
        return dims
    # What the price depends on is kept longest.
    other = dict.fromkeys(("project", "api_key", "actor", "label"), _OTHER)
    priced = dims._replace(**other)
    if priced in known or len(known) < MAX_SERIES + _SPARE:
        return priced
    return Dimensions(_OTHER, _OTHER, _OTHER, **other)


def _claim_accounts(conn: Connection, streams: Mapping[tuple[int, int], Sequence[Arrival]]) -> None:
    claims = {
        (event.dims.account, source_id)
        for (source_id, _), found in streams.items()
        for arrival in found
        for event in arrival.events
    }
    for account, source_id in sorted(claims):
        setup.claim_account(conn, account, source_id)


def _counted(events: Sequence[Event], fresh: set[str]) -> Stored:
    """How many of these are fresh; each id is so once."""
    accepted = fresh.intersection(event.id for event in events)
    fresh -= accepted
    return Stored(len(accepted), len(events) - len(accepted))
