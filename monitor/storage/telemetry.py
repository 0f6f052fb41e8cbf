"""Which view of the same tokens counts, by hour, and how far cumulative series were read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, text

from monitor.domain.telemetry import Choice, Level, Seen, Sighting, View, set_aside
from monitor.domain.usage import DAY, HOUR, QUANTITY_FIELDS, Event, Quantities, utc_day
from monitor.storage import bulk, events
from monitor.storage.spelling import TOKENS
from monitor.storage.write import dimensions_of, mark_dirty

MAX_SENDERS = 1_000
"""Of one view and day that are told apart."""

_STATE = ("source_id", "series", "at", "value", "requests")


def lock_source(conn: Connection, name: str, kind: str) -> int:
    """The id of a source, made when missing, that nobody else reads telemetry into meanwhile.

    Which view counts follows from all that is stored, so each must see what the others stored.
    """
    conn.execute(
        text("INSERT INTO source (name, kind) VALUES (:n, :k) ON CONFLICT DO NOTHING"),
        {"n": name, "k": kind},
    )
    # Not FOR UPDATE, for which whoever adds a row that refers to it would wait.
    lock = " FOR NO KEY UPDATE" if conn.dialect.name == "postgresql" else ""
    found = conn.scalar(text(f"SELECT id FROM source WHERE name = :n{lock}"), {"n": name})
    assert found is not None
    return int(found)


def stream_names(conn: Connection, source_id: int) -> set[str]:
    """The streams of a source."""
    rows = bulk.select(conn, "SELECT name FROM stream WHERE source_id = ?", (source_id,))
    return {row[0] for row in rows}


def levels(conn: Connection, source_id: int, series: Collection[str]) -> dict[str, Level]:
    """How far these cumulative series were read."""
    rows = bulk.select(
        conn,
        "SELECT series, at, value, requests FROM telemetry_series"
        f" WHERE source_id = ? AND series {_among(conn)}",
        (source_id, json.dumps(sorted(series))),
    )
    return {name: Level(*level) for name, *level in rows}


def _among(conn: Connection) -> str:
    """A condition on a column: among the texts of a JSON array."""
    if conn.dialect.name == "postgresql":
        return "= ANY (ARRAY(SELECT json_array_elements_text(?)))"
    return "IN (SELECT value FROM json_each(?))"


def put_levels(conn: Connection, source_id: int, read: Mapping[str, Level]) -> None:
    """Remember how far series were read."""
    bulk.upsert(
        conn,
        "telemetry_series",
        _STATE,
        "(source_id, series) DO UPDATE SET at = excluded.at, value = excluded.value,"
        " requests = excluded.requests",
        [(source_id, name, *level) for name, level in sorted(read.items())],
    )


def forget_levels(conn: Connection, source_id: int, before: int) -> None:
    """Drop series of which nothing was read since an instant, in nanoseconds."""
    conn.execute(
        text("DELETE FROM telemetry_series WHERE source_id = :s AND at < :t"),
        {"s": source_id, "t": before},
    )


def put_views(conn: Connection, source_id: int, views: AbstractSet[View]) -> None:
    """Remember what each view's stream holds; the streams are there."""
    bulk.insert_ignore(
        conn,
        "telemetry_view",
        ("stream_id", *View._fields),
        [(_stream(conn, source_id, view), *view) for view in sorted(views)],
    )


def _stream(conn: Connection, source_id: int, view: View) -> int:
    found = conn.scalar(
        text("SELECT id FROM stream WHERE source_id = :s AND name = :n"),
        {"s": source_id, "n": view.stream},
    )
    assert found is not None
    return int(found)


def close(conn: Connection, source_id: int, through: int) -> None:
    """Close the days of all views of a source: one that has ended holds up no other.

    Args:
        conn: a writing transaction.
        source_id: whose views.
        through: midnight; never moved back.
    """
    conn.execute(
        text(
            "UPDATE watermark SET closed_through = :t WHERE COALESCE(closed_through, 0) < :t"
            " AND stream_id IN (SELECT v.stream_id FROM telemetry_view v"
            " JOIN stream t ON t.id = v.stream_id WHERE t.source_id = :s)"
        ),
        {"s": source_id, "t": through},
    )


def put_senders(conn: Connection, source_id: int, sightings: Sequence[Sighting]) -> None:
    """Remember who sent what is in each view of each day; the streams are there."""
    found: dict[tuple[int, int], set[str]] = defaultdict(set)
    streams = {view: _stream(conn, source_id, view) for view in {s.view for s in sightings}}
    for seen in sightings:
        found[utc_day(seen.event.at), streams[seen.view]].add(seen.sender)
    for key, senders in found.items():
        rows = bulk.select(
            conn, "SELECT sender FROM telemetry_sender WHERE day = ? AND stream_id = ?", key
        )
        new = senders - {row[0] for row in rows}
        room = max(0, MAX_SENDERS - len(rows))
        # Of too many it is only known that they are.
        kept = sorted(new) if len(new) <= room else [*sorted(new)[:room], ""]
        columns = ("day", "stream_id", "sender")
        bulk.insert_ignore(conn, "telemetry_sender", columns, [(*key, name) for name in kept])


def forget_senders(conn: Connection, before: int) -> None:
    """Drop who sent what of days before one."""
    conn.execute(text("DELETE FROM telemetry_sender WHERE day < :d"), {"d": before})


def known_events(
    conn: Connection, source_id: int, ids: Collection[str], days: Collection[int]
) -> set[str]:
    """Which of these events of a source are stored, about these UTC days."""
    if not ids:
        return set()
    rows = bulk.select(
        conn,
        f"SELECT event_id FROM request_log WHERE source_id = ? AND event_id {_among(conn)}"
        " AND day BETWEEN ? AND ?",
        (source_id, json.dumps(sorted(ids)), min(days) - DAY, max(days) + DAY),
    )
    return {row[0] for row in rows}


def take_back(
    conn: Connection, source_id: int, ids: Collection[str], days: Collection[int]
) -> list[Sighting]:
    """Remove those of these events that are stored, about these UTC days; says which these were."""
    if not ids:
        return []
    rows = bulk.select(
        conn,
        "SELECT s.stream_id, v.service, v.provider, v.kind, v.scope, r.event_id, r.at,"
        f" r.series_id, {', '.join(f'r.{name}' for name in QUANTITY_FIELDS)}"
        " FROM request_log r JOIN series s ON s.id = r.series_id"
        " JOIN telemetry_view v ON v.stream_id = s.stream_id"
        f" WHERE r.source_id = ? AND r.event_id {_among(conn)} AND r.day BETWEEN ? AND ?",
        (source_id, json.dumps(sorted(ids)), min(days) - DAY, max(days) + DAY),
    )
    found: dict[int, list[Sighting]] = defaultdict(list)
    dims = {stream: dimensions_of(conn, stream) for stream in {row[0] for row in rows}}
    for stream, service, provider, kind, scope, event_id, at, series_id, *quantities in rows:
        event = Event(event_id, at, dims[stream][series_id], Quantities(*quantities))
        found[stream].append(Sighting(View(service, provider, kind, scope), event))
    for stream, gone in sorted(found.items()):
        events.take_back(conn, source_id, stream, [seen.event for seen in gone])
    return [seen for gone in found.values() for seen in gone]


def decide(
    conn: Connection,
    source_id: int,
    service: str,
    days: Collection[int],
    choices: Sequence[Choice] = (),
) -> None:
    """Let one view of the same tokens of a service count in each hour of these UTC days.

    It follows from what is stored of the day and of those before, so the order in which it came
    has no part in it.
    """
    views = _views(conn, source_id, service)
    if len(views) < 2:
        return
    waiting = {*days, *(day + DAY for day in days)}
    while waiting:
        day = min(waiting)
        waiting.remove(day)
        if _decide_day(conn, views, day, choices):
            waiting.add(day + DAY)


def _views(conn: Connection, source_id: int, service: str) -> dict[int, View]:
    rows = bulk.select(
        conn,
        "SELECT v.stream_id, v.service, v.provider, v.kind, v.scope FROM telemetry_view v"
        " JOIN stream t ON t.id = v.stream_id WHERE t.source_id = ? AND v.service = ?",
        (source_id, service),
    )
    return {stream: View(*view) for stream, *view in rows}


def _decide_day(
    conn: Connection, views: Mapping[int, View], day: int, choices: Sequence[Choice]
) -> bool:
    """Whether anything is chosen otherwise than before."""
    seen = _seen(conn, views, day)
    told, last = {}, set()
    if any(hour == day for saw in seen.values() for hour, _ in saw.tokens):
        told = _seen(conn, views, day - DAY)
        last = _counting_before(conn, views, told, day)
    streams = {view: stream for stream, view in views.items()}
    wanted = {
        (streams[aside.view], aside.hour): streams[aside.counts]
        for aside in set_aside(seen, choices, told, last)
    }
    before = _aside(conn, views, day)
    bulk.upsert(
        conn,
        "set_aside",
        ("stream_id", "hour", "counts_stream_id"),
        "(stream_id, hour) DO UPDATE SET counts_stream_id = excluded.counts_stream_id",
        [(*key, other) for key, other in sorted(wanted.items()) if before.get(key) != other],
    )
    freed = sorted(before.keys() - wanted.keys())
    bulk.delete(conn, "set_aside", ("stream_id", "hour"), freed)
    for stream in sorted({stream for stream, _ in before.keys() ^ wanted.keys()}):
        mark_dirty(conn, stream, {day: _is_closed(conn, stream, day)})
    return before != wanted


def _counting_before(
    conn: Connection, views: Mapping[int, View], told: Mapping[View, Seen], day: int
) -> set[View]:
    """The views that count in the hour before a day, of which each saw what is told."""
    aside = _aside(conn, views, day - DAY)
    last = day - HOUR
    saw = {
        view
        for view, seen in told.items()
        for (hour, _), n in seen.tokens.items()
        if n and hour == last
    }
    return {view for stream, view in views.items() if view in saw and (stream, last) not in aside}


def _seen(conn: Connection, views: Mapping[int, View], day: int) -> dict[View, Seen]:
    """What each view that has any row of a day saw of it."""
    marks = ", ".join("?" * len(views))
    rows = bulk.select(
        conn,
        "SELECT s.stream_id, u.bucket_start - u.bucket_start % 3600, s.model,"
        f" CAST(SUM({TOKENS}) AS BIGINT) FROM series s"
        " JOIN usage u ON u.series_id = s.id AND u.bucket_start >= ? AND u.bucket_start < ?"
        f" WHERE s.stream_id IN ({marks}) GROUP BY 1, 2, 3",
        (day, day + DAY, *views),
    )
    tokens: dict[int, dict[tuple[int, str], int]] = defaultdict(dict)
    for stream, hour, model, used in rows:
        tokens[stream][hour, model] = used
    senders: dict[int, set[str]] = defaultdict(set)
    for stream, sender in bulk.select(
        conn,
        f"SELECT stream_id, sender FROM telemetry_sender WHERE day = ? AND stream_id IN ({marks})",
        (day, *views),
    ):
        senders[stream].add(sender)
    return {views[stream]: Seen(used, senders[stream]) for stream, used in tokens.items()}


def _aside(conn: Connection, views: Mapping[int, View], day: int) -> dict[tuple[int, int], int]:
    rows = bulk.select(
        conn,
        "SELECT stream_id, hour, counts_stream_id FROM set_aside WHERE hour >= ? AND hour < ?"
        f" AND stream_id IN ({', '.join('?' * len(views))})",
        (day, day + DAY, *views),
    )
    return {(stream, hour): counts for stream, hour, counts in rows}


def _is_closed(conn: Connection, stream_id: int, day: int) -> bool:
    closed = conn.scalar(
        text("SELECT closed_through FROM watermark WHERE stream_id = :s"), {"s": stream_id}
    )
    return closed is not None and utc_day(day) + DAY <= closed
