"""The rows of a repricing: what days cost, which are asked again, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.money import PICO
from monitor.storage.rollup import OWN

_MICRO = PICO // 10**6


class Key(NamedTuple):
    """What a difference is told by."""

    workload: str
    model: str
    day: int


class Cost(NamedTuple):
    """An estimate, and the tokens that it leaves out."""

    pico: int
    unpriced_tokens: int


class Record(NamedTuple):
    """What a repricing did."""

    at: int
    first_day: int
    end_day: int
    by: str
    why: str
    days: int
    pico_before: int
    pico_after: int
    editions: Sequence[str]


def costs(conn: Connection, start: int, end: int) -> dict[Key, Cost]:
    """The estimates of the days from `start` until before `end`, summed exactly."""
    rows = conn.execute(
        text(
            "SELECT COALESCE(w.name, 'unassigned'), s.model, d.day, d.estimated_pico,"
            " d.unpriced_tokens FROM usage_day d JOIN series s ON s.id = d.series_id"
            " LEFT JOIN workload w ON w.id = s.workload_id"
            " WHERE d.day >= :start AND d.day < :end AND s.provider <> :own"
        ),
        {"start": start, "end": end, "own": OWN},
    )
    found: dict[Key, Cost] = {}
    for workload, model, day, pico, unpriced in rows:
        key = Key(workload, model, day)
        before = found.get(key, Cost(0, 0))
        found[key] = Cost(before.pico + pico, before.unpriced_tokens + unpriced)
    return found


def mark(conn: Connection, start: int, end: int) -> list[tuple[int, int]]:
    """Ask for every priced day in the range to be rolled up again; returns streams and days."""
    rows = conn.execute(
        text(
            "SELECT DISTINCT s.stream_id, d.day FROM usage_day d"
            " JOIN series s ON s.id = d.series_id WHERE d.day >= :start AND d.day < :end"
            " ORDER BY 2, 1"
        ),
        {"start": start, "end": end},
    )
    found = [(row[0], row[1]) for row in rows]
    for stream_id, day in found:
        conn.execute(
            text(
                "INSERT INTO dirty (stream_id, day, n, restates) VALUES (:s, :d, 1, :no)"
                " ON CONFLICT DO NOTHING"
            ),
            {"s": stream_id, "d": day, "no": False},
        )
    return found


def record(conn: Connection, done: Record) -> None:
    """Write down what was done."""
    values = done._asdict() | {"editions": " ".join(done.editions)}
    # Two columns each, as in the views: a total may exceed 64 bits of pico-dollars.
    for name in ("before", "after"):
        pico = values.pop(f"pico_{name}")
        values[f"{name}_micro"], values[f"{name}_rest"] = divmod(pico, _MICRO)
    names = ", ".join(f'"{name}"' for name in values)
    conn.execute(
        text(f"INSERT INTO repricing ({names}) VALUES ({', '.join(':' + n for n in values)})"),
        values,
    )
