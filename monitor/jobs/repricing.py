"""Pricing days again on request: with the cards known now, with a record, and shown before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain.errors import InputError
from monitor.domain.periods import add_months, month_of
from monitor.jobs.aftermath import settle_again
from monitor.jobs.reconcile import store_month
from monitor.storage import repricing, rollup, setup, work
from monitor.storage.engine import Database
from monitor.storage.rates import Resolve
from monitor.storage.setup import Setup

_NOTHING = repricing.Cost(0, 0)


class Order(NamedTuple):
    """What is wanted: days from `start` until before `end`, by whom and why."""

    start: int
    end: int
    by: str
    why: str
    reopen: bool
    """Closed months too: each gets a new edition of its closing."""
    apply: bool
    """False: nothing is kept, only the difference is shown."""


class Difference(NamedTuple):
    """A workload's model on a day whose estimate is another now."""

    key: repricing.Key
    before: repricing.Cost
    after: repricing.Cost


class Repriced(NamedTuple):
    """What a repricing did, or would do."""

    differences: Sequence[Difference]
    days: int
    pico_before: int
    pico_after: int
    editions: Sequence[str]


class _OnlyShown(Exception):
    """Rolls the transaction back; carries what was found out of it."""

    def __init__(self, found: Repriced) -> None:
        super().__init__()
        self.found = found


def reprice(
    database: Database, resolve: Resolve, configured: Setup, order: Order, now: int
) -> Repriced:
    """Price the days again in one transaction; without `apply` it is rolled back.

    Raises:
        InputError: a month of the range is closed and is not to be reopened; nothing was changed.
    """
    try:
        with database.write() as conn:
            found = _carry_out(conn, resolve, configured, order, now)
            _keep(found, order)
    except _OnlyShown as shown:
        return shown.found
    return found


def _keep(found: Repriced, order: Order) -> None:
    if not order.apply:
        raise _OnlyShown(found)


def _carry_out(
    conn: Connection, resolve: Resolve, configured: Setup, order: Order, now: int
) -> Repriced:
    closed = _closed_months(conn, order)
    if closed and not order.reopen:
        raise InputError(
            f"{', '.join(closed)} {'is' if len(closed) == 1 else 'are'} closed, and the rates of a"
            " closed month do not move",
            "Name only days of open months, or add --reopen to close again with a new edition.",
        )
    setup.apply(conn, configured)
    before = repricing.costs(conn, order.start, order.end)
    asked = repricing.mark(conn, order.start, order.end)
    rollup.refresh(conn, asked, resolve, configured.rules, now, as_open=True)
    after = repricing.costs(conn, order.start, order.end)
    found = Repriced(
        differences=_differences(before, after),
        days=len({day for _, day in asked}),
        pico_before=sum(cost.pico for cost in before.values()),
        pico_after=sum(cost.pico for cost in after.values()),
        editions=[work.close_again(conn, month, now) for month in closed],
    )
    for month in closed:
        settle_again(conn, month, resolve, now)
        store_month(conn, month, [source.name for source in configured.sources])
    repricing.record(
        conn,
        repricing.Record(
            now,
            order.start,
            order.end,
            order.by,
            order.why,
            found.days,
            found.pico_before,
            found.pico_after,
            found.editions,
        ),
    )
    return found


def _closed_months(conn: Connection, order: Order) -> list[str]:
    month, last = month_of(order.start), month_of(order.end - 1)
    found = []
    while month <= last:
        if work.closed_at(conn, month) is not None:
            found.append(month)
        month = add_months(month, 1)
    return found


def _differences(
    before: dict[repricing.Key, repricing.Cost], after: dict[repricing.Key, repricing.Cost]
) -> list[Difference]:
    keys = sorted({*before, *after}, key=lambda key: (key.day, key.workload, key.model))
    both = [Difference(k, before.get(k, _NOTHING), after.get(k, _NOTHING)) for k in keys]
    return [one for one in both if one.before != one.after]
