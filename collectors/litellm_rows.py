"""One request of a LiteLLM proxy as a row of usage, whether HTTP or its database handed it over.

The proxy counts cached tokens into `prompt_tokens` for every provider. A failed request's tokens
are the proxy's guess, unless its usage was told before the answer broke off, and an answer out of
its cache cost nobody anything: neither is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from collectors.window import decoded, fit
from monitor.domain.aliases import provider_id
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, MAX_COUNT, Dimensions, Quantities, UsageRow

STREAM = "spend/logs/v2"
"""One name however requests are read: days of one way take the place of the other's."""
GROUPS = ("team_id", "api_key", "user")
DEFAULT_GROUP_BY = ("team_id", "api_key")
SECONDS: Mapping[str, int] = {"1h": HOUR, "1d": DAY}

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]

_FAMILY = dict.fromkeys(("responses", "aresponses"), "responses") | dict.fromkeys(
    ("completion", "acompletion"), "completion"
)
_FETCHED = ("get_responses", "aget_responses")
_BATCHES = ("retrieve_batch", "aretrieve_batch")
"""A finished batch is one row, with the tokens of all its requests."""
_IMAGES = ("image_generation", "aimage_generation", "image_edit", "aimage_edit")
_BY_TOKEN = (
    *("", "completion", "acompletion", "text_completion", "atext_completion"),
    *("responses", "aresponses", "embedding", "aembedding"),
    *("anthropic_messages", "generate_content", "agenerate_content"),
)
"""Calls that are billed by token: one that used none is a request all the same."""
_TWINS_KEPT = 50_000
_TWIN_SECONDS = 2.0


_SKIPPED = "failed or cached requests are not counted"
_TWICE = "Responses calls were logged twice under one id and count once"
_ALIKE = (
    "Responses calls look as if they were logged twice; both rows count: update the proxy"
    " (BerriAI/litellm#15740)"
)
_FETCHED_AGAIN = (
    "rows are stored answers that were fetched again, whose tokens the proxy logs anew"
    " (BerriAI/litellm#17814)"
)
NO_TOKENS = (
    "requests that used no tokens are not counted, such as those billed by image, second or page"
)
_NOTES = (_SKIPPED, NO_TOKENS, _TWICE, _ALIKE, _FETCHED_AGAIN)


class _Cached(msgspec.Struct):
    """What of the cached tokens was no text."""

    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _Details(msgspec.Struct):
    """Parts of a total, in the words of several providers; the proxy fills what it was told."""

    cached_tokens: Count | None = None
    cache_creation_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    text_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    cache_creation_token_details: dict[str, Count | None] | None = None
    cached_tokens_details: _Cached | None = None


class _UsageObject(msgspec.Struct):
    service_tier: str | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Cost(msgspec.Struct):
    service_tier: str | None = None
    """At whose rates the proxy charged it: what was served goes before what was asked for."""


class _Metadata(msgspec.Struct):
    usage_object: _UsageObject | None = None
    cost_breakdown: _Cost | None = None
    batch_successful_requests: Count | None = None


class _Call(msgspec.Struct):
    request_id: str
    startTime: str  # noqa: N815 - the proxy's name
    prompt_tokens: Count
    completion_tokens: Count
    model: str | None = None
    custom_llm_provider: str | None = None
    call_type: str | None = None
    api_key: str | None = None
    team_id: str | None = None
    user: str | None = None
    metadata: _Metadata | str | None = None


def reader(account: str, bucket: str, group_by: Sequence[str]) -> Callable[[object, int], UsageRow]:
    """What makes a row of one request and the first instant that was asked for.

    It raises ValueError or msgspec.ValidationError for a request that cannot be right.
    """
    return partial(_row, seconds=SECONDS[bucket], account=account, group_by=frozenset(group_by))


def _row(
    call: object, start: int, *, seconds: int, account: str, group_by: frozenset[str]
) -> UsageRow:
    found = fit(call, _Call)
    about = _metadata(found)
    used = about.usage_object or _UsageObject()
    cost = about.cost_breakdown or _Cost()
    at = logged_at(found.startTime)
    if at < start:
        raise ValueError("it lies before the window that was asked for")

    def chosen(name: str) -> str:
        return clean_name(getattr(found, name) or "") if name in group_by else ""

    dims = Dimensions(
        account=account,
        provider=provider_id(found.custom_llm_provider or ""),
        model=clean_name(model_name(found.model or "", found.custom_llm_provider or "")),
        project=chosen("team_id"),
        api_key=chosen("api_key"),
        actor=chosen("user"),
        tier=clean_name(used.service_tier or cost.service_tier or ""),
        batch="true" if found.call_type in _BATCHES else "",
    )
    counts = _quantities(found, used)
    if dims.batch:
        counts = counts._replace(requests=about.batch_successful_requests)
    return UsageRow(dims, at - at % seconds, seconds, counts)


def _metadata(found: _Call) -> _Metadata:
    """What the proxy keeps of a request beside its columns; as text where its database does."""
    if isinstance(found.metadata, str):
        return decoded(found.metadata.encode() or b"{}", _Metadata, "its metadata")
    return found.metadata or _Metadata()


def logged_at(text: str) -> int:
    """An instant of the log; its table holds UTC and names no zone."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def model_name(model: str, provider: str) -> str:
    """The provider's own name of the model: the proxy puts the provider before it."""
    return model.removeprefix(f"{provider}/") if provider else model


def _quantities(found: _Call, used: _UsageObject) -> Quantities:
    """The disjoint classes of one request.

    Raises:
        ValueError: its parts are more than their total.
    """
    inside = used.prompt_tokens_details or _Details()
    answered = used.completion_tokens_details or _Details()
    read = _largest(used.cache_read_input_tokens, inside.cached_tokens)
    written = _largest(
        used.cache_creation_input_tokens, inside.cache_creation_tokens, inside.cache_write_tokens
    )
    lives = inside.cache_creation_token_details or {}
    long = min(written or 0, lives.get("ephemeral_1h_input_tokens") or 0)
    cached = inside.cached_tokens_details or _Cached()
    audio_read, image_read = cached.audio_tokens or 0, cached.image_tokens or 0
    fresh = found.prompt_tokens - (read or 0) - (written or 0)
    # Audio and images are told with what of them was cached, which not every version tells apart.
    audio = min((inside.audio_tokens or 0) - audio_read, fresh)
    image = min((inside.image_tokens or 0) - image_read, fresh - audio)
    text_read = None if read is None else read - audio_read - image_read
    drawn = answered.image_tokens
    if drawn is None and answered.text_tokens is None and found.call_type in _IMAGES:
        drawn = found.completion_tokens
    output = found.completion_tokens - (answered.audio_tokens or 0) - (drawn or 0)
    if min(fresh, audio, image, text_read or 0, output) < 0:
        raise ValueError("its parts are more than its prompt_tokens or completion_tokens")
    return Quantities(
        uncached_input=fresh - audio - image,
        cache_read=text_read,
        cache_write=None if written is None else written - long,
        cache_write_long=None if written is None else long,
        output=output,
        audio_input=None if inside.audio_tokens is None else audio,
        audio_cache_read=cached.audio_tokens,
        audio_output=answered.audio_tokens,
        image_input=None if inside.image_tokens is None else image,
        image_cache_read=cached.image_tokens,
        image_output=drawn,
        reasoning=answered.reasoning_tokens,
        requests=1,
    )


def _largest(*counts: int | None) -> int | None:
    """The largest of what is known: a zero beside it is a field that was not filled."""
    return max((count for count in counts if count is not None), default=None)


class _Twin(NamedTuple):
    family: str
    tokens: tuple[Any, Any]
    at: float


class Chosen:
    """Which requests of a window count; handed over in the order of their start.

    LiteLLM from 1.77.1 to 1.80 logged a Responses call to a provider without that API twice: as
    itself and as the completion that it was carried by (BerriAI/litellm#15740). Rows of one call
    id are one call. Where no id says so, likeness is noted and no proof: both count.
    """

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        """What was found, by the note that tells it."""
        self._by_call: dict[object, _Twin] = {}
        self._by_likeness: dict[object, _Twin] = {}

    def admit(self, call: object) -> bool:
        """Whether tokens were used for it that no other row has."""
        if not isinstance(call, dict):
            return True
        if _failed(call) or str(call.get("cache_hit")).lower() == "true":
            self.left[_SKIPPED] += 1
            return False
        by_token = str(call.get("call_type") or "") in _BY_TOKEN
        if not by_token and call.get("prompt_tokens") == 0 == call.get("completion_tokens"):
            self.left[NO_TOKENS] += 1
            return False
        if call.get("call_type") in _FETCHED:
            self.left[_FETCHED_AGAIN] += 1
        return not self._is_twin(call)

    def _is_twin(self, call: Mapping[str, Any]) -> bool:
        family = _FAMILY.get(str(call.get("call_type")))
        tokens = (call.get("prompt_tokens"), call.get("completion_tokens"))
        if family is None or not any(tokens):
            return False
        this = _Twin(family, tokens, _instant(call))
        call_id = _call_id(call)
        known = _met(self._by_call, call_id, this) if call_id else None
        if known and known.family != family and known.tokens == tokens:
            self.left[_TWICE] += 1
            return True
        model = str(call.get("model")).rpartition("/")[2]
        known = _met(self._by_likeness, (call.get("api_key"), model, tokens), this)
        if known and known.family != family and abs(known.at - this.at) <= _TWIN_SECONDS:
            self.left[_ALIKE] += 1
        return False


def _failed(call: Mapping[str, Any]) -> bool:
    """Whether it failed with nothing known to be used.

    An answer that broke off was charged for as far as it came: there alone the usage has tokens.
    """
    about = call.get("metadata")
    about = about if isinstance(about, dict) else {}
    # Older proxies have no column for the status.
    if (call.get("status") or about.get("status")) != "failure":
        return False
    used = about.get("usage_object")
    return not (
        isinstance(used, dict) and (used.get("prompt_tokens") or used.get("completion_tokens"))
    )


def notes(left: Mapping[str, int]) -> list[str]:
    """What a reader of the numbers should know."""
    return [f"{left[note]:,} {note}" for note in _NOTES if left.get(note)]


def _met(known: dict[object, _Twin], key: object, this: _Twin) -> _Twin | None:
    """The one before under this key; the oldest are forgotten, since twins start together."""
    found = known.pop(key, None)
    known[key] = this
    if len(known) > _TWINS_KEPT:
        del known[next(iter(known))]
    return found


def _instant(call: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(call["startTime"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _call_id(call: Mapping[str, Any]) -> str:
    found = call.get("litellm_call_id")
    if not found and isinstance(inside := call.get("metadata"), dict):
        found = inside.get("litellm_call_id")
    return str(found or "")
