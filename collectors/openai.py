"""OpenAI's organization usage and costs: `GET /organization/usage/*` and `/organization/costs`.

Tokens come by hour or day and feed usage; costs come by day, are what the invoice says, and feed
the bill. The API counts cached, written, audio and image tokens into `input_tokens`; the rows made
here hold them as disjoint classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, HttpError, Limits
from collectors.window import (
    Answer,
    Buckets,
    Cursors,
    Overlap,
    Row,
    Taken,
    Width,
    all_pages,
    asked_until,
    decoded,
    each,
    fit,
    groups_of,
    merged,
    pico_of,
    query,
    require_days,
    require_groups,
    utc,
)
from monitor.domain.names import clean_name
from monitor.domain.usage import (
    DAY,
    HOUR,
    MAX_COUNT,
    BillRow,
    Dimensions,
    Problem,
    Quantities,
    UsageRow,
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


_PAGE = "usage or costs"

_ENDPOINTS = {
    "usage/completions": _Endpoint(
        "usage", ("model",), ("project_id", "api_key_id", "user_id", "batch", "service_tier")
    ),
    "usage/embeddings": _Endpoint("usage", ("model",), ("project_id", "api_key_id", "user_id")),
    "costs": _Endpoint("bill", ("project_id", "line_item"), ("api_key_id",)),
}

# --- One page: pure functions from bytes to rows ---

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Epoch = Annotated[int, msgspec.Meta(ge=0, lt=10**10)]


class _Bucket(msgspec.Struct):
    start_time: _Epoch
    end_time: _Epoch
    results: list[Any]


class _Page(msgspec.Struct):
    data: list[_Bucket]
    has_more: bool
    next_page: str | None = None


class _Usage(msgspec.Struct):
    """Dimensions are null unless asked for, and where usage is attributed to none."""

    input_tokens: _Count
    num_model_requests: _Count
    model: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    user_id: str | None = None
    service_tier: str | None = None
    batch: bool | None = None


class _Completions(_Usage, kw_only=True):
    output_tokens: _Count
    input_uncached_tokens: _Count | None = None
    input_cached_tokens: _Count | None = None
    input_cache_write_tokens: _Count | None = None
    input_cache_write_30m_tokens: _Count | None = None
    input_cache_write_12h_tokens: _Count | None = None
    input_text_tokens: _Count | None = None
    input_audio_tokens: _Count | None = None
    input_image_tokens: _Count | None = None
    input_cached_text_tokens: _Count | None = None
    input_cached_audio_tokens: _Count | None = None
    input_cached_image_tokens: _Count | None = None
    output_text_tokens: _Count | None = None
    output_audio_tokens: _Count | None = None
    output_image_tokens: _Count | None = None


class _Amount(msgspec.Struct):
    value: Decimal
    currency: str


class _Costs(msgspec.Struct):
    amount: _Amount
    line_item: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None


def parse(
    stream: str, page: bytes, seconds: int, *, account: str = "", place: str = "page 1"
) -> tuple[list[Row], list[Problem]]:
    """The rows of one page, and the results on it that could not be read.

    Args:
        stream: the endpoint below `/organization/`.
        page: the answer as it came.
        seconds: the width of buckets that was asked for.
        account: who is billed.
        place: how problems name the page.

    Raises:
        ValueError: these bytes are no page.
    """
    return _rows(stream, decoded(page, _Page, _PAGE).data, seconds, account, place)


def _rows(
    stream: str, buckets: Iterable[_Bucket], seconds: int, account: str, place: str
) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for bucket in buckets:
        reader = partial(
            _READERS[stream], start=bucket.start_time, seconds=seconds, account=account
        )
        found = each(bucket.results, reader, f"{place}, bucket {utc(bucket.start_time)}")
        rows += found[0]
        problems += found[1]
    return rows, problems


def _completions_row(result: object, start: int, seconds: int, account: str) -> UsageRow:
    found = fit(result, _Completions)
    return UsageRow(_dimensions(found, account), start, seconds, _quantities(found))


def _embeddings_row(result: object, start: int, seconds: int, account: str) -> UsageRow:
    found = fit(result, _Usage)
    quantities = Quantities(uncached_input=found.input_tokens, requests=found.num_model_requests)
    return UsageRow(_dimensions(found, account), start, seconds, quantities)


def _dimensions(found: _Usage, account: str) -> Dimensions:
    return Dimensions(
        account=account,
        provider="openai",
        model=clean_name(found.model or ""),
        project=clean_name(found.project_id or ""),
        api_key=clean_name(found.api_key_id or ""),
        actor=clean_name(found.user_id or ""),
        tier=clean_name(found.service_tier or ""),
        batch="" if found.batch is None else str(found.batch).lower(),
    )


def _quantities(found: _Completions) -> Quantities:
    """The disjoint classes, by the identities of the API.

    input = uncached + cached + cache writes; uncached, cached and output = text + audio + image.
    Older answers lack some parts: text is what the others leave of a total, and input that no
    field calls cached or written counts as uncached.

    Raises:
        ValueError: the numbers contradict each other.
    """
    cached = found.input_cached_tokens
    cached_parts = (
        found.input_cached_text_tokens,
        found.input_cached_audio_tokens,
        found.input_cached_image_tokens,
    )
    if cached is None and cached_parts != (None, None, None):
        cached = sum(part or 0 for part in cached_parts)
    write, write_long = _cache_writes(found)
    uncached = found.input_tokens - (cached or 0) - (write or 0) - (write_long or 0)
    if uncached < 0 or found.input_uncached_tokens not in {None, uncached}:
        raise ValueError("uncached, cached and written input do not add up to input_tokens")
    return Quantities(
        uncached_input=_text(
            "uncached input",
            uncached,
            found.input_text_tokens,
            found.input_audio_tokens,
            found.input_image_tokens,
        ),
        cache_read=_text("cached input", cached, *cached_parts),
        cache_write=write,
        cache_write_long=write_long,
        output=_text(
            "output",
            found.output_tokens,
            found.output_text_tokens,
            found.output_audio_tokens,
            found.output_image_tokens,
        ),
        audio_input=found.input_audio_tokens,
        audio_cache_read=found.input_cached_audio_tokens,
        audio_output=found.output_audio_tokens,
        image_input=found.input_image_tokens,
        image_cache_read=found.input_cached_image_tokens,
        image_output=found.output_image_tokens,
        requests=found.num_model_requests,
    )


def _text(
    what: str, total: int | None, text: int | None, audio: int | None, image: int | None
) -> int | None:
    """The text in a total; None of an unknown one."""
    if total is None:
        return None
    rest = total - (audio or 0) - (image or 0)
    if rest < 0 or text not in {None, rest}:
        raise ValueError(f"text, audio and image do not add up to the {what} of {total}")
    return rest


def _cache_writes(found: _Completions) -> tuple[int | None, int | None]:
    """Tokens written for 30 minutes and for 12 hours; a total without a split counts as short.

    The short retention is the default, and a wrong guess is visible: the bill is larger.
    """
    total = found.input_cache_write_tokens
    short, long = found.input_cache_write_30m_tokens, found.input_cache_write_12h_tokens
    if total is None:
        return short, long
    if short is None:
        short = total - (long or 0)
    elif long is None:
        long = total - short
    if min(short, long or 0) < 0 or short + (long or 0) != total:
        raise ValueError(f"cache writes of 30 minutes and 12 hours do not add up to {total}")
    return short, long


def _bill_row(result: object, start: int, seconds: int, account: str) -> BillRow:
    """A cost; its model is what stands before the first comma of `<model>, <component>`."""
    del seconds
    found = fit(result, _Costs)
    model, comma, _ = (found.line_item or "").partition(", ")
    return BillRow(
        dims=Dimensions(
            account=account,
            provider="openai",
            model=clean_name(model) if comma else "",
            project=clean_name(found.project_id or ""),
            api_key=clean_name(found.api_key_id or ""),
        ),
        day=start,
        line_item=clean_name(found.line_item or ""),
        amount_pico=_pico(found.amount),
        currency="USD",
    )


def _pico(amount: _Amount) -> int:
    if amount.currency.upper() != "USD":
        raise ValueError(f"currency {amount.currency!r}: OpenAI documents costs in dollars")
    return pico_of(amount.value, "dollars")


_READERS: Mapping[str, Callable[..., Row]] = {
    "usage/completions": _completions_row,
    "usage/embeddings": _embeddings_row,
    "costs": _bill_row,
}

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


class OpenAI:
    """An OpenAI organization, read with an Admin key.

    Args:
        name: the source's configured name.
        account: who is billed.
        key: the Admin key.
        base_url: where the API is.
        bucket: the width of usage; costs come by day only.
        group_by: dimensions beside the model, in the API's words; each multiplies the rows.
        array_style: `group_by[]=a`, as the vendor's client sends it, or `group_by=a`.
        limits: times, sizes and attempts of one exchange.
        pace: see `Http`.
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
        pace: Callable[[float], float] = float,
    ) -> None:
        known = {group for endpoint in _ENDPOINTS.values() for group in endpoint.optional}
        require_groups(name, group_by, known, "models and line items")
        self.name = name
        self.account = account
        self._usage_width = _USAGE_WIDTHS[bucket]
        self._group_by = frozenset(group_by)
        self._array_name = "group_by[]" if array_style == "brackets" else "group_by"
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(name, base_url, headers, denied=_ADMIN_KEY, limits=limits, pace=pace)

    def streams(self) -> Sequence[StreamSpec]:
        """Completions and embeddings feed usage, costs the bill; one read is about one page."""
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
        parts = [part for span in spans for part in self._answers(span, notes)]
        if absent := sum(part.absent for part in parts):
            notes.append(f"{absent} buckets were asked for and did not come")
        return Read(
            start=parts[0].span.start if parts else end,
            end=end,
            rows=merged(row for part in parts for row in part.answer.rows),
            problems=[problem for part in parts for problem in part.answer.problems],
            pages=sum(part.answer.pages for part in parts),
            request={"stream": stream, "asked": [part.span.asked() for part in parts]},
            notes=notes,
        )

    def probe(self, now: int) -> str:
        """Read yesterday's completions as one bucket; raises SourceError."""
        today = now - now % DAY
        width = _USAGE_WIDTHS["1d"]._replace(limit=1)
        part = self._answer(_Span("usage/completions", width, today - DAY, today, ()))
        rows = part.answer.rows
        tokens = sum(row.quantities.tokens for row in rows if isinstance(row, UsageRow))
        return f"{tokens:,} tokens of completions on {utc(today - DAY)[:10]}"

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

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
            page = decoded(body, _Page, _PAGE)
            own = [
                bucket
                for bucket in overlap.fresh(page.data)
                if buckets.admit(
                    bucket.start_time, bucket.end_time, groups=groups_of(bucket.results)
                )
            ]
            found = _rows(span.stream, own, span.width.seconds, self.account, place)
            return Taken(*found, page.has_more, page.next_page, empty=not page.data)

        cursors = Cursors(buckets.asked, "buckets asked")
        answer = all_pages(self.name, span.stream, ask, take, cursors)
        return _Part(span, answer, buckets.absent)


def _first_day(refusal: HttpError, start: int) -> int | None:
    """The first day that a 400 says there is data of; None: it complains about something else."""
    if refusal.status != 400 or "end_time" in refusal.detail:
        return None
    named = [int(text) for text in _INSTANT.findall(refusal.detail)]
    return max((-(-at // DAY) * DAY for at in named if at > start), default=None)
