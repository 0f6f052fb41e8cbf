"""How often each token may send."""

from __future__ import annotations

import math
import threading


class Rates:
    """A bucket of permits for each token, filled evenly; a full one holds a minute's worth.

    Args:
        per_minute: requests of one token.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_second = per_minute / 60
        self._most = float(per_minute)
        self._left: dict[int, tuple[float, float]] = {}
        """Permits that were left, and when."""
        self._lock = threading.Lock()

    def wait(self, token_id: int, now: float) -> int:
        """Take one permit: 0; where none is left, the whole seconds until there is one."""
        with self._lock:
            left, at = self._left.get(token_id, (self._most, now))
            left = min(self._most, left + max(0.0, now - at) * self._per_second)
            if left < 1:
                self._left[token_id] = (left, max(now, at))
                return math.ceil((1 - left) / self._per_second)
            self._left[token_id] = (left - 1, max(now, at))
            return 0
