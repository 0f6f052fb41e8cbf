"""What the rules about refused and failed requests see: shares of an hour's requests."""

from __future__ import annotations

from typing import NamedTuple

from monitor.domain.notices import Said
from monitor.domain.rulebook import Limits
from monitor.domain.signals import Signal
from monitor.domain.watch_words import percent_of, quoted, shown

LEAST_REQUESTS = 20
"""Of fewer in an hour a share says nothing."""


class NotConfigured(NamedTuple):
    """Why something is not watched."""

    reason: str


NOBODY_REPORTS = NotConfigured("no configured source reports refused or failed requests")


class Answered(NamedTuple):
    """What became of a workload's requests to one model within an hour."""

    workload: str
    provider: str
    model: str
    as_of: int
    """The end of the hour, UTC epoch seconds."""
    requests: int
    """All that were sent, answered or not."""
    limited: int | None
    """Refused because a limit was reached (429); None: the source does not tell."""
    failed: int | None
    """Failed at the provider (5xx), or never answered; None: the source does not tell."""


def rate_limited(seen: Answered, limits: Limits) -> Signal:
    """Requests that a provider's limit turned away."""
    known, share = _share(seen.limited, seen.requests)
    said = Said(
        title=f"{seen.workload}: {share} of its requests to {seen.model} were over a limit",
        what=f"Of {seen.requests:,} requests in the hour {_count(seen.limited)} were refused with"
        " 429.",
        sure="Certain as counts; whether a retry was answered is not in them.",
        cost="Not known: who was refused waits, retries elsewhere, or goes without.",
        actions=(
            f"Ask {seen.provider} for a higher limit, or spread the load over the day.",
            "See whether a batch job takes what people need: batch and people's traffic share it.",
        ),
        query=_query(seen.workload),
    )
    return _signal("rate_limit", seen, _holds(known, seen.limited, seen.requests, limits), said)


def unavailable(seen: Answered, limits: Limits) -> Signal:
    """Requests that a provider failed, or never answered."""
    known, share = _share(seen.failed, seen.requests)
    said = Said(
        title=f"{seen.workload}: {share} of its requests to {seen.model} failed",
        what=f"Of {seen.requests:,} requests in the hour {_count(seen.failed)} failed at"
        f" {seen.provider} or were never answered.",
        sure="Certain as counts; whether a retry was answered is not in them.",
        cost="Not known: failed requests are mostly not charged, their retries are.",
        actions=(
            f"See the status page of {seen.provider}.",
            "If there is another provider or own service for it, move the traffic while it lasts.",
        ),
        query=_query(seen.workload),
    )
    return _signal("availability", seen, _holds(known, seen.failed, seen.requests, limits), said)


def _share(part: int | None, requests: int) -> tuple[bool, str]:
    if part is None or requests < LEAST_REQUESTS:
        return False, "an unknown share"
    return True, shown(percent_of(part, requests))


def _count(part: int | None) -> str:
    return "an unknown number" if part is None else f"{part:,}"


def _holds(known: bool, part: int | None, requests: int, limits: Limits) -> bool | None:
    if not known or part is None:
        return None
    return part > 0 and part * 100 >= requests * (limits.percent or 0)


def _signal(rule: str, seen: Answered, holds: bool | None, said: Said) -> Signal:
    subject = f"{seen.workload}: {seen.provider}/{seen.model}"
    return Signal(rule, subject, seen.as_of, holds, said, workload=seen.workload)


def _query(workload: str) -> str:
    return (
        "SELECT day, provider, model, requests, tokens FROM v_usage_daily"
        f" WHERE workload = '{quoted(workload)}' ORDER BY day DESC, requests DESC"
    )
