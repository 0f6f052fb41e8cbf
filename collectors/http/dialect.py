"""How a provider refuses, where it has a way of its own, and what it says then."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec

from collectors.http.scrub import DETAIL_CAP

Verdict = Literal["denied", "passes", ""]


class Dialect(NamedTuple):
    """What a provider says in another way than HTTP's own."""

    verdict: Callable[[int, bytes], Verdict] = lambda _status, _body: ""
    """Of a refusal's status and body: whether credentials were refused, or it goes away by itself;
    empty: what the status says."""
    wait_headers: re.Pattern[str] | None = None
    """Names of further headers that hold the seconds to wait; the longest counts."""


PLAIN = Dialect()


class _ErrorObject(msgspec.Struct):
    message: str


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject


class _AmazonError(msgspec.Struct):
    kind: str = msgspec.field(name="__type")
    message: str = ""
    named: str = msgspec.field(name="Message", default="")


def error_message(body: bytes) -> str:
    """What a provider says: the message of its error object, else the text as it is."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(body, type=_ErrorBody).error.message
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        found = msgspec.json.decode(body, type=_AmazonError)
        return f"{found.kind.rpartition('#')[2]}: {found.message or found.named}"
    return body[: 10 * DETAIL_CAP].decode(errors="replace")
