"""A Langfuse project: what its traces say was used, by model.

Where the server has it, by `GET /api/public/v2/metrics`, sums by the hour; from older servers by
`GET /api/public/metrics/daily`. Both say the same of a day, so both are read into one stream, and
whichever answers replaces what the other said: they are never added up.

Langfuse observes and bills nothing: its cost is an estimate of its own and is not read. What it
calls input is the sum of all counts whose name contains "input", those of caches too, so caches
cannot be told apart here. Each token is meant to have one such name; where an instrumentation gave
it two, its parts are more than its total, and the row is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, HttpError, Limits, basic
from collectors.window import (
    Answer,
    Buckets,
    Cursors,
    Row,
    Source,
    Taken,
    Width,
    all_pages,
    asked_until,
    count_of,
    decoded,
    each,
    instant,
    joined,
    moment,
    require_days,
    require_groups,
    utc,
)
from monitor.domain.errors import InputError, SourceError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, Dimensions, Problem, Quantities, UsageRow
from monitor.ports import Read, StreamSpec

BASE_URL = "https://cloud.langfuse.com"
GROUPS = ("environment", "traceName")
DEFAULT_GROUP_BY = ("environment",)
PROVIDERS: Mapping[str, str] = {
    "gpt-*": "openai",
    "chatgpt-*": "openai",
    "o[1-9]*": "openai",
    "text-embedding-*": "openai",
    "openai/*": "openai",
    "claude-*": "anthropic",
    "anthropic/*": "anthropic",
    "gemini-*": "google",
    "google/*": "google",
}
"""Who makes the models of these names: Langfuse does not say who served them."""

Api = Literal["auto", "metrics", "daily"]

_STREAM = "usage"
_METRICS, _DAILY = "api/public/v2/metrics", "api/public/metrics/daily"
_NOT_THERE = {404, 405, 501}
"""How a server answers that is older than what it was asked for."""
_ROWS = 1_000
"""The most rows of one answer, which has no pages: as many as this may be a part."""
_DAILY_ROWS = 50
_CHUNK_DAYS = 7
_WIDTHS = {"1h": Width("hour", HOUR, 24 * _CHUNK_DAYS), "1d": Width("day", DAY, _CHUNK_DAYS)}
_GENERATIONS = ["GENERATION", "EMBEDDING"]
"""Observations that are calls of a model: a span around them may repeat what they used."""
_PAIR = (
    "It needs both keys of a project as one, PUBLIC:SECRET (pk-lf-...:sk-lf-...), which the"
    " project's settings create"
)

# --- One answer: pure functions from rows to rows ---


class _Metrics(msgspec.Struct):
    data: list[dict[str, Any]]


class _Meta(msgspec.Struct):
    totalItems: int  # noqa: N815 - Langfuse's name
    totalPages: int  # noqa: N815
    page: int


class _DailyUsage(msgspec.Struct):
    date: str
    usage: list[Any]


class _Daily(msgspec.Struct):
    data: list[_DailyUsage]
    meta: _Meta


class _Counted(NamedTuple):
    """What a row of either API counts; None: not said."""

    input: int | None
    output: int | None
    total: int | None
    requests: int | None

    @property
    def rest(self) -> int:
        """Tokens of the total that are neither input nor output.

        Raises:
            ValueError: the parts are more than the total.
        """
        if not self.total or self.input is None or self.output is None:
            return 0
        rest = self.total - self.input - self.output
        if rest < 0:
            raise ValueError(
                f"its input ({self.input:,}) and output ({self.output:,}) are more than its total"
                f" ({self.total:,}): its instrumentation counts some tokens under two names"
            )
        return rest

    def quantities(self) -> Quantities:
        """The disjoint classes, as far as they can be told apart."""
        return Quantities(uncached_input=self.input, output=self.output, requests=self.requests)


def _plain(name: str) -> str:
    """A key as it is looked for: writers differ in case and underscores."""
    return re.sub(r"[^a-z]", "", name.lower())


def _value(row: Mapping[str, Any], *names: str) -> Any:
    """The value under the first of some keys that the row has.

    Raises:
        LookupError: it has none of them.
    """
    found = {_plain(key): value for key, value in row.items()}
    for name in names:
        if _plain(name) in found:
            return found[_plain(name)]
    raise LookupError(f"a row has no {names[0]}, only {clean_name(', '.join(row)) or 'nothing'}")


def _measure(row: Mapping[str, Any], aggregation: str, measure: str) -> Any:
    return _value(row, f"{aggregation}_{measure}", f"{measure}_{aggregation}", measure)


def _counted(row: Mapping[str, Any]) -> _Counted:
    return _Counted(
        input=count_of(_measure(row, "sum", "inputTokens")),
        output=count_of(_measure(row, "sum", "outputTokens")),
        total=count_of(_measure(row, "sum", "totalTokens")),
        requests=count_of(_measure(row, "count", "count")),
    )


def _counted_daily(row: Mapping[str, Any]) -> _Counted:
    return _Counted(
        input=count_of(row["inputUsage"]),
        output=count_of(row["outputUsage"]),
        total=count_of(row.get("totalUsage")),
        requests=count_of(row.get("countObservations")),
    )


def _at(text: object) -> int:
    """The second in which a bucket begins."""
    return int(moment(text).timestamp())


def _provider(model: str, providers: Mapping[str, str]) -> str:
    """Who serves a model, by the first pattern that its name fits; '' where none does."""
    name = model.lower()
    return next((who for pattern, who in providers.items() if fnmatchcase(name, pattern)), "")


# --- A window: slices whose answers are certainly whole ---


class _Slice(NamedTuple):
    start: int
    end: int


class _TooLarge(Exception):
    """As many rows came as one answer may have: there may be more."""


class Langfuse(Source):
    """A Langfuse project, read with its pair of keys.

    Args:
        key: the public and the secret key, joined by a colon.
        base_url: where the server is: a region's address, or one's own.
        bucket: the width of the sums; the daily API has days whatever is asked for.
        api: `metrics`, `daily`, or `auto`: metrics where the server has it, else daily.
        group_by: dimensions beside the model: `environment`, as the project, and `traceName`, as
            the label.
        providers: by pattern of a model's name who serves it; before what `PROVIDERS` says.
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
        providers: Mapping[str, str] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_groups(name, group_by, GROUPS, "models")
        if api not in ("auto", "metrics", "daily"):
            raise InputError(f"source {name}: api cannot be {api!r}", "Use auto, metrics or daily")
        self._width = _WIDTHS[bucket]
        self._api = api
        self._answered = False
        self._groups = tuple(group for group in GROUPS if group in group_by)
        own = _checked_providers(name, providers or {})
        self._providers = own | {p: who for p, who in PROVIDERS.items() if p not in own}
        headers = {"authorization": basic(key)}
        self._http = Http(name, base_url, headers, denied=_PAIR, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """What was used: one stream, whichever API it is read by."""
        return [StreamSpec(_STREAM, "usage", _CHUNK_DAYS)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The sums of the UTC days [start, end).

        Raises:
            SourceError: an answer is missing, broken or perhaps only a part.
        """
        require_days(start, end)
        last = asked_until(end, now)
        notes: list[str] = []
        path, parts = self._parts(_Slice(start, last), notes) if start < last else ("", [])
        return Read(
            start if parts else end,
            end,
            *joined(answer for _, answer in parts),
            request={
                "stream": stream,
                "path": path,
                "slices": [[utc(at) for at in piece] for piece, _ in parts],
                "group_by": list(self._groups),
            },
            notes=list(dict.fromkeys(notes)),
        )

    def probe(self, now: int) -> str:
        """Read yesterday; raises SourceError."""
        today = now - now % DAY
        path, parts = self._parts(_Slice(today - DAY, today), [])
        tokens = joined(answer for _, answer in parts).tokens
        by = "daily" if path == _DAILY else "metrics"
        return f"{tokens:,} tokens on {utc(today - DAY)[:10]}, by the {by} API"

    def _parts(self, whole: _Slice, notes: list[str]) -> tuple[str, list[tuple[_Slice, Answer]]]:
        """By which path a window was read, and its answers.

        Once the metrics API has answered it is not left any more.
        """
        if self._api == "daily":
            return _DAILY, [(whole, self._daily(whole, notes))]
        try:
            parts = list(self._sliced(whole, notes))
        except HttpError as refusal:
            if self._api != "auto" or self._answered or refusal.status not in _NOT_THERE:
                raise
            notes.append("read by days: the server has no metrics API of version 2")
            return _DAILY, [(whole, self._daily(whole, notes))]
        self._answered = True
        return _METRICS, parts

    # The metrics API: no pages, so slices that stay below the limit of rows.

    def _sliced(self, whole: _Slice, notes: list[str]) -> Iterator[tuple[_Slice, Answer]]:
        waiting = [whole]
        while waiting:
            piece = waiting.pop()
            try:
                yield piece, self._metrics(piece, notes)
            except _TooLarge:
                waiting += self._halves(piece)

    def _halves(self, piece: _Slice) -> list[_Slice]:
        """The later half, then the earlier one, cut between two buckets."""
        buckets = -(-(piece.end - piece.start) // self._width.seconds)
        middle = piece.start + buckets // 2 * self._width.seconds
        if middle == piece.start:
            raise SourceError(
                self.name,
                f"{_STREAM}: the {self._width.name} from {utc(piece.start)} has {_ROWS:,} rows or"
                " more, of which the server sends no others",
                "Name less in group_by",
                permanent=True,
            )
        return [_Slice(middle, piece.end), _Slice(piece.start, middle)]

    def _metrics(self, piece: _Slice, notes: list[str]) -> Answer:
        question = json.dumps(self._question(piece), separators=(",", ":"))
        buckets = Buckets(piece.start, piece.end, self._width)

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Metrics, "metrics")
            if len(page.data) >= _ROWS:
                raise _TooLarge
            own = [row for row in page.data if self._belongs(row, buckets)]
            found = each(own, partial(self._row, notes=notes), place)
            return Taken(*found, more=False, following=None)

        return all_pages(
            self.name,
            _STREAM,
            lambda _: self._http.get(_METRICS, [("query", question)]),
            take,
            Cursors(),
        )

    def _question(self, piece: _Slice) -> dict[str, Any]:
        return {
            "view": "observations",
            "dimensions": [{"field": field} for field in ("providedModelName", *self._groups)],
            "metrics": [
                {"measure": "count", "aggregation": "count"},
                *(
                    {"measure": measure, "aggregation": "sum"}
                    for measure in ("inputTokens", "outputTokens", "totalTokens")
                ),
            ],
            "filters": [
                {
                    "column": "type",
                    "operator": "any of",
                    "value": _GENERATIONS,
                    "type": "stringOptions",
                }
            ],
            "timeDimension": {"granularity": self._width.name},
            "fromTimestamp": instant(piece.start),
            "toTimestamp": instant(piece.end),
            "config": {"row_limit": _ROWS},
        }

    def _belongs(self, row: Mapping[str, Any], buckets: Buckets) -> bool:
        """Whether a row counts something, and in this slice.

        Raises:
            ValueError: it has not the shape of what was asked for, or cannot belong to the answer.
        """
        try:
            at = _at(_value(row, "time_dimension", "time"))
            names = tuple(self._name(row, field) for field in ("providedModelName", *self._groups))
            for measure in ("inputTokens", "outputTokens", "totalTokens"):
                _measure(row, "sum", measure)
            said = _measure(row, "count", "count")
        except LookupError as error:
            raise ValueError(error.args[0]) from None
        # Gaps in time are filled with nothing.
        if said in (0, "0", None) and not names[0]:
            return False
        return buckets.admit(at, at + self._width.seconds, names)

    def _row(self, row: Mapping[str, Any], notes: list[str]) -> UsageRow:
        counted = _counted(row)
        self._note(counted, notes)
        dims = self._dims(self._name(row, "providedModelName"))
        if "environment" in self._groups:
            dims = dims._replace(project=clean_name(self._name(row, "environment")))
        if "traceName" in self._groups:
            dims = dims._replace(label=clean_name(self._name(row, "traceName")))
        at = _at(_value(row, "time_dimension", "time"))
        return UsageRow(dims, at, self._width.seconds, counted.quantities())

    @staticmethod
    def _name(row: Mapping[str, Any], field: str) -> str:
        value = _value(row, field)
        return "" if value is None else str(value)

    # The daily API: pages of days.

    def _daily(self, piece: _Slice, notes: list[str]) -> Answer:
        days = Buckets(piece.start, piece.end, _WIDTHS["1d"])
        listed = named = 0

        def ask(cursor: str | None) -> bytes:
            return self._http.get(
                _DAILY,
                [
                    ("page", cursor or "1"),
                    ("limit", str(_DAILY_ROWS)),
                    ("fromTimestamp", instant(piece.start)),
                    ("toTimestamp", instant(piece.end)),
                ],
            )

        def take(body: bytes, place: str) -> Taken:
            nonlocal listed, named
            page = decoded(body, _Daily, "daily metrics")
            listed, named = listed + len(page.data), page.meta.totalItems
            rows: list[Row] = []
            problems: list[Problem] = []
            for day in page.data:
                at = _at(day.date)
                if not days.admit(at, at + DAY):
                    continue
                read = partial(self._daily_row, day=at, notes=notes)
                used = [row for row in day.usage if _is_used(row)]
                found = each(used, read, f"{place}, day {day.date[:10]}")
                rows += found[0]
                problems += found[1]
            more = page.meta.page < page.meta.totalPages
            return Taken(rows, problems, more, str(page.meta.page + 1))

        answer = all_pages(self.name, _STREAM, ask, take, Cursors())
        if listed < named:
            raise SourceError(
                self.name,
                f"{_STREAM}: {named} days from {utc(piece.start)} on were named and {listed} came",
                "Nothing of this read was kept; it is tried again at the next poll",
            )
        return answer

    def _daily_row(self, row: Mapping[str, Any], day: int, notes: list[str]) -> UsageRow:
        if absent := [name for name in ("inputUsage", "outputUsage") if name not in row]:
            raise ValueError(f"it has no {absent[0]}")
        counted = _counted_daily(row)
        self._note(counted, notes)
        dims = self._dims(str(row.get("model") or ""))
        return UsageRow(dims, day, DAY, counted.quantities())

    # Of both.

    def _dims(self, model: str) -> Dimensions:
        return Dimensions(
            account=self.account,
            provider=_provider(model, self._providers),
            model=clean_name(model),
        )

    @staticmethod
    def _note(counted: _Counted, notes: list[str]) -> None:
        if counted.rest:
            notes.append(
                "some totals name more tokens than input and output: those of other kinds are"
                " not counted"
            )


def _is_used(row: object) -> bool:
    """False: a row of what is no model, such as a span, which used nothing."""
    if not isinstance(row, dict) or row.get("model"):
        return True
    return any(row.get(name) not in (None, 0, "0") for name in ("inputUsage", "outputUsage"))


def _checked_providers(name: str, providers: object) -> dict[str, str]:
    """Patterns in lower case, as names are compared.

    Raises:
        InputError: it is no table of patterns and names.
    """
    if not isinstance(providers, Mapping) or not all(
        isinstance(who, str) for who in providers.values()
    ):
        raise InputError(
            f"source {name}: providers is no table of names",
            'Write providers = { "mistral-*" = "mistral" }',
        )
    return {str(pattern).lower(): who for pattern, who in providers.items()}
