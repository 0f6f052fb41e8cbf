"""Decisions: rows that are added and never edited, each with what was known then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping, text

from monitor.domain.decisions import Choice, Decision, Facts, from_document, to_document
from monitor.domain.periods import month_of
from monitor.domain.usage import DAY
from monitor.storage import tables
from monitor.storage.demand import Deployment, Workload


def facts(conn: Connection, workload_id: int, deployment_id: int, as_of: int) -> Facts | None:
    """What the newest comparison up to a day found; None: there is none with all quantiles."""
    rows = conn.execute(
        text(
            "SELECT * FROM assessment WHERE workload_id = :w AND deployment_id = :d AND as_of ="
            " (SELECT MAX(as_of) FROM assessment WHERE workload_id = :w AND deployment_id = :d"
            " AND as_of <= :t) AND volume IN ('q10', 'q50', 'q90')"
        ),
        {"w": workload_id, "d": deployment_id, "t": as_of},
    ).mappings()
    found = {row["volume"]: row for row in rows}
    if len(found) < 3:
        return None
    low, middle, high = (found[q] for q in ("q10", "q50", "q90"))
    return Facts(
        middle["as_of"],
        (low["savings_pico"], middle["savings_pico"], high["savings_pico"]),
        middle["api_pico"],
        middle["requests"],
        middle["crossing_requests"],
        middle["verdict"],
    )


def put(
    conn: Connection,
    workload: Workload,
    deployment: Deployment | None,
    decision: Decision,
    known: Mapping[str, Facts],
    at: datetime,
) -> None:
    """Add a decision about a deployment, or about all of a workload's; `known` by deployment."""
    document = {name: to_document(each) for name, each in known.items()}
    conn.execute(
        tables.decision.insert().values(
            workload_id=workload.id,
            deployment_id=deployment.id if deployment else None,
            decided_at=at,
            kind=decision.kind,
            by=decision.by,
            reason=decision.why,
            until=decision.until,
            facts=json.dumps(document, sort_keys=True),
        )
    )


def newest(
    conn: Connection, workload: Workload, deployment: Deployment, until: int | None = None
) -> Decision | None:
    """The newest decision that is about a deployment, its own or its workload's.

    `until`: of those that were made up to this instant; None: of all.
    """
    made = tables.decision.c
    about = (made.workload_id == workload.id) & (
        made.deployment_id.is_(None) | (made.deployment_id == deployment.id)
    )
    if until is not None:
        about &= made.decided_at <= datetime.fromtimestamp(until, UTC)
    asked = sa.select(made.kind, made.until, made.reason, made.by, made.facts).where(about)
    row = conn.execute(asked.order_by(made.id.desc()).limit(1)).mappings().first()
    if row is None:
        return None
    known = json.loads(row["facts"]).get(deployment.name)
    then = from_document(known) if known else None
    return Decision(row["kind"], row["until"], row["reason"], row["by"], then)


_FOR_EVER = 10**11
"""Seconds: some three thousand years."""


class Stood(NamedTuple):
    """A decision and the days on which it stood."""

    kind: Choice
    savings: list[int]
    """What moving would save a month, in pico-USD, as compared for each whole day while it stood;
    of several deployments the one that saves most."""
    measured_pico: int | None
    """What own engines saved in the closed months from its own on, while it stood; None: none is
    known, or it was no acceptance."""


def stood(conn: Connection) -> dict[int, Stood]:
    """Every decision by its id, with what was found on the days until its date or the next one."""
    made = list(conn.execute(tables.decision.select()).mappings())
    return {row["id"]: _stood(conn, row, _next_at(row, made)) for row in made}


def _next_at(row: RowMapping, made: Sequence[RowMapping]) -> int | None:
    """When a newer decision about the same was made; None: there is none."""
    newer = [
        int(other["decided_at"].timestamp())
        for other in made
        if other["id"] > row["id"]
        and other["workload_id"] == row["workload_id"]
        and other["deployment_id"] in (None, row["deployment_id"])
    ]
    return min(newer, default=None)


def _stood(conn: Connection, row: RowMapping, next_at: int | None) -> Stood:
    begun = int(row["decided_at"].timestamp())
    ends = [at for at in (row["until"], next_at) if at is not None]
    bound = {
        "w": row["workload_id"],
        "d": row["deployment_id"] or 0,
        "from": begun + DAY,
        "to": min(ends, default=_FOR_EVER),
    }
    of = " workload_id = :w AND (:d = 0 OR deployment_id = :d)"
    savings = conn.execute(
        text(
            f"SELECT MAX(savings_pico) FROM assessment WHERE{of} AND volume = 'q50'"
            " AND as_of >= :from AND as_of <= :to GROUP BY as_of"
        ),
        bound,
    ).scalars()
    known: list[int] = []
    if row["kind"] == "accept":
        found = conn.execute(
            text(
                f"SELECT at_api_pico - own_pico FROM after_move WHERE{of}"
                " AND own_pico IS NOT NULL AND month >= :first AND month <= :last"
            ),
            bound | {"first": month_of(begun), "last": month_of(bound["to"])},
        )
        known = list(found.scalars())
    return Stood(row["kind"], list(savings), sum(known) if known else None)


def listed(conn: Connection) -> list[RowMapping]:
    """Every decision, newest first, with the closed months since and what moving would have saved.

    `savings_usd_since` sums, over the months closed since it was made, what the named deployment
    would have saved at the volume that came; NULL where no deployment is named or no month closed.
    """
    return list(
        conn.execute(
            text(
                "SELECT d.decision_id, d.workload, d.deployment, d.decided_at, d.kind, d.until,"
                " d.why, d.decided_by, d.superseded, COUNT(s.month) AS months_since,"
                " ROUND(SUM(s.savings_usd), 2) AS savings_usd_since FROM v_decision d"
                " LEFT JOIN v_assessment_score s ON s.workload = d.workload"
                " AND s.deployment = d.deployment AND s.volume = 'q50'"
                " AND s.month > SUBSTR(d.decided_at, 1, 7) AND s.as_of = (SELECT MAX(x.as_of)"
                " FROM v_assessment_score x WHERE x.workload = s.workload"
                " AND x.deployment = s.deployment AND x.volume = 'q50' AND x.month = s.month)"
                " GROUP BY d.decision_id, d.workload, d.deployment, d.decided_at, d.kind, d.until,"
                " d.why, d.decided_by, d.superseded ORDER BY d.decision_id DESC"
            )
        ).mappings()
    )
