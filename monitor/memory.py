"""Memory that is handed back, and memory that is not looked through again and again."""

from __future__ import annotations

import ctypes
import gc
import os

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_LARGE_BYTES = 128 * 1024  # glibc's own first value

# Python looks for cycles after so many new containers; its 700 are less than one request of many.
_NEW_CONTAINERS = 50_000


def leave_alone() -> None:
    """Look for cycles of garbage only among what is made from here on, and not so often.

    What a program has loaded when it begins its work lives as long as the program. Requests are
    tuples by the thousand without a single cycle: looking through them is a fifth of their cost.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_CONTAINERS)


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
