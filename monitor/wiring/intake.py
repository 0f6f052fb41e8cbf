"""What can be sent to the daemon over HTTP."""

from __future__ import annotations

from functools import partial

from collectors import push
from monitor.config import Settings
from monitor.domain.intake import Limits
from monitor.domain.usage import HOUR
from monitor.jobs import push as usage
from monitor.jobs.intake import Signal


def intake_limits(settings: Settings) -> Limits:
    """How much may be sent."""
    return Limits(**{name: getattr(settings.http, name) for name in Limits._fields})


def signals(settings: Settings) -> list[Signal]:
    """What can be sent: one for each path."""
    settle = int(settings.collect.settle_hours * HOUR)
    parse = partial(push.parse, most=settings.http.events)
    return [usage.signal(parse, push.CONTENT_TYPES, settle)]
