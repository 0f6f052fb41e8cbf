"""OpenRouter's activity: `GET /activity`, what each model did on one completed UTC day.

One answer holds tokens and the credits that were charged: the first feed usage, the second the
bill. What was paid to a provider with a key of one's own is on that provider's bill and not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, Limits
from collectors.window import (
    Answer,
    Cursors,
    Row,
    Source,
    Taken,
    all_pages,
    decoded,
    each,
    fit,
    instant,
    joined,
    pico_of,
    require_days,
    utc,
    whole,
)
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, MAX_COUNT, BillRow, Dimensions, Quantities, UsageRow
from monitor.ports import Feeds, Read, StreamSpec

BASE_URL = "https://openrouter.ai/api/v1"
KEPT_DAYS = 30
"""Completed days that the API still has."""

_FEEDS: dict[str, Feeds] = {"activity": "usage", "charges": "bill"}
_CHUNK_DAYS = 10
"""Each day is a question of its own; what was read by then is kept if a later one fails."""
_MANAGEMENT_KEY = (
    "It needs a management key, which the organization's settings create: keys for requests"
    " cannot read activity"
)

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Page(msgspec.Struct):
    data: list[Any]


class _Item(msgspec.Struct):
    date: str
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    usage: Decimal | None = None
    """US dollars of credits."""
    model: str | None = None
    requests: _Count | None = None
    cached_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    workspace_id: str | None = None


def _row(result: object, *, stream: str, day: int, account: str) -> Row:
    found = fit(result, _Item)
    if found.date[:10] != instant(day)[:10]:
        raise ValueError(f"it is of {clean_name(found.date)}, not of {instant(day)[:10]}")
    dims = Dimensions(
        account=account,
        provider="openrouter",
        model=clean_name(found.model or ""),
        project=clean_name(found.workspace_id or ""),
    )
    if _FEEDS[stream] == "bill":
        if found.usage is None:
            raise ValueError("usage is missing")
        return BillRow(dims, day, "credits", pico_of(found.usage, "USD"), "USD")
    if found.prompt_tokens is None or found.completion_tokens is None:
        raise ValueError("prompt_tokens or completion_tokens is missing")
    quantities = Quantities(
        # Answers replayed from a cache may count more cached tokens than prompt tokens.
        uncached_input=max(0, found.prompt_tokens - (found.cached_tokens or 0)),
        cache_read=found.cached_tokens,
        output=found.completion_tokens,
        reasoning=found.reasoning_tokens,
        requests=found.requests,
    )
    return UsageRow(dims, day, DAY, quantities)


class OpenRouter(Source):
    """An OpenRouter organization, read with a management key.

    Args:
        key: the management key.
        base_url: where the API is.
        by_workspace: split by workspace, as the project.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str,
        *,
        base_url: str = BASE_URL,
        by_workspace: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not isinstance(by_workspace, bool):
            raise InputError(
                f"source {name}: by_workspace is {by_workspace!r}", "Write true or false"
            )
        self._groups = ["workspace"] if by_workspace else []
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(name, base_url, headers, denied=_MANAGEMENT_KEY, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """Tokens, and the credits that they cost."""
        return [StreamSpec(stream, feeds, _CHUNK_DAYS) for stream, feeds in _FEEDS.items()]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the completed UTC days in [start, end) that the API still has.

        Raises:
            SourceError: a day could not be read; a part is never returned.
        """
        require_days(start, end)
        today = now - now % DAY
        first = min(end, max(start, today - KEPT_DAYS * DAY))
        last = max(first, min(end, today))
        days = range(first, last, DAY)
        answers = [self._answer(stream, day) for day in days]
        lost = [f"the API keeps {KEPT_DAYS} days: nothing before {utc(first)[:10]} can be read"]
        return Read(
            first,
            last,
            *joined(answers),
            request={"stream": stream, "days": [instant(day)[:10] for day in days]},
            notes=lost if first > start else [],
        )

    def probe(self, now: int) -> str:
        """Read yesterday's activity; raises SourceError."""
        day = now - now % DAY - DAY
        return f"{self._answer('activity', day).tokens:,} tokens on {instant(day)[:10]}"

    def _answer(self, stream: str, day: int) -> Answer:
        """A day's activity, which has no pages."""
        asked = [("date", instant(day)[:10]), *(("group_by", group) for group in self._groups)]

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "activity")
            read = partial(_row, stream=stream, day=day, account=self.account)
            found = each(_once(page.data), read, f"{place} of {instant(day)[:10]}")
            return Taken(*found, more=False, following=None)

        ask = whole(lambda _: self._http.get("activity", asked))
        return all_pages(self.name, stream, ask, take, Cursors())


def _once(rows: list[Any]) -> list[Any]:
    """A row that names its endpoint and comes again, equal in all, is no second one."""
    kept: list[Any] = []
    seen: set[str] = set()
    for row in rows:
        text = repr(row)
        if text not in seen or not (isinstance(row, dict) and row.get("endpoint_id")):
            kept.append(row)
        seen.add(text)
    return kept
