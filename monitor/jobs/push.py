"""`POST /v1/usage`: requests that programs report themselves, stored once each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from monitor.domain.intake import Answer, Refused, Sender, Sent
from monitor.domain.usage import Problem
from monitor.jobs.intake import Arrival, Parcel, Reading, Signal, Stored, put_requests

PATH = "/v1/usage"
SCOPE = "usage"
_JSON = "application/json"
_MOST_REFUSED = 100
"""That one answer names; the others are counted."""

Parse = Callable[[bytes, str, Sender, int], Sent]
"""(body, content type, sender, now) -> what it holds; raises IntakeError."""


def signal(parse: Parse, content_types: Sequence[str], settle: int) -> Signal:
    """The path, with what reads its bodies.

    Args:
        parse: reads a body.
        content_types: of bodies; the first where none is named.
        settle: seconds after which a UTC day of a source that goes on sending is complete.
    """

    def read(body: bytes, content_type: str, sender: Sender, now: int) -> Reading:
        sent = parse(body, content_type, sender, now)
        return Reading(sent, len(sent.events) + len(sent.refused))

    def put(conn: Connection, parcels: Sequence[Parcel], now: int) -> list[Answer]:
        stored = put_requests(conn, [_arrival(parcel) for parcel in parcels], now, settle)
        return [
            _answer(found, parcel.found.refused)
            for found, parcel in zip(stored, parcels, strict=True)
        ]

    return Signal(PATH, SCOPE, content_types, read, put, _refuse)


def _arrival(parcel: Parcel) -> Arrival:
    sent: Sent = parcel.found
    problems = [
        Problem(f"token {parcel.sender.token}, event {refused.place}", refused.kept)
        for refused in sent.refused
    ]
    return Arrival(parcel.sender.source, sent.events, problems)


def _answer(stored: Stored, refused: Sequence[Refused]) -> Answer:
    named = [
        {"index": each.place, "id": each.id, "reason": each.reason}
        for each in refused[:_MOST_REFUSED]
    ]
    said = {**stored._asdict(), "refused": named}
    if len(refused) > len(named):
        said["refused_unnamed"] = len(refused) - len(named)
    return _json(200, said)


def _refuse(status: int, reason: str, content_type: str) -> Answer:
    del content_type
    return _json(status, {"error": reason})


def _json(status: int, said: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(said).encode(), _JSON)
