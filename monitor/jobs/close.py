"""Closing a month: its rates do not move any more, what was told is scored, moves are accounted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from sqlalchemy import Connection

from monitor.domain.model_names import ModelNames
from monitor.domain.periods import month_of
from monitor.domain.pricing import RateCard
from monitor.domain.usage import DAY
from monitor.jobs.aftermath import settle_month
from monitor.jobs.plan import NotReady
from monitor.jobs.reconcile import store_month
from monitor.jobs.scores import score_month
from monitor.storage import demand, price_changes, rollup
from monitor.storage.rates import RateKey, Resolve
from monitor.storage.work import Claim

Prices = Callable[[tuple[str, ...]], tuple[Resolve, str]]
"""Stored prices in force -> what prices a usage, and a hash of it."""


def close_month(
    conn: Connection,
    claim: Claim,
    now: int,
    live_sources: Sequence[str],
    prices: Prices | None = None,
    names: ModelNames | None = None,
) -> Mapping[str, object]:
    """Close once every live source has reported the whole month and all of it is rolled up.

    `prices` tell what the API would have cost who moved; without them the stored cards do. `names`
    tell which names in bills and tokens are of one model.

    Raises:
        NotReady: something of the month is still missing.
    """
    end = claim.row["period_end"]
    if late := demand.not_closed(conn, live_sources, end):
        raise NotReady(f"waits for {', '.join(late)}")
    if waiting := rollup.waiting(conn, end):
        raise NotReady(f"waits for {len(waiting)} days to be rolled up")
    month = month_of(end - DAY)
    store_month(conn, month, live_sources, names)
    score_month(conn, month, live_sources, now)
    settle_month(conn, month, _looked_up(conn, prices), now)
    return {}


def _looked_up(conn: Connection, prices: Prices | None) -> Resolve:
    """What prices a usage now, made when it is asked first: most months nobody has moved."""

    @lru_cache(maxsize=1)
    def found() -> Resolve | None:
        stored = tuple(price.document for price in price_changes.in_force(conn))
        return prices(stored)[0] if prices else None

    def resolve(key: RateKey, at: int, seconds: int) -> RateCard | None:
        ask = found()
        return ask(key, at, seconds) if ask else None

    return resolve
