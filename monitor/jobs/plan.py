"""What is due, and carrying it out once: decisions by day, reports by week, closings by month."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.errors import CrossoverError
from monitor.domain.periods import Period, Schedule, catch_up, due, run_key
from monitor.domain.usage import DAY
from monitor.storage import work
from monitor.storage.engine import Database
from monitor.storage.work import Claim, Planned

log = logging.getLogger("crossover.plan")

DECIDE, WEEKLY, MONTHLY, CLOSE = "decide", "weekly", "monthly", "close"
CORRECT = "correct"
"""The kind of every run that sends a further edition of a report."""
FINANCE = "finance"
"""The report of `[report]`, as readers leave it and run keys name it."""

_DECIDE_DAYS_BACK = 7
"""At the first start the days of the week that is reported first are assessed one by one."""
_RETRY = 60
_ATTEMPTS = 8


class NotReady(Exception):
    """A run must wait for data, until a later tick; the message says for which."""


class Calendar(NamedTuple):
    """When things fall due."""

    weekly: Schedule
    settle: int
    catch_up: int
    close_after_days: int
    monthly: Schedule | None = None
    """When the closing report is due; None: it is not made."""
    weekly_for: Sequence[str] = (FINANCE,)
    """The reports of a week, as run keys name them: one for each audience."""
    monthly_for: Sequence[str] = (FINANCE,)


Closing = Callable[[Connection], Mapping[str, object]]
"""Writes the result inside the run's closing transaction; returns further columns of its row."""

Handler = Callable[[Database, Claim, int], Closing]
"""Carries out what takes time, without holding a writer's lock, and returns its closing."""


def at_once(carry_out: Callable[[Connection, Claim, int], Mapping[str, object]]) -> Handler:
    """The handler of a run that reads and writes in one transaction."""
    return lambda _database, claim, now: lambda conn: carry_out(conn, claim, now)


def plan_due(conn: Connection, calendar: Calendar, rules_hash: str, now: int) -> int:
    """Add every run that is due and not yet known; returns how many were added."""
    installed = datetime.fromtimestamp(_installed_at(conn, now), UTC)
    at = datetime.fromtimestamp(now, UTC)
    planned = [*_daily(calendar, at, installed), *_closings(calendar, at, installed)]
    reports = [(name, WEEKLY, calendar.weekly) for name in calendar.weekly_for]
    if calendar.monthly:
        reports += [(name, MONTHLY, calendar.monthly) for name in calendar.monthly_for]
    known = {kind: work.run_states(conn, kind) for kind in (WEEKLY, MONTHLY)}
    for name, kind, schedule in reports:
        since = installed if name == FINANCE else _reads_since(conn, name, now, installed)
        planned += _reports(name, kind, schedule, calendar.catch_up, at, since, known[kind])
    return work.plan(conn, planned, now, rules_hash)


def _installed_at(conn: Connection, now: int) -> int:
    return _first_seen(conn, "installed_at", now)


def _reads_since(conn: Connection, name: str, now: int, installed: datetime) -> datetime:
    """Since when an audience is planned for: it gets no report of the time before it was there."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return max(datetime.fromtimestamp(_first_seen(conn, f"reads/{digest}", now), UTC), installed)


def _first_seen(conn: Connection, key: str, now: int) -> int:
    """The instant that is stored under a key: this one, if none is."""
    conn.execute(
        text("INSERT INTO meta (key, value) VALUES (:k, :v) ON CONFLICT DO NOTHING"),
        {"k": key, "v": str(now)},
    )
    stored = conn.scalar(text("SELECT value FROM meta WHERE key = :k"), {"k": key})
    return int(str(stored))


def _daily(calendar: Calendar, now: datetime, installed: datetime) -> list[Planned]:
    schedule = Schedule("daily", "UTC", 0, 0, settle_seconds=calendar.settle)
    since = datetime.fromtimestamp(installed.timestamp() - _DECIDE_DAYS_BACK * DAY, UTC)
    return [_planned(DECIDE, f"decide/{p.key}", p) for p in due(schedule, now, since)]


def _reports(
    name: str,
    kind: str,
    schedule: Schedule,
    limit: int,
    now: datetime,
    installed: datetime,
    known: Mapping[str, str],
) -> list[Planned]:
    """Missed periods up to the limit; older ones are recorded as skipped."""
    # The week before the first start is told; a month of which little was seen is not.
    back = 7 * DAY if kind == WEEKLY else 0
    since = datetime.fromtimestamp(installed.timestamp() - back, UTC)
    keyed = {run_key(name, schedule.kind, p.key, 1): p for p in due(schedule, now, since)}
    fresh = [period for key, period in keyed.items() if key not in known]
    # The newest is not one that was missed: without any catching up it is sent all the same.
    to_run, skipped = catch_up(fresh, max(limit, 1))
    keys = {period: key for key, period in keyed.items()}
    return [
        *(_planned(kind, keys[p], p) for p in to_run),
        *(_planned(kind, keys[p], p, "skipped") for p in skipped),
    ]


def _closings(calendar: Calendar, now: datetime, installed: datetime) -> list[Planned]:
    schedule = Schedule("monthly", "UTC", 0, 0, settle_seconds=calendar.close_after_days * DAY)
    return [_planned(CLOSE, f"close/{p.key}", p) for p in due(schedule, now, installed)]


def _planned(kind: str, key: str, period: Period, state: str = "due") -> Planned:
    due_at = int(period.due_at.timestamp())
    return Planned(key, kind, period.start, period.end, due_at, state)


def carry_out_next(
    database: Database, handlers: Mapping[str, Handler], now: int, claim_seconds: int
) -> str | None:
    """Claim the next run and carry it out; returns its key, None: nothing is due.

    The result and the run's closing are one transaction. A run that fails is tried again later
    and does not stop the others; after the last try it is `dead`, visibly.
    """
    with database.write() as conn:
        claim = work.claim(conn, "run", now, claim_seconds)
    if claim is None:
        return None
    try:
        close = handlers[claim.row["kind"]](database, claim, now)
        with database.write() as conn:
            further = close(conn)
            work.finish(
                conn, claim, **{"state": "done", "finished_at": now, "error": ""} | dict(further)
            )
        log.info("%s is %s", claim.key, further.get("state", "done"))
    except NotReady as waits:
        with database.write() as conn:
            work.finish(conn, claim, next_at=now + 1, error=str(waits))
    except CrossoverError as error:
        _failed(database, claim, str(error), now)
    except Exception as error:
        log.exception("%s failed", claim.key)
        _failed(database, claim, f"{type(error).__name__}: {error}", now)
    return str(claim.key)


def _failed(database: Database, claim: Claim, error: str, now: int) -> None:
    attempts = claim.row["attempts"] + 1
    state = "dead" if attempts >= _ATTEMPTS else "due"
    log.warning("%s failed (try %d of %d): %s", claim.key, attempts, _ATTEMPTS, error)
    with database.write() as conn:
        work.finish(
            conn,
            claim,
            attempts=attempts,
            state=state,
            next_at=now + _RETRY * 2**attempts,
            error=error[:1000],
        )
