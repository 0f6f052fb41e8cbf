"""OpenAI's organization usage and costs: `GET /organization/usage/*` and `/organization/costs`.

Tokens come by hour or day and feed usage; costs come by day, are what the invoice says, and feed
the bill. The API counts cached, written, audio and image tokens into `input_tokens`; the rows made
here hold them as disjoint classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, HttpError, Limits
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import MAX_PICO, PICO, to_pico
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
    add,
)
from monitor.ports import Feeds, Read, StreamSpec

BASE_URL = "https://api.openai.com/v1"
DEFAULT_GROUP_BY = ("project_id", "api_key_id", "batch", "service_tier")

# 2025-12-06: costs grouped by key are refused with 400 for any earlier start_time.
COSTS_BY_KEY_FROM = 1_764_979_200

PAYLOAD_CAP = 2_000
_LARGEST_AMOUNT = MAX_PICO // PICO
_INSTANT = re.compile(r"\b\d{10}\b")

_ADMIN_KEY = (
    "It needs an Admin key, which an owner of the organization creates in its settings: "
    "project keys cannot read usage or costs"
)

Row = UsageRow | BillRow


class _Width(NamedTuple):
    """A width of buckets and how many of them one page may hold; asking for more is refused."""

    name: str
    seconds: int
    limit: int


_USAGE_WIDTHS = {"1h": _Width("1h", HOUR, 168), "1d": _Width("1d", DAY, 31)}
_COSTS_WIDTH = _Width("1d", DAY, 180)


class _Endpoint(NamedTuple):
    """What one stream feeds and is grouped by; without `always` its rows have no price or name."""

    feeds: Feeds
    always: tuple[str, ...]
    optional: tuple[str, ...]


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
    return _rows(stream, _decode(page), seconds, account, place)


def _decode(page: bytes) -> _Page:
    """A page with its results as plain objects; numbers with a point are exact decimals."""
    try:
        # NaN is not JSON, but some writers emit it: as text it spoils its row and not the page.
        document = json.loads(page, parse_float=Decimal, parse_constant=str)
        return msgspec.convert(document, _Page)
    except (ValueError, ArithmeticError, RecursionError, msgspec.ValidationError) as error:
        raise ValueError(f"not a page of usage or costs: {clean_name(str(error))}") from None


def _rows(
    stream: str, page: _Page, seconds: int, account: str, place: str
) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for bucket in page.data:
        for number, result in enumerate(bucket.results, 1):
            try:
                rows.append(_READERS[stream](result, bucket.start_time, seconds, account))
            except (ValueError, msgspec.ValidationError) as error:
                where = f"{place}, bucket {_utc(bucket.start_time)}, result {number}"
                payload = json.dumps(result, default=str)[:PAYLOAD_CAP]
                problems.append(Problem(where, clean_name(str(error)), payload))
    return rows, problems


def _completions_row(result: object, start: int, seconds: int, account: str) -> UsageRow:
    found = msgspec.convert(result, _Completions)
    return UsageRow(_dimensions(found, account), start, seconds, _quantities(found))


def _embeddings_row(result: object, start: int, seconds: int, account: str) -> UsageRow:
    found = msgspec.convert(result, _Usage)
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


def _bill_row(result: object, day: int, _seconds: int, account: str) -> BillRow:
    """A cost; its model is what stands before the first comma of `<model>, <component>`."""
    found = msgspec.convert(result, _Costs)
    model, comma, _ = (found.line_item or "").partition(", ")
    return BillRow(
        dims=Dimensions(
            account=account,
            provider="openai",
            model=clean_name(model) if comma else "",
            project=clean_name(found.project_id or ""),
            api_key=clean_name(found.api_key_id or ""),
        ),
        day=day,
        line_item=clean_name(found.line_item or ""),
        amount_pico=_pico(found.amount),
        currency="USD",
    )


def _pico(amount: _Amount) -> int:
    if amount.currency.upper() != "USD":
        raise ValueError(f"currency {amount.currency!r}: OpenAI documents costs in dollars")
    # Compared, not computed with: abs() would round, and overflow on a large exponent.
    if not (amount.value.is_finite() and -_LARGEST_AMOUNT <= amount.value <= _LARGEST_AMOUNT):
        raise ValueError(f"{amount.value} dollars cannot be one line item of one day")
    return to_pico(amount.value)


_READERS: Mapping[str, Callable[[object, int, int, str], Row]] = {
    "usage/completions": _completions_row,
    "usage/embeddings": _embeddings_row,
    "costs": _bill_row,
}

# --- A window: pages until the provider says that there are no more ---


class _Span(NamedTuple):
    """One question to one endpoint; the provider cuts the answer into pages."""

    stream: str
    width: _Width
    start: int
    end: int
    group_by: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"organization/{self.stream}"

    @property
    def buckets(self) -> int:
        return -(-(self.end - self.start) // self.width.seconds)

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
        return f"the provider has no {lost} before {_utc(first)}"


class _Guard:
    """Refuses an answer that may be only a part: a total that is too small looks like a saving."""

    def __init__(self, span: _Span) -> None:
        self.pages = 0
        self._span = span
        self._starts: set[int] = set()
        self._cursors: set[str] = set()

    @property
    def absent(self) -> int:
        """Buckets that were asked for and have not come."""
        return self._span.buckets - len(self._starts)

    def admit(self, page: _Page) -> str | None:
        """The cursor of the next page, None after the last.

        Raises:
            ValueError: the page cannot belong to a complete answer.
        """
        self.pages += 1
        for bucket in page.data:
            self._admit_bucket(bucket)
        if not page.has_more:
            return None
        if not page.next_page:
            raise ValueError("has_more is true and next_page is missing")
        if page.next_page in self._cursors:
            raise ValueError("next_page is a cursor that was already followed")
        if self.pages > self._span.buckets:
            raise ValueError(f"there are more pages than the {self._span.buckets} buckets asked")
        self._cursors.add(page.next_page)
        return page.next_page

    def _admit_bucket(self, bucket: _Bucket) -> None:
        start, width = bucket.start_time, self._span.width
        name = f"bucket {_utc(start)}"
        # The end of a bucket that is still filling may be the end of the question.
        if start % width.seconds or not 0 < bucket.end_time - start <= width.seconds:
            raise ValueError(f"{name} to {_utc(bucket.end_time)} is not aligned to {width.name}")
        if not self._span.start <= start < self._span.end:
            raise ValueError(f"{name} lies outside the window that was asked for")
        if start in self._starts:
            raise ValueError(f"{name} came twice")
        self._starts.add(start)


class _Answer(NamedTuple):
    span: _Span
    rows: list[Row]
    problems: list[Problem]
    pages: int
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
        if unknown := sorted(set(group_by) - known):
            raise InputError(
                f"source {name}: group_by cannot be {', '.join(unknown)}",
                f"Use some of {', '.join(sorted(known))}; models and line items always are",
            )
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
            StreamSpec(stream, _ENDPOINTS[stream].feeds, width.limit * width.seconds // DAY)
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
        if start % DAY or end % DAY or start >= end:
            raise ValueError(f"[{start}, {end}) is not a window of whole UTC days")
        notes: list[str] = []
        spans = self._spans(stream, start, min(end, now - now % HOUR), notes)
        answers = [answer for span in spans for answer in self._answers(span, notes)]
        if absent := sum(answer.absent for answer in answers):
            notes.append(f"{absent} buckets were asked for and did not come")
        return Read(
            start=answers[0].span.start if answers else end,
            end=end,
            rows=_merged(row for answer in answers for row in answer.rows),
            problems=[problem for answer in answers for problem in answer.problems],
            pages=sum(answer.pages for answer in answers),
            request={"stream": stream, "asked": [answer.span.asked() for answer in answers]},
            notes=notes,
        )

    def probe(self, now: int) -> str:
        """Read yesterday's completions as one bucket; raises SourceError."""
        today = now - now % DAY
        width = _USAGE_WIDTHS["1d"]._replace(limit=1)
        answer = self._answer(_Span("usage/completions", width, today - DAY, today, ()))
        tokens = sum(row.quantities.tokens for row in answer.rows if isinstance(row, UsageRow))
        return f"{tokens:,} tokens of completions on {_utc(today - DAY)[:10]}"

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _width(self, stream: str) -> _Width:
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

    def _answers(self, span: _Span, notes: list[str]) -> list[_Answer]:
        """The answer to a span; once, the provider may name a later day to begin with."""
        try:
            return [self._answer(span)]
        except HttpError as refusal:
            first = _first_day(refusal, span.start)
            if first is None:
                raise
        notes.append(span.note(first))
        return [self._answer(part) for part in span.cut(first)]

    def _answer(self, span: _Span) -> _Answer:
        """All pages of one span."""
        rows: list[Row] = []
        problems: list[Problem] = []
        guard = _Guard(span)
        cursor: str | None = None
        while guard.pages == 0 or cursor is not None:
            body = self._http.get(span.path, self._params(span, cursor))
            place = f"page {guard.pages + 1}"
            try:
                page = _decode(body)
                cursor = guard.admit(page)
            except ValueError as error:
                raise SourceError(
                    self.name,
                    f"{span.stream}, {place}: {error}",
                    "Nothing of this read was kept; it is tried again at the next poll",
                ) from None
            found = _rows(span.stream, page, span.width.seconds, self.account, place)
            rows += found[0]
            problems += found[1]
        return _Answer(span, rows, problems, guard.pages, guard.absent)

    def _params(self, span: _Span, cursor: str | None) -> list[tuple[str, str]]:
        asked = span.asked()
        params = [(self._array_name, group) for group in asked.pop("group_by")]
        params += [(name, str(value)) for name, value in asked.items()]
        return params if cursor is None else [*params, ("page", cursor)]


def _first_day(refusal: HttpError, start: int) -> int | None:
    """The first day that a 400 says there is data of; None: it complains about something else."""
    if refusal.status != 400 or "end_time" in refusal.detail:
        return None
    named = [int(text) for text in _INSTANT.findall(refusal.detail)]
    return max((-(-at // DAY) * DAY for at in named if at > start), default=None)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each key: names that become equal when cleaned are one series."""
    merged: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = row[:3]
        known = merged.get(key)
        merged[key] = row if known is None else _joined(known, row)
    return list(merged.values())


def _joined(a: Row, b: Row) -> Row:
    if isinstance(a, BillRow) and isinstance(b, BillRow):
        return a._replace(amount_pico=a.amount_pico + b.amount_pico)
    assert isinstance(a, UsageRow)
    assert isinstance(b, UsageRow)
    return a._replace(quantities=add(a.quantities, b.quantities))


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")
