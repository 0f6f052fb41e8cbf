"""Trying what is configured, one probe after the other; a failing one stops none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from monitor.domain.errors import CrossoverError


class Probe(NamedTuple):
    """Something to try: returns what it saw, or raises; None: it is not configured."""

    what: str
    attempt: Callable[[], str] | None
    required: bool = True


class Checked(NamedTuple):
    """A line of the table."""

    what: str
    state: Literal["well", "off", "fails"]
    seen: str
    remedy: str


def check_all(probes: Iterable[Probe]) -> list[Checked]:
    """Every probe's line, in order."""
    return [_check(probe) for probe in probes]


def _check(probe: Probe) -> Checked:
    if probe.attempt is None:
        return Checked(probe.what, "off", "not configured", "")
    try:
        return Checked(probe.what, "well", probe.attempt(), "")
    except CrossoverError as error:
        state: Literal["off", "fails"] = "fails" if probe.required else "off"
        return Checked(probe.what, state, error.message, error.remedy)
