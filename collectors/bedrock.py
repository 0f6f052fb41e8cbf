"""Amazon Bedrock's tokens: CloudWatch `GetMetricData` over the metrics that `ListMetrics` names.

Two namespaces count two endpoints: `AWS/Bedrock` the runtime, `AWS/BedrockMantle` the one that
speaks like OpenAI and Anthropic. Input excludes what was read from a cache or written to it in the
first; the second has no such split, so that its input is gross.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from collectors.amazon import Amazon, Api, Login
from collectors.http import DEFAULT_LIMITS, Limits
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
    joined,
    require_days,
    require_names,
    utc,
)
from monitor.domain.names import clean_name
from monitor.domain.usage import (
    DAY,
    HOUR,
    Dimensions,
    Problem,
    Quantities,
    UsageRow,
)
from monitor.ports import Read, StreamSpec

BASE_URL = "https://monitoring.{region}.amazonaws.com"
LISTED_DAYS = 14
"""`ListMetrics` names what had data in the last two weeks, and nothing else."""
KEPT_DAYS = 455
"""Days of hourly sums that CloudWatch keeps."""

_API = Api("monitoring", "GraniteServiceVersion20100801", "1.0", "NextToken")
_RIGHTS = (
    "It needs a key or a role that may call cloudwatch:ListMetrics and cloudwatch:GetMetricData"
)
_MOST_QUERIES = 500
_CHUNK_DAYS = 7
"""So that one page holds what 500 metrics did."""
_WIDTHS = {"1h": Width("1h", HOUR, 168), "1d": Width("1d", DAY, 168)}


class _Namespace(NamedTuple):
    """A namespace, and which of its metrics are which quantity."""

    name: str
    levels: Sequence[frozenset[str]]
    """Sets of dimensions, of which the first that is there is read: each counts all traffic."""
    quantities: Mapping[str, Sequence[str]]
    """Field -> spellings of one metric; where both have a value the first counts."""


_STREAMS = {
    "runtime": _Namespace(
        "AWS/Bedrock",
        [frozenset({"ModelId"})],
        {
            "uncached_input": ["InputTokenCount"],
            "cache_read": ["CacheReadInputTokens", "CacheReadInputTokenCount"],
            "cache_write": ["CacheWriteInputTokens", "CacheWriteInputTokenCount"],
            "output": ["OutputTokenCount"],
            "requests": ["Invocations"],
        },
    ),
    "mantle": _Namespace(
        "AWS/BedrockMantle",
        [frozenset({"Project", "Model"}), frozenset({"Model"})],
        {
            "uncached_input": ["TotalInputTokens"],
            "output": ["TotalOutputTokens"],
            "requests": ["Inferences"],
        },
    ),
}

# --- One page: pure functions from bytes to values ---


class _Dimension(msgspec.Struct):
    name: str = msgspec.field(name="Name")
    value: str = msgspec.field(name="Value")


class _Metric(msgspec.Struct):
    name: str = msgspec.field(name="MetricName")
    dimensions: list[_Dimension] = msgspec.field(name="Dimensions", default_factory=list)


class _Listed(msgspec.Struct):
    metrics: list[_Metric] = msgspec.field(name="Metrics")
    following: str | None = msgspec.field(name="NextToken", default=None)


class _Result(msgspec.Struct):
    id: str = msgspec.field(name="Id")
    status: str = msgspec.field(name="StatusCode")
    timestamps: list[Decimal | int] = msgspec.field(name="Timestamps", default_factory=list)
    values: list[Decimal | int] = msgspec.field(name="Values", default_factory=list)


class _Data(msgspec.Struct):
    results: list[_Result] = msgspec.field(name="MetricDataResults")
    following: str | None = msgspec.field(name="NextToken", default=None)


class Series(NamedTuple):
    """One metric of one model: what is asked for as a whole."""

    model: str
    project: str
    field: str
    rank: int
    """Of its spelling: the lowest with a value counts."""
    metric: str
    dimensions: tuple[tuple[str, str], ...]

    def query(self, number: int, namespace: str, seconds: int) -> dict[str, Any]:
        """It as `GetMetricData` takes it."""
        named = [{"Name": name, "Value": value} for name, value in self.dimensions]
        metric = {"Namespace": namespace, "MetricName": self.metric, "Dimensions": named}
        stat = {"Metric": metric, "Period": seconds, "Stat": "Sum"}
        return {"Id": f"q{number}", "MetricStat": stat, "ReturnData": True}


def series_of(namespace: _Namespace, metrics: Iterable[_Metric]) -> list[Series]:
    """What is read of the listed metrics: those of one level of dimensions, each once."""
    spelled = {
        name: (field, rank)
        for field, names in namespace.quantities.items()
        for rank, name in enumerate(names)
    }
    known = [
        (metric.name, tuple(sorted((d.name, d.value) for d in metric.dimensions)))
        for metric in metrics
        if metric.name in spelled
    ]
    there = {frozenset(name for name, _ in dimensions) for _, dimensions in known}
    level = next((level for level in namespace.levels if level in there), None)
    found = []
    for name, dimensions in sorted(set(known)):
        of = dict(dimensions)
        if frozenset(of) == level:
            model = of.get("ModelId") or of.get("Model", "")
            found.append(Series(model, of.get("Project", ""), *spelled[name], name, dimensions))
    return found


class _Value(NamedTuple):
    series: Series
    start: int
    number: int


def _values(result: _Result, series: Series, buckets: Buckets, seconds: int) -> list[object]:
    """The values of one metric as plain objects; their buckets are what was asked for."""
    if len(result.timestamps) != len(result.values):
        raise ValueError(f"{series.metric} of {series.model} has times without values")
    starts = [int(at) for at in result.timestamps]
    for start in starts:
        buckets.admit(start, start + seconds, result.id)
    return [
        {"model": series.model, "metric": series.metric, "start": start, "value": value}
        for start, value in zip(starts, result.values, strict=True)
    ]


# --- A window ---


class Bedrock(Source):
    """Bedrock in the regions of one Amazon account.

    Args:
        key: see `amazon.Login`; empty: what the AWS libraries find.
        base_url: where CloudWatch is, with `{region}` in it.
        bucket: the width of usage.
        regions: that Bedrock is called in.
        models: ids that are asked for whether or not they were used in the last two weeks.
        profile: of the shared credentials.
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
        regions: Sequence[str] = ("us-east-1",),
        models: Sequence[str] = (),
        profile: str = "",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_names(name, "regions", regions, least=1)
        require_names(name, "models", models)
        self._width = _WIDTHS[bucket]
        self._models = tuple(models)
        login = Login(name, key, profile)
        self._clients = [
            Amazon(
                name,
                base_url.replace("{region}", region),
                login,
                _API,
                region,
                denied=_RIGHTS,
                limits=limits,
            )
            for region in dict.fromkeys(regions)
        ]
        super().__init__(name, account, *self._clients)

    def streams(self) -> Sequence[StreamSpec]:
        """The tokens of both endpoints."""
        return [StreamSpec(stream, "usage", _CHUNK_DAYS) for stream in _STREAMS]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days [start, end), as far as they have gone.

        Unless models are configured, days that `ListMetrics` may know too little of are not read:
        `Read.start` is the first day that is.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        days = KEPT_DAYS if self._models else LISTED_DAYS
        known = now - now % DAY - (days - 1) * DAY
        first, notes = min(end, max(start, known)), []
        if start < known:
            notes.append(
                f"CloudWatch keeps no hours before {utc(known)}"
                if self._models
                else "CloudWatch names what was used in the last two weeks: nothing before"
                f" {utc(known)} was read; with models in the options it is"
            )
        until = asked_until(end, now)
        regions = self._clients if first < until else []
        answers = [self._answer(stream, client, first, until) for client in regions]
        return Read(
            first,
            end,
            *joined(answers),
            request={
                "stream": stream,
                "namespace": _STREAMS[stream].name,
                "regions": [client.region for client in self._clients],
                "from": utc(first),
                "to": utc(until),
                "period": self._width.seconds,
            },
            notes=notes,
        )

    def probe(self, now: int) -> str:
        """Ask each region for its models; raises SourceError."""
        del now
        found = {
            client.region: {s.model for s in self._listed(_STREAMS["runtime"], client)[0]}
            for client in self._clients
        }
        return "; ".join(f"{len(models)} models in {region}" for region, models in found.items())

    def _answer(self, stream: str, client: Amazon, start: int, end: int) -> Answer:
        """What one region's models did."""
        namespace = _STREAMS[stream]
        found, pages = self._listed(namespace, client)
        series = {(s.metric, s.dimensions): s for s in found + self._named(namespace)}
        asked = list(series.values())
        values: dict[tuple[str, str, int], dict[str, list[tuple[int, int]]]]
        values = defaultdict(lambda: defaultdict(list))
        problems: list[Problem] = []
        for at in range(0, len(asked), _MOST_QUERIES):
            part = self._data(stream, client, asked[at : at + _MOST_QUERIES], start, end)
            pages += part.pages
            problems += part.problems
            for value in part.values:
                of = (value.series.model, value.series.project, value.start)
                values[of][value.series.field].append((value.series.rank, value.number))
        rows: list[Row] = [
            self._row(client.region, *of, fields) for of, fields in sorted(values.items())
        ]
        return Answer(rows, problems, pages)

    def _row(
        self,
        region: str,
        model: str,
        project: str,
        start: int,
        fields: Mapping[str, list[tuple[int, int]]],
    ) -> UsageRow:
        dims = Dimensions(
            account=self.account,
            provider="aws",
            model=clean_name(model),
            project=clean_name(project),
            region=clean_name(region),
        )
        # Two spellings are one metric: of a bucket that has both, the first is taken.
        quantities = Quantities(**{field: min(found)[1] for field, found in fields.items()})
        return UsageRow(dims, start, self._width.seconds, quantities)

    def _named(self, namespace: _Namespace) -> list[Series]:
        """What is asked for of the configured models; Mantle's have a project that is not known."""
        if namespace is not _STREAMS["runtime"]:
            return []
        return [
            Series(model, "", field, rank, metric, (("ModelId", model),))
            for model in self._models
            for field, metrics in namespace.quantities.items()
            for rank, metric in enumerate(metrics)
        ]

    def _listed(self, namespace: _Namespace, client: Amazon) -> tuple[list[Series], int]:
        """The metrics of a namespace, and on how many pages they stood."""
        metrics: list[_Metric] = []

        def take(body: bytes, place: str) -> Taken:
            del place
            page = decoded(body, _Listed, "metrics")
            metrics.extend(page.metrics)
            return Taken([], [], page.following is not None, page.following)

        ask = client.asking("ListMetrics", {"Namespace": namespace.name})
        answer = all_pages(self.name, f"ListMetrics of {client.region}", ask, take, Cursors())
        return series_of(namespace, metrics), answer.pages

    def _data(
        self, stream: str, client: Amazon, asked: Sequence[Series], start: int, end: int
    ) -> _Part:
        """What some metrics did; every one of them must come to its end."""
        width = self._width
        buckets = Buckets(start, end, width)
        named = {f"q{number}": series for number, series in enumerate(asked)}
        complete: dict[str, str] = dict.fromkeys(named, "missing")
        values: list[_Value] = []
        document = {
            "MetricDataQueries": [
                series.query(number, _STREAMS[stream].name, width.seconds)
                for number, series in enumerate(asked)
            ],
            "StartTime": start,
            "EndTime": end,
            "ScanBy": "TimestampAscending",
        }

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Data, "metric data")
            problems = []
            for result in page.results:
                if result.id not in named:
                    raise ValueError(f"it holds {clean_name(result.id)}, which was not asked for")
                complete[result.id] = result.status
                found = _take(result, named[result.id], buckets, width.seconds, place)
                values.extend(found[0])
                problems += found[1]
            if page.following is None:
                _require_complete(complete, named)
            return Taken([], problems, page.following is not None, page.following)

        ask = client.asking("GetMetricData", document)
        answer = all_pages(self.name, f"{stream} of {client.region}", ask, take, Cursors())
        return _Part(values, answer.problems, answer.pages)


class _Part(NamedTuple):
    values: list[_Value]
    problems: list[Problem]
    pages: int


def _take(
    result: _Result, series: Series, buckets: Buckets, seconds: int, place: str
) -> tuple[list[_Value], list[Problem]]:
    """The values of a result, and those that are no counts."""
    where = f"{place}, {clean_name(series.metric)} of {clean_name(series.model)}"
    return each(_values(result, series, buckets, seconds), partial(_value, series=series), where)


def _value(found: Any, *, series: Series) -> _Value:
    return _Value(series, found["start"], count_of(found["value"]) or 0)


def _require_complete(statuses: Mapping[str, str], named: Mapping[str, Series]) -> None:
    """Raises ValueError where a metric was not answered to its end."""
    for number, status in statuses.items():
        if status != "Complete":
            series = named[number]
            raise ValueError(
                f"{series.metric} of {clean_name(series.model)} is {clean_name(status)}, no answer"
            )
