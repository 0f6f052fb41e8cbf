"""Who asked for quiet, about what and until when: silences, snoozes and planned maintenance.

A silence stops messages, never the state of an alert.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from monitor.domain.errors import InputError
from monitor.domain.usage import DAY, HOUR

Kind = Literal["silence", "snooze", "maintenance"]

LONGEST_BY_LINK = {"silence": 31 * DAY, "snooze": 7 * DAY}
"""What a mail may ask for; the command line may ask for more."""
LONGEST = 366 * DAY
"""Quiet for good is a rule that should be off: `alerts.rules.NAME.enabled = false`."""

_UNITS = {"m": 60, "h": HOUR, "d": DAY, "w": 7 * DAY}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdw])", re.ASCII)


class Silence(NamedTuple):
    """A row of `silence`."""

    id: int
    kind: Kind
    rule: str
    """A pattern over names of rules."""
    subject: str
    """A pattern over subjects."""
    since: int
    until: int
    """UTC epoch seconds, half open."""
    by: str
    why: str
    ended_at: int | None = None
    """When somebody ended it before its time."""


class Window(NamedTuple):
    """A `[[alerts.maintenance]]` of the configuration."""

    start: int
    end: int
    """UTC epoch seconds, half open."""
    why: str
    rule: str = "*"
    subject: str = "*"


def in_force(silence: Silence, now: int) -> bool:
    """Whether it holds at an instant."""
    end = silence.until if silence.ended_at is None else min(silence.until, silence.ended_at)
    return silence.since <= now < end


def suppressed(
    rule: str, subject: str, silences: Iterable[Silence], windows: Iterable[Window], now: int
) -> str:
    """Who asked for quiet about an alert and why, by what lasts longest; '': nobody.

    Args:
        rule: the rule's name, without its version.
        subject: what the alert is about.
        silences: rows in any order and of any age.
        windows: planned times.
        now: UTC epoch seconds.
    """
    found = [
        (s.until, f"{s.by}: {s.why}" if s.why else f"{s.by}: {s.kind}")
        for s in silences
        if in_force(s, now) and covers(s.rule, s.subject, rule, subject)
    ]
    found += [
        (w.end, f"maintenance: {w.why}")
        for w in windows
        if w.start <= now < w.end and covers(w.rule, w.subject, rule, subject)
    ]
    return max(found)[1] if found else ""


def covers(rule_pattern: str, subject_pattern: str, rule: str, subject: str) -> bool:
    """Whether two patterns take an alert; upper and lower case differ."""
    return fnmatchcase(rule, rule_pattern) and fnmatchcase(subject, subject_pattern)


def exactly(name: str) -> str:
    """The pattern that takes this name alone, whatever characters it holds."""
    return re.sub(r"([*?[])", r"[\1]", name)


def duration(text: str) -> int:
    """Seconds of `90m`, `1h`, `2d` or `1w`.

    Raises:
        InputError: it is not written so.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"{text!r} is no duration", "Write a number with m, h, d or w: 90m, 1h, 2d, 1w."
        )
    return int(found[1]) * _UNITS[found[2]]


def checked_until(until: int, now: int, longest: int) -> int:
    """The end of a silence, if it lies ahead and not too far.

    Raises:
        InputError: it does not.
    """
    if until <= now:
        raise InputError("the end lies in the past", "Choose a later one.")
    if until - now > longest:
        raise InputError(
            f"that is more than {longest // DAY} days", "Choose an earlier end, and extend it then."
        )
    return until
