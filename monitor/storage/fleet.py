"""The third door: minutes of GPUs, and the hours that are derived from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, text

from monitor.domain.usage import HOUR, Device, Minute
from monitor.storage import bulk
from monitor.storage.tables import GPU_READINGS, gpu_minute

_COLUMNS = ("device_id", "minute", *GPU_READINGS)
_MEASURED = GPU_READINGS[:-2]
_DEVICES: BindParameter[int] = bindparam("devices", expanding=True)


def put_devices(conn: Connection, devices: Sequence[Device], seen_at: int) -> dict[str, int]:
    """Store what a host has; returns the id of each device by UUID."""
    for host in sorted({device.host for device in devices}):
        conn.execute(
            text(
                "INSERT INTO host (name, seen_at) VALUES (:n, :t)"
                " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at"
            ),
            {"n": host, "t": seen_at},
        )
    columns = Device._fields[1:]
    updates = ", ".join(f"{name} = excluded.{name}" for name in ("host_id", *columns[1:]))
    for device in devices:
        conn.execute(
            text(
                f"INSERT INTO device (host_id, {', '.join(columns)})"
                f" SELECT id, {', '.join(':' + c for c in columns)} FROM host WHERE name = :host"
                f" ON CONFLICT (uuid) DO UPDATE SET {updates}"
            ),
            device._asdict(),
        )
    return {row[0]: row[1] for row in conn.execute(text("SELECT uuid, id FROM device"))}


def put_minutes(conn: Connection, ids: dict[str, int], minutes: Sequence[Minute]) -> int:
    """Store minutes once each; of two that describe the same, the one with more samples stays.

    Args:
        conn: a writing transaction.
        ids: the id of each device by UUID, from `put_devices`.
        minutes: at most one for each device and minute.

    Returns:
        How many were handed over.
    """
    by_hour: dict[int, set[int]] = defaultdict(set)
    for minute in minutes:
        by_hour[minute.minute - minute.minute % HOUR].add(ids[minute.uuid])
    _lock_devices(conn, {ids[m.uuid] for m in minutes})
    bulk.ensure_partitions(conn, gpu_minute.name, by_hour)
    updates = ", ".join(f"{name} = excluded.{name}" for name in GPU_READINGS)
    bulk.upsert(
        conn,
        gpu_minute.name,
        _COLUMNS,
        f"(device_id, minute) DO UPDATE SET {updates} WHERE excluded.samples > gpu_minute.samples",
        [(ids[m.uuid], m.minute, *(getattr(m, name) for name in GPU_READINGS)) for m in minutes],
    )
    for hour, devices in sorted(by_hour.items()):
        _refresh_hour(conn, sorted(devices), hour)
    return len(minutes)


def _lock_devices(conn: Connection, devices: set[int]) -> None:
    """Serialise writers of a device: of two that derive an hour, the later sees all minutes."""
    if conn.dialect.name == "postgresql":
        query = text("SELECT id FROM device WHERE id IN :devices ORDER BY id FOR UPDATE")
        conn.execute(query.bindparams(_DEVICES), {"devices": sorted(devices)})


def _refresh_hour(conn: Connection, devices: Sequence[int], hour: int) -> None:
    """Derive one hour anew. A mean is over measured minutes only: missing is not idle."""
    columns = ("minutes", "minutes_measured", *_MEASURED)
    query = text(
        f"INSERT INTO gpu_hour (device_id, hour, {', '.join(columns)})"
        " SELECT device_id, :hour, COUNT(*), COUNT(util_mean), MIN(util_min), AVG(util_mean),"
        " MAX(util_max), MAX(mem_used_max), AVG(power_mean_mw), SUM(energy_mj), MAX(temp_max),"
        " SUM(throttle_ns), SUM(samples) FROM gpu_minute"
        " WHERE device_id IN :devices AND minute >= :hour AND minute < :hour + 3600"
        " GROUP BY device_id"
        f" ON CONFLICT (device_id, hour) DO UPDATE SET"
        f" {', '.join(f'{name} = excluded.{name}' for name in columns)}"
    )
    conn.execute(query.bindparams(_DEVICES), {"devices": devices, "hour": hour})
