"""Closing a month: from here on its rates do not move, and what was told of it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from monitor.domain.periods import month_of
from monitor.domain.usage import DAY
from monitor.jobs.plan import NotReady
from monitor.jobs.scores import score_month
from monitor.storage import results, rollup
from monitor.storage.work import Claim


def close_month(
    conn: Connection, claim: Claim, now: int, live_sources: Sequence[str]
) -> Mapping[str, object]:
    """Close once every live source has reported the whole month and all of it is rolled up.

    Raises:
        NotReady: something of the month is still missing.
    """
    end = claim.row["period_end"]
    if late := results.not_closed(conn, live_sources, end):
        raise NotReady(f"waits for {', '.join(late)}")
    if waiting := rollup.waiting(conn, end):
        raise NotReady(f"waits for {len(waiting)} days to be rolled up")
    score_month(conn, month_of(end - DAY), live_sources, now)
    return {}
