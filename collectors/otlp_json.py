"""OTLP in JSON. The standard Protobuf mapping would read ids as base64, and refuse new fields."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

import msgspec

from collectors.otlp_model import Attributes, DataPoint, Metric, Origin, Record, Span

_Int = int | float | str | None
"""64 bits come as text or as a number."""


class _Lenient(msgspec.Struct, rename="camel", gc=False):
    """Unknown fields are ignored, and null is as absent."""


class _List(_Lenient):
    values: list[_Any] | None = None


class _Pairs(_Lenient):
    values: list[_Pair] | None = None


class _Any(_Lenient):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Int = None
    double_value: float | str | None = None
    array_value: _List | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Pair(_Lenient):
    key: str = ""
    value: _Any | None = None


class _Resource(_Lenient):
    attributes: list[_Pair] | None = None


class _Scope(_Lenient):
    name: str | None = None
    version: str | None = None


class _Number(_Lenient):
    attributes: list[_Pair] | None = None
    start_time_unix_nano: _Int = None
    time_unix_nano: _Int = None
    flags: _Int = None
    as_int: _Int = None
    as_double: float | str | None = None


class _Histogram(_Lenient):
    attributes: list[_Pair] | None = None
    start_time_unix_nano: _Int = None
    time_unix_nano: _Int = None
    flags: _Int = None
    count: _Int = None
    sum: float | str | None = None


class _Sum(_Lenient):
    data_points: list[_Number] | None = None
    aggregation_temporality: _Int = None
    is_monotonic: bool | None = None


class _Histograms(_Lenient):
    data_points: list[_Histogram] | None = None
    aggregation_temporality: _Int = None


class _Nothing(_Lenient):
    pass


class _Others(_Lenient):
    data_points: list[_Nothing] | None = None


class _Metric(_Lenient):
    name: str | None = None
    sum: _Sum | None = None
    histogram: _Histograms | None = None
    exponential_histogram: _Histograms | None = None
    gauge: _Others | None = None
    summary: _Others | None = None


class _Status(_Lenient):
    code: _Int = None


class _Span(_Lenient):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_time_unix_nano: _Int = None
    end_time_unix_nano: _Int = None
    attributes: list[_Pair] | None = None
    status: _Status | None = None


class _Record(_Lenient):
    time_unix_nano: _Int = None
    observed_time_unix_nano: _Int = None
    event_name: str | None = None
    body: _Any | None = None
    attributes: list[_Pair] | None = None


class _ScopeMetrics(_Lenient):
    scope: _Scope | None = None
    metrics: list[_Metric] | None = None


class _ScopeSpans(_Lenient):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _ScopeLogs(_Lenient):
    scope: _Scope | None = None
    log_records: list[_Record] | None = None


class _ResourceMetrics(_Lenient):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _ResourceSpans(_Lenient):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _ResourceLogs(_Lenient):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Metrics(_Lenient):
    resource_metrics: list[_ResourceMetrics] | None = None


class _Traces(_Lenient):
    resource_spans: list[_ResourceSpans] | None = None


class _Logs(_Lenient):
    resource_logs: list[_ResourceLogs] | None = None


_metrics = msgspec.json.Decoder(_Metrics)
_traces = msgspec.json.Decoder(_Traces)
_logs = msgspec.json.Decoder(_Logs)


def objects(_signal: str, body: bytes, _most: int) -> int:
    """A bound of how many a body holds: each begins with a brace."""
    return body.count(b"{")


def metrics(body: bytes, wanted: Collection[str]) -> Iterator[Metric]:
    """The metrics with these names, points with all attributes."""
    for resource in _metrics.decode(body).resource_metrics or ():
        attributes = _attributes(resource.resource.attributes if resource.resource else None)
        for scope in resource.scope_metrics or ():
            found = [m for m in scope.metrics or () if m.name in wanted]
            if found:
                origin = _origin(attributes, scope.scope)
                yield from (_metric(origin, metric) for metric in found)


def spans(body: bytes, wanted: Collection[str]) -> Iterator[Span]:
    """All spans, with these attributes only."""
    for resource in _traces.decode(body).resource_spans or ():
        attributes = _attributes(resource.resource.attributes if resource.resource else None)
        for scope in resource.scope_spans or ():
            origin = _origin(attributes, scope.scope)
            for span in scope.spans or ():
                yield Span(
                    origin,
                    (span.trace_id or "").lower(),
                    (span.span_id or "").lower(),
                    (span.parent_span_id or "").lower(),
                    _int(span.start_time_unix_nano),
                    _int(span.end_time_unix_nano),
                    span.status is not None and span.status.code == 2,
                    _attributes(span.attributes, wanted),
                )


def records(body: bytes, wanted: Collection[str]) -> Iterator[Record]:
    """All log records, with these attributes only."""
    for resource in _logs.decode(body).resource_logs or ():
        attributes = _attributes(resource.resource.attributes if resource.resource else None)
        for scope in resource.scope_logs or ():
            origin = _origin(attributes, scope.scope)
            for record in scope.log_records or ():
                said = record.body.string_value if record.body else None
                time = _int(record.time_unix_nano) or _int(record.observed_time_unix_nano)
                name = record.event_name or said or ""
                yield Record(origin, time, name, _attributes(record.attributes, wanted))


def _metric(origin: Origin, said: _Metric) -> Metric:
    name = said.name or ""
    if said.sum is not None:
        points = (_number(point) for point in said.sum.data_points or ())
        kind = _int(said.sum.aggregation_temporality)
        return Metric(origin, name, "sum", kind, bool(said.sum.is_monotonic), points)
    found = said.histogram or said.exponential_histogram
    if found is not None:
        each = (_histogram(point) for point in found.data_points or ())
        kind = _int(found.aggregation_temporality)
        return Metric(origin, name, "histogram", kind, monotonic=True, points=each)
    others = said.gauge or said.summary
    nothing = DataPoint(0, 0, 0, None, 0, {})
    count = len(others.data_points or ()) if others else 0
    return Metric(origin, name, "", 0, monotonic=False, points=repeat(nothing, count))


def _number(point: _Number) -> DataPoint:
    value = _float(point.as_double) if point.as_int is None else _int(point.as_int)
    return _point(point, value, 0)


def _histogram(point: _Histogram) -> DataPoint:
    return _point(point, _float(point.sum), _int(point.count))


def _point(point: _Number | _Histogram, value: float | None, count: int) -> DataPoint:
    return DataPoint(
        _int(point.start_time_unix_nano),
        _int(point.time_unix_nano),
        _int(point.flags),
        value,
        count,
        _attributes(point.attributes),
    )


def _origin(resource: Attributes, scope: _Scope | None) -> Origin:
    said = scope or _Scope()
    return Origin(resource, said.name or "", said.version or "")


def _attributes(pairs: Sequence[_Pair] | None, wanted: Collection[str] | None = None) -> Attributes:
    return {
        pair.key: _value(pair.value) for pair in pairs or () if wanted is None or pair.key in wanted
    }


def _value(said: _Any | None) -> Any:
    if said is None:
        return None
    if said.int_value is not None:
        return _int(said.int_value)
    if said.double_value is not None:
        return _float(said.double_value)
    if said.array_value is not None:
        return tuple(_value(value) for value in said.array_value.values or ())
    if said.kvlist_value is not None:
        found = ((p.key, _value(p.value)) for p in said.kvlist_value.values or ())
        return tuple(sorted(found, key=itemgetter(0)))
    return next(
        (v for v in (said.string_value, said.bool_value, said.bytes_value) if v is not None), None
    )


def _int(said: _Int) -> int:
    """Raises ValueError, OverflowError: it is no whole number."""
    number = int(said or 0)
    if isinstance(said, float) and number != said:
        raise ValueError("a whole number has a fraction")
    return number


def _float(said: float | str | None) -> float | None:
    """`NaN` and the infinities come as text."""
    return None if said is None else float(said)
