"""Vertex AI's tokens: Cloud Monitoring's time series of models that are served by publishers.

Cached tokens cannot be told apart there, so that input is gross. Tokens of a type that is neither
input nor output are no class of ours: they are kept as problems, not folded into one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from collectors import googleapi
from collectors.http import DEFAULT_LIMITS, Http, Limits
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
    decoded,
    each,
    epoch,
    instant,
    joined,
    require_days,
    require_names,
    utc,
)
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, MAX_COUNT, Dimensions, Problem, Quantities, UsageRow
from monitor.ports import Read, StreamSpec

BASE_URL = "https://monitoring.googleapis.com/v3"
SCOPE = "https://www.googleapis.com/auth/monitoring.read"
KEPT_DAYS = 42
"""Days of its metrics that Google keeps."""

_STREAM = "tokens"
_CHUNK_DAYS = 7
_POINTS = 100_000
_HOURS = Width("an hour", HOUR, 168)
_ROLE = "It needs the role roles/monitoring.viewer in each project"
_PREFIX = "aiplatform.googleapis.com/publisher/online_serving/"
_TOKENS, _CALLS = "token_count", "model_invocation_count"

_CLASSES = {
    ("input", False): "uncached_input",
    ("output", False): "output",
    ("input", True): "audio_input",
    ("output", True): "audio_output",
}


class _Labels(msgspec.Struct):
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class _Series(msgspec.Struct):
    metric: _Labels
    resource: _Labels
    points: list[Any] = msgspec.field(default_factory=list)


class _Page(msgspec.Struct):
    series: list[_Series] = msgspec.field(name="timeSeries", default_factory=list)
    following: str = msgspec.field(name="nextPageToken", default="")


class _Interval(msgspec.Struct, rename="camel"):
    start_time: str
    end_time: str


class _Value(msgspec.Struct):
    count: str | int = msgspec.field(name="int64Value")


class _Point(msgspec.Struct):
    interval: _Interval
    value: _Value


def _row(result: object, *, dims: Dimensions, field: str, seconds: int) -> UsageRow:
    found = msgspec.convert(result, _Point)
    count = int(found.value.count)
    if not 0 <= count <= MAX_COUNT:
        raise ValueError(f"{count} is no count")
    start = epoch(found.interval.start_time)
    # Hours are what is asked for, since Google aligns buckets to the end of the question.
    start -= start % seconds
    return UsageRow(dims, start, seconds, Quantities(**{field: count}))


def _field(metric: str, labels: Mapping[str, str]) -> str:
    """Which quantity a series holds; empty: calls that failed.

    Raises:
        ValueError: tokens of a type that is none of ours.
    """
    if metric == _CALLS:
        return "requests" if labels.get("response_code", "200").startswith("2") else ""
    kind, audio = labels.get("type", ""), labels.get("modality", "").casefold() == "audio"
    if (kind, audio) not in _CLASSES:
        raise ValueError(f"tokens of type {clean_name(kind)!r} are neither input nor output")
    return _CLASSES[kind, audio]


def _dimensions(series: _Series, account: str, project: str) -> Dimensions:
    of = series.resource.labels
    model, version = of.get("model_user_id", ""), of.get("model_version_id", "")
    # Provisioned throughput is not paid by the token.
    kind = series.metric.labels.get("request_type", "")
    return Dimensions(
        account=account,
        provider="google",
        model=clean_name(f"{model}@{version}" if version else model),
        project=clean_name(project),
        tier="" if kind == "shared" else clean_name(kind),
        region=clean_name(of.get("location", "")),
    )


class Vertex(Source):
    """Models that Vertex AI served in some projects.

    Args:
        key: see `googleapi.Login`; empty: what this machine is.
        base_url: where Cloud Monitoring is.
        bucket: the width of usage.
        projects: ids of the projects that call models.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str = "",
        *,
        base_url: str = BASE_URL,
        bucket: Literal["1h", "1d"] = "1h",
        projects: Sequence[str] = (),
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_names(name, "projects", projects, least=1)
        self._seconds = {"1h": HOUR, "1d": DAY}[bucket]
        self._projects = tuple(dict.fromkeys(projects))
        login = googleapi.Login(name, key, SCOPE)
        self._http = Http(
            name, base_url, sign=login.sign, dialect=googleapi.DIALECT, denied=_ROLE, limits=limits
        )
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """Tokens and calls, which are one row."""
        return [StreamSpec(_STREAM, "usage", _CHUNK_DAYS)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days [start, end) that Google still has, as far as they have gone.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        kept = now - now % DAY - (KEPT_DAYS - 1) * DAY
        first, until = min(end, max(start, kept)), asked_until(end, now)
        answers = [
            self._answer(project, metric, first, until)
            for project in self._projects
            for metric in (_TOKENS, _CALLS)
            if first < until
        ]
        lost = [f"Google keeps its metrics for six weeks: nothing before {utc(kept)[:10]}"]
        return Read(
            first,
            end,
            *joined(answers),
            request={
                "stream": stream,
                "projects": list(self._projects),
                "from": utc(first),
                "to": utc(until),
            },
            notes=lost if start < kept else [],
        )

    def probe(self, now: int) -> str:
        """Read the last full hour's tokens; raises SourceError."""
        end = now - now % HOUR
        answers = [self._answer(p, _TOKENS, end - HOUR, end) for p in self._projects]
        return f"{joined(answers).tokens:,} tokens in the hour before {utc(end)}"

    def _answer(self, project: str, metric: str, start: int, end: int) -> Answer:
        """All pages of one metric of one project."""
        buckets = Buckets(start, end, _HOURS)
        asked = [
            ("filter", f'metric.type="{_PREFIX}{metric}"'),
            ("interval.startTime", instant(start)),
            ("interval.endTime", instant(end)),
            ("aggregation.alignmentPeriod", f"{HOUR}s"),
            ("aggregation.perSeriesAligner", "ALIGN_SUM"),
            ("pageSize", str(_POINTS)),
        ]

        def ask(cursor: str | None) -> bytes:
            following = [] if cursor is None else [("pageToken", cursor)]
            return self._http.get(f"projects/{project}/timeSeries", [*asked, *following])

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "time series")
            rows: list[Row] = []
            problems: list[Problem] = []
            for number, series in enumerate(page.series, 1):
                _admit(buckets, series)
                found = self._take(series, metric, project, f"{place}, series {number}")
                rows += found[0]
                problems += found[1]
            return Taken(rows, problems, bool(page.following), page.following)

        return all_pages(self.name, f"{metric} of {project}", ask, take, Cursors())

    def _take(
        self, series: _Series, metric: str, project: str, place: str
    ) -> tuple[list[UsageRow], list[Problem]]:
        labels = series.metric.labels
        try:
            field = _field(metric, labels)
        except ValueError as error:
            said = {"metric": labels, "resource": series.resource.labels, "points": series.points}
            return [], each([said], partial(_refuse, error), place)[1]
        if not field:
            return [], []
        dims = _dimensions(series, self.account, project)
        read = partial(_row, dims=dims, field=field, seconds=self._seconds)
        return each(series.points, read, place)


def _refuse(error: ValueError, _: object) -> UsageRow:
    raise error


def _admit(buckets: Buckets, series: _Series) -> None:
    """Take in a series' points; one that cannot be read is for its reader to refuse."""
    labels = (series.metric.labels, series.resource.labels)
    key = tuple(tuple(sorted(each_of.items())) for each_of in labels)
    for point in series.points:
        try:
            interval = msgspec.convert(point, _Point).interval
            start, end = epoch(interval.start_time), epoch(interval.end_time)
        except ValueError:
            continue
        buckets.admit(start, end, key)
