"""Bedrock's model invocation logs: JSON lines, mostly gzipped, one line an invocation.

A line may hold the whole prompt and the whole answer. Of these only the split of cache writes by
their time to live is read, which stands nowhere else; nothing else of them is decoded or kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from collectors.files import documents, lenient, short_id
from monitor.domain.names import clean_name
from monitor.domain.usage import MAX_COUNT, Dimensions, Event, Quantities
from monitor.ports import Cursor, Part

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Input(msgspec.Struct):
    inputTokenCount: _Count | None = None  # noqa: N815 - the log's names
    cacheReadInputTokenCount: _Count | None = None  # noqa: N815
    cacheWriteInputTokenCount: _Count | None = None  # noqa: N815


class _Output(msgspec.Struct):
    outputTokenCount: _Count | None = None  # noqa: N815
    outputBodyJson: msgspec.Raw = msgspec.Raw()  # noqa: N815


class _Identity(msgspec.Struct):
    arn: str | None = None


class _Invocation(msgspec.Struct):
    schemaType: str  # noqa: N815
    timestamp: datetime
    requestId: str  # noqa: N815
    modelId: str  # noqa: N815
    region: str | None = None
    identity: _Identity | None = None
    input: _Input | None = None
    output: _Output | None = None


class _Lives(msgspec.Struct):
    ephemeral_1h_input_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    cache_creation: _Lives | None = None


class _Body(msgspec.Struct):
    usage: _Usage | None = None


class _StreamEvent(msgspec.Struct):
    message: _Body | None = None


_decode = lenient(_Invocation)
_decode_body = lenient(_Body)
_decode_events = lenient(list[_StreamEvent])
_LOG = "ModelInvocationLog"


class BedrockLogs:
    """`ports.FileReader` for invocation logs.

    Args:
        account: who is billed.
    """

    form = "bedrock-logs"
    copies = False

    def __init__(self, account: str) -> None:
        self._account = account

    @staticmethod
    def recognises(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
        """Whether the first lines are of this format."""
        del columns
        return any(line.get("schemaType") == _LOG for line in documents)

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        return documents(path, self.form, cursor, self._event)

    def _event(self, line: bytes) -> Event | None:
        found = _decode(line)
        read, written = found.input or _Input(), found.output or _Output()
        if found.schemaType != _LOG or (read.inputTokenCount, written.outputTokenCount) == (
            None,
            None,
        ):
            return None
        if found.timestamp.tzinfo is None:
            raise ValueError("timestamp names no time zone")
        if not found.requestId:
            raise ValueError("requestId is missing")
        dims = Dimensions(
            account=self._account,
            provider="aws",
            model=clean_name(found.modelId.rpartition("/")[2]),
            actor=clean_name(_role(found.identity)),
            region=clean_name(found.region or ""),
        )
        at = int(found.timestamp.timestamp())
        return Event(short_id(found.requestId), at, dims, _quantities(read, written))


def _quantities(read: _Input, written: _Output) -> Quantities:
    """Input counts exclude what was read from a cache and written to it."""
    cached = read.cacheWriteInputTokenCount
    long = min(cached or 0, _long(written.outputBodyJson)) if cached else 0
    return Quantities(
        uncached_input=read.inputTokenCount,
        cache_read=read.cacheReadInputTokenCount,
        cache_write=None if cached is None else cached - long,
        cache_write_long=None if cached is None else long,
        output=written.outputTokenCount,
        requests=1,
    )


def _long(body: msgspec.Raw) -> int:
    """Tokens written for an hour; 0 where the answer does not say: five minutes is the default."""
    raw = bytes(body)
    try:
        # A streamed answer is the list of its events, the first of which says what was written.
        streamed = raw.lstrip().startswith(b"[")
        bodies = [e.message for e in _decode_events(raw)] if streamed else [_decode_body(raw)]
    except msgspec.DecodeError:
        return 0
    return max((_of_an_hour(body.usage) for body in bodies if body), default=0)


def _of_an_hour(usage: _Usage | None) -> int:
    lives = usage.cache_creation if usage else None
    return (lives.ephemeral_1h_input_tokens if lives else None) or 0


def _role(identity: _Identity | None) -> str:
    """The role or user of an ARN: not its session, which is often a person's address."""
    path = ((identity.arn if identity else None) or "").rpartition(":")[2].split("/")
    return "/".join(path[:2])
