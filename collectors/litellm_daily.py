"""A LiteLLM proxy's daily sums, for one that keeps no request log (`disable_spend_logs`).

They are rougher: the prompt tokens that the proxy guesses for failed requests are in them, and so
are answers out of its cache; hours, tiers and the lives of cache writes are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from collectors.litellm_rows import Count, model_name
from collectors.window import Row, decoded, each, merged
from monitor.domain.aliases import provider_id
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, Dimensions, Problem, Quantities, UsageRow

PATH = "user/daily/activity/aggregated"
CHUNK_DAYS = 31


class _Metrics(msgspec.Struct):
    prompt_tokens: Count
    completion_tokens: Count
    successful_requests: Count
    failed_requests: Count = 0
    cache_read_input_tokens: Count = 0
    cache_creation_input_tokens: Count = 0


class _Owner(msgspec.Struct):
    team_id: str | None = None
    user_id: str | None = None


class _OfKey(msgspec.Struct):
    metrics: _Metrics
    metadata: _Owner = msgspec.field(default_factory=_Owner)


class _OfModel(msgspec.Struct):
    metrics: _Metrics
    api_key_breakdown: dict[str, _OfKey] = {}


class _Breakdown(msgspec.Struct):
    models: dict[str, _OfModel]
    providers: dict[str, Any] = {}


class _Day(msgspec.Struct):
    date: str
    metrics: _Metrics
    breakdown: _Breakdown


class _Paging(msgspec.Struct):
    total_pages: int = 1
    has_more: bool = False


class _Activity(msgspec.Struct):
    results: list[_Day]
    metadata: _Paging = msgspec.field(default_factory=_Paging)


class Sums(NamedTuple):
    """What one answer holds."""

    rows: list[Row]
    problems: list[Problem]
    failed: int
    """Requests of which only the proxy's guess is in the tokens."""
    bare: int
    """Requests that used no tokens; they are in no row."""


class _Part(NamedTuple):
    day: int
    provider: str
    model: str
    key: str
    owner: _Owner
    metrics: _Metrics


def asked(start: int, end: int) -> list[tuple[str, str]]:
    """The parameters for the UTC days [start, end); a time zone would make a day twice as large."""
    return [("start_date", _date(start)), ("end_date", _date(end - 1))]


def sums(body: bytes, start: int, end: int, account: str, group_by: frozenset[str]) -> Sums:
    """The rows of an answer, one for each day, model and key.

    Raises:
        ValueError: it is no complete answer to what was asked.
    """
    page = decoded(body, _Activity, "daily activity")
    if page.metadata.has_more or page.metadata.total_pages > 1:
        raise ValueError("the answer is one page of several")
    parts = [part for found in page.results for part in _parts(found, start, end)]
    used = [part for part in parts if _used_tokens(part)]
    rows, problems = each(used, lambda part: _row(part, account, group_by), "daily activity")
    failed = sum(found.metrics.failed_requests for found in page.results)
    bare = sum(part.metrics.successful_requests for part in parts if not _used_tokens(part))
    return Sums(merged(rows), problems, failed, bare)


def _used_tokens(part: _Part) -> bool:
    return part.metrics.prompt_tokens + part.metrics.completion_tokens > 0


def _parts(found: _Day, start: int, end: int) -> Iterator[_Part]:
    day = int(datetime.strptime(found.date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    if not start <= day < end:
        raise ValueError(f"{found.date} lies outside the days that were asked for")
    providers = found.breakdown.providers
    models = found.breakdown.models
    for name, of_model in models.items():
        provider = _provider(name, providers)
        model = model_name(name, provider)
        keys = of_model.api_key_breakdown
        for key, of_key in keys.items():
            yield _Part(day, provider, model, key, of_key.metadata, of_key.metrics)
        # The list of keys ends at a hundred; the model's own sums do not.
        rest = _rest(of_model.metrics, [k.metrics for k in keys.values()], f"{found.date}, {name}")
        if rest:
            yield _Part(day, provider, model, "", _Owner(), rest)
    rest = _rest(found.metrics, [m.metrics for m in models.values()], found.date)
    if rest:
        yield _Part(day, "", "", "", _Owner(), rest)


def _rest(whole: _Metrics, parts: list[_Metrics], place: str) -> _Metrics | None:
    """What is in no part; None: nothing is."""
    left = {
        name: getattr(whole, name) - sum(getattr(part, name) for part in parts)
        for name in whole.__struct_fields__
    }
    if min(left.values()) < 0:
        raise ValueError(f"{place}: the parts are more than their sum")
    return _Metrics(**left) if any(left.values()) else None


def _provider(model: str, providers: Mapping[str, Any]) -> str:
    """Who serves a model: the proxy writes it before the name, or has no other."""
    before = model.partition("/")[0]
    if before in providers:
        return before
    return next(iter(providers)) if len(providers) == 1 else ""


def _row(part: _Part, account: str, group_by: frozenset[str]) -> UsageRow:
    used = part.metrics
    read, written = used.cache_read_input_tokens, used.cache_creation_input_tokens
    uncached = used.prompt_tokens - read - written
    if uncached < 0:
        raise ValueError(f"{part.model}: its cached tokens are more than its prompt_tokens")
    dims = Dimensions(
        account=account,
        provider=provider_id(part.provider),
        model=clean_name(part.model),
        project=clean_name(part.owner.team_id or "") if "team_id" in group_by else "",
        api_key=clean_name(part.key) if "api_key" in group_by else "",
        actor=clean_name(part.owner.user_id or "") if "user" in group_by else "",
    )
    counts = Quantities(
        uncached_input=uncached,
        cache_read=read,
        cache_write=written,
        output=used.completion_tokens,
        requests=used.successful_requests,
    )
    return UsageRow(dims, part.day, DAY, counts)


def _date(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
