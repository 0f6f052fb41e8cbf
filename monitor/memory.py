"""Memory that is handed back: what a report needs for seconds is not kept for weeks."""

from __future__ import annotations

import ctypes
import os

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_LARGE_BYTES = 128 * 1024  # glibc's own first value


def hand_back() -> bool:
    """Have glibc return each large block to the system once it is free.

    Left alone, its limit for such blocks grows to the largest that was ever freed (up to 32 MiB),
    and smaller ones stay with the process: mallopt(3), M_MMAP_THRESHOLD. Returns whether that was
    set: elsewhere malloc is another, and the environment's own setting stays.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES) == 1
