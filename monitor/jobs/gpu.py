"""GPU readings of this host: poll, and store the minutes that are complete."""

from __future__ import annotations

from monitor.ports import Sampler
from monitor.storage.engine import Database
from monitor.storage.fleet import put_devices, put_minutes


def poll(database: Database, sampler: Sampler, now: float) -> int:
    """Take one reading; returns how many minutes it completed and stored."""
    minutes = sampler.poll(now)
    if not minutes:
        return 0
    with database.write() as conn:
        ids = put_devices(conn, sampler.devices(), int(now))
        # A device that vanished before its first minute ended is known by its readings alone.
        return put_minutes(conn, ids, [m for m in minutes if m.uuid in ids])
