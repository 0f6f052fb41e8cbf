"""Where each budget stands at the end of a closed day."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.domain.budgets import Budget, span_of, stand
from monitor.domain.errors import CrossoverError
from monitor.domain.forecast_joint import Daily
from monitor.domain.periods import month_of
from monitor.domain.usage import DAY
from monitor.storage import budgets as stored
from monitor.storage import demand

log = logging.getLogger("crossover.budgets")

_OF_USAGE = ("workload", "cost_centre", "label")


def stand_at(conn: Connection, as_of: int, sources: Sequence[str]) -> list[str]:
    """Store where every budget stands; returns why some were left out.

    Args:
        conn: a writer's, in the transaction of the day's decision.
        as_of: UTC midnight that ends the day.
        sources: the live ones. A budget about something that one of them has not closed yet is
            left out: late data counts neither for nor against.
    """
    notes = [_stand_one(conn, each, as_of, sources) for each in stored.configured(conn)]
    return [note for note in notes if note]


def _stand_one(conn: Connection, budget: Budget, as_of: int, sources: Sequence[str]) -> str:
    try:
        # What fails takes back its own rows alone.
        with conn.begin_nested():
            return _stored(conn, budget, as_of, sources)
    except (CrossoverError, ArithmeticError, ValueError, DBAPIError) as error:
        log.warning("budget %s was not computed: %s", budget.name, error)
        return f"budget {budget.name} was not computed: {error}"


def _stored(conn: Connection, budget: Budget, as_of: int, sources: Sequence[str]) -> str:
    span = span_of(budget, as_of - DAY)
    if span is None:
        return ""
    late = {
        stream
        for part in stored.parts(conn, budget)
        for stream in demand.not_closed_of(conn, sources, as_of, part)
    }
    if late:
        return f"budget {budget.name} was left out: {', '.join(sorted(late))} did not close the day"
    dailies: Sequence[Daily] = stored.dailies(conn, budget, as_of, sources)
    remark = ""
    if budget.scope in _OF_USAGE:
        dailies, remark = _from_the_start(conn, dailies, as_of)
    told = stored.told(conn, budget, month_of(as_of - DAY), as_of)
    found = stand(dailies, span, as_of, told)
    found = found._replace(remark="; ".join(filter(None, (remark, found.remark))))
    further = {
        "basis": stored.basis(conn, budget, span, as_of),
        "unpriced_tokens": stored.unpriced(conn, budget, span, as_of),
    }
    stored.put_state(conn, budget, span, as_of, found, further)
    return ""


def _from_the_start(
    conn: Connection, dailies: Sequence[Daily], as_of: int
) -> tuple[Sequence[Daily], str]:
    """Each part from the first day on which anything was metered, and a remark on what is not.

    Before its own first use a part of the traffic cost nothing: what was read then had none of it.
    """
    first = stored.first_metered(conn)
    if first is None:
        return dailies, ""
    nothing: Daily = dict.fromkeys(range(first, as_of, DAY), 0)
    used = [daily for daily in dailies if daily]
    if not used:
        return [nothing], "nothing of it was ever metered"
    return [{**dict.fromkeys(range(first, min(daily), DAY), 0), **daily} for daily in used], ""
