"""How much a body in Protobuf holds, counted on its bytes before anything is made of them.

The classes have no limit of their own, and make 180 bytes of an empty span, which is two.
"""

from __future__ import annotations

from collections.abc import Mapping

Fields = Mapping[int, "Fields | None"]
"""What is counted of a message: tag (a field's number and type) -> the fields of the message in
it; None: it holds none."""

LENGTH = 2
"""The type of a field that says how long it is; it is the last three bits of the tag."""

_VARINT = 0
_BYTES = {1: 8, 5: 4}
"""After the tags of the other types; OTLP has no groups."""

_NO_LENGTH = bytes(byte for byte in range(256) if byte & 7 != LENGTH)
_DEEPEST = 100
"""Messages in each other that the classes read."""


def objects(body: bytes, fields: Fields, most: int) -> int:
    """How many of these fields, and of those in them, a body has.

    Args:
        body: one message.
        fields: what is counted of it.
        most: beyond this many nobody asks how many.

    Returns:
        The number, or a larger one that is at most `most`; any above it, if it is above.

    Raises:
        ValueError: the body is no message.
    """
    # Each of them has a byte that can begin its tag: of few such bytes nothing has to be walked.
    bound = len(body.translate(None, _NO_LENGTH))
    return bound if bound <= most else walked(body, fields, most)


def walked(body: bytes, fields: Fields, most: int) -> int:
    """As `objects`, by walking: the number itself up to `most`."""
    outer: list[tuple[int, Fields]] = []
    at, end, found = 0, len(body), 0
    while found <= most:
        while at == end:
            if not outer:
                return found
            end, fields = outer.pop()
        try:
            tag, begin, after = _field(body, at)
        except LookupError:
            raise ValueError("a field is cut off, or of no type") from None
        if after > end or len(outer) > _DEEPEST:
            raise ValueError("a field is longer than its message, or too deep")
        at = after
        if tag in fields:
            found += 1
            inner = fields[tag]
            if inner is not None:
                outer.append((end, fields))
                at, end, fields = begin, after, inner
    return found


def _field(body: bytes, at: int) -> tuple[int, int, int]:
    """Its tag, and where its bytes begin and end."""
    tag, at = body[at], at + 1
    if tag > 0x7F:
        tag, at = _varint(body, at - 1)
    sort = tag & 7
    if sort == _VARINT:
        return tag, at, _varint(body, at)[1]
    if sort != LENGTH:
        return tag, at, at + _BYTES[sort]
    size, at = body[at], at + 1
    if size > 0x7F:
        size, at = _varint(body, at - 1)
    return tag, at, at + size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    number = body[at] & 0x7F
    for shift in range(7, 70, 7):
        if body[at] < 0x80:
            return number, at + 1
        at += 1
        number |= (body[at] & 0x7F) << shift
    return number, at + 1
