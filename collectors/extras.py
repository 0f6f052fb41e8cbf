"""Libraries that a plain installation lacks: imported on first use, and missed in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.domain.errors import SourceError


@contextmanager
def extra(source: str, name: str) -> Iterator[None]:
    """Import a library in here; SourceError names the extra that brings it where it is absent."""
    try:
        yield
    except ImportError as error:
        raise SourceError(
            source,
            f"the library {error.name} is not installed",
            f"Install the extra: pip install 'crossover-monitor[{name}]'",
            permanent=True,
        ) from None
