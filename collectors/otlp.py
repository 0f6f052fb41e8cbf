"""What OpenTelemetry clients send of token use: spans, metrics and an agent's log events.

Only the attributes named here are looked at, and none of them holds what a user wrote: prompts
stand in others, which are dropped with the body. Everything else of OTLP is accepted and ignored,
so that a Collector can send all that it has.

What "input" contains differs: that of spans and of `gen_ai.*` metrics has the cached tokens in it
(gross), that of Claude Code has not.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import msgspec

from collectors import otlp_json, otlp_points, otlp_protobuf, otlp_records, otlp_spans
from collectors.otlp_found import Found, too_many
from monitor.domain.errors import IntakeError
from monitor.domain.telemetry import Telemetry

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
CONTENT_TYPES = (PROTOBUF, JSON)
PATHS = {"metrics": "/v1/metrics", "traces": "/v1/traces", "logs": "/v1/logs"}

_OBJECTS = 100
"""For each thing that one body may hold: a span with some fifty attributes. Of each JSON makes some
hundred bytes, and Protobuf up to 180."""

_OBJECTS_AT_LEAST = 100_000

_LARGE = 2**20
_one_at_a_time = threading.Lock()
"""For large bodies: with the most objects one takes some 200 MB, and one fits where four do not."""


class Reader:
    """Reads the bodies of one signal.

    Args:
        signal: a key of PATHS.
        label: the resource attribute that becomes the label; '' is none.
        most: things of token use that one body may hold.
    """

    def __init__(self, signal: str, label: str = "", most: int = 10_000) -> None:
        self._signal = signal
        self._label = label
        self._most = most

    def read(self, body: bytes, content_type: str, now: int) -> Telemetry:
        """What one body says of token use.

        Args:
            body: inflated.
            content_type: one of CONTENT_TYPES.
            now: epoch seconds.

        Raises:
            IntakeError: 400, it is no such message; 413, it holds too much.
        """
        with _one_at_a_time if len(body) > _LARGE else nullcontext():
            return self._read(body, content_type, now)

    def _read(self, body: bytes, content_type: str, now: int) -> Telemetry:
        found = Found(self._label, now, self._most)
        encoding: Any = otlp_json if content_type == JSON else otlp_protobuf
        most = _OBJECTS * self._most + _OBJECTS_AT_LEAST
        try:
            # Before anything is made of it.
            if encoding.objects(self._signal, body, most) > most:
                raise too_many(self._most)
            if self._signal == "metrics":
                for metric in encoding.metrics(body, otlp_points.METRICS):
                    otlp_points.read(found, metric)
            elif self._signal == "traces":
                for span in encoding.spans(body, otlp_spans.ATTRIBUTES):
                    otlp_spans.read(found, span)
                otlp_spans.nest(found)
            else:
                for record in encoding.records(body, otlp_records.ATTRIBUTES):
                    otlp_records.read(found, record)
        except RecursionError:
            raise IntakeError(400, "the body is nested too deeply") from None
        except (ValueError, OverflowError):
            raise IntakeError(400, f"the body is no export of {self._signal}") from None
        why = "; ".join(sorted(found.why))
        return Telemetry(
            found.sightings, found.points, found.rejected, why, found.problems, tuple(found.between)
        )


def accepted(signal: str, content_type: str, rejected: int, message: str) -> bytes:
    """The body of an answer to what was taken, wholly or in part."""
    if content_type != JSON:
        return otlp_protobuf.accepted(signal, rejected, message)
    names = {"metrics": "DataPoints", "traces": "Spans", "logs": "LogRecords"}
    said = {f"rejected{names[signal]}": str(rejected), "errorMessage": message}
    return msgspec.json.encode({"partialSuccess": said} if rejected else {})


def refused(content_type: str, status: int, message: str) -> bytes:
    """The body of an answer to what was not taken: a `google.rpc.Status`."""
    code = {400: 3, 401: 16, 403: 7, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}.get(status, 2)
    if content_type != JSON:
        return otlp_protobuf.status(code, message)
    return msgspec.json.encode({"code": code, "message": message})
