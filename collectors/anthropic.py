"""Anthropic's usage and cost of an organization, by its analytics API or by the older reports.

The analytics API (`/v1/organizations/analytics/usage`, `/cost`) is in beta, begins with 2026 and
answers by row. The older reports (`usage_report/messages`, `cost_report`) reach further back,
answer by bucket and count no requests. Both say the same of a day, so both are read into the same
streams, and whichever answers replaces what the other said: they are never added up.

Input is uncached here, cache reads and writes stand beside it. Money comes in cents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    Source,
    Taken,
    Width,
    all_pages,
    asked_until,
    decoded,
    each,
    epoch,
    fit,
    groups_of,
    instant,
    joined,
    pico_of,
    query,
    require_days,
    require_groups,
    utc,
    whole,
)
from monitor.domain.errors import InputError
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

BASE_URL = "https://api.anthropic.com"
DEFAULT_GROUP_BY = ("workspace_id", "api_key_id", "service_tier", "context_window")
GROUPS = (*DEFAULT_GROUP_BY, "inference_geo", "speed")

ANALYTICS_FROM = 1_767_225_600
"""2026-01-01: the analytics API refuses an earlier start."""
_ANALYTICS_DAYS = 365
_ANALYTICS_ROWS = 1_000
_MOST_GROUPS = 5
"""Of one question to the analytics API, the model among them."""

_VERSION = {"anthropic-version": "2023-06-01"}
_BETA = {"anthropic-beta": "analytics-usage-cost-2026-08-24"}
_ADMIN_KEY = (
    "It needs an Admin key (sk-ant-admin...), which an admin of the organization creates in the"
    " Console: keys of a workspace cannot read usage or costs"
)
_NOT_THERE = {400, 403, 404}
"""How an organization is told that it has no analytics API, or its key no right to it."""

Api = Literal["auto", "analytics", "reports"]

_USAGE, _COST = "usage", "cost"
_FEEDS: Mapping[str, Feeds] = {_USAGE: "usage", _COST: "bill"}
_REPORTS = {_USAGE: "usage_report/messages", _COST: "cost_report"}
_WIDTHS = {"1h": Width("1h", HOUR, 168), "1d": Width("1d", DAY, 31)}

# --- One page: pure functions from bytes to rows ---

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Instant = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]


class _Bucket(msgspec.Struct):
    """Of an older report; without usage its results are empty."""

    starting_at: _Instant
    ending_at: _Instant
    results: list[Any]


class _Report(msgspec.Struct):
    data: list[_Bucket]
    has_more: bool
    next_page: str | None = None


class _Item(msgspec.Struct):
    """A row of the analytics API: one group in one bucket."""

    starting_at: _Instant
    ending_at: _Instant
    group: dict[str, Any]
    usage: Any = None
    cost: Any = None


class _Analytics(msgspec.Struct):
    data: list[_Item]
    has_more: bool
    next_page: str | None = None
    data_refreshed_at: str | None = None
    """Buckets that end after it are incomplete."""


class _Written(msgspec.Struct):
    ephemeral_5m_input_tokens: _Count | None = None
    ephemeral_1h_input_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    uncached_input_tokens: _Count
    output_tokens: _Count
    cache_read_input_tokens: _Count | None = None
    cache_creation: _Written | None = None
    total_tokens: _Count | None = None
    requests: _Count | None = None


class _Group(msgspec.Struct):
    """What a row is of: null unless asked for, and where it belongs to none."""

    model: str | None = None
    workspace_id: str | None = None
    api_key_id: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    cost_type: str | None = None
    token_type: str | None = None
    description: str | None = None


class _Amount(msgspec.Struct):
    amount: Decimal
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{3}$")]


def _usage_row(result: object, group: object, start: int, seconds: int, account: str) -> UsageRow:
    found = fit(result, _Usage)
    written = found.cache_creation or _Written()
    short, long = written.ephemeral_5m_input_tokens, written.ephemeral_1h_input_tokens
    quantities = Quantities(
        uncached_input=found.uncached_input_tokens,
        cache_read=found.cache_read_input_tokens,
        cache_write=short,
        cache_write_long=long,
        output=found.output_tokens,
        requests=found.requests,
    )
    total = quantities.tokens if found.total_tokens is None else found.total_tokens
    unknown = None in {found.cache_read_input_tokens, short, long}
    if quantities.tokens > total or (quantities.tokens < total and not unknown):
        raise ValueError(f"its tokens add up to {quantities.tokens}, not to total_tokens")
    of = fit(group, _Group)
    return UsageRow(_dimensions(of, account, _tier(of)), start, seconds, quantities)


def _bill_row(result: object, group: object, start: int, seconds: int, account: str) -> BillRow:
    del seconds
    found, of = fit(result, _Amount), fit(group, _Group)
    item = of.description or of.token_type or of.cost_type or ""
    return BillRow(
        dims=_dimensions(of, account, ""),
        day=start,
        line_item=clean_name(item),
        amount_pico=_pico(found),
        currency=found.currency.upper(),
    )


def _dimensions(of: _Group, account: str, tier: str) -> Dimensions:
    return Dimensions(
        account=account,
        provider="anthropic",
        model=clean_name(of.model or ""),
        project=clean_name(of.workspace_id or ""),
        api_key=clean_name(of.api_key_id or ""),
        tier=clean_name(tier),
        region=clean_name(of.inference_geo or ""),
    )


def _tier(of: _Group) -> str:
    """What else a price depends on: the service tier, a long context, a speed."""
    parts = [of.service_tier or ""]
    if of.context_window not in {None, "0-200k"}:
        parts.append(f"context_window={of.context_window}")
    if of.speed not in {None, "standard"}:
        parts.append(f"speed={of.speed}")
    return ";".join(filter(None, parts))


def _pico(found: _Amount) -> int:
    """Cents as the API writes them, `"137.5"` for 1.375 dollars, in 10^-12 of the currency."""
    return pico_of(found.amount, found.currency, -2)


_READERS: Mapping[str, Callable[..., Row]] = {_USAGE: _usage_row, _COST: _bill_row}

# --- A window: pages until the provider says that there are no more ---


class _Span(NamedTuple):
    """One question to one API."""

    stream: str
    analytics: bool
    width: Width
    start: int
    end: int
    group_by: tuple[str, ...]

    @property
    def path(self) -> str:
        name = f"analytics/{self.stream}" if self.analytics else _REPORTS[self.stream]
        return f"v1/organizations/{name}"

    def asked(self) -> dict[str, Any]:
        own = {
            "time_bucket_width": self.width.name,
            "order_by": "time",
            "order": "asc",
            "limit": _ANALYTICS_ROWS,
        }
        return {
            "starting_at": instant(self.start),
            "ending_at": instant(self.end),
            **(own if self.analytics else {"bucket_width": self.width.name, "limit": self.limit}),
            "group_by": list(self.group_by),
        }

    @property
    def limit(self) -> int:
        """Buckets of one page of a report."""
        return min(self.width.limit, -(-(self.end - self.start) // self.width.seconds))


class _Part(NamedTuple):
    span: _Span
    answer: Answer
    refreshed: int | None
    """What was stored by then is in the answer; None: the API does not say."""


class Anthropic(Source):
    """An Anthropic organization, read with an Admin key.

    Args:
        key: the Admin key.
        base_url: where the API is.
        bucket: the width of usage; costs come by day.
        api: `analytics`, `reports`, or `auto`: analytics where it answers, else the reports.
        group_by: dimensions beside the model, in the API's words; each multiplies the rows.
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
        api: Api = "auto",
        group_by: Sequence[str] = DEFAULT_GROUP_BY,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_groups(name, group_by, GROUPS, "models")
        if len(set(group_by)) >= _MOST_GROUPS and api != "reports":
            raise InputError(
                f"source {name}: group_by names {len(set(group_by))} dimensions",
                f"The analytics API takes {_MOST_GROUPS - 1} beside the model: name fewer, or set"
                ' api = "reports"',
            )
        if api not in ("auto", "analytics", "reports"):
            raise InputError(
                f"source {name}: api cannot be {api!r}", "Use auto, analytics or reports"
            )
        self._width = _WIDTHS[bucket]
        self._group_by = tuple(group for group in GROUPS if group in group_by)
        self._api = api
        self._answered = False
        connect = partial(
            Http, name, base_url, {"x-api-key": key}, denied=_ADMIN_KEY, limits=limits
        )
        self._analytics = connect(headers=_VERSION | _BETA)
        self._reports = connect(headers=_VERSION)
        super().__init__(name, account, self._analytics, self._reports)

    def streams(self) -> Sequence[StreamSpec]:
        """Usage by bucket, and the cost of days, which is the bill."""
        return [
            StreamSpec(_USAGE, _FEEDS[_USAGE], self._width.days),
            StreamSpec(_COST, _FEEDS[_COST], _WIDTHS["1d"].days),
        ]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days [start, end), as far as the provider has them.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        notes: list[str] = []
        parts = self._parts(stream, start, asked_until(end, now), now, notes)
        refreshed = min((p.refreshed for p in parts if p.refreshed is not None), default=None)
        first = parts[0].span.start if parts else end
        covered = max(first, _covered(end, refreshed, now, notes))
        answer = joined(part.answer for part in parts)
        return Read(
            start=first,
            end=covered,
            rows=[row for row in answer.rows if row[1] < covered],
            problems=answer.problems,
            pages=answer.pages,
            request={
                "stream": stream,
                "asked": [{"path": p.span.path, **p.span.asked()} for p in parts],
            },
            notes=notes,
        )

    def probe(self, now: int) -> str:
        """Read yesterday's usage as one bucket; raises SourceError."""
        today = now - now % DAY
        notes: list[str] = []
        width = _WIDTHS["1d"]
        span = _Span(_USAGE, self._api != "reports", width, today - DAY, today, ())
        part = self._answer_of(span, notes)
        by = "analytics" if part.span.analytics else "reports"
        return f"{part.answer.tokens:,} tokens on {utc(today - DAY)[:10]}, by the {by} API"

    def _parts(self, stream: str, start: int, end: int, now: int, notes: list[str]) -> list[_Part]:
        """The answers to a window; days that the analytics API never has come from the reports."""
        if start >= end:
            return []
        if self._api == "reports":
            return [self._answer_of(self._span(stream, start, end, analytics=False), notes)]
        first = max(ANALYTICS_FROM, now - now % DAY - (_ANALYTICS_DAYS - 1) * DAY)
        found = []
        if start < first and self._api == "auto":
            early = self._span(stream, start, min(end, first), analytics=False)
            found.append(self._answer_of(early, notes))
        elif start < first:
            notes.append(f"the analytics API has nothing before {utc(first)}")
        if first < end:
            late = self._span(stream, max(start, first), end, analytics=True)
            found.append(self._answer_of(late, notes))
        return found

    def _span(self, stream: str, start: int, end: int, *, analytics: bool) -> _Span:
        width = self._width if stream == _USAGE else _WIDTHS["1d"]
        if stream == _USAGE:
            groups: tuple[str, ...] = ("model", *self._group_by)
        elif analytics:
            own = {"workspace_id", "api_key_id"}
            chosen = (group for group in self._group_by if group in own)
            groups = ("model", *chosen, "cost_type", "token_type")
        else:
            groups = ("workspace_id", "description")
        return _Span(stream, analytics, width, start, end, groups)

    def _answer_of(self, span: _Span, notes: list[str]) -> _Part:
        """The answer to a span; once it has answered, the analytics API is not left any more."""
        if not span.analytics:
            return self._answer(span)
        try:
            part = self._answer(span)
        except HttpError as refusal:
            if self._api != "auto" or self._answered or refusal.status not in _NOT_THERE:
                raise
            notes.append(f"read from the older reports: the analytics API says {refusal.detail}")
            groups = self._span(span.stream, span.start, span.end, analytics=False).group_by
            return self._answer(
                span._replace(analytics=False, group_by=groups if span.group_by else ())
            )
        self._answered = True
        return part

    def _answer(self, span: _Span) -> _Part:
        """All pages of one span."""
        http = self._analytics if span.analytics else self._reports
        buckets, overlap = Buckets(span.start, span.end, span.width), Overlap()
        refreshed: list[int] = []

        def ask(cursor: str | None) -> bytes:
            return http.get(span.path, query(span.asked(), "group_by[]", cursor))

        def take(body: bytes, place: str) -> Taken:
            if not span.analytics:
                report = decoded(body, _Report, span.stream)
                found = self._take_buckets(span, overlap.fresh(report.data), buckets, place)
                return Taken(*found, report.has_more, report.next_page, empty=not report.data)
            page = decoded(body, _Analytics, span.stream)
            if page.data_refreshed_at:
                refreshed.append(epoch(page.data_refreshed_at))
            found = self._take_rows(span, overlap.fresh(page.data), buckets, place)
            return Taken(*found, page.has_more, page.next_page, empty=not page.data)

        answer = all_pages(self.name, span.stream, whole(ask), take, Cursors())
        return _Part(span, answer, min(refreshed) if refreshed else None)

    def _take_buckets(
        self, span: _Span, page: list[_Bucket], buckets: Buckets, place: str
    ) -> tuple[list[Row], list[Problem]]:
        rows: list[Row] = []
        problems: list[Problem] = []
        for bucket in page:
            start = epoch(bucket.starting_at)
            groups = groups_of(bucket.results)
            if not buckets.admit(start, epoch(bucket.ending_at), groups=groups):
                continue
            found = each(
                bucket.results,
                partial(self._row, span=span, start=start),
                f"{place}, bucket {utc(start)}",
            )
            rows += found[0]
            problems += found[1]
        return rows, problems

    def _take_rows(
        self, span: _Span, page: list[_Item], buckets: Buckets, place: str
    ) -> tuple[list[Row], list[Problem]]:
        own = []
        for item in page:
            group = tuple(sorted((k, str(v)) for k, v in item.group.items() if v is not None))
            if buckets.admit(epoch(item.starting_at), epoch(item.ending_at), group):
                own.append(item)
        measure = "usage" if span.stream == _USAGE else "cost"
        return each(
            [msgspec.to_builtins(item, builtin_types=(Decimal,)) for item in own],
            lambda item: self._row(
                item[measure], span=span, start=epoch(item["starting_at"]), group=item["group"]
            ),
            place,
        )

    def _row(self, result: object, *, span: _Span, start: int, group: object = None) -> Row:
        """The row of a result; in the older reports its group stands beside its counts."""
        of = result if group is None else group
        return _READERS[span.stream](result, of, start, span.width.seconds, self.account)


def _covered(end: int, refreshed: int | None, now: int, notes: list[str]) -> int:
    """The end of the days that were read: not those that the provider has still to fill.

    Today is read as far as it has gone, as everywhere.
    """
    if refreshed is None or refreshed >= now - now % DAY:
        return end
    last = refreshed - refreshed % DAY
    if last < end:
        notes.append(f"the provider's data is complete through {utc(refreshed)}")
    return min(end, last)
