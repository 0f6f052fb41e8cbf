"""Token use as OTLP metrics say it: counters, and the sums of histograms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from collectors.otlp_found import Found, Source, Unusable, digest, provider_of, user_of, whole
from collectors.otlp_model import (
    CUMULATIVE,
    DELTA,
    NO_RECORDED_VALUE,
    Attributes,
    DataPoint,
    Metric,
)
from monitor.domain.telemetry import (
    AGENT_TOKENS,
    BY_TYPE,
    COUNTERS,
    HISTOGRAM,
    Level,
    Point,
    Sighting,
)
from monitor.domain.usage import MAX_READING

Parts = tuple[tuple[str, int], ...]

# Metric -> its kind of view, and the token type where the name says it.
METRICS: Mapping[str, tuple[str, str]] = {
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


def read(found: Found, metric: Metric) -> None:
    """Every point of one of METRICS."""
    kind, sort = METRICS[metric.name]
    name = digest(found.told(metric.origin).digest, metric.name, metric.temporality)
    for point in metric.points:
        found.look()
        if not point.flags & NO_RECORDED_VALUE:
            provider = provider_of(point.attributes, kind)
            user = user_of(point.attributes, kind)
            source = found.source(metric.origin, point.attributes, kind, provider, user)
            reading = partial(_read, found, metric, point, sort, name)
            found.attempt(source, metric.name, reading)


def _read(
    found: Found, metric: Metric, point: DataPoint, sort: str, name: str, source: Source
) -> None:
    if metric.shape not in ("sum", "histogram") or not metric.monotonic:
        raise Unusable("neither a monotonic sum nor a histogram")
    kind = source.view.kind
    sort = sort or str(
        point.attributes.get("type" if kind == AGENT_TOKENS else "gen_ai.token.type", "")
    )
    parts = _parts(kind, sort, point.attributes)
    found.at(point.time)
    value, count = whole(point.value, MAX_READING), whole(point.operations, MAX_READING)
    reading = Point(
        source.view,
        digest(name, sorted(point.attributes.items()), point.start),
        point.start if 0 < point.start < point.time else None,
        Level(point.time, value, count),
        source.dims,
        parts,
        counts_requests=metric.shape == "histogram" and sort == "input",
        sender=source.sender,
    )
    if metric.temporality == CUMULATIVE:
        found.points.append(reading)
    elif metric.temporality == DELTA:
        event = reading.event(value, count)
        found.sightings.append(Sighting(source.view, event, source.sender))
    else:
        raise Unusable("its temporality is neither delta nor cumulative")


def _parts(kind: str, sort: str, attributes: Attributes) -> Parts:
    if kind == AGENT_TOKENS:
        found = _AGENT_PARTS.get(sort)
    else:
        found = _TEXT_PARTS.get(sort)
        media = attributes.get("gen_ai.token.modality")
        if found is not None and media in _MEDIA:
            found = tuple((_of_media(name, str(media)), sign) for name, sign in found)
    if found is None:
        raise Unusable("its token type is not known")
    return found


def _of_media(name: str, media: str) -> str:
    """The class of audio or image tokens; written ones have none of their own."""
    classes = {"uncached_input": "input", "cache_read": "cache_read", "output": "output"}
    return f"{media}_{classes[name]}" if name in classes else name
