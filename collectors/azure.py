"""Azure OpenAI's and Foundry's tokens: Azure Monitor's metrics of each resource.

Metrics name the deployment and not the model, and for what is paid by the token they do not tell
cached input apart, so that input is gross.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal

import msgspec

from collectors import microsoft
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
    epoch,
    instant,
    joined,
    require_days,
    require_names,
    utc,
)
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, Dimensions, Problem, Quantities, UsageRow
from monitor.ports import Read, StreamSpec

API_VERSION = "2024-02-01"
"""That of the vendor's own client (azure-mgmt-monitor 7.0)."""
KEPT_DAYS = 93
"""Days of its metrics that Azure keeps."""

Names = Literal["openai", "foundry"]

_STREAM = "tokens"
_CHUNK_DAYS = 7
_HOURS = Width("an hour", HOUR, 168)
_MOST_SERIES = 1000
"""Azure leaves out what is more, and without this number it gives ten."""
_RESOURCE = re.compile(
    r"/subscriptions/[\w-]+/resourceGroups/[\w.()-]+/providers/Microsoft\.CognitiveServices"
    r"/accounts/[\w.-]+",
    re.ASCII | re.IGNORECASE,
)
_ROLE = "It needs the role Monitoring Reader on each resource, or on a group that holds it"

_TOKENS: Mapping[str, Mapping[str, str]] = {
    "openai": {"ProcessedPromptTokens": "uncached_input", "GeneratedTokens": "output"},
    "foundry": {"InputTokens": "uncached_input", "OutputTokens": "output"},
}
_CALLS = {"openai": "AzureOpenAIRequests", "foundry": "ModelRequests"}
_DEPLOYMENT, _STATUS = "modeldeploymentname", "statuscode"


class _Named(msgspec.Struct):
    value: str


class _Dimension(msgspec.Struct):
    name: _Named
    value: str = ""


class _Series(msgspec.Struct):
    dimensions: list[_Dimension] = msgspec.field(name="metadatavalues", default_factory=list)
    data: list[Any] = msgspec.field(default_factory=list)


class _Metric(msgspec.Struct):
    name: _Named
    series: list[_Series] = msgspec.field(name="timeseries", default_factory=list)
    error: str = msgspec.field(name="errorCode", default="Success")


class _Page(msgspec.Struct):
    metrics: list[_Metric] = msgspec.field(name="value")
    region: str = msgspec.field(name="resourceregion", default="")


class _Point(msgspec.Struct):
    at: str = msgspec.field(name="timeStamp")
    total: Decimal | int | None = None


def _row(result: object, *, dims: Dimensions, field: str, seconds: int) -> UsageRow:
    found = msgspec.convert(result, _Point)
    start = epoch(found.at)
    quantities = Quantities(**{field: count_of(found.total)})
    return UsageRow(dims, start - start % seconds, seconds, quantities)


class Azure(Source):
    """Resources of Azure OpenAI or Foundry.

    Args:
        key: see `microsoft.Login`; empty: what this machine is.
        base_url: where the management API is.
        bucket: the width of usage.
        resources: ids of the resources, `/subscriptions/.../accounts/NAME`.
        deployments: which model a deployment serves, by the deployment's name.
        names: which of two sets of metrics is read; both count the same traffic.
        tenant: see `microsoft.Login`.
        client_id: see `microsoft.Login`.
        authority: see `microsoft.Login`.
        api_version: of the metrics API.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str = "",
        *,
        base_url: str = microsoft.BASE_URL,
        bucket: Literal["1h", "1d"] = "1h",
        resources: Sequence[str] = (),
        deployments: Mapping[str, str] = {},
        names: Names = "openai",
        tenant: str = "",
        client_id: str = "",
        authority: str = microsoft.AUTHORITY,
        api_version: str = API_VERSION,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_names(name, "resources", resources, least=1)
        _require(name, resources, deployments, names)
        self._seconds = {"1h": HOUR, "1d": DAY}[bucket]
        self._resources = tuple(dict.fromkeys(resources))
        self._deployments = dict(deployments)
        self._names = names
        self._version = str(api_version)
        login = microsoft.Login(name, key, tenant, client_id, authority, base_url)
        self._http = microsoft.Management(name, base_url, login, denied=_ROLE, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """Tokens and requests, which are one row."""
        return [StreamSpec(_STREAM, "usage", _CHUNK_DAYS)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days [start, end) that Azure still has, as far as they have gone.

        Raises:
            SourceError: an answer is missing or broken; a part is never returned.
        """
        require_days(start, end)
        kept = now - now % DAY - (KEPT_DAYS - 1) * DAY
        first, until = min(end, max(start, kept)), asked_until(end, now)
        answers = [
            self._answer(resource, metrics, first, until)
            for resource in self._resources
            for metrics in (_TOKENS[self._names], {_CALLS[self._names]: "requests"})
            if first < until
        ]
        found = joined(answers)
        lost = [f"Azure keeps its metrics for {KEPT_DAYS} days: nothing before {utc(kept)[:10]}"]
        return Read(
            start=first,
            end=end,
            # Of an hour without any call Azure says 0 of each deployment.
            rows=[row for row in found.rows if isinstance(row, UsageRow) and any(row.quantities)],
            problems=found.problems,
            pages=found.pages,
            request={
                "stream": stream,
                "resources": list(self._resources),
                "metrics": [*_TOKENS[self._names], _CALLS[self._names]],
                "from": utc(first),
                "to": utc(until),
            },
            notes=lost if start < kept else [],
        )

    def probe(self, now: int) -> str:
        """Read the last full hour's tokens of each resource; raises SourceError."""
        end = now - now % HOUR
        metrics = _TOKENS[self._names]
        answers = [self._answer(r, metrics, end - HOUR, end) for r in self._resources]
        return f"{joined(answers).tokens:,} tokens in the hour before {utc(end)}"

    def _answer(self, resource: str, metrics: Mapping[str, str], start: int, end: int) -> Answer:
        """Some metrics of one resource, which have no pages."""
        buckets = Buckets(start, end, _HOURS)
        calls = "requests" in metrics.values()
        asked = [
            ("api-version", self._version),
            ("metricnames", ",".join(metrics)),
            ("timespan", f"{instant(start)}/{instant(end)}"),
            ("interval", "PT1H"),
            ("aggregation", "Total"),
            (
                "$filter",
                "ModelDeploymentName eq '*'" + (" and StatusCode eq '*'" if calls else ""),
            ),
            ("top", str(_MOST_SERIES)),
        ]
        path = f"{resource.lstrip('/')}/providers/Microsoft.Insights/metrics"

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "metrics")
            _require_whole(page, metrics)
            rows: list[Row] = []
            problems: list[Problem] = []
            for metric in page.metrics:
                for number, series in enumerate(metric.series, 1):
                    of = {d.name.value.casefold(): d.value for d in series.dimensions}
                    _admit(buckets, series, (metric.name.value, *sorted(of.items())))
                    if not of.get(_STATUS, "200").startswith("2"):
                        continue
                    dims = self._dimensions(resource, of.get(_DEPLOYMENT, ""), page.region)
                    field = metrics[metric.name.value]
                    read = partial(_row, dims=dims, field=field, seconds=self._seconds)
                    where = f"{place}, {metric.name.value}, series {number}"
                    found = each(series.data, read, where)
                    rows += found[0]
                    problems += found[1]
            return Taken(rows, problems, more=False, following=None)

        named = f"{', '.join(metrics)} of {resource.rpartition('/')[2]}"
        return all_pages(self.name, named, lambda _: self._http.get(path, asked), take, Cursors())

    def _dimensions(self, resource: str, deployment: str, region: str) -> Dimensions:
        return Dimensions(
            account=self.account,
            provider="azure",
            model=clean_name(self._deployments.get(deployment, deployment)),
            project=clean_name(f"{resource.rpartition('/')[2]}/{deployment}"),
            region=clean_name(region),
        )


def _require(source: str, resources: Sequence[str], deployments: object, names: str) -> None:
    """Raises InputError where an option cannot be used."""
    for resource in resources:
        if not _RESOURCE.fullmatch(resource):
            raise InputError(
                f"source {source}: resources cannot hold {resource!r}",
                "Write ids as /subscriptions/ID/resourceGroups/GROUP/providers/"
                "Microsoft.CognitiveServices/accounts/NAME",
            )
    if not isinstance(deployments, Mapping) or not all(
        isinstance(text, str) for pair in deployments.items() for text in pair
    ):
        raise InputError(
            f"source {source}: deployments is {deployments!r}",
            'Write a table: deployments = { "my-deployment" = "gpt-5-mini" }',
        )
    if names not in _TOKENS:
        raise InputError(f"source {source}: names cannot be {names!r}", "Use openai or foundry")


def _require_whole(page: _Page, metrics: Mapping[str, str]) -> None:
    """Raises ValueError unless every metric came, and with all of its series."""
    came = [metric.name.value for metric in page.metrics]
    if sorted(came) != sorted(metrics):
        raise ValueError(f"it holds {clean_name(', '.join(came)) or 'nothing'}")
    for metric in page.metrics:
        if metric.error != "Success":
            raise ValueError(f"{metric.name.value} is {clean_name(metric.error)}, no answer")
        if len(metric.series) >= _MOST_SERIES:
            raise ValueError(f"{metric.name.value} has {_MOST_SERIES} series and may have more")


def _admit(buckets: Buckets, series: _Series, key: tuple[object, ...]) -> None:
    """Take in a series' points; one that cannot be read is for its reader to refuse."""
    for point in series.data:
        try:
            at = epoch(msgspec.convert(point, _Point).at)
        except ValueError:
            continue
        buckets.admit(at, at + HOUR, key)
