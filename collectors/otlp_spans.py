"""Token use as OTLP spans say it.

A span that says that it is one request to a model is counted. One that an agent, a chain or an
SDK puts around such requests repeats what they used, and is not. Of one that says neither, nobody
knows which it is: it is a view by itself, beside which the known ones count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from collectors.otlp_found import (
    NAMES,
    PROVIDER,
    SECOND,
    Found,
    Source,
    SpanId,
    Unusable,
    provider_of,
    text,
    whole,
)
from collectors.otlp_model import Attributes, Span
from monitor.domain.telemetry import SPANS, UNNAMED, Nest, event_id
from monitor.domain.usage import HOUR, Quantities

_UNIQUE = 16
"""Characters behind its prefix, from which on a response's id is its own. Small servers number
theirs, some up to a thousand and then again."""

_VERCEL = "ai.operationId"
_INNER = re.compile(r"\.do[A-Z]\w*")
"""What Vercel's SDK calls one request to a model: `ai.streamText` holds one or more
`ai.streamText.doStream`."""

_KINDS = ("gen_ai.operation.name", "openinference.span.kind", "llm.request.type")
_RESPONSE = ("gen_ai.response.id", "ai.response.id")
_INFERENCE = {
    *("chat", "completion", "embedding", "embeddings", "generate_content", "llm"),
    "text_completion",
    # Not of the conventions, but of an API.
    *("chat.completions", "completions", "converse", "converse_stream", "invoke_model"),
    *("messages", "responses", "text.completions"),
}
_AROUND = re.compile(
    "agent|chain|evaluat|fetch|guardrail|handoff|memory|prompt|retriev|task|tool|workflow"
)
"""In the names of operations, and of kinds of span, that are no request to a model."""

# Quantity -> where a span says it; of several names that are in flight at once the larger holds.
_USED: Mapping[str, tuple[str, ...]] = {
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
        "ai.usage.inputTokenDetails.cacheReadTokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    "cache_write_long": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
    ),
    "audio_input": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "image_input": ("gen_ai.usage.image.input_tokens",),
    "audio_output": (
        "gen_ai.usage.audio.output_tokens",
        "llm.token_count.completion_details.audio",
    ),
    "image_output": ("gen_ai.usage.image.output_tokens",),
}
_MARK = "around"

_DEEP = 32
"""Other spans between two unnamed ones, at most."""

_TOTALS = (*_USED["input"], *_USED["output"])
ATTRIBUTES = frozenset(
    {*PROVIDER, *NAMES, *_KINDS, *_RESPONSE, _VERCEL}
    | {name for names in _USED.values() for name in names}
)


def read(found: Found, span: Span) -> None:
    """A span, if it is one request to a model or may be one."""
    found.look()
    if span.parent:
        found.parents[span.trace, span.span] = (span.trace, span.parent)
    kind = _kind(span.attributes)
    silent = all(span.attributes.get(name) is None for name in _TOTALS)
    if not kind or (silent and kind == UNNAMED):
        return
    vercel = _VERCEL in span.attributes
    provider = provider_of(span.attributes, kind, dotted=vercel)
    source = found.source(span.origin, span.attributes, kind, provider)
    if silent:
        if not span.failed:
            # A stream without its last chunk: a request was made, and nobody says of what size.
            found.problem(source.view, "a span without token counts")
    elif kind == UNNAMED and not source.dims.model:
        found.problem(source.view, "a span with token counts names no operation and no model")
    else:
        found.attempt(source, kind, partial(_read, found, span))


def _kind(attributes: Attributes) -> str:
    """Of its view: SPANS, UNNAMED, or '' for what is no request to a model."""
    vercel = attributes.get(_VERCEL)
    if isinstance(vercel, str) and vercel:
        return SPANS if _INNER.search(vercel) else ""
    said = text(attributes, _KINDS).lower()
    if said in _INFERENCE:
        return SPANS
    if said:
        return "" if _AROUND.search(said) else UNNAMED
    # Some SDKs name no operation: what has the id of a response is one request.
    return SPANS if any(attributes.get(name) for name in _RESPONSE) else UNNAMED


def _read(found: Found, span: Span, source: Source) -> None:
    used = {name: _largest(span.attributes, names) for name, names in _USED.items()}
    at = found.at(span.end or span.start)
    response = text(span.attributes, _RESPONSE, cap=1_000)
    if source.view.kind == UNNAMED:
        if not span.span:
            raise Unusable("it has no id")
        if span.start and span.end - span.start > HOUR * SECOND:
            raise Unusable("it lasted more than an hour, which no request does")
        name = event_id(UNNAMED, span.trace, span.span)
        found.unnamed[span.trace, span.span] = len(found.sightings)
    else:
        name = event_id(*source.view, *_told(span, response))
    counted = _disjoint(used)
    if counted.inconsistent:
        found.problem(source.view, "its parts are more than its tokens")
    found.see(source, name, at, counted.quantities)


def nest(found: Found) -> None:
    """Say of a body's unnamed spans what is around them, and of others what they lie within."""
    for span, place in found.unnamed.items():
        around = _nest(span, _around(found, span))
        found.sightings[place] = found.sightings[place]._replace(nest=around)
    for span in found.parents if found.unnamed else ():
        outer = _around(found, span)
        if outer in found.unnamed and span not in found.unnamed:
            found.pass_on(_nest(span, outer))


def _around(found: Found, span: SpanId) -> SpanId | None:
    """The next unnamed span around one, or the first that is not in the body."""
    outer = found.parents.get(span)
    for _ in range(_DEEP):
        if outer is None or outer in found.unnamed or outer not in found.parents:
            break
        outer = found.parents[outer]
    return outer


def _nest(span: SpanId, outer: SpanId | None) -> Nest:
    outer_ids = [event_id(name, *outer) if outer else "" for name in (UNNAMED, _MARK)]
    return Nest(event_id(_MARK, *span), *outer_ids)


def _told(span: Span, response: str) -> tuple[str, str]:
    """What tells a request from others."""
    if response and len(re.sub("^[A-Za-z]+[-_]", "", response)) >= _UNIQUE:
        return ("response", response)
    if response and span.span:
        return ("response", f"{response} of {span.trace}/{span.span}")
    if response:
        return ("response", response)
    if span.span:
        return ("span", f"{span.trace}/{span.span}")
    raise Unusable("it has no id")


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
    said = [whole(attributes[name]) for name in names if attributes.get(name) is not None]
    return max(said, default=None)
