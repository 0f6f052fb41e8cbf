"""What a rule saw of one subject: measured facts in, a condition and its words out.

A signal is an observation, not an alert: whether anybody hears of it is the machine's to say
(`domain/alerts.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from monitor.domain.notices import Said, Severity


class Signal(NamedTuple):
    """One rule, one subject, one instant."""

    rule: str
    """A name of the rule book."""
    subject: str
    as_of: int
    """UTC epoch seconds that end what was seen: of a daily rule the midnight after the last closed
    day, of an hourly one the hour."""
    holds: bool | None
    """The condition for entering; None: unknown, which changes nothing."""
    said: Said
    released: bool | None = None
    """The condition for leaving, where it is further away than not `holds`; None: not `holds`."""
    period: str = ""
    """Of a budget: `2026-11`. Another period is another alert."""
    threshold: str = ""
    """The highest one that is crossed, in words: `80% spent`."""
    rank: int = 0
    """Of the threshold: a higher one is told even while the alert fires already."""
    workload: str = ""
    owner: str = ""
    """Who answers for the subject, if that is known."""
    severity: Severity | None = None
    """Where it differs from the rule's."""
    sources: tuple[str, ...] = ()
    """What it rests on: while one of them is late the value counts as unknown."""
    restated: bool = False
    """It changed because history was restated: it ends without a message."""
