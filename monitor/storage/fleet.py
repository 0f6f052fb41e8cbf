"""The third door: minutes of GPUs, and the hours that are derived from them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from monitor.domain.usage import HOUR, Device, Minute
from monitor.storage import bulk
from monitor.storage.tables import GPU_READINGS, gpu_minute

_COLUMNS = ("device_id", "minute", *GPU_READINGS)
_MEASURED = GPU_READINGS[:-2]


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
    bulk.ensure_partitions(conn, gpu_minute.name, (m.minute for m in minutes))
    updates = ", ".join(f"{name} = excluded.{name}" for name in GPU_READINGS)
    bulk.upsert(
        conn,
        gpu_minute.name,
        _COLUMNS,
        f"(device_id, minute) DO UPDATE SET {updates} WHERE excluded.samples > gpu_minute.samples",
        [(ids[m.uuid], m.minute, *(getattr(m, name) for name in GPU_READINGS)) for m in minutes],
    )
    for device_id, hour in sorted({(ids[m.uuid], m.minute - m.minute % HOUR) for m in minutes}):
        _refresh_hour(conn, device_id, hour)
    return len(minutes)


def _refresh_hour(conn: Connection, device_id: int, hour: int) -> None:
    """Derive one hour anew. A mean is over measured minutes only: missing is not idle."""
    key = {"d": device_id, "h": hour}
    conn.execute(text("DELETE FROM gpu_hour WHERE device_id = :d AND hour = :h"), key)
    conn.execute(
        text(
            f"INSERT INTO gpu_hour (device_id, hour, minutes, minutes_measured,"
            f" {', '.join(_MEASURED)})"
            " SELECT device_id, :h, COUNT(*), COUNT(util_mean), MIN(util_min), AVG(util_mean),"
            " MAX(util_max), MAX(mem_used_max), AVG(power_mean_mw), SUM(energy_mj), MAX(temp_max),"
            " SUM(throttle_ns), SUM(samples) FROM gpu_minute"
            " WHERE device_id = :d AND minute >= :h AND minute < :h + 3600 GROUP BY device_id"
        ),
        key,
    )
