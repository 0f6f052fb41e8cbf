"""OpenAI's organization usage and costs: `GET /organization/usage/*` and `/organization/costs`.

Tokens come by hour or day and feed usage; costs come by day, are what the invoice says, and feed
the bill. Endpoints that count images, seconds, characters, searches, sessions or bytes are not
read: what they cost is in the costs, and their requests would change what a request of tokens is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from collectors.http import DEFAULT_LIMITS, Http, HttpError, Limits
from collectors.openai_rows import Elsewhere, page_of, require_own, rows_of
from collectors.window import (
    Answer,
    Buckets,
    Cursors,
    Overlap,
    Source,
    Taken,
    Width,
    all_pages,
    asked_until,
    groups_of,
    joined,
    query,
    require_days,
    require_groups,
    utc,
    whole,
)
from monitor.domain.errors import SourceError
from monitor.domain.usage import (
    DAY,
    HOUR,
)
from monitor.ports import Feeds, Read, StreamSpec

BASE_URL = "https://api.openai.com/v1"
DEFAULT_GROUP_BY = ("project_id", "api_key_id", "batch", "service_tier")

# 2025-12-06: costs grouped by key are refused with 400 for any earlier start_time.
COSTS_BY_KEY_FROM = 1_764_979_200

_INSTANT = re.compile(r"\b\d{10}\b")

_ADMIN_KEY = (
    "It needs an Admin key, which an owner of the organization creates in its settings: "
    "project keys cannot read usage or costs"
)

_USAGE_WIDTHS = {"1h": Width("1h", HOUR, 168), "1d": Width("1d", DAY, 31)}
_COSTS_WIDTH = Width("1d", DAY, 180)


class _Endpoint(NamedTuple):
    """What one stream feeds and is grouped by; without `always` its rows have no price or name."""

    feeds: Feeds
    always: tuple[str, ...]
    optional: tuple[str, ...]


_OF_INPUT = ("project_id", "api_key_id", "user_id")
_OF_COMPLETIONS = (*_OF_INPUT, "batch", "service_tier")
_ENDPOINTS = {
    "usage/completions": _Endpoint("usage", ("model",), _OF_COMPLETIONS),
    "usage/decisions": _Endpoint("usage", ("model",), _OF_COMPLETIONS),
    "usage/embeddings": _Endpoint("usage", ("model",), _OF_INPUT),
    "usage/moderations": _Endpoint("usage", ("model",), _OF_INPUT),
    "costs": _Endpoint("bill", ("project_id", "line_item"), ("api_key_id",)),
}
_EVERYWHERE = ("usage/completions", "costs")
"""Endpoints that every organization has; of others a refusal may mean that there is nothing."""
_NEWER = ("usage/decisions", "usage/moderations")
"""Endpoints that a gateway may never have heard of."""

# --- A window: pages until the provider says that there are no more ---


class _Span(NamedTuple):
    """One question to one endpoint; the provider cuts the answer into pages."""

    stream: str
    width: Width
    start: int
    end: int
    group_by: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"organization/{self.stream}"

    @property
    def is_cost_by_key(self) -> bool:
        return self.stream == "costs" and "api_key_id" in self.group_by

    def asked(self) -> dict[str, Any]:
        return {
            "start_time": self.start,
            "end_time": self.end,
            "bucket_width": self.width.name,
            "limit": self.width.limit,
            "group_by": list(self.group_by),
        }

    def cut(self, first: int) -> list[_Span]:
        """What can be asked where the provider has nothing like it before the day `first`.

        Costs by key are asked without the key before it; of anything else those days are left out.
        """
        later = [self._replace(start=first)] if first < self.end else []
        if not self.is_cost_by_key:
            return later
        keyless = tuple(group for group in self.group_by if group != "api_key_id")
        return [self._replace(end=min(first, self.end), group_by=keyless), *later]

    def note(self, first: int) -> str:
        lost = "costs by api_key_id" if self.is_cost_by_key else self.stream
        return f"the provider has no {lost} before {utc(first)}"


class _Part(NamedTuple):
    span: _Span
    answer: Answer
    absent: int


class OpenAI(Source):
    """An OpenAI organization, read with an Admin key.

    Args:
        key: the Admin key.
        base_url: where the API is.
        bucket: the width of usage; costs come by day only.
        group_by: dimensions beside the model, in the API's words; each multiplies the rows.
        array_style: `group_by[]=a`, as the vendor's client sends it, or `group_by=a`.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str,
        *,
        base_url: str = BASE_URL,
        bucket: Literal["1h", "1d"] = "1h",
        group_by: Sequence[str] = DEFAULT_GROUP_BY,
        array_style: Literal["brackets", "repeated"] = "brackets",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        known = {group for endpoint in _ENDPOINTS.values() for group in endpoint.optional}
        require_groups(name, group_by, known, "models and line items")
        self._answered: set[str] = set()
        self._usage_width = _USAGE_WIDTHS[bucket]
        self._group_by = frozenset(group_by)
        self._array_name = "group_by[]" if array_style == "brackets" else "group_by"
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(name, base_url, headers, denied=_ADMIN_KEY, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """What is counted in tokens feeds usage, costs the bill; one read is about one page."""
        widths = {stream: self._width(stream) for stream in _ENDPOINTS}
        return [
            StreamSpec(stream, _ENDPOINTS[stream].feeds, width.days)
            for stream, width in widths.items()
        ]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days [start, end).

        The future is never asked for: the question ends with the last full hour before `now`, so
        the current day is read as far as it has gone. Where the provider refuses early days,
        `Read.start` is the first day that it has: the days before were not read.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        notes: list[str] = []
        spans = self._spans(stream, start, asked_until(end, now), notes)
        try:
            parts = [part for span in spans for part in self._answers(span, notes)]
        except (HttpError, Elsewhere) as refusal:
            if isinstance(refusal, HttpError) and not self._lacks(stream, refusal):
                raise
            said = getattr(refusal, "detail", "") or str(refusal)
            missing = f"the provider has no {stream}: {said}"
            request = {"stream": stream, "asked": [span.asked() for span in spans]}
            lacking = SourceError(self.name, missing, "What was read of it before is kept")
            return Read(start, end, [], [], 0, request, [missing], lacking=lacking)
        self._answered.add(stream)
        if absent := sum(part.absent for part in parts):
            notes.append(f"{absent} buckets were asked for and did not come")
        return Read(
            parts[0].span.start if parts else end,
            end,
            *joined(part.answer for part in parts),
            request={"stream": stream, "asked": [part.span.asked() for part in parts]},
            notes=notes,
        )

    def probe(self, now: int) -> str:
        """Read yesterday's completions as one bucket; raises SourceError."""
        today = now - now % DAY
        width = _USAGE_WIDTHS["1d"]._replace(limit=1)
        part = self._answer(_Span("usage/completions", width, today - DAY, today, ()))
        return f"{part.answer.tokens:,} tokens of completions on {utc(today - DAY)[:10]}"

    def _lacks(self, stream: str, refusal: HttpError) -> bool:
        """Whether a refusal says that this organization or gateway has no such endpoint.

        A key without any right is refused in the same way, so 403 counts only once another
        endpoint has answered it.
        """
        if stream in _EVERYWHERE or stream in self._answered:
            return False
        return refusal.status == 404 or (refusal.status == 403 and bool(self._answered))

    def _width(self, stream: str) -> Width:
        return _COSTS_WIDTH if stream == "costs" else self._usage_width

    def _spans(self, stream: str, start: int, end: int, notes: list[str]) -> list[_Span]:
        """What to ask; nothing of a window that has no full hour yet."""
        endpoint = _ENDPOINTS[stream]
        chosen = tuple(group for group in endpoint.optional if group in self._group_by)
        span = _Span(stream, self._width(stream), start, end, endpoint.always + chosen)
        if start >= end:
            return []
        if span.is_cost_by_key and start < COSTS_BY_KEY_FROM:
            notes.append(span.note(COSTS_BY_KEY_FROM))
            return span.cut(COSTS_BY_KEY_FROM)
        return [span]

    def _answers(self, span: _Span, notes: list[str]) -> list[_Part]:
        """The answer to a span; once, the provider may name a later day to begin with."""
        try:
            return [self._answer(span)]
        except HttpError as refusal:
            first = _first_day(refusal, span.start)
            if first is None:
                raise
        notes.append(span.note(first))
        return [self._answer(part) for part in span.cut(first)]

    def _answer(self, span: _Span) -> _Part:
        """All pages of one span."""
        buckets = Buckets(span.start, span.end, span.width)
        overlap = Overlap()

        def ask(cursor: str | None) -> bytes:
            return self._http.get(span.path, query(span.asked(), self._array_name, cursor))

        def take(body: bytes, place: str) -> Taken:
            page = page_of(body)
            if span.stream in _NEWER:
                require_own(span.stream, page)
            own = [
                bucket
                for bucket in overlap.fresh(page.data)
                if buckets.admit(
                    bucket.start_time, bucket.end_time, groups=groups_of(bucket.results)
                )
            ]
            found = rows_of(span.stream, own, span.width.seconds, self.account, place)
            return Taken(*found, page.has_more, page.next_page, empty=not page.data)

        cursors = Cursors(buckets.asked, "buckets asked")
        answer = all_pages(self.name, span.stream, whole(ask), take, cursors)
        return _Part(span, answer, buckets.absent)


def _first_day(refusal: HttpError, start: int) -> int | None:
    """The first day that a 400 says there is data of; None: it complains about something else."""
    if refusal.status != 400 or "end_time" in refusal.detail:
        return None
    named = [int(text) for text in _INSTANT.findall(refusal.detail)]
    return max((-(-at // DAY) * DAY for at in named if at > start), default=None)
