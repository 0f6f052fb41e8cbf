"""Requests that programs report themselves: JSON objects of one request each, as they are sent.

    {"id": "req_7f3a", "at": "2026-11-27T09:30:00Z", "provider": "openai", "model": "gpt-5-mini",
     "project": "search", "uncached_input": 1200, "cache_read": 800, "output": 340}

A body is an array of them, or one a line. Each is read by itself: what cannot be used is refused
with its place, its id and the reason, and the others are read. Nothing of a refused one is kept,
because it may hold what nobody meant to send.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec

from monitor.domain.errors import IntakeError
from monitor.domain.intake import MAX_ID, Refused, Sender, Sent
from monitor.domain.names import NAME_CAP, clean_name
from monitor.domain.usage import (
    DAY,
    MAX_REQUEST,
    QUANTITY_FIELDS,
    TOKEN_CLASSES,
    Dimensions,
    Event,
    Quantities,
)

JSON = "application/json"
LINES = "application/x-ndjson"
CONTENT_TYPES = (JSON, LINES, "application/ndjson")

OLDEST_DAYS = 62
"""What is older is history: `crossover import` takes it."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_REQUEST)] | None
_Name = Annotated[str, msgspec.Meta(max_length=NAME_CAP)] | None
_Required = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CAP)]
# Some services' ids have 430 characters.
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)] | int | float


class _Said(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """One request: its fields in the order of Event, Dimensions and Quantities."""

    id: _Id
    at: _Time
    account: _Name = ""
    provider: _Required
    model: _Required
    project: _Name = ""
    api_key: _Name = ""
    actor: _Name = ""
    tier: _Name = ""
    batch: bool | None = None
    region: _Name = ""
    label: _Name = ""
    uncached_input: _Count = None
    cache_read: _Count = None
    cache_write: _Count = None
    cache_write_long: _Count = None
    output: _Count = None
    audio_input: _Count = None
    audio_cache_read: _Count = None
    audio_output: _Count = None
    image_input: _Count = None
    image_cache_read: _Count = None
    image_output: _Count = None
    reasoning: _Count = None
    requests: _Count = 1


class _Named(msgspec.Struct):
    """What a refused request is called in the answer."""

    id: str = ""


FIELDS = _Said.__struct_fields__
_FIELDS = len(FIELDS)
_DIMENSIONS = slice(2, 2 + len(Dimensions._fields))
_QUANTITIES = slice(_DIMENSIONS.stop, _FIELDS)
_CLASSES = len(TOKEN_CLASSES)
_OUTPUT = QUANTITY_FIELDS.index("output")
_REASONING = QUANTITY_FIELDS.index("reasoning")

_one = msgspec.json.Decoder(_Said)
_many = msgspec.json.Decoder(list[_Said])
# Finds the end of one element. It takes NaN too, as some clients write it.
_element = json.JSONDecoder(parse_int=str, parse_float=str, strict=False).raw_decode
_OPENS = re.compile(r"\s*\[\s*(?=\S)", re.ASCII)
_NEXT = re.compile(r"\s*(?:,\s*(?=\S)|\]\s*\Z)", re.ASCII)
_name = msgspec.json.Decoder(_Named)
_row = msgspec.structs.astuple
# In half the time of the constructors, which count what msgspec has counted.
_event = partial(tuple.__new__, Event)
_quantities = partial(tuple.__new__, Quantities)

_REASON_CAP = 200
_INSIDE = "reasoning is a part of output, and is larger"


class _Unusable(NamedTuple):
    """Why: as the sender is told, and as it is counted, where nothing of what was sent stands."""

    told: str
    kept: str


def parse(body: bytes, content_type: str, sender: Sender, now: int, *, most: int) -> Sent:
    """Read one body.

    Args:
        body: inflated.
        content_type: one of CONTENT_TYPES.
        sender: whose token came with it, and what that fixes.
        now: epoch seconds.
        most: requests that one body may hold.

    Raises:
        IntakeError: 400, it is no array of objects at all; 413, it holds more than `most`.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    # Before anything is made of it: no body needs more commas than its fields have.
    if content_type == JSON and body.count(b",") > most * (_FIELDS + 5) + _FIELDS * NAME_CAP:
        raise _too_many(most)
    if content_type != JSON and body.count(b"\n") > 2 * most + 2_000:
        raise _too_many(most)
    try:
        said = _read(body, content_type, most)
    except RecursionError:
        raise IntakeError(400, "the body is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):
        raise IntakeError(400, "the body is not a JSON array of objects") from None
    if len(said) > most:
        raise _too_many(most)
    return _checked(said, sender, now)


def _too_many(most: int) -> IntakeError:
    return IntakeError(413, f"a request brings at most {most} events")


def _read(body: bytes, content_type: str, most: int) -> list[_Said] | list[_Said | Refused]:
    """Each request, or why there is none at its place."""
    try:
        return _many.decode(body) if content_type == JSON else _one.decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # At least one cannot be read: now each by itself.
        parts = _elements(body) if content_type == JSON else _lines(body)
        return [_alone(i, part) for i, part in enumerate(islice(parts, most + 1))]


def _elements(body: bytes) -> Iterator[bytes]:
    """What an array holds; raises ValueError where it is none."""
    # What tells elements apart is ASCII, so that text that is not UTF-8 costs no other.
    text = body.decode("latin-1")
    between = _OPENS.match(text)
    while between and (start := between.end()) < len(text):
        _, end = _element(text, start)
        yield body[start:end]
        between = _NEXT.match(text, end)
    if not between:
        raise ValueError("not an array")


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line.strip()]


def _alone(index: int, part: bytes) -> _Said | Refused:
    try:
        return _one.decode(part)
    except msgspec.ValidationError as error:
        why = _spoken(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        why = _Unusable("this is not JSON", "not JSON")
    return Refused(index, _id_of(part), why.told, why.kept)


def _spoken(said: str) -> _Unusable:
    if said.startswith("Object contains unknown field"):
        return _Unusable(clean_name(said, _REASON_CAP), "an unknown field")
    # The rest names types and our own fields, never a value.
    return _Unusable(said, said)


def _id_of(part: bytes) -> str:
    try:
        return clean_name(_name.decode(part).id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _checked(said: Sequence[_Said | Refused], sender: Sender, now: int) -> Sent:
    reader = _Reader(sender, now)
    events: list[Event] = []
    refused: list[Refused] = []
    for index, item in enumerate(said):
        found = item if isinstance(item, Refused) else reader.event(item)
        if isinstance(found, Event):
            events.append(found)
        elif isinstance(found, Refused):
            refused.append(found)
        else:
            assert isinstance(item, _Said)
            refused.append(Refused(index, clean_name(item.id), found.told, found.kept))
    return Sent(events, refused)


class _Reader:
    """Makes events of what one sender said at one time."""

    def __init__(self, sender: Sender, now: int) -> None:
        self._sender = sender
        self._earliest, self._latest = now - OLDEST_DAYS * DAY, now + DAY
        self._known: dict[tuple[Any, ...], Dimensions | _Unusable] = {}
        """Few combinations of names come many times."""

    def event(self, said: _Said) -> Event | _Unusable:
        row = _row(said)
        name, at, counts = row[0], row[1], row[_QUANTITIES]
        dims = self._known.get(row[_DIMENSIONS]) or self._dimensions(row[_DIMENSIONS])
        if isinstance(dims, _Unusable):
            return dims
        if type(at) is not int:
            at = _seconds(at)
        if not self._earliest <= at <= self._latest:
            return self._untimely(at)
        if len(name) > MAX_ID or not (name.isascii() and name.isprintable()):
            if clean_name(name, len(name)) != name:
                return _Unusable("id has control characters", "id has control characters")
            if len(name) > MAX_ID:
                name = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        if counts[_REASONING] and counts[_REASONING] > (counts[_OUTPUT] or 0):
            return _Unusable(_INSIDE, _INSIDE)
        if counts.count(None) >= _CLASSES and not any(n is not None for n in counts[:_CLASSES]):
            return _Unusable("no token class is given", "no token class")
        return _event((name, at, dims, _quantities(counts)))

    def _dimensions(self, names: tuple[Any, ...]) -> Dimensions | _Unusable:
        self._known[names] = made = self._made(Dimensions(*map(_word, names)))
        return made

    def _made(self, dims: Dimensions) -> Dimensions | _Unusable:
        if not dims.provider or not dims.model:
            return _Unusable("provider and model are needed", "no provider or model")
        if name := self._sender.trespass(dims):
            return _Unusable(f"{name}: this token reports for another", f"{name} of another")
        return self._sender.bind(dims)

    def _untimely(self, at: int) -> _Unusable:
        if at > self._latest:
            return _Unusable(
                "at lies in the future; a number is in seconds", "at lies in the future"
            )
        return _Unusable(
            f"at is more than {OLDEST_DAYS} days ago; `crossover import` takes history",
            "at is too long ago",
        )


def _word(said: str | bool | None) -> str:
    if isinstance(said, str):
        return clean_name(said)
    return "" if said is None else str(said).lower()


def _seconds(at: float | datetime) -> int:
    return int(at.timestamp() if isinstance(at, datetime) else at)
