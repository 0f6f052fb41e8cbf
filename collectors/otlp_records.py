"""Token use as OTLP log records say it: the events of Claude Code."""

from __future__ import annotations

from functools import partial

from collectors.otlp_found import USERS, Found, Source, Unusable, provider_of, text, user_of, whole
from collectors.otlp_model import Record
from monitor.domain.telemetry import AGENT_EVENTS, event_id
from monitor.domain.usage import Quantities

_EVENT = "api_request"
_SCOPES = ("com.anthropic.claude_code", "claude_code")
_COUNTS = {
    "uncached_input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_creation_tokens",
}
_IDS = ("request_id", "session.id", "event.sequence", "event.timestamp")
ATTRIBUTES = frozenset({"event.name", "model", "speed", *_COUNTS.values(), *_IDS, *USERS})


def read(found: Found, record: Record) -> None:
    """A log record, if it is one request of Claude Code."""
    found.look()
    said = record.attributes.get("event.name")
    agents = record.origin.scope.startswith(_SCOPES)
    if AGENT_EVENTS not in (record.name, said) and not (said == _EVENT and agents):
        # Any program may call an event `api_request`.
        return
    provider = provider_of(record.attributes, AGENT_EVENTS)
    user = user_of(record.attributes, AGENT_EVENTS)
    source = found.source(record.origin, record.attributes, AGENT_EVENTS, provider, user)
    found.attempt(source, AGENT_EVENTS, partial(_read, found, record))


def _read(found: Found, record: Record, source: Source) -> None:
    said = record.attributes
    counts = {
        name: None if said.get(key) is None else whole(said[key]) for name, key in _COUNTS.items()
    }
    if all(count is None for count in counts.values()):
        raise Unusable("it has no token counts")
    request = text(said, ("request_id",))
    ids = [str(said.get(key, "")) for key in _IDS[1:]]
    all_of_it = [*ids, str(record.time), source.dims.model, *map(str, counts.values())]
    speed = text(said, ("speed",))
    if speed not in ("", "normal", "standard"):
        source = source._replace(dims=source.dims._replace(tier=f"speed={speed}"))
    name = event_id(*source.view, *([request] if request else all_of_it))
    found.see(source, name, found.at(record.time), Quantities(**counts, requests=1))
