"""Pricing the days that changed, a few at a time so that no transaction is long."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from monitor.domain.workloads import Rule
from monitor.storage import rollup
from monitor.storage.engine import Database
from monitor.storage.rates import Resolve

log = logging.getLogger("crossover.rollup")

_DAYS_AT_ONCE = 20


def roll_up(database: Database, resolve: Resolve, rules: Sequence[Rule], now: int) -> int:
    """Roll up every dirty day; returns how many there were."""
    with database.read() as conn:
        waiting = rollup.waiting(conn)
    for first in range(0, len(waiting), _DAYS_AT_ONCE):
        with database.write() as conn:
            found = rollup.refresh(
                conn, waiting[first : first + _DAYS_AT_ONCE], resolve, rules, now
            )
        for restated in found:
            log.info(
                "a closed day was restated: %d tokens became %d",
                restated.tokens_before,
                restated.tokens_after,
                extra={"stream_id": restated.stream_id, "day": restated.day},
            )
    return len(waiting)
