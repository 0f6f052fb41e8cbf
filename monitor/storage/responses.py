"""A door for logs that repeat responses: what of all copies counts stands in `request_log`.

A message of which all copies agree is one row there, like any request. Copies that differ in
request or side chain are kept beside it, since a further one can change which of them count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection

from monitor.domain.responses import AFTER, Copies, counted, larger, message_of, together
from monitor.domain.usage import QUANTITY_FIELDS, Dimensions, Event, Quantities
from monitor.storage import bulk
from monitor.storage.events import Known, put_known, take_back
from monitor.storage.tables import response
from monitor.storage.write import Changes, dimensions_of, lock_stream

_AT_ONCE = 2_000
"""Messages that are looked up by one statement."""


def put_responses(
    conn: Connection, source_id: int, stream_id: int, events: Iterable[Event]
) -> Changes:
    """Count responses once each, whatever copies of them came before or come later.

    An event's id is one of `monitor.domain.responses.event_id`.
    """
    # Before anything is looked up: what another writer adds meanwhile must be seen.
    lock_stream(conn, stream_id)
    batch = _by_message(events)
    stored = _stored(conn, source_id, batch.keys())
    kept = _kept(conn, source_id, batch.keys())
    series = dimensions_of(conn, stream_id) if stored else {}
    wanted: dict[str, Event] = {}
    known: dict[str, Known] = {}
    wrong: list[Event] = []
    mixed: dict[str, Copies] = {}
    for message, copies in batch.items():
        rows = stored.get(message, {})
        if not rows and len(copies) == 1:
            wanted |= copies
            continue
        before = {
            i: Event(i, row.at, series[row.series_id], row.quantities) for i, row in rows.items()
        }
        all_before = kept.get(message, before)
        all_now = together(all_before, copies)
        if len(all_now) > 1 and all_now != all_before:
            mixed[message] = all_now
        right = counted(all_now)
        stays = {i for i, event in before.items() if right.get(i) == event}
        wrong += [event for i, event in before.items() if i not in stays]
        wanted |= right
        known |= {i: rows[i] for i in stays}
    gone = take_back(conn, source_id, stream_id, wrong)
    put = put_known(conn, source_id, stream_id, wanted, known)
    _keep(conn, source_id, mixed)
    # What is counted under another id now is changed: nothing new was used, and nothing is gone.
    swapped = min(put.new, gone.gone)
    return Changes(put.new - swapped, put.changed + swapped, gone.gone - swapped)


def _by_message(events: Iterable[Event]) -> dict[str, dict[str, Event]]:
    batch: dict[str, dict[str, Event]] = {}
    for event in events:
        copies = batch.setdefault(message_of(event.id), {})
        seen = copies.setdefault(event.id, event)
        if seen is not event:
            copies[event.id] = larger(seen, event)
    return batch


def _stored(
    conn: Connection, source_id: int, messages: Collection[str]
) -> dict[str, dict[str, Known]]:
    names = ("event_id", "day", "at", "series_id", *QUANTITY_FIELDS)
    columns = ", ".join(f"r.{name}" for name in names)
    # Spelled so that each message is looked up by the key, whatever is believed about sizes.
    among = (
        " FROM json_array_elements_text(?::json) AS m(message) CROSS JOIN LATERAL (SELECT *"
        " FROM request_log l WHERE l.event_id >= (m.message || '/') COLLATE \"C\""
        f" AND l.event_id < (m.message || '{AFTER}') COLLATE \"C\" AND l.source_id = ? OFFSET 0) r"
        if conn.dialect.name == "postgresql"
        else " FROM json_each(?) AS m CROSS JOIN request_log r WHERE r.event_id >= m.value || '/'"
        f" AND r.event_id < m.value || '{AFTER}' AND r.source_id = ?"
    )
    rows = []
    asked = list(messages)
    for first in range(0, len(asked), _AT_ONCE):
        part = json.dumps(asked[first : first + _AT_ONCE])
        rows += bulk.select(conn, f"SELECT {columns}{among}", (part, source_id))
    found: dict[str, dict[str, Known]] = defaultdict(dict)
    for i, day, at, series_id, *quantities in rows:
        found[message_of(i)][i] = Known(day, at, series_id, Quantities(*quantities))
    return found


def _kept(conn: Connection, source_id: int, messages: Collection[str]) -> dict[str, Copies]:
    among = (
        "= ANY (ARRAY(SELECT json_array_elements_text(?::json)))"
        if conn.dialect.name == "postgresql"
        else "IN (SELECT value FROM json_each(?))"
    )
    rows = bulk.select(
        conn,
        f"SELECT message, copies FROM response WHERE message {among} AND source_id = ?",
        (json.dumps(list(messages)), source_id),
    )
    return {message: _read(copies) for message, copies in rows}


def _keep(conn: Connection, source_id: int, mixed: Mapping[str, Copies]) -> None:
    bulk.upsert(
        conn,
        response.name,
        ("message", "source_id", "copies"),
        "(message, source_id) DO UPDATE SET copies = excluded.copies",
        [(message, source_id, _written(copies)) for message, copies in sorted(mixed.items())],
    )


def _written(copies: Copies) -> str:
    return json.dumps([list(copy) for copy in copies.values()])


def _read(text: str) -> Copies:
    return {
        i: Event(i, at, Dimensions(*dims), Quantities(*quantities))
        for i, at, dims, quantities in json.loads(text)
    }
