"""Claude Code's session logs: `projects/PROJECT/SESSION.jsonl`, what each response used.

A response stands in a log once for each block of its content, and again in every session that was
resumed or forked: `monitor.domain.responses` says which copies count. Most bytes of a log are what
tools answered: lines are told apart by their bytes, and only those with usage are decoded. Nothing
of what was said is kept, not even of a line that cannot be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from collectors.files import Block, blocks, lenient, unreadable
from monitor.domain.names import clean_name
from monitor.domain.responses import event_id, larger
from monitor.domain.usage import MAX_COUNT, Dimensions, Event, Problem, Quantities
from monitor.ports import Cursor, Part

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Key = tuple[str, str, bool]
"""Message, request, side chain."""
_OPENS, _CLOSES = b"{}"
_STANDARD = (None, "", "standard")


class _Creation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: _Count | None = None
    ephemeral_1h_input_tokens: _Count | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation: _Creation | None = None
    service_tier: str | None = None
    speed: str | None = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None


class _Line(msgspec.Struct, gc=False):
    type: str = ""
    timestamp: datetime | None = None
    requestId: str | None = None  # noqa: N815 - the log's name
    isSidechain: bool | None = None  # noqa: N815
    cwd: str | None = None
    message: _Message | None = None


class _Kept(msgspec.Struct, gc=False):
    """What counts so far of the copies in a block."""

    total: int
    line: _Line
    first: datetime


_decode = lenient(_Line)


class ClaudeCode:
    """`ports.FileReader` for Claude Code's logs.

    Args:
        account: who is billed.
    """

    form = "claude-code"
    copies = True

    def __init__(self, account: str) -> None:
        self._account = account
        self._dimensions: dict[tuple[str | None, ...], Dimensions] = {}

    @staticmethod
    def recognises(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
        """Whether the first lines are of this format."""
        del columns
        return any(
            "sessionId" in line
            or ("leafUuid" in line and line.get("type") == "summary")
            or (line.get("type") == "assistant" and _has_usage(line.get("message")))
            for line in documents
        )

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        for block in blocks(path, self.form, cursor):
            yield self._part(block, path)

    def _part(self, block: Block, path: str) -> Part:
        problems = list(block.problems)
        kept: dict[_Key, _Kept] = {}
        rows = 0
        for line in _candidates(block, problems, path):
            rows += 1
            try:
                found = _decode(line)
                if (key := _key(found)) is None:
                    continue
            except (ValueError, OverflowError, RecursionError) as error:
                problems.append(unreadable(path, block.lines.line, line, str(error)))
                continue
            total = _total(found.message.usage)  # type: ignore[union-attr, arg-type]
            if (known := kept.get(key)) is None:
                kept[key] = _Kept(total, found, found.timestamp)  # type: ignore[arg-type]
            else:
                self._add(known, key, total, found)
        events = [self._event(key, each.line, each.first) for key, each in kept.items()]
        return Part(rows, events, problems, block.taken(), waits=block.waits)

    def _add(self, known: _Kept, key: _Key, total: int, line: _Line) -> None:
        """Keep what counts of two copies: as `larger`, for which few of them need be events."""
        at: datetime = line.timestamp  # type: ignore[assignment]
        known.first = min(known.first, at)
        if total == known.total:
            if line.message == known.line.message and line.cwd == known.line.cwd:
                return
            new, old = (self._event(key, each, at) for each in (line, known.line))
            if larger(old, new) is old:
                return
        if total >= known.total:
            known.total, known.line = total, line

    def _event(self, key: _Key, line: _Line, first: datetime) -> Event:
        message, request, sidechain = key
        used = line.message.usage  # type: ignore[union-attr]
        assert used is not None
        written = _written(used)
        long = (used.cache_creation and used.cache_creation.ephemeral_1h_input_tokens) or 0
        long = min(long, written or 0)
        quantities = Quantities(
            used.input_tokens,
            used.cache_read_input_tokens,
            None if written is None else written - long,
            None if written is None else long,
            used.output_tokens,
            requests=1,
        )
        name = event_id(message, request, sidechain=sidechain)
        return Event(name, int(first.timestamp()), self._dims(line), quantities)

    def _dims(self, line: _Line) -> Dimensions:
        message = line.message
        assert message is not None
        used = message.usage or _Usage()
        key = (message.model, line.cwd, used.service_tier, used.speed)
        if (known := self._dimensions.get(key)) is None:
            known = self._dimensions[key] = Dimensions(
                account=self._account,
                provider="anthropic",
                model=clean_name(message.model or ""),
                project=clean_name(_folder(line.cwd or "")),
                tier=clean_name(_tier(used)),
            )
        return known


def _candidates(block: Block, problems: list[Problem], path: str) -> Iterator[bytes]:
    """Lines that may hold usage; those that are no JSON object are problems."""
    data, lines, start = block.data, block.lines, 0
    find, rfind, size = data.find, data.rfind, len(data)
    while start < size:
        end = find(b"\n", start)
        if end < 0:
            end = size
        lines.line += 1
        if data[start] != _OPENS or data[end - 1] != _CLOSES:
            line = data[start:end].strip()
            if line and (line[0] != _OPENS or line[-1] != _CLOSES):
                problems.append(unreadable(path, lines.line, line, "the line is no JSON object"))
                start = end + 1
                continue
        # From the right: usage stands behind what was said.
        if rfind(b'"usage"', start, end) >= 0 and find(b'"assistant"', start, end) >= 0:
            yield data[start:end]
        start = end + 1


def _key(line: _Line) -> _Key | None:
    """None: the line tells of no response that was paid for.

    Raises:
        ValueError: it does, but not when.
    """
    message = line.message
    if line.type != "assistant" or message is None or message.usage is None:
        return None
    if (message.model or "").startswith("<"):
        return None
    if line.timestamp is None or line.timestamp.tzinfo is None:
        raise ValueError("timestamp is missing or names no time zone")
    return (
        message.id or line.requestId or _own_id(line),
        line.requestId or "",
        bool(line.isSidechain),
    )


def _own_id(line: _Line) -> str:
    """For a response that has none: its instant, model and usage."""
    return "~" + hashlib.sha256(repr((line.timestamp, line.message)).encode()).hexdigest()[:40]


def _has_usage(message: object) -> bool:
    return isinstance(message, dict) and isinstance(message.get("usage"), dict)


def _written(used: _Usage) -> int | None:
    """Tokens written to the cache: their total, else the sum of its parts."""
    parts = used.cache_creation
    if used.cache_creation_input_tokens is not None or parts is None:
        return used.cache_creation_input_tokens
    known = (parts.ephemeral_5m_input_tokens, parts.ephemeral_1h_input_tokens)
    return None if known == (None, None) else sum(count or 0 for count in known)


def _total(used: _Usage) -> int:
    return (
        (used.input_tokens or 0)
        + (used.output_tokens or 0)
        + (used.cache_read_input_tokens or 0)
        + (_written(used) or 0)
    )


def _tier(used: _Usage) -> str:
    """The service tier, and behind it a speed that has a price of its own."""
    fast = [] if used.speed in _STANDARD else [f"speed={used.speed}"]
    return ";".join(filter(None, [used.service_tier, *fast]))


def _folder(path: str) -> str:
    """The last folder of a path: the project, without the names of people above it."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]
