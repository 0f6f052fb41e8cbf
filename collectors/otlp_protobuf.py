"""OTLP in Protobuf: the one module that imports its classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import repeat
from operator import itemgetter
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collectors import otlp_wire
from collectors.otlp_model import Attributes, DataPoint, Metric, Origin, Record, Span


def _counted(kind: Descriptor, known: dict[str, otlp_wire.Fields]) -> otlp_wire.Fields:
    """Of a message: those in it, and other repeated fields with a length."""
    if kind.full_name not in known:
        # Known before its fields are, since an attribute may hold attributes.
        found: dict[int, otlp_wire.Fields | None] = {}
        known[kind.full_name] = found
        for field in kind.fields:
            tag = field.number << 3 | otlp_wire.LENGTH
            if field.message_type is not None:
                found[tag] = _counted(field.message_type, known)
            elif field.default_value == []:
                found[tag] = None
    return known[kind.full_name]


_COUNTED = {
    "metrics": _counted(ExportMetricsServiceRequest.DESCRIPTOR, {}),
    "traces": _counted(ExportTraceServiceRequest.DESCRIPTOR, {}),
    "logs": _counted(ExportLogsServiceRequest.DESCRIPTOR, {}),
}


def objects(signal: str, body: bytes, most: int) -> int:
    """Messages and repeated texts in a body, as `otlp_wire.objects` counts them."""
    return otlp_wire.objects(body, _COUNTED[signal], most)


def metrics(body: bytes, wanted: Collection[str]) -> Iterator[Metric]:
    """The metrics with these names, points with all attributes.

    Raises:
        ValueError: these bytes are no such message.
    """
    for resource in _parsed(ExportMetricsServiceRequest(), body).resource_metrics:
        attributes = _attributes(resource.resource.attributes)
        for scope in resource.scope_metrics:
            found = [metric for metric in scope.metrics if metric.name in wanted]
            if found:
                origin = _origin(attributes, scope.scope)
                yield from (_metric(origin, metric) for metric in found)


def spans(body: bytes, wanted: Collection[str]) -> Iterator[Span]:
    """All spans, with these attributes only."""
    for resource in _parsed(ExportTraceServiceRequest(), body).resource_spans:
        attributes = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            origin = _origin(attributes, scope.scope)
            for span in scope.spans:
                yield Span(
                    origin,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == 2,
                    _attributes(span.attributes, wanted),
                )


def records(body: bytes, wanted: Collection[str]) -> Iterator[Record]:
    """All log records, with these attributes only."""
    for resource in _parsed(ExportLogsServiceRequest(), body).resource_logs:
        attributes = _attributes(resource.resource.attributes)
        for scope in resource.scope_logs:
            origin = _origin(attributes, scope.scope)
            for record in scope.log_records:
                time = record.time_unix_nano or record.observed_time_unix_nano
                name = record.event_name or record.body.string_value
                yield Record(origin, time, name, _attributes(record.attributes, wanted))


def accepted(signal: str, rejected: int, message: str) -> bytes:
    """What is answered: nothing, or how many were rejected and why."""
    answer: Any
    if not rejected:
        return b""
    if signal == "metrics":
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = rejected
    elif signal == "traces":
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = rejected
    else:
        answer = ExportLogsServiceResponse()
        answer.partial_success.rejected_log_records = rejected
    answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def status(code: int, message: str) -> bytes:
    """A `google.rpc.Status`, which is how an error is said; its class is in a package of 4 MB."""
    text = message.encode()[:16_000]
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _parsed(message: Any, body: bytes) -> Any:
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise ValueError("not a Protobuf message of OTLP") from None
    assert isinstance(message, Message)
    return message


def _metric(origin: Origin, said: Any) -> Metric:
    shape = said.WhichOneof("data") or ""
    points = getattr(said, shape).data_points if shape else ()
    if shape == "sum":
        return Metric(
            origin,
            said.name,
            "sum",
            said.sum.aggregation_temporality,
            said.sum.is_monotonic,
            (_number(point) for point in points),
        )
    if shape in ("histogram", "exponential_histogram"):
        kind = getattr(said, shape).aggregation_temporality
        found = (_histogram(point) for point in points)
        return Metric(origin, said.name, "histogram", kind, monotonic=True, points=found)
    nothing = DataPoint(0, 0, 0, None, 0, {})
    return Metric(origin, said.name, "", 0, monotonic=False, points=repeat(nothing, len(points)))


def _number(point: Any) -> DataPoint:
    which = point.WhichOneof("value")
    return _point(point, getattr(point, which) if which else None, 0)


def _histogram(point: Any) -> DataPoint:
    return _point(point, point.sum if point.HasField("sum") else None, point.count)


def _point(point: Any, value: float | None, count: int) -> DataPoint:
    return DataPoint(
        point.start_time_unix_nano,
        point.time_unix_nano,
        point.flags,
        value,
        count,
        _attributes(point.attributes),
    )


def _origin(resource: Attributes, scope: Any) -> Origin:
    return Origin(resource, scope.name, scope.version)


def _attributes(pairs: Iterable[KeyValue], wanted: Collection[str] | None = None) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs if wanted is None or pair.key in wanted}


def _value(said: AnyValue) -> Any:
    which = said.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return tuple(_value(value) for value in said.array_value.values)
    if which == "kvlist_value":
        found = ((p.key, _value(p.value)) for p in said.kvlist_value.values)
        return tuple(sorted(found, key=itemgetter(0)))
    value = getattr(said, which)
    return value.hex() if which == "bytes_value" else value
