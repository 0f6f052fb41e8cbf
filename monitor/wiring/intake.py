"""What can be sent to the daemon over HTTP."""

from __future__ import annotations

from functools import partial

from collectors import otlp, push
from monitor.config import Settings
from monitor.domain.aliases import provider_id
from monitor.domain.intake import Limits
from monitor.domain.telemetry import Choice
from monitor.domain.usage import HOUR
from monitor.jobs import push as usage
from monitor.jobs import telemetry
from monitor.jobs.intake import Signal


def intake_limits(settings: Settings) -> Limits:
    """How much may be sent."""
    return Limits(**{name: getattr(settings.http, name) for name in Limits._fields})


def signals(settings: Settings) -> list[Signal]:
    """What can be sent: one for each path."""
    settle = int(settings.collect.settle_hours * HOUR)
    parse = partial(push.parse, most=settings.http.events)
    sent = usage.signal(parse, push.CONTENT_TYPES, settle)
    choices = [
        Choice(item.service, provider_id(item.provider), item.kind, item.scope)
        for item in settings.otlp.view
    ]
    wires = [_wire(name, settings.otlp.label, settings.http.events) for name in otlp.PATHS]
    return [sent, *(telemetry.signal(wire, settle, choices) for wire in wires)]


def _wire(name: str, label: str, most: int) -> telemetry.Wire:
    return telemetry.Wire(
        otlp.PATHS[name],
        otlp.CONTENT_TYPES,
        otlp.Reader(name, label, most).read,
        partial(otlp.accepted, name),
        otlp.refused,
    )
