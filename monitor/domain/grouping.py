"""Which notices leave now, for one target: few messages, none of them late.

A first notice waits for the rest of its round, or at most for `group_seconds`; then at most one
message leaves in `gap_seconds`, and none in quiet hours. What is critical waits for its round
alone and takes along what is there. What an unstable alert did waits for the digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from monitor.domain.notices import Edge, Severity
from monitor.domain.periods import first_instant


class Waiting(NamedTuple):
    """A notice that no message took along yet."""

    id: int
    alert_id: int
    seq: int
    edge: Edge
    severity: Severity
    made_at: int
    """UTC epoch seconds."""
    digest: bool = False


class QuietHours(NamedTuple):
    """Hours in which only critical alerts leave."""

    start: time
    end: time
    """Of the next day where it is not after `start`."""
    zone: str
    days: frozenset[int] = frozenset()
    """Weekdays on which they begin, 0 is Monday; empty: every day."""


class Rhythm(NamedTuple):
    """How often a target is told."""

    group_seconds: int = 600
    gap_seconds: int = 6 * 3600
    quiet: Sequence[QuietHours] = ()
    digest: Literal["weekly", "daily", "off"] = "weekly"
    digest_at: time = time(8)
    zone: str = "UTC"


class Leaving(NamedTuple):
    """Ids of notices."""

    message: tuple[int, ...] = ()
    digest: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    """Nobody needs to hear of them any more."""


def leaving(
    waiting: Sequence[Waiting], last_told: int | None, now: int, rhythm: Rhythm, *, busy: bool
) -> Leaving:
    """What leaves at `now`.

    Args:
        waiting: of one target, in any order.
        last_told: when the last message, not a digest, left for it; None: never.
        now: UTC epoch seconds.
        rhythm: how often it may be told.
        busy: a round of assessments is under way, which may add notices.
    """
    ordered = sorted(waiting, key=lambda each: each.id)
    dropped = _pairs(ordered)
    if rhythm.digest == "off":
        dropped |= {each.id for each in ordered if each.digest}
    left = [each for each in ordered if each.id not in dropped]
    digest: tuple[int, ...] = ()
    if rhythm.digest != "off":
        slot = _last_slot(now, rhythm)
        digest = tuple(each.id for each in left if each.digest and each.made_at < slot)
    aloud = [each for each in left if not each.digest]
    message = tuple(each.id for each in aloud) if _due(aloud, last_told, now, rhythm, busy) else ()
    return Leaving(message, digest, tuple(sorted(dropped)))


def _pairs(ordered: Sequence[Waiting]) -> set[int]:
    """Beginnings whose end waits beside them: whoever was told nothing need not hear of either."""
    began: dict[int, Waiting] = {}
    dropped: set[int] = set()
    for each in ordered:
        if each.edge == "firing":
            began[each.alert_id] = each
        elif each.edge == "resolved" and each.alert_id in began:
            first = began.pop(each.alert_id)
            if first.digest == each.digest:
                dropped |= {first.id, each.id}
    return dropped


def _due(
    aloud: Sequence[Waiting], last_told: int | None, now: int, rhythm: Rhythm, busy: bool
) -> bool:
    urgent = [each for each in aloud if each.severity == "critical"]
    if _gathered(urgent, now, rhythm, busy):
        return True
    # A clock that went back keeps nobody waiting.
    rests = last_told is not None and 0 <= now - last_told < rhythm.gap_seconds
    return not rests and not is_quiet(rhythm.quiet, now) and _gathered(aloud, now, rhythm, busy)


def _gathered(waiting: Sequence[Waiting], now: int, rhythm: Rhythm, busy: bool) -> bool:
    if not waiting:
        return False
    return not busy or now - min(each.made_at for each in waiting) >= rhythm.group_seconds


def is_quiet(hours: Sequence[QuietHours], now: int) -> bool:
    """Whether an instant lies in any of the quiet hours, by the clock of their zone."""
    return any(_covers(each, now) for each in hours)


def _covers(hours: QuietHours, now: int) -> bool:
    wall = datetime.fromtimestamp(now, ZoneInfo(hours.zone))
    clock, overnight = wall.time().replace(tzinfo=None), hours.end <= hours.start
    if overnight:
        begun = clock >= hours.start
        inside = begun or clock < hours.end
        began = wall.date() if begun else wall.date() - timedelta(1)
    else:
        inside, began = hours.start <= clock < hours.end, wall.date()
    return inside and (not hours.days or began.weekday() in hours.days)


def _last_slot(now: int, rhythm: Rhythm) -> int:
    """The last instant, up to `now`, at which a digest was due."""
    zone = ZoneInfo(rhythm.zone)
    day = datetime.fromtimestamp(now, zone).date()
    if rhythm.digest == "weekly":
        day -= timedelta(day.weekday())
    while (slot := _slot(day, rhythm, zone)) > now:
        day -= timedelta(7 if rhythm.digest == "weekly" else 1)
    return slot


def _slot(day: date, rhythm: Rhythm, zone: ZoneInfo) -> int:
    wall = datetime.combine(day, rhythm.digest_at)
    return int(first_instant(wall, zone).astimezone(UTC).timestamp())
