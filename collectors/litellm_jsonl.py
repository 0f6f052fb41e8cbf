"""LiteLLM's own logs as JSON lines: rows of its request log, or what it writes to a bucket.

Which rows count and what they used is read as from the proxy itself (`collectors.litellm_rows`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from collectors.files import documents, lenient, short_id
from collectors.litellm_rows import DEFAULT_GROUP_BY, Chosen, logged_at, reader
from monitor.domain.usage import Event
from monitor.ports import Cursor, Part

_MILLISECONDS_FROM = 100_000_000_000
"""A number of seconds that large would lie in the year 5138."""


class _Line(msgspec.Struct):
    """What is decoded of a line: nothing of what was asked and answered."""

    startTime: str | float | int  # noqa: N815 - the proxy's name
    request_id: str | None = None
    id: str | None = None
    litellm_call_id: str | None = None
    call_type: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str | None = None
    custom_llm_provider: str | None = None
    api_key: str | None = None
    team_id: str | None = None
    status: str | None = None
    cache_hit: bool | str | None = None
    metadata: dict[str, Any] | str | None = None
    cost_breakdown: dict[str, Any] | None = None


_decode = lenient(_Line)


class LiteLLMJsonl:
    """`ports.FileReader` for LiteLLM's logs.

    Args:
        account: who is billed.
    """

    form = "litellm-jsonl"
    copies = False

    def __init__(self, account: str) -> None:
        self._row = reader(account, "1h", DEFAULT_GROUP_BY)

    @staticmethod
    def recognises(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
        """Whether the first lines are of this format."""
        del columns
        return any("custom_llm_provider" in line and "startTime" in line for line in documents)

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        chosen = Chosen()
        return documents(path, self.form, cursor, lambda line: self._event(line, chosen))

    def _event(self, line: bytes, chosen: Chosen) -> Event | None:
        found = _decode(line)
        call = _as_logged(found)
        if not chosen.admit(call):
            return None
        if not call["request_id"]:
            raise ValueError("request_id is missing")
        row = self._row(call, 0)
        return Event(short_id(call["request_id"]), _at(found.startTime), row.dims, row.quantities)


def _as_logged(found: _Line) -> dict[str, Any]:
    """A line as a row of the request log; what goes to a bucket has other names for some."""
    call = msgspec.structs.asdict(found)
    about = found.metadata if isinstance(found.metadata, dict) else {}
    at = datetime.fromtimestamp(_at(found.startTime), UTC)
    return call | {
        "startTime": at.isoformat(),
        "request_id": found.request_id or found.id or "",
        "api_key": found.api_key or about.get("user_api_key_hash"),
        "team_id": found.team_id or about.get("user_api_key_team_id"),
        "metadata": found.metadata
        if isinstance(found.metadata, str)
        else {"cost_breakdown": found.cost_breakdown} | about,
    }


def _at(started: str | float) -> int:
    """The instant: a time without a zone is UTC, a number counts seconds or milliseconds."""
    if isinstance(started, str):
        return logged_at(started)
    return int(started / 1000 if started >= _MILLISECONDS_FROM else started)
