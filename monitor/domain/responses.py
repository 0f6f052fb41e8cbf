"""One response of a model, however often logs repeat it.

Coding agents write a response once for each block of its content, copy it into every session that
is resumed or forked, and replay it on side chains. What counts does not depend on the order in
which copies are found:

1. Copies of one message and one request are one response, and the largest of them counts.
2. A copy on a side chain under another request is a replay: it counts only where the message is
   known from side chains alone, and then the largest one does.
3. A copy without a request is the message itself: it counts alone only where no request is known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from monitor.domain.names import clean_name
from monitor.domain.usage import Event

_SEPARATOR = "/"
AFTER = chr(ord(_SEPARATOR) + 1)
"""Ids of one message lie from `message/` up to `message` and this."""
_SIDE = "!"
_PLAIN = re.compile(r"[\w.:=-]{0,95}/[\w.:=-]{0,95}", re.ASCII).fullmatch
"""Messages and requests that stand in an id as they are."""

Copies = Mapping[str, Event]
"""The largest copy by id."""


class Identity(NamedTuple):
    """What tells copies apart; a request that is not known is ''."""

    message: str
    request: str
    sidechain: bool


def event_id(message: str, request: str, *, sidechain: bool) -> str:
    """An event's id that says which message, which request, and whether on a side chain."""
    end = _SIDE if sidechain else ""
    if _PLAIN(whole := message + _SEPARATOR + request):
        return whole + end
    return f"{_part(message)}{_SEPARATOR}{_part(request)}{end}"


def message_of(of: str) -> str:
    """The message that an id names."""
    return of.partition(_SEPARATOR)[0]


def identity(of: str) -> Identity:
    """What an id says."""
    message, _, request = of.partition(_SEPARATOR)
    return Identity(message, request.removesuffix(_SIDE), request.endswith(_SIDE))


def _part(name: str) -> str:
    """The name, or where it is long or holds our own signs, a digest of it."""
    if _PLAIN(name + _SEPARATOR):
        return name
    return "~" + hashlib.sha256(clean_name(name, 10_000).encode()).hexdigest()[:40]


def larger(a: Event, b: Event) -> Event:
    """The copy with more tokens, at the instant of the earlier one: the same in any order."""
    chosen = max(a, b, key=_size)
    at = min(a.at, b.at)
    return chosen if chosen.at == at else chosen._replace(at=at)


def _size(event: Event) -> tuple[object, ...]:
    """A total order, whatever copies differ in; the instant has no part in it."""
    parts = tuple(-1 if count is None else count for count in event.quantities)
    # Of copies with as many tokens, one that tells which writes to a cache are kept for long.
    long = event.quantities.cache_write_long or 0
    return event.quantities.tokens, long, parts, event.id, event.dims


def together(a: Copies, b: Copies) -> dict[str, Event]:
    """All copies that are known of one message."""
    return dict(a) | {i: larger(a[i], event) if i in a else event for i, event in b.items()}


def counted(copies: Copies) -> dict[str, Event]:
    """What counts of all copies of one message, by id: one event a response."""
    parents: dict[str, Event] = {}
    sides: dict[str, Event] = {}
    for i, event in copies.items():
        _, request, sidechain = identity(i)
        (sides if sidechain else parents)[request] = event
    if not parents:
        largest = max(sides.values(), key=_size)
        return {largest.id: largest}
    whole = {
        request: larger(event, sides[request])._replace(id=event.id) if request in sides else event
        for request, event in parents.items()
    }
    if len(whole) > 1 and "" in whole:
        alone = whole.pop("")
        most = max(whole, key=lambda request: _size(whole[request]))
        whole[most] = larger(whole[most], alone)._replace(id=whole[most].id)
    return {event.id: event for event in whole.values()}
