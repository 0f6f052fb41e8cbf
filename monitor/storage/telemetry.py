"""Which view of the same tokens counts, by day, and how far cumulative series were read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, text

from monitor.domain.telemetry import Choice, Level, View, choose
from monitor.domain.usage import DAY, utc_day
from monitor.storage import bulk
from monitor.storage.spelling import TOKENS
from monitor.storage.write import mark_dirty

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
    if conn.dialect.name == "postgresql":
        among = "= ANY (ARRAY(SELECT json_array_elements_text(?)))"
    else:
        among = "IN (SELECT value FROM json_each(?))"
    rows = bulk.select(
        conn,
        "SELECT series, at, value, requests FROM telemetry_series"
        f" WHERE source_id = ? AND series {among}",
        (source_id, json.dumps(sorted(series))),
    )
    return {name: Level(*level) for name, *level in rows}


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


def decide(
    conn: Connection,
    source_id: int,
    group: tuple[str, str],
    days: Collection[int],
    choices: Sequence[Choice] = (),
) -> None:
    """Let one view of a service and provider count on each of these UTC days.

    It follows from what is stored of the day, so the order in which it came has no part in it.
    """
    views = _views(conn, source_id, group)
    if len(views) < 2:
        return
    for day in sorted(days):
        _decide_day(conn, views, day, choices)


def _views(conn: Connection, source_id: int, group: tuple[str, str]) -> dict[int, View]:
    rows = bulk.select(
        conn,
        "SELECT v.stream_id, v.service, v.provider, v.kind, v.scope FROM telemetry_view v"
        " JOIN stream t ON t.id = v.stream_id"
        " WHERE t.source_id = ? AND v.service = ? AND v.provider = ?",
        (source_id, *group),
    )
    return {stream: View(*view) for stream, *view in rows}


def _decide_day(
    conn: Connection, views: Mapping[int, View], day: int, choices: Sequence[Choice]
) -> None:
    seen = _tokens(conn, views, day)
    if not seen:
        return
    chosen = choose({views[stream]: tokens for stream, tokens in seen.items()}, choices)
    counts = next(stream for stream in seen if views[stream] == chosen)
    wanted = {stream: counts for stream in seen if stream != counts}
    before = _aside(conn, views, day)
    bulk.upsert(
        conn,
        "set_aside",
        ("stream_id", "day", "counts_stream_id"),
        "(stream_id, day) DO UPDATE SET counts_stream_id = excluded.counts_stream_id",
        [(stream, day, other) for stream, other in sorted(wanted.items())],
    )
    freed = sorted(before - wanted.keys())
    bulk.delete(conn, "set_aside", ("stream_id", "day"), [(stream, day) for stream in freed])
    for stream in sorted(before ^ wanted.keys()):
        mark_dirty(conn, stream, {day: _is_closed(conn, stream, day)})


def _tokens(conn: Connection, views: Mapping[int, View], day: int) -> dict[int, int]:
    """The tokens of each view that has any row of a day."""
    rows = bulk.select(
        conn,
        f"SELECT s.stream_id, CAST(SUM({TOKENS}) AS BIGINT) FROM series s"
        " JOIN usage u ON u.series_id = s.id AND u.bucket_start >= ? AND u.bucket_start < ?"
        f" WHERE s.stream_id IN ({', '.join('?' * len(views))}) GROUP BY s.stream_id",
        (day, day + DAY, *views),
    )
    return dict(rows)


def _aside(conn: Connection, views: Mapping[int, View], day: int) -> set[int]:
    rows = bulk.select(
        conn,
        "SELECT stream_id FROM set_aside WHERE day = ?"
        f" AND stream_id IN ({', '.join('?' * len(views))})",
        (day, *views),
    )
    return {row[0] for row in rows}


def _is_closed(conn: Connection, stream_id: int, day: int) -> bool:
    closed = conn.scalar(
        text("SELECT closed_through FROM watermark WHERE stream_id = :s"), {"s": stream_id}
    )
    return closed is not None and utc_day(day) + DAY <= closed
