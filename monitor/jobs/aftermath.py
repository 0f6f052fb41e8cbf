"""Closing a month of workloads that moved: what was promised, and what own engines saved."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.domain import aftermath as after
from monitor.domain.costs import request_tokens
from monitor.domain.errors import CrossoverError
from monitor.domain.periods import month_bounds
from monitor.domain.scenario import Scenario, to_document
from monitor.domain.usage import DAY
from monitor.jobs.basis import DEFAULT_PEAK, MIX_DAYS, owned, peak_to_mean
from monitor.storage import aftermath as stored
from monitor.storage import demand, results
from monitor.storage.rates import Bucket, Cards, Resolve

log = logging.getLogger("crossover.aftermath")


class _Days(NamedTuple):
    """The days of a month on which a workload ran in own service."""

    month: str
    since: int
    """When it moved; it may be long before the month."""
    start: int
    end: int
    """Of the month, as far as it ran in own service."""


class _Seen(NamedTuple):
    """What was measured on those days."""

    own: Mapping[int, after.Served]
    """By known day; a closed day without use is a zero."""
    api: stored.ApiDay

    @property
    def served(self) -> after.Served:
        """The sum."""
        return after.Served(*(sum(each) for each in zip(*self.own.values(), strict=True)))


def settle_month(conn: Connection, month: str, resolve: Resolve, now: int) -> int:
    """Account for a closed month of every workload that ran in own service; returns how many.

    A month that has its account keeps it, until it is reopened.
    """
    return sum(_settle_one(conn, w, month, resolve, now) for w in demand.workloads(conn))


def settle_again(conn: Connection, month: str, resolve: Resolve, now: int) -> int:
    """The accounts of a month that was reopened, made anew."""
    stored.forget(conn, month)
    return settle_month(conn, month, resolve, now)


def _settle_one(
    conn: Connection, workload: demand.Workload, month: str, resolve: Resolve, now: int
) -> bool:
    days = _days(conn, workload, month)
    if days is None or stored.is_settled(conn, workload, month):
        return False
    try:
        # What fails takes back its own rows alone, and the month closes without it.
        with conn.begin_nested():
            stored.put(conn, _account(conn, workload, days, Cards(conn, resolve, now), now))
    except (CrossoverError, ArithmeticError, ValueError, DBAPIError) as error:
        log.warning("%s in %s has no account after its move: %s", workload.name, month, error)
        return False
    return True


def _days(conn: Connection, workload: demand.Workload, month: str) -> _Days | None:
    """The last stay in own service that reaches into the month; None: there is none."""
    first, end = month_bounds(month)
    for start, until in reversed(_spans(conn, workload)):
        last = end if until is None else min(until, end)
        if start < last and first < last:
            return _Days(month, start, max(start, first), last)
    return None


def _spans(conn: Connection, workload: demand.Workload) -> list[after.Span]:
    """When it ran in own service; where nobody saw it move, since own engines served it."""
    judged = stored.standings(conn, workload)
    spans = after.moved_spans(judged)
    used = stored.own_span(conn, workload)
    never_seen_before = not judged or judged[0][1]
    if used and never_seen_before and workload.runs_on != "api":
        end = spans[0][1] if spans else None
        spans[:1] = [(min([used[0], *(start for start, _ in spans[:1])]), end)]
    if spans and spans[-1][1] is None and workload.runs_on == "api":
        spans[-1] = (spans[-1][0], used[1] + DAY if used else spans[-1][0])
    return spans


def _account(
    conn: Connection, workload: demand.Workload, days: _Days, cards: Cards, now: int
) -> dict[str, Any]:
    first, end = month_bounds(days.month)
    seen = _seen(conn, workload, days)
    values: dict[str, Any] = {
        "workload_id": workload.id,
        "month": days.month,
        "since": days.since,
        "days": (end - first) // DAY,
        "known_days": len(seen.own),
        "api_requests": seen.api.requests,
        "api_pico": seen.api.pico,
        "unpriced_tokens": seen.api.unpriced_tokens,
        "settled_at": now,
    }
    found = _measured(conn, workload, days, seen, cards)
    return values | ({**_UNKNOWN, "reason": found} if isinstance(found, str) else found)


_UNKNOWN = {"status": "unknown", "direction": "", "outlook": "", "scenario": ""}


def _seen(conn: Connection, workload: demand.Workload, days: _Days) -> _Seen:
    """Days with own use, and closed ones without; what stayed on an API on the same days."""
    used = stored.own_days(conn, workload, days.start, days.end)
    closed = stored.own_closed_through(conn, workload)
    known = [day for day in range(days.start, days.end, DAY) if day in used or day + DAY <= closed]
    own = {day: after.Served(*used.get(day, (0, 0, 0))) for day in known} if used else {}
    api = stored.api_days(conn, workload, days.start, days.end)
    kept = [each for day, each in api.items() if day in own or not own]
    return _Seen(own, stored.ApiDay(*(sum(c) for c in zip((0, 0, 0), *kept, strict=True))))


def _measured(
    conn: Connection, workload: demand.Workload, days: _Days, seen: _Seen, cards: Cards
) -> dict[str, Any] | str:
    """The account, or a text that says why there is none."""
    deployment = stored.moved_to(conn, workload)
    if deployment is None:
        return (
            "It has several deployments or none, and nobody recorded to which it moved:"
            f" `crossover decide {workload.name} accept --deployment NAME --why ...`."
        )
    if not seen.own:
        return "Nothing of what own engines served it was measured."
    prices = _prices(conn, workload, days, seen, cards)
    if isinstance(prices, str):
        return f"What the API would have cost is unknown: {prices}."
    promised = stored.promise(conn, workload, deployment, days.since)
    own = owned(conn, deployment, days.start, days.end)
    told = promised.scenario if promised else None
    served = _counted(seen.served, told)
    if not served.requests:
        return "Own engines counted no requests, so that their load is unknown."
    hours = stored.own_hours(conn, workload, days.start, days.end)
    peak = own.peak or peak_to_mean(hours, days.start, days.end)
    peak = peak or (told.workload.peak_to_mean if told else DEFAULT_PEAK)
    first, end = month_bounds(days.month)
    month = after.Month((end - first) // DAY, len(seen.own), served, seen.api.requests)
    found = after.as_measured(told or own.stored, own.deployment, peak, month, prices)
    returns = stored.advised_return(conn, workload, deployment, days.end)
    settled, outlook = after.settle(told, found, month), after.outlook(told, found, returns)
    partly = len(seen.own) < month.days
    return {
        "deployment_id": deployment.id,
        "status": "partial" if partly else "measured",
        "reason": _why_partial(days, month) if partly else "",
        "own_requests": seen.served.requests or None,
        "own_tokens": served.input_tokens + served.output_tokens,
        "at_api_pico": _fits(settled.at_api),
        "own_pico": _fits(settled.own),
        "promised_pico": None if settled.promised is None else _fits(settled.promised),
        **{f"{name}_pico": _fits(pico) for name, pico in settled.parts.items()},
        "one_off_pico": _fits(after.one_off(told)) if told else None,
        "direction": outlook.direction,
        "outlook": outlook.reason,
        "scenario": json.dumps(to_document(found), sort_keys=True),
    }


def _why_partial(days: _Days, month: after.Month) -> str:
    moved = (days.end - days.start) // DAY
    lacking = moved - month.known_days
    missing = f"; {lacking} of these were not measured" if lacking else ""
    return f"It ran in own service on {moved} of {month.days} days{missing}."


def _counted(served: after.Served, told: Scenario | None) -> after.Served:
    """With requests of the promised size where engines count none."""
    if served.requests or told is None:
        return served
    tokens = served.input_tokens + served.output_tokens
    size = request_tokens(told.workload)
    return served._replace(requests=round(Fraction(tokens) / size) if size else 0)


def _prices(
    conn: Connection, workload: demand.Workload, days: _Days, seen: _Seen, cards: Cards
) -> after.Prices | str:
    """What the API that served it before the move asked for the same, day by day."""
    last = demand.last_paid(conn, workload, days.since)
    if last is None:
        last = demand.last_paid(conn, workload, days.end)
    if last is None:
        return "no API ever served it"
    used = stored.api_use(conn, workload, last + DAY - MIX_DAYS * DAY, last + DAY)
    return after.mean_prices(
        (served, after.bundle((u.quantities, _card(cards, u, day)) for u in used))
        for day, served in seen.own.items()
    )


def _card(cards: Cards, used: stored.Used, day: int) -> Any:
    return cards.of(used.key, Bucket(series_id=0, start=day, seconds=DAY, closed_at=None))[1]


def _fits(pico: int) -> int:
    """The amount, refused where the column cannot hold it."""
    return results.pico_of(Fraction(pico, 10**12))
