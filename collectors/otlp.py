"""What OpenTelemetry clients send of token use: spans, metrics and an agent's log events.

Only the attributes named here are looked at, and none of them holds what a user wrote: prompts
stand in others, which are dropped with the body. Everything else of OTLP is accepted and ignored,
so that a Collector can send all that it has.

What "input" contains differs: that of spans and of `gen_ai.*` metrics has the cached tokens in it
(gross), that of Claude Code has not.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Any, NamedTuple

import msgspec

from collectors import otlp_json, otlp_protobuf
from collectors.otlp_model import (
    CUMULATIVE,
    DELTA,
    NO_RECORDED_VALUE,
    Attributes,
    DataPoint,
    Metric,
    Origin,
    Record,
    Span,
)
from monitor.domain.aliases import provider_id
from monitor.domain.errors import IntakeError
from monitor.domain.names import clean_name
from monitor.domain.telemetry import (
    AGENT_EVENTS,
    AGENT_TOKENS,
    BY_TYPE,
    COUNTERS,
    HISTOGRAM,
    SPANS,
    Level,
    Point,
    Sighting,
    Telemetry,
    View,
    event_id,
)
from monitor.domain.usage import (
    DAY,
    MAX_READING,
    MAX_REQUEST,
    Dimensions,
    Event,
    Problem,
    Quantities,
)

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
CONTENT_TYPES = (PROTOBUF, JSON)
PATHS = {"metrics": "/v1/metrics", "traces": "/v1/traces", "logs": "/v1/logs"}

OLDEST_DAYS = 62
"""What is older is not what a client sends late."""

UNKNOWN_SERVICE = "unknown_service"
_SERVICE = "service.name"
_SECOND = 10**9

_OBJECTS = 100
"""Of JSON for each thing that one body may hold: a span with some fifty attributes."""

_OBJECTS_AT_LEAST = 100_000

_UNIQUE = 16
"""Characters behind its prefix, from which on a response's id is its own. Small servers number
theirs, some up to a thousand and then again."""

_OTHERS = 20
"""Spans and records that are none of token use, for each that is: a Collector sends all it has."""

_LARGE = 2**20
_one_at_a_time = threading.Lock()
"""For large bodies: of some the classes take eighty times the size, and one fits where four
do not."""

Parts = tuple[tuple[str, int], ...]

# --- Names ---

_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_MODEL = (
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "embedding.model_name",
    "model",
)
_TIER = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
)
_OPERATION = "gen_ai.operation.name"
_KINDS = (_OPERATION, "openinference.span.kind", "llm.request.type")
_RESPONSE = "gen_ai.response.id"
_INFERENCE = {"chat", "completion", "embedding", "embeddings", "generate_content", "llm"} | {
    "text_completion"
}
"""Operations, and kinds of span, that are one request to a model. An agent's or a chain's span
repeats the use of its children."""

# Quantity -> where a span says it; of several names that are in flight at once the larger holds.
_USED: Mapping[str, tuple[str, ...]] = {
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "cache_write_long": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "audio_input": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "image_input": ("gen_ai.usage.image.input_tokens",),
    "audio_output": (
        "gen_ai.usage.audio.output_tokens",
        "llm.token_count.completion_details.audio",
    ),
    "image_output": ("gen_ai.usage.image.output_tokens",),
}
_TOTALS = (*_USED["input"], *_USED["output"])
_SPAN_ATTRIBUTES = frozenset(
    {*_PROVIDER, *_MODEL, *_TIER, *_KINDS, _RESPONSE}
    | {name for names in _USED.values() for name in names}
)

_EVENT = "api_request"
_AGENT_SCOPES = ("com.anthropic.claude_code", "claude_code")
_AGENT_PROVIDER = "anthropic"
_AGENT_COUNTS = {
    "uncached_input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_creation_tokens",
}
_AGENT_IDS = ("request_id", "session.id", "event.sequence", "event.timestamp")
_LOG_ATTRIBUTES = frozenset({"event.name", "model", "speed", *_AGENT_COUNTS.values(), *_AGENT_IDS})

# Metric -> its kind of view, and the token type where the name says it.
_METRICS: Mapping[str, tuple[str, str]] = {
    HISTOGRAM: (HISTOGRAM, ""),
    BY_TYPE: (BY_TYPE, ""),
    AGENT_TOKENS: (AGENT_TOKENS, ""),
    f"{COUNTERS}.input_tokens": (COUNTERS, "input"),
    f"{COUNTERS}.output_tokens": (COUNTERS, "output"),
    f"{COUNTERS}.cache_read.input_tokens": (COUNTERS, "cache_read"),
    f"{COUNTERS}.cache_write.input_tokens": (COUNTERS, "cache_write"),
    f"{COUNTERS}.cache_creation.input_tokens": (COUNTERS, "cache_write"),
    f"{COUNTERS}.reasoning.output_tokens": (COUNTERS, "reasoning"),
}
_AGENT_PARTS: Mapping[str, Parts] = {
    "input": (("uncached_input", 1),),
    "output": (("output", 1),),
    "cacheRead": (("cache_read", 1),),
    "cacheCreation": (("cache_write", 1),),
}
# A cached token comes twice, in the input and in a counter of its own: it is taken from the first.
_TEXT_PARTS: Mapping[str, Parts] = {
    "input": (("uncached_input", 1),),
    "output": (("output", 1),),
    "cache_read": (("cache_read", 1), ("uncached_input", -1)),
    "cache_write": (("cache_write", 1), ("uncached_input", -1)),
    "reasoning": (("reasoning", 1),),
}
_MEDIA = ("audio", "image")


class _Unusable(ValueError):
    """Something that says token use and cannot be read; the text names nothing that was sent."""


def _too_many(most: int) -> IntakeError:
    return IntakeError(413, f"a request brings at most {most} events")


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
        # Before anything is made of it: a brace is an object, of which some hundred bytes are made.
        if content_type == JSON and body.count(b"{") > _OBJECTS * self._most + _OBJECTS_AT_LEAST:
            raise _too_many(self._most)
        with _one_at_a_time if len(body) > _LARGE else nullcontext():
            return self._read(body, content_type, now)

    def _read(self, body: bytes, content_type: str, now: int) -> Telemetry:
        found = _Found(self._label, now, self._most)
        encoding: Any = otlp_json if content_type == JSON else otlp_protobuf
        try:
            if self._signal == "metrics":
                for metric in encoding.metrics(body, _METRICS):
                    found.metric(metric)
            elif self._signal == "traces":
                for span in encoding.spans(body, _SPAN_ATTRIBUTES):
                    found.span(span)
            else:
                for record in encoding.records(body, _LOG_ATTRIBUTES):
                    found.record(record)
        except RecursionError:
            raise IntakeError(400, "the body is nested too deeply") from None
        except (ValueError, OverflowError):
            raise IntakeError(400, f"the body is no export of {self._signal}") from None
        why = "; ".join(sorted(found.why))
        return Telemetry(found.sightings, found.points, found.rejected, why, found.problems)


class _Source(NamedTuple):
    """Whose use it is."""

    view: View
    dims: Dimensions


class _Resource:
    """What one resource says, read once however much stands under it."""

    def __init__(self, attributes: Attributes, label: str) -> None:
        self.attributes = attributes
        self.service = _text(attributes, (_SERVICE,)) or UNKNOWN_SERVICE
        self.label = _text(attributes, (label,)) if label else ""

    @cached_property
    def digest(self) -> str:
        """Of all that it says."""
        return _digest(sorted(self.attributes.items()))


class _Told(NamedTuple):
    """What one origin says."""

    origin: Origin
    scope: str
    digest: str


class _Found:
    """What one body says."""

    def __init__(self, label: str, now: int, most: int) -> None:
        self._label = label
        self._most = most
        self._looked_at = 0
        self._resource = _Resource({}, label)
        self._origin = _Told(Origin({}, ""), "", "")
        self._earliest, self._latest = (now - OLDEST_DAYS * DAY, now + DAY)
        self.sightings: list[Sighting] = []
        self.points: list[Point] = []
        self.rejected = 0
        self.why: set[str] = set()
        self.problems: list[tuple[str, Problem]] = []

    def metric(self, metric: Metric) -> None:
        """Every point of one of _METRICS."""
        kind, sort = _METRICS[metric.name]
        told = _digest(self._told(metric.origin).digest, metric.name, metric.temporality)
        for point in metric.points:
            self._look()
            if not point.flags & NO_RECORDED_VALUE:
                source = self._source(metric.origin, point.attributes, kind)
                reading = partial(self._point, metric, point, sort, told)
                self._try(source, metric.name, reading)

    def span(self, span: Span) -> None:
        """A span, if it is one request to a model."""
        self._look()
        if not _is_inference(span.attributes):
            return
        source = self._source(span.origin, span.attributes, SPANS)
        if all(span.attributes.get(name) is None for name in _TOTALS):
            if not span.failed:
                # A stream without its last chunk: a request was made, and nobody says of what size.
                self._problem(source.view, "a span without token counts")
            return
        self._try(source, SPANS, partial(self._spanned, span))

    def record(self, record: Record) -> None:
        """A log record, if it is one request of Claude Code."""
        self._look()
        name = record.name or ""
        said = record.attributes.get("event.name")
        agents = record.origin.scope.startswith(_AGENT_SCOPES)
        if AGENT_EVENTS not in (name, said) and not (said == _EVENT and agents):
            # Any program may call an event `api_request`.
            return
        source = self._source(record.origin, record.attributes, AGENT_EVENTS)
        self._try(source, AGENT_EVENTS, partial(self._recorded, record))

    def _look(self) -> None:
        """Count what is looked at, and give up on a body that holds too much."""
        self._looked_at += 1
        held = len(self.sightings) + len(self.points) + len(self.problems)
        if held > self._most or self._looked_at > _OTHERS * self._most:
            raise _too_many(self._most)

    def _told(self, origin: Origin) -> _Told:
        """What is the same for all that one origin says, made once."""
        if origin is not self._origin.origin:
            if origin.resource is not self._resource.attributes:
                self._resource = _Resource(origin.resource, self._label)
            digest = _digest(self._resource.digest, origin.scope, origin.version)
            self._origin = _Told(origin, clean_name(origin.scope), digest)
        return self._origin

    def _try(self, source: _Source, name: str, read: Callable[[_Source], None]) -> None:
        try:
            read(source)
        except _Unusable as error:
            self.rejected += 1
            self.why.add(f"{name}: {error}")
            self._problem(source.view, f"{name}: {error}")

    def _problem(self, view: View, reason: str) -> None:
        self.problems.append((view.stream, Problem(view.kind, reason)))

    def _source(self, origin: Origin, attributes: Attributes, kind: str) -> _Source:
        told = self._told(origin)
        agent = kind in (AGENT_EVENTS, AGENT_TOKENS)
        provider = _AGENT_PROVIDER if agent else provider_id(_text(attributes, _PROVIDER))
        dims = Dimensions(
            provider=provider,
            model=_text(attributes, _MODEL),
            project=self._resource.service,
            tier=_text(attributes, _TIER),
            label=self._resource.label,
        )
        return _Source(View(self._resource.service, provider, kind, told.scope), dims)

    def _at(self, nanoseconds: int) -> int:
        at = nanoseconds // _SECOND
        if not self._earliest <= at <= self._latest:
            raise _Unusable(f"its time is more than {OLDEST_DAYS} days ago, or to come")
        return at

    def _point(
        self, metric: Metric, point: DataPoint, sort: str, told: str, source: _Source
    ) -> None:
        if metric.shape not in ("sum", "histogram") or not metric.monotonic:
            raise _Unusable("neither a monotonic sum nor a histogram")
        kind = source.view.kind
        sort = sort or str(
            point.attributes.get("type" if kind == AGENT_TOKENS else "gen_ai.token.type", "")
        )
        parts = _parts(kind, sort, point.attributes)
        self._at(point.time)
        value, count = _whole(point.value, MAX_READING), _count(point.operations)
        series = _digest(told, sorted(point.attributes.items()), point.start)
        requests = metric.shape == "histogram" and sort == "input"
        known = 0 < point.start < point.time
        read = Point(
            source.view,
            series,
            known,
            Level(point.time, value, count),
            source.dims,
            parts,
            requests,
        )
        if metric.temporality == CUMULATIVE:
            self.points.append(read)
        elif metric.temporality == DELTA:
            self.sightings.append(Sighting(source.view, read.event(value, count)))
        else:
            raise _Unusable("its temporality is neither delta nor cumulative")

    def _spanned(self, span: Span, source: _Source) -> None:
        used = {name: _largest(span.attributes, names) for name, names in _USED.items()}
        at = self._at(span.end or span.start)
        response = _text(span.attributes, (_RESPONSE,), cap=1_000)
        if response and len(re.sub("^[A-Za-z]+[-_]", "", response)) >= _UNIQUE:
            told = ("response", response)
        elif response and span.span:
            told = ("response", f"{response} of {span.trace}/{span.span}")
        elif response:
            told = ("response", response)
        elif span.span:
            told = ("span", f"{span.trace}/{span.span}")
        else:
            raise _Unusable("it has no id")
        counted = _disjoint(used)
        if counted.inconsistent:
            self._problem(source.view, "its parts are more than its tokens")
        self._see(source, event_id(*source.view, *told), at, counted.quantities)

    def _recorded(self, record: Record, source: _Source) -> None:
        said = record.attributes
        counts = {
            name: None if said.get(key) is None else _whole(said[key])
            for name, key in _AGENT_COUNTS.items()
        }
        if all(count is None for count in counts.values()):
            raise _Unusable("it has no token counts")
        request = _text(said, ("request_id",))
        ids = [str(said.get(key, "")) for key in _AGENT_IDS[1:]]
        all_of_it = [*ids, str(record.time), source.dims.model, *map(str, counts.values())]
        told = [request] if request else all_of_it
        speed = _text(said, ("speed",))
        if speed not in ("", "normal", "standard"):
            source = source._replace(dims=source.dims._replace(tier=f"speed={speed}"))
        found = Quantities(**counts, requests=1)
        self._see(source, event_id(*source.view, *told), self._at(record.time), found)

    def _see(self, source: _Source, name: str, at: int, found: Quantities) -> None:
        self.sightings.append(Sighting(source.view, Event(name, at, source.dims, found)))


def _is_inference(attributes: Attributes) -> bool:
    for name in _KINDS:
        said = attributes.get(name)
        if isinstance(said, str) and said:
            return said.lower() in _INFERENCE
    # Some SDKs name no operation: what has the id of a response is one request.
    return bool(attributes.get(_RESPONSE))


def _parts(kind: str, sort: str, attributes: Attributes) -> Parts:
    if kind == AGENT_TOKENS:
        found = _AGENT_PARTS.get(sort)
    else:
        found = _TEXT_PARTS.get(sort)
        media = attributes.get("gen_ai.token.modality")
        if found is not None and media in _MEDIA:
            found = tuple((_of_media(name, str(media)), sign) for name, sign in found)
    if found is None:
        raise _Unusable("its token type is not known")
    return found


def _of_media(name: str, media: str) -> str:
    """The class of audio or image tokens; written ones have none of their own."""
    classes = {"uncached_input": "input", "cache_read": "cache_read", "output": "output"}
    return f"{media}_{classes[name]}" if name in classes else name


class _Counted(NamedTuple):
    quantities: Quantities
    inconsistent: bool


def _disjoint(used: Mapping[str, int | None]) -> _Counted:
    """The classes of one request, whose input is gross."""

    def n(name: str) -> int:
        return used[name] or 0

    taken = n("cache_read") + n("cache_write") + n("audio_input") + n("image_input")
    uncached = n("input") - taken
    output = n("output") - n("audio_output") - n("image_output")
    long = min(n("cache_write"), n("cache_write_long"))
    inconsistent = min(uncached, output) < 0 or n("reasoning") > n("output")
    inconsistent = inconsistent or n("cache_write_long") > n("cache_write")
    written = used["cache_write"]
    found = Quantities(
        uncached_input=None if used["input"] is None else max(0, uncached),
        cache_read=used["cache_read"],
        cache_write=None if written is None else written - long,
        cache_write_long=None if used["cache_write_long"] is None else long,
        output=None if used["output"] is None else max(0, output),
        audio_input=used["audio_input"],
        audio_output=used["audio_output"],
        image_input=used["image_input"],
        image_output=used["image_output"],
        reasoning=None if used["reasoning"] is None else min(n("reasoning"), n("output")),
        requests=1,
    )
    return _Counted(found, inconsistent)


def _largest(attributes: Attributes, names: tuple[str, ...]) -> int | None:
    """The count that these names say; None: none of them is there."""
    said = [_whole(attributes[name]) for name in names if attributes.get(name) is not None]
    return max(said, default=None)


def _whole(said: Any, most: int = MAX_REQUEST) -> int:
    """A count of tokens.

    Raises:
        _Unusable: it is none.
    """
    if isinstance(said, str) and said.isascii() and said.strip().isdigit() and len(said) < 20:
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise _Unusable("a count is not a number")
    if not 0 <= said <= most:
        raise _Unusable("a count is negative, or larger than any real one")
    return round(said)


def _count(said: int) -> int:
    if not 0 <= said <= MAX_READING:
        raise _Unusable("a count is negative, or larger than any real one")
    return said


def _text(attributes: Attributes, names: tuple[str, ...], cap: int = 200) -> str:
    """The first of these names that says a text, clean."""
    for name in names:
        said = attributes.get(name)
        if isinstance(said, str) and (found := clean_name(said, cap)):
            return found
    return ""


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(errors="replace"), digest_size=20).hexdigest()


def accepted(signal: str, content_type: str, rejected: int, message: str) -> bytes:
    """The body of an answer to what was taken, wholly or in part."""
    if content_type != JSON:
        return otlp_protobuf.accepted(signal, rejected, message)
    names = {"metrics": "DataPoints", "traces": "Spans", "logs": "LogRecords"}
    said = {f"rejected{names[signal]}": str(rejected), "errorMessage": message}
    return msgspec.json.encode({"partialSuccess": said} if rejected else {})


def refused(content_type: str, status: int, message: str) -> bytes:
    """The body of an answer to what was not taken: a `google.rpc.Status`."""
    code = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}.get(status, 2)
    if content_type != JSON:
        return otlp_protobuf.status(code, message)
    return msgspec.json.encode({"code": code, "message": message})
