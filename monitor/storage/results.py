"""What projection, assessment and advice leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, text

from monitor.domain.errors import InputError
from monitor.domain.forecast import NotEnough, Projection
from monitor.domain.money import MAX_PICO
from monitor.domain.periods import add_months
from monitor.domain.volumes import Volume
from monitor.storage import bulk
from monitor.storage.demand import Unit, Workload


def put_projection(
    conn: Connection, workload: Workload, unit: Unit, found: Projection | NotEnough
) -> None:
    """Store a projection, or that there is not enough history for one."""
    values: dict[str, Any] = {
        "workload_id": workload.id,
        "unit": unit,
        **{name: getattr(found, name) for name in ("month", "as_of", "month_to_date")},
        "history_days": found.history_days,
        "q10": None,
        "q50": None,
        "q90": None,
        "method": "none",
        "flags": "not_enough_history",
    }
    if isinstance(found, Projection):
        values |= {"method": found.method, "flags": " ".join(found.flags)}
        if max(found.q90, found.month_to_date) > MAX_PICO:
            values |= {"flags": f"{values['flags']} amount_too_large".strip()}
        else:
            values |= {"q10": found.q10, "q50": found.q50, "q90": found.q90}
    values["month_to_date"] = min(found.month_to_date, MAX_PICO)
    _replace(conn, "projection", ("workload_id", "month", "as_of", "unit"), values)


def projected_at(conn: Connection, as_of: int) -> set[int]:
    """The ids of workloads that were projected as of an instant."""
    rows = bulk.select(
        conn, "SELECT DISTINCT workload_id FROM projection WHERE as_of = ?", (as_of,)
    )
    return {row[0] for row in rows}


def put_assessment(conn: Connection, values: Mapping[str, Any]) -> None:
    """Store one assessment under its workload, deployment, day and volume."""
    _replace(conn, "assessment", ("workload_id", "deployment_id", "as_of", "volume"), values)


class Assessed(NamedTuple):
    """A stored assessment at the median volume."""

    workload_id: int
    deployment: str
    as_of: int
    month: str
    scenario: str


def newest_assessed(conn: Connection, workload: str) -> list[Assessed]:
    """The newest assessment of each configured deployment of a workload, by deployment."""
    rows = conn.execute(
        text(
            "SELECT s.workload_id, d.name, s.as_of, s.month, s.scenario FROM assessment s"
            " JOIN workload w ON w.id = s.workload_id JOIN deployment d ON d.id = s.deployment_id"
            " WHERE w.name = :w AND w.configured AND d.configured AND s.volume = 'q50'"
            " AND s.as_of = (SELECT MAX(o.as_of) FROM assessment o WHERE o.volume = 'q50'"
            " AND o.workload_id = s.workload_id AND o.deployment_id = s.deployment_id)"
            " ORDER BY d.name"
        ),
        {"w": workload},
    )
    return [Assessed(*row) for row in rows]


def assessed_names(conn: Connection) -> list[str]:
    """The workloads that have an assessment."""
    rows = conn.execute(
        text(
            "SELECT DISTINCT w.name FROM assessment s JOIN workload w ON w.id = s.workload_id"
            " WHERE w.configured ORDER BY w.name"
        )
    )
    return [row[0] for row in rows]


def projected_requests(conn: Connection, found: Assessed) -> list[Volume]:
    """The requests of the assessed month and those after it, as projected on the same day."""
    rows = conn.execute(
        text(
            "SELECT month, q10, q50, q90, month_to_date FROM projection WHERE workload_id = :w"
            " AND as_of = :t AND unit = 'requests' AND month >= :m AND q50 IS NOT NULL"
            " ORDER BY month"
        ),
        {"w": found.workload_id, "t": found.as_of, "m": found.month},
    )
    volumes: list[Volume] = []
    for month, *figures in rows:
        if month != add_months(found.month, len(volumes)):
            break
        volumes.append(Volume(*map(float, figures)))
    return volumes


def put_advice(conn: Connection, values: Mapping[str, Any]) -> None:
    """Store one day's advice with the state it leaves."""
    _replace(conn, "advice", ("workload_id", "deployment_id", "as_of"), values)


def _replace(
    conn: Connection, table: str, keys: tuple[str, ...], values: Mapping[str, Any]
) -> None:
    updates = ", ".join(f"{name} = excluded.{name}" for name in values if name not in keys)
    conn.execute(
        text(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES"
            f" ({', '.join(':' + name for name in values)})"
            f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {updates}"
        ),
        dict(values),
    )


def advice_before(
    conn: Connection, workload_id: int, deployment_id: int, as_of: int
) -> RowMapping | None:
    """The newest advice of a day not after `as_of`."""
    return (
        conn.execute(
            text(
                "SELECT * FROM advice WHERE workload_id = :w AND deployment_id = :d"
                " AND as_of <= :t ORDER BY as_of DESC LIMIT 1"
            ),
            {"w": workload_id, "d": deployment_id, "t": as_of},
        )
        .mappings()
        .first()
    )


def advice_on(
    conn: Connection, workload_id: int, deployment_id: int, as_of: int
) -> RowMapping | None:
    """The advice of exactly this day; None: nothing was advised on it."""
    found = advice_before(conn, workload_id, deployment_id, as_of)
    return found if found and found["as_of"] == as_of else None


def assessed_on(
    conn: Connection, workload_id: int, deployment_id: int, as_of: int
) -> dict[str, str]:
    """The scenario documents of a day's comparisons, by volume."""
    rows = conn.execute(
        text(
            "SELECT volume, scenario FROM assessment WHERE workload_id = :w"
            " AND deployment_id = :d AND as_of = :t ORDER BY volume"
        ),
        {"w": workload_id, "d": deployment_id, "t": as_of},
    )
    return {row[0]: row[1] for row in rows}


def newest_advice(conn: Connection, workload: str) -> Sequence[RowMapping]:
    """The last day's advice on each of a workload's deployments, by their names."""
    return (
        conn.execute(
            text(
                "SELECT d.name AS deployment, v.* FROM advice v"
                " JOIN workload w ON w.id = v.workload_id"
                " JOIN deployment d ON d.id = v.deployment_id"
                " WHERE w.name = :w AND v.as_of = (SELECT MAX(as_of) FROM advice x"
                " WHERE x.workload_id = v.workload_id AND x.deployment_id = v.deployment_id)"
                " ORDER BY d.name"
            ),
            {"w": workload},
        )
        .mappings()
        .all()
    )


def pico_of(amount: Fraction) -> int:
    """An exact amount in dollars as whole pico-USD, rounded half even.

    Raises:
        InputError: it does not fit the database's column.
    """
    pico = round(amount * 10**12)
    if abs(pico) > MAX_PICO:
        raise InputError(
            f"${float(amount):.3g} a month is more than the database holds (9.2 million)",
            "Check the deployment's throughput and prices for a unit error.",
        )
    return pico
