"""A workload's months, projected from stored usage: for the daily decision and for who asks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from monitor.domain.forecast import NotEnough, Projection
from monitor.domain.forecast_joint import Daily, in_units, together
from monitor.domain.usage import DAY
from monitor.storage import demand

Projected = dict[tuple[str, str], Projection | NotEnough]
"""(unit, month) -> projection."""

_SETTLING_DAYS = 45


def project_all(
    conn: Connection,
    workload: demand.Workload,
    months: Sequence[str],
    as_of: int,
    sources: Sequence[str],
) -> Projected:
    """The months in every unit; tokens lead, the others follow by their ratios."""
    dailies = _read(conn, workload, as_of, sources)
    return {
        (unit, month): found
        for month in months
        for unit, found in in_units(dailies, month, as_of).items()
    }


def project_together(
    conn: Connection,
    workloads: Sequence[demand.Workload],
    months: Sequence[str],
    as_of: int,
    sources: Sequence[str],
) -> Projected:
    """The sum of several workloads in every unit, with a range of its own."""
    read = [_read(conn, workload, as_of, sources) for workload in workloads]
    return {
        (unit, month): together([dailies[unit] for dailies in read], month, as_of)
        for month in months
        for unit in demand.UNITS
    }


def closed_through(
    conn: Connection, now: int, sources: Sequence[str], workload: demand.Workload
) -> int:
    """The end of the newest day that every live source of a workload has closed, not after now.

    Where none has within the last weeks, the present midnight: what is missing shows as holes.
    """
    midnight = now // DAY * DAY
    for end in range(midnight, midnight - _SETTLING_DAYS * DAY, -DAY):
        if not demand.not_closed(conn, sources, end, workload):
            return end
    return midnight


def _read(
    conn: Connection, workload: demand.Workload, as_of: int, sources: Sequence[str]
) -> dict[str, Daily]:
    return {unit: demand.daily(conn, workload, unit, as_of, sources) for unit in demand.UNITS}
