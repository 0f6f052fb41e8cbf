"""A live workload's own past, ready to be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from monitor.domain.backtest import Daily
from monitor.domain.errors import InputError
from monitor.domain.scenario import Scenario
from monitor.domain.usage import DAY
from monitor.jobs.basis import Basis, measured
from monitor.storage import demand

Item = TypeVar("Item", demand.Workload, demand.Deployment)


class Past(NamedTuple):
    """Daily requests, and the scenario of a deployment at the mix and prices of the last weeks."""

    daily: Daily
    basis: Basis
    deployment: str
    left_out: int
    """Days at the beginning that are not used, because days after them are unknown."""

    @property
    def scenario(self) -> Scenario:
        """What moving would be, at today's prices."""
        return self.basis.scenario


def past(
    conn: Connection, workload: str, deployment: str, sources: Sequence[str], now: int
) -> Past:
    """The past of a configured workload; `deployment` '' is its only one.

    Raises:
        InputError: there is no such workload or deployment, or nothing to replay.
    """
    found = _named("workload", workload, {w.name: w for w in demand.workloads(conn)})
    own = {d.name: d for d in demand.deployments(conn, found.id)}
    if not deployment and len(own) == 1:
        deployment = next(iter(own))
    chosen = _named(f"deployment of {workload}", deployment, own)
    days = demand.daily(conn, found, "requests", now // DAY * DAY, sources)
    daily, left_out = _known_end(days)
    if daily is None:
        raise InputError(f"{workload} has no closed day with a known number of requests")
    end = (daily.start - datetime(1970, 1, 1, tzinfo=UTC).date()).days + len(daily.requests)
    basis = measured(conn, found, chosen, end * DAY)
    if isinstance(basis, str):
        raise InputError(f"{workload} cannot be replayed: {basis.rstrip('.')}")
    return Past(daily, basis, chosen.name, left_out)


def _known_end(days: Mapping[int, int | None]) -> tuple[Daily | None, int]:
    """The last days without a hole between them, and how many known ones lie before."""
    known = [day for day, requests in sorted(days.items()) if requests is not None]
    if not known:
        return None, 0
    first = len(known) - 1
    while first and known[first - 1] == known[first] - DAY:
        first -= 1
    start = datetime.fromtimestamp(known[first], UTC).date()
    return Daily(start, [days[day] or 0 for day in known[first:]]), first


def _named(what: str, name: str, items: Mapping[str, Item]) -> Item:
    if name not in items:
        cause = f"there is no {what} named {name!r}" if name else f"{what}: none is named"
        raise InputError(cause, f"Name one of: {', '.join(items) or 'none is configured'}")
    return items[name]
