"""What a figure of the catalogue is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

ALL_READ = "EXISTS (SELECT 1 FROM v_workload_daily e WHERE e.day <= :before_first)"
"""That the month before was read from its first day; the smallest day would cost twice the time."""


class Spec(NamedTuple):
    """One figure, or with `columns` a table of them."""

    unit: str
    """usd, usd_per_million, rate, percent, hours, months, times, kwh, tokens, requests, count; day,
    instant, month, text, json; '' for a table."""
    about: str
    sql: str
    columns: Mapping[str, str] = {}
    """Column -> unit."""
    keys: tuple[str, ...] = ()
    """The columns that tell rows apart."""


def cells(name: str, table: Spec) -> dict[str, Spec]:
    """Each column of a table as a figure of its own, by the table's keys."""
    where = " AND ".join(f"{key} = :{key}" for key in table.keys)
    return {
        f"{name}.{column}": Spec(
            unit,
            f"{table.about} Column {column} of one {table.keys[-1]}.",
            f"SELECT {column} FROM ({table.sql}) one WHERE {where}",
        )
        for column, unit in table.columns.items()
        if column not in table.keys
    }
