"""What the rules that watch spend and sources are told, read from stored rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from monitor.domain.periods import month_bounds, month_of
from monitor.domain.usage import DAY
from monitor.domain.watch import BudgetSeen, GivenUp, UnpricedSeen
from monitor.domain.watch_spend import SpendSeen
from monitor.storage import bulk, demand, work
from monitor.storage.spelling import COUNTED

_LATELY = 7 * DAY
"""The next report tells whether the cause is gone."""


def budgets(conn: Connection, as_of: int) -> list[BudgetSeen]:
    """Every configured budget as it stood on a day; one that was left out is not among them."""
    rows = conn.execute(
        text(
            "SELECT b.name, s.period, s.as_of, s.amount_pico, s.spent_pico, s.q10_pico, s.q50_pico,"
            " s.q90_pico, s.unpriced_tokens, s.basis, s.remark, b.owner,"
            " CASE WHEN b.scope = 'workload' THEN b.scope_name ELSE '' END AS workload"
            " FROM budget_state s JOIN budget b ON b.id = s.budget_id"
            " WHERE s.as_of = :t AND b.configured ORDER BY b.name, s.period"
        ),
        {"t": as_of},
    )
    return [BudgetSeen(*row) for row in rows]


def unpriced(conn: Connection, as_of: int) -> list[UnpricedSeen]:
    """Tokens of the month of the last closed day, by workload, and the models without a rate."""
    month = month_of(as_of - DAY)
    first, _ = month_bounds(month)
    rows = conn.execute(
        text(
            "SELECT w.name, s.model, SUM(d.tokens) AS tokens, SUM(d.unpriced_tokens) AS unpriced"
            " FROM usage_day d JOIN series s ON s.id = d.series_id"
            " JOIN stream t ON t.id = s.stream_id JOIN account a ON a.id = s.account_id"
            " JOIN workload w ON w.id = s.workload_id"
            f" WHERE {COUNTED} AND d.day >= :first AND d.day < :end AND s.provider <> 'self'"
            " GROUP BY w.name, s.model ORDER BY w.name, unpriced DESC, s.model"
        ),
        {"first": first, "end": as_of},
    )
    found: dict[str, UnpricedSeen] = {}
    for name, model, tokens, without in rows:
        seen = found.get(name, UnpricedSeen(name, as_of, month, 0, 0, ()))
        found[name] = seen._replace(
            tokens=seen.tokens + int(tokens or 0),
            unpriced=seen.unpriced + int(without or 0),
            models=(*seen.models, model) if without else seen.models,
        )
    return list(found.values())


def spend(conn: Connection, as_of: int, sources: Sequence[str]) -> list[SpendSeen]:
    """What every workload is estimated to have bought, by day; those that never bought are absent.

    Estimates throughout: beside days that are billed, one that is not yet would look like a jump.
    """
    found = []
    for workload in demand.workloads(conn):
        part = demand.of_paid(workload)
        daily = demand.daily_estimated(conn, part, as_of, sources)
        if daily:
            without = _unpriced_on(conn, part, as_of - DAY)
            found.append(SpendSeen(workload.name, as_of, daily, without))
    return found


def _unpriced_on(conn: Connection, part: demand.Part, day: int) -> int:
    rows = bulk.select(
        conn,
        "SELECT CAST(SUM(d.unpriced_tokens) AS BIGINT) FROM usage_day d"
        " JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id"
        f" JOIN account a ON a.id = s.account_id WHERE {COUNTED} AND d.day = ?{part.where}",
        (day, *part.bound),
    )
    return int(rows[0][0] or 0)


def late(conn: Connection, sources: Sequence[str], end: int) -> dict[str, list[str]]:
    """Source -> its usage streams that are not closed through `end`."""
    return {name: found for name in sources if (found := demand.not_closed(conn, [name], end))}


def given_up(conn: Connection, now: int) -> GivenUp:
    """Runs and messages that are dead, and reports that lately left without a part."""
    return GivenUp(*work.dead(conn), work.left_without(conn, now - _LATELY))
