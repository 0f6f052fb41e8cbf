"""Looking at spend by the day, and at sources and the daemon's own work by the hour."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.domain import watch
from monitor.domain.errors import CrossoverError
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY, HOUR, utc_day
from monitor.domain.watch import Thresholds
from monitor.jobs.alerting import Policy, raise_signals
from monitor.storage import watching
from monitor.storage.engine import Database

log = logging.getLogger("crossover.watch")

_UNPRICED_PERCENT = 1


def daily(conn: Connection, as_of: int, now: int, policy: Policy) -> list[str]:
    """Raise what the closed days before `as_of` show; returns why some of it was not looked at."""
    looks: dict[str, Callable[[], Iterable[Signal]]] = {
        "budgets": lambda: _budgets(conn, as_of, policy),
        "unpriced spend": lambda: _unpriced(conn, as_of, policy),
    }
    notes = []
    for name, look in looks.items():
        try:
            # What fails takes back its own rows alone.
            with conn.begin_nested():
                raise_signals(conn, list(look()), now, policy)
        except (CrossoverError, ArithmeticError, ValueError, DBAPIError) as error:
            log.warning("%s were not watched: %s", name, error)
            notes.append(f"{name} were not watched: {error}")
    return notes


def hourly(database: Database, now: int, policy: Policy, settle: int) -> None:
    """Raise what this hour shows: sources that are behind, and work that was given up.

    Again in the same hour it changes nothing, so that every tick and every daemon may ask.
    """
    hour = now - now % HOUR
    # A day is late once it should have been read completely for another day.
    end = utc_day(now - settle - DAY)
    with database.write() as conn:
        late = watching.late(conn, policy.live_sources, end)
        found = watch.stale(policy.live_sources, late, hour)
        found.append(watch.internal(watching.given_up(conn, now), hour))
        raise_signals(conn, found, now, policy)


def _budgets(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    for seen in watching.budgets(conn, as_of):
        yield from watch.budget(seen, policy.thresholds.get(seen.name, Thresholds()))


def _unpriced(conn: Connection, as_of: int, policy: Policy) -> Iterable[Signal]:
    percent = policy.percents.get("unpriced_spend", _UNPRICED_PERCENT)
    return (watch.unpriced(seen, percent) for seen in watching.unpriced(conn, as_of))
