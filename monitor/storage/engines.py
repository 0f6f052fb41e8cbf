"""Hours of inference engines, as they were measured."""

from __future__ import annotations

from sqlalchemy import Connection, text

from monitor.domain.load_bands import EngineHour, read_histogram

_COLUMNS = ", ".join(f"h.{name}" for name in EngineHour._fields)


def hours(conn: Connection, start: int, end: int, model: str = "") -> list[EngineHour]:
    """The hours of every engine from `start` up to `end`, in their order.

    Args:
        conn: any connection.
        start: the first hour, in epoch seconds.
        end: exclusive.
        model: only engines that serve a model under this name; empty: all.
    """
    served = " AND e.model = :model" if model else ""
    rows = conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM engine_hour h JOIN engine e ON e.id = h.engine_id"
            f" WHERE h.hour >= :start AND h.hour < :end{served} ORDER BY h.hour, h.engine_id"
        ),
        {"start": start, "end": end} | ({"model": model} if model else {}),
    )
    return [EngineHour(*row[:-2], *map(read_histogram, row[-2:])) for row in rows]
