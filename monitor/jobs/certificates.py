"""When the certificates of configured servers end: read once a day, told before it is too late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from monitor.domain import watch_health
from monitor.domain.certificates import ends_at
from monitor.domain.errors import CrossoverError
from monitor.domain.usage import HOUR, utc_day
from monitor.domain.watch_health import Expiring
from monitor.jobs.alerting import Policy, raise_signals
from monitor.storage.engine import Database

log = logging.getLogger("crossover.certificates")

Read = Callable[[], bytes]
"""The certificate that a server shows, in DER; raises CrossoverError."""


class Certificates:
    """Reads each certificate once a day; one that could not be read is tried again by the hour.

    Args:
        servers: name -> what reads its certificate.
        policy: rules, routes and planned quiet.
    """

    def __init__(self, servers: Mapping[str, Read], policy: Policy) -> None:
        self._servers, self._policy = servers, policy
        self._next = dict.fromkeys(servers, 0)

    def look(self, database: Database, now: int) -> None:
        """Read what is due and raise what ends. A failure is logged and changes no alert."""
        if "expiry" not in self._policy.rules:
            return
        due = [name for name, at in self._next.items() if at <= now]
        # Outside of a transaction: a server may take its time.
        found = [seen for name in due if (seen := self._read(name, now))]
        if not found:
            return
        limits = self._policy.limits["expiry"]
        signals = [watch_health.expiry(each, utc_day(now), limits) for each in found]
        with database.write() as conn:
            raise_signals(conn, signals, now, self._policy)

    def _read(self, name: str, now: int) -> Expiring | None:
        self._next[name] = now - now % HOUR + HOUR
        try:
            ends = ends_at(self._servers[name]())
        except CrossoverError as error:
            log.warning("when the certificate of %s ends is not known: %s", name, error)
            return None
        self._next[name] = utc_day(now) + 24 * HOUR
        return Expiring(f"of {name}", "certificate", ends)
