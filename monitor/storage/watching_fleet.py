"""What the rules about own GPUs are told, read from stored rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

from sqlalchemy import Connection, text

from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch_fleet import HostSeen, Reporting, Served
from monitor.domain.watch_words import MONTH_DAYS
from monitor.storage import demand

_FORGOTTEN = 30 * DAY
"""A GPU that was silent for so long is not missed any more."""


def hosts(conn: Connection, as_of: int, days: int) -> list[HostSeen]:
    """How busy every host was whose GPUs had an hour in the days before `as_of`."""
    rows = conn.execute(
        text(
            "SELECT h.id, h.name, COUNT(DISTINCT d.id),"
            " SUM(CASE WHEN g.minutes_measured > 0 THEN 1 ELSE 0 END),"
            " SUM(g.util_mean * g.minutes_measured)"
            " / NULLIF(SUM(CASE WHEN g.util_mean IS NOT NULL THEN g.minutes_measured END), 0)"
            " FROM gpu_hour g JOIN device d ON d.id = g.device_id JOIN host h ON h.id = d.host_id"
            " WHERE g.hour >= :first AND g.hour < :end GROUP BY h.id, h.name ORDER BY h.name"
        ),
        {"first": as_of - days * DAY, "end": as_of},
    ).all()
    price = _gpu_month(conn)
    return [
        HostSeen(
            name,
            as_of,
            days,
            gpus,
            int(hours),
            None if busy is None else float(busy),
            _cost(conn, host, as_of, None if price is None else price * gpus),
        )
        for host, name, gpus, hours, busy in rows
    ]


def _cost(conn: Connection, host: int, as_of: int, otherwise: int | None) -> int | None:
    """What a host costs a month: each of its lines as it stands, else by the deployments."""
    rows = conn.execute(
        text(
            "SELECT line, pico_per_month FROM host_cost WHERE host_id = :h AND valid_from < :t"
            " ORDER BY valid_from"
        ),
        {"h": host, "t": as_of},
    )
    # Of two rows of a line the later one stands.
    lines: dict[str, int] = {row.line: row.pico_per_month for row in rows}
    return sum(lines.values()) if lines else otherwise


def _gpu_month(conn: Connection) -> int | None:
    """Pico-USD of a GPU and month, if every deployment that runs has the same price."""
    documents = conn.scalars(
        text(
            "SELECT d.document FROM deployment d JOIN workload w ON w.id = d.workload_id"
            " WHERE d.configured AND w.configured AND w.runs_on <> 'api'"
        )
    )
    prices = {_price(json.loads(document)) for document in documents}
    price = prices.pop() if len(prices) == 1 else Fraction(0)
    return round(price * PICO) or None


def _price(document: dict[str, dict[str, dict[str, str]]]) -> Fraction:
    chosen = document["scenario"]["deployment"]
    by_hour = Fraction(chosen["usd_per_gpu_hour"]) * 24 * MONTH_DAYS
    return by_hour + Fraction(chosen["gpu_usd_per_month"])


def reporting(conn: Connection, as_of: int) -> list[Reporting]:
    """The GPUs of every host that had a reading within the last 30 days."""
    rows = conn.execute(
        text(
            "SELECT h.name, d.uuid, MAX(g.hour) FROM gpu_hour g JOIN device d ON d.id = g.device_id"
            " JOIN host h ON h.id = d.host_id WHERE g.minutes_measured > 0 AND g.hour >= :first"
            " AND g.hour < :end GROUP BY h.name, d.uuid ORDER BY h.name, d.uuid"
        ),
        {"first": as_of - _FORGOTTEN, "end": as_of},
    )
    found: dict[str, dict[str, int]] = {}
    for host, gpu, hour in rows:
        found.setdefault(host, {})[gpu] = hour + HOUR
    return [Reporting(host, until) for host, until in found.items()]


def served(conn: Connection, as_of: int, sources: Sequence[str]) -> list[Served]:
    """Of each workload that own engines serve, what they and an API served by day."""
    found = []
    for workload in demand.workloads(conn):
        if workload.runs_on == "api":
            continue
        own, paid = demand.of_own(workload), demand.of_paid(workload)
        found.append(
            Served(
                workload.name,
                as_of,
                demand.daily_tokens(conn, own, as_of, sources),
                demand.daily_tokens(conn, paid, as_of, sources),
                demand.daily_estimated(conn, paid, as_of, sources),
            )
        )
    return found
