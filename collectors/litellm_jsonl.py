"""LiteLLM's own logs as JSON lines: rows of its request log, or what it writes to a bucket.

Only requests that succeeded are counted: the tokens of a failed one are the proxy's guess, and an
answer out of its cache cost nobody anything. What the proxy calls spend is its own estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from collectors.files import documents, short_id
from monitor.domain.aliases import provider_id
from monitor.domain.names import clean_name
from monitor.domain.usage import MAX_COUNT, Dimensions, Event, Quantities
from monitor.ports import Cursor, Part

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_MILLISECONDS_FROM = 100_000_000_000
"""A number of seconds that large would lie in the year 5138."""


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_creation_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    cache_creation_token_details: dict[str, _Count | None] | None = None


class _Used(msgspec.Struct):
    service_tier: str | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Metadata(msgspec.Struct):
    usage_object: _Used | None = None
    user_api_key_hash: str | None = None
    user_api_key_team_id: str | None = None


class _Call(msgspec.Struct):
    startTime: str | float | int  # noqa: N815 - the proxy's name
    request_id: str | None = None
    id: str | None = None
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    model: str | None = None
    custom_llm_provider: str | None = None
    api_key: str | None = None
    team_id: str | None = None
    status: str | None = None
    cache_hit: bool | str | None = None
    metadata: _Metadata | None = None


_decode = msgspec.json.Decoder(_Call).decode


class LiteLLMJsonl:
    """`ports.FileReader` for LiteLLM's logs.

    Args:
        account: who is billed.
    """

    form = "litellm-jsonl"
    copies = False

    def __init__(self, account: str) -> None:
        self._account = account

    @staticmethod
    def recognises(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
        """Whether the first lines are of this format."""
        del columns
        return any("custom_llm_provider" in line and "startTime" in line for line in documents)

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        return documents(path, self.form, cursor, self._event)

    def _event(self, line: bytes) -> Event | None:
        found = _decode(line)
        if found.status not in (None, "success") or str(found.cache_hit).lower() == "true":
            return None
        name = found.request_id or found.id
        if not name:
            raise ValueError("request_id is missing")
        about = found.metadata or _Metadata()
        used = about.usage_object or _Used()
        model, provider = found.model or "", found.custom_llm_provider or ""
        dims = Dimensions(
            account=self._account,
            provider=provider_id(provider),
            model=clean_name(model.removeprefix(f"{provider}/") if provider else model),
            project=clean_name(found.team_id or about.user_api_key_team_id or ""),
            api_key=clean_name(found.api_key or about.user_api_key_hash or ""),
            tier=clean_name(used.service_tier or ""),
        )
        return Event(short_id(name), _at(found.startTime), dims, _quantities(found, used))


def _at(started: str | float) -> int:
    """The instant: a time without a zone is UTC, a number counts seconds or milliseconds."""
    if isinstance(started, str):
        at = datetime.fromisoformat(started)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    return int(started / 1000 if started >= _MILLISECONDS_FROM else started)


def _quantities(found: _Call, used: _Used) -> Quantities:
    """The disjoint classes: the proxy counts cached tokens in for every provider.

    Raises:
        ValueError: the parts are more than their total.
    """
    inside = used.prompt_tokens_details or _Details()
    answered = used.completion_tokens_details or _Details()
    read = _most(used.cache_read_input_tokens, inside.cached_tokens)
    written = _most(
        used.cache_creation_input_tokens, inside.cache_creation_tokens, inside.cache_write_tokens
    )
    lives = inside.cache_creation_token_details or {}
    long = min(written or 0, lives.get("ephemeral_1h_input_tokens") or 0)
    uncached = found.prompt_tokens - (read or 0) - (written or 0) - (inside.audio_tokens or 0)
    output = found.completion_tokens - (answered.audio_tokens or 0)
    if min(uncached, output) < 0:
        raise ValueError("its parts are more than its prompt_tokens or completion_tokens")
    return Quantities(
        uncached_input=uncached,
        cache_read=read,
        cache_write=None if written is None else written - long,
        cache_write_long=None if written is None else long,
        output=output,
        audio_input=inside.audio_tokens,
        audio_output=answered.audio_tokens,
        reasoning=answered.reasoning_tokens,
        requests=1,
    )


def _most(*counts: int | None) -> int | None:
    """The largest of what is known: a zero beside it is a field that was not filled."""
    return max((count for count in counts if count is not None), default=None)
