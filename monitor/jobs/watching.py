"""Looking at spend by the day, and at sources and the daemon's own work by the hour."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.domain import (
    watch,
    watch_answers,
    watch_fleet,
    watch_health,
    watch_prices,
    watch_spend,
)
from monitor.domain.errors import CrossoverError
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY, HOUR, utc_day
from monitor.domain.watch import Thresholds
from monitor.domain.watch_answers import NotConfigured
from monitor.jobs import reconcile
from monitor.jobs.alerting import Book, Policy, raise_in, raise_signals
from monitor.storage import (
    alerts,
    collecting,
    watching,
    watching_fleet,
    watching_health,
    watching_prices,
)
from monitor.storage.engine import Database

log = logging.getLogger("crossover.watch")


def daily(conn: Connection, as_of: int, now: int, policy: Policy) -> list[str]:
    """Raise what the closed days before `as_of` show; returns why some of it was not looked at."""
    return daily_in(alerts.Rows(conn), conn, as_of, now, policy)


def daily_in(book: Book, conn: Connection, as_of: int, now: int, policy: Policy) -> list[str]:
    """The same, with the alerts of any book."""
    notes = []
    for look in LOOKS:
        if not any(rule in policy.rules for rule in look.rules):
            continue
        try:
            # What fails takes back its own rows alone.
            with conn.begin_nested():
                raise_in(book, list(look.signals(conn, as_of, policy)), now, policy)
        except (CrossoverError, ArithmeticError, ValueError, DBAPIError) as error:
            log.warning("%s: not watched: %s", look.rules[0], error)
            notes.append(f"{look.rules[0]} was not watched: {error}")
    return notes


def hourly(database: Database, now: int, policy: Policy, settle: int) -> None:
    """Raise what this hour shows: sources that are behind, and work that was given up.

    Again in the same hour it changes nothing, so that every tick and every daemon may ask.

    Raises:
        CrossoverError: something could not be looked at; the rest was.
    """
    hour = now - now % HOUR
    looks: dict[str, Callable[[Connection], list[Signal]]] = {
        "sources": lambda conn: _sources(conn, now, policy, settle),
        "measurements": lambda conn: measured_by(conn, hour, policy),
        "own work": lambda conn: _own_work(conn, hour),
    }
    notes = []
    for name, look in looks.items():
        try:
            with database.write() as conn:
                raise_signals(conn, look(conn), now, policy)
        except (CrossoverError, ArithmeticError, ValueError, DBAPIError) as error:
            notes.append(f"{name} were not watched this hour: {error}")
    if notes:
        raise CrossoverError("; ".join(notes), "It is tried again with the next tick.")


def _sources(conn: Connection, now: int, policy: Policy, settle: int) -> list[Signal]:
    # A day is late once it should have been read completely for another day, or as configured.
    days = policy.limits["source_stale"].days or 0
    late = watching.late(conn, policy.live_sources, utc_day(now - settle - days * DAY))
    return watch.stale(policy.live_sources, late, now - now % HOUR)


def measured_by(conn: Connection, hour: int, policy: Policy) -> list[Signal]:
    """What rows of measurements show of an hour, whenever they are asked."""
    silent = [watch_fleet.lost(seen, hour) for seen in watching_fleet.reporting(conn, hour)]
    return [*silent, *_answers(conn, hour, policy)]


def _answers(conn: Connection, hour: int, policy: Policy) -> list[Signal]:
    if isinstance(policy.answers, NotConfigured):
        return []
    found = policy.answers(conn, hour)
    limit, failing = policy.limits["rate_limit"], policy.limits["availability"]
    return [
        signal
        for seen in found
        for signal in (
            watch_answers.rate_limited(seen, limit),
            watch_answers.unavailable(seen, failing),
        )
    ]


def _own_work(conn: Connection, hour: int) -> list[Signal]:
    decided = watching_health.decided(conn, hour)
    reports = watching_health.incomplete(conn, hour)
    return [
        watch.internal(watching.given_up(conn, hour), hour),
        watch_health.stuck(watching_health.waiting(conn, hour), hour),
        watch_health.unread(collecting.unread(conn, hour), hour),
        *(watch_health.incomplete(each, hour) for each in reports),
        *([watch_health.undecided(decided, hour)] if decided else []),
    ]


def _budgets(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    for seen in watching.budgets(conn, as_of):
        yield from watch.budget(seen, policy.thresholds.get(seen.name, Thresholds()))


def _unpriced(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    percent = policy.limits["unpriced_spend"].percent or 0
    return (watch.unpriced(seen, percent) for seen in watching.unpriced(conn, as_of))


def _anomalies(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    limits = policy.limits["spend_anomaly"]
    for seen in watching.spend(conn, as_of, policy.live_sources):
        yield from watch_spend.anomaly(seen, limits)


def _unreconciled(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    limits = policy.limits["unreconciled_spend"]
    start = as_of - (limits.days or 0) * DAY
    compared = reconcile.compare_all(conn, start, as_of, policy.live_sources, policy.names)
    found = (reconcile.seen(each, as_of) for each in compared)
    return (watch_spend.unreconciled(seen, limits) for seen in found if seen.days)


def _idle(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    limits = policy.limits["gpu_idle"]
    found = watching_fleet.hosts(conn, as_of, limits.days or 1)
    return (watch_fleet.idle(seen, limits) for seen in found)


def _failovers(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    limits = policy.limits["failover_spend"]
    found = watching_fleet.served(conn, as_of, policy.live_sources)
    signals = (watch_fleet.failover(seen, limits) for seen in found)
    return (signal for signal in signals if signal)


def _price_changes(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    limits = policy.limits["price_change"]
    found = watching_prices.repriced(conn, as_of)
    signals = (watch_prices.price_change(seen, limits) for seen in found)
    return (signal for signal in signals if signal)


def _model_changes(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    for seen in watching_prices.models(conn, as_of):
        yield from watch_prices.model_change(seen, policy.limits["model_change"])


def _expiries(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    ends = [*watching_health.contracts(conn), *policy.expiring]
    return (watch_health.expiry(each, as_of, policy.limits["expiry"]) for each in ends)


class Look(NamedTuple):
    """What is seen of some rules on a closed day, from stored rows alone."""

    rules: Sequence[str]
    signals: Callable[[Connection, int, Policy], Iterable[Signal]]


LOOKS = (
    Look(("budget", "budget_projected"), _budgets),
    Look(("spend_anomaly",), _anomalies),
    Look(("unpriced_spend",), _unpriced),
    Look(("unreconciled_spend",), _unreconciled),
    Look(("price_change",), _price_changes),
    Look(("model_change",), _model_changes),
    Look(("expiry",), _expiries),
    Look(("gpu_idle",), _idle),
    Look(("failover_spend",), _failovers),
)
"""Every daily rule about spend and fleet; those about moving are the decision's own."""
