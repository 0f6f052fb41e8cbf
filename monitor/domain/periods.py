"""UTC days, ISO weeks, months, quarters and years, and which of them are due.

Periods are UTC, as every invoice is. A zone decides only when a period is due and stands in no key:
when its rules change, an instant moves and never a period. What is due is a list of keys since an
instant; the caller subtracts the keys it has stored, so neither a clock that jumps nor a daemon
that slept misses or repeats a period.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from monitor.domain.errors import InputError
from monitor.domain.usage import DAY, utc_day

Kind = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_EPOCH = date(1970, 1, 1).toordinal()
_YEARS = range(1970, 9999)
"""That people may ask for: a period's end, and the months around it, must be dates too."""


class _Form(NamedTuple):
    noun: str
    """With its article."""
    example: str
    pattern: re.Pattern[str]
    first: Callable[..., date]


_FORMS: dict[Kind, _Form] = {
    "daily": _Form("a day", "2026-11-18", re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII), date),
    "weekly": _Form(
        "an ISO week",
        "2026-W47",
        re.compile(r"(\d{4})-W(\d\d)", re.ASCII),
        lambda year, week: date.fromisocalendar(year, week, 1),
    ),
    "monthly": _Form(
        "a month",
        "2026-11",
        re.compile(r"(\d{4})-(\d\d)", re.ASCII),
        lambda year, month: date(year, month, 1),
    ),
    "quarterly": _Form(
        "a quarter",
        "2026-Q4",
        re.compile(r"(\d{4})-Q([1-4])", re.ASCII),
        lambda year, quarter: date(year, 3 * quarter - 2, 1),
    ),
    "yearly": _Form(
        "a year", "2026", re.compile(r"(\d{4})", re.ASCII), lambda year: date(year, 1, 1)
    ),
}

_MONTHS: dict[Kind, int] = {"monthly": 1, "quarterly": 3, "yearly": 12}
"""How many months a period has, of those that are made of months."""


@dataclass(frozen=True)
class Schedule:
    """When a period's report is due: a wall time in a zone, on a weekday or a day of the month."""

    kind: Kind
    zone: str
    hour: int
    minute: int
    weekday: str = "mon"
    """For weekly: the first such day from the end of the ISO week on."""
    day: int = 1
    """For months and longer: the day of the month that follows the period, at most its last one; so
    31 is the last."""
    settle_seconds: int = 0
    """How long after its UTC end a period may still receive data."""

    def __post_init__(self) -> None:
        _require(self.kind in _FORMS, "kind", self.kind, f"one of {', '.join(_FORMS)}")
        _require(0 <= self.hour <= 23, "hour", self.hour, "0 to 23")
        _require(0 <= self.minute <= 59, "minute", self.minute, "0 to 59")
        _require(self.weekday in WEEKDAYS, "weekday", self.weekday, f"one of {', '.join(WEEKDAYS)}")
        _require(1 <= self.day <= 31, "day", self.day, "1 to 31")
        _require(self.settle_seconds >= 0, "settle_seconds", self.settle_seconds, "0 or more")
        _zone(self.zone)


class Period(NamedTuple):
    """One period of a schedule."""

    key: str
    """`2026-11-18`, `2026-W47`, `2026-11`, `2026-Q4` or `2026`."""
    kind: Kind
    start: int
    end: int
    """Half open, UTC epoch seconds of midnight."""
    due_at: datetime
    """UTC."""


def day_bounds(day: str) -> tuple[int, int]:
    """Start and end of a UTC day such as `2026-11-18`: epoch seconds, half open."""
    return _asked("daily", day)


def week_bounds(week: str) -> tuple[int, int]:
    """Start and end of an ISO week such as `2026-W47`: epoch seconds, half open."""
    return _asked("weekly", week)


def month_bounds(month: str) -> tuple[int, int]:
    """Start and end of a month such as `2026-11`: epoch seconds, half open."""
    return _asked("monthly", month)


def quarter_bounds(quarter: str) -> tuple[int, int]:
    """Start and end of a quarter such as `2026-Q4`: epoch seconds, half open."""
    return _asked("quarterly", quarter)


def year_bounds(year: str) -> tuple[int, int]:
    """Start and end of a calendar year such as `2026`: epoch seconds, half open."""
    return _asked("yearly", year)


def bounds(kind: Kind, key: str) -> tuple[int, int]:
    """Start and end of a period of any kind: epoch seconds, half open.

    Raises:
        InputError: the key has not this kind's form, or names a period that does not exist.
    """
    return _asked(kind, key)


def day_of(at: int) -> str:
    """The UTC day of an instant in epoch seconds: `2026-11-18`."""
    return _date(at).isoformat()


def week_of(at: int) -> str:
    """The ISO week of an instant in epoch seconds: `2026-W47`."""
    year, week, _ = _date(at).isocalendar()
    return f"{year:04d}-W{week:02d}"


def month_of(at: int) -> str:
    """The UTC month of an instant in epoch seconds: `2026-11`."""
    first = _date(at)
    return f"{first.year:04d}-{first.month:02d}"


def quarter_of(at: int) -> str:
    """The calendar quarter of an instant in epoch seconds: `2026-Q4`."""
    first = _date(at)
    return f"{first.year:04d}-Q{(first.month + 2) // 3}"


def year_of(at: int) -> str:
    """The calendar year of an instant in epoch seconds: `2026`."""
    return f"{_date(at).year:04d}"


def period_of(kind: Kind, at: int) -> str:
    """The key of the period of a kind in which an instant in epoch seconds lies."""
    return _KEYS[kind](at)


def add_months(month: str, count: int) -> str:
    """The month that is `count` months later, or earlier if negative."""
    first = _first_day("monthly", month)
    year, index = divmod(first.year * 12 + first.month - 1 + count, 12)
    return f"{year:04d}-{index + 1:02d}"


def days_in(month: str) -> int:
    """The number of days of a month."""
    return _days("monthly", _first_day("monthly", month))


def due(schedule: Schedule, now: datetime, since: datetime) -> list[Period]:
    """The periods that fell due from `since` to `now`, both included, oldest first.

    A period is due at its wall time, but not before its UTC end plus settling. Both instants are
    aware. A clock that went back only shortens the list.
    """
    kind = schedule.kind
    found: list[Period] = []
    start, _ = _bounds(kind, period_of(kind, int(now.timestamp())))
    while (period := _before(schedule, start)).due_at >= since:
        if period.due_at <= now:
            found.append(period)
        start = period.start
    return found[::-1]


def catch_up(periods: Sequence[Period], limit: int) -> tuple[list[Period], list[Period]]:
    """Split periods, oldest first, into the newest `limit` to run and the older ones to skip."""
    cut = max(len(periods) - limit, 0)
    return list(periods[cut:]), list(periods[:cut])


def run_key(report: str, kind: Kind, period_key: str, edition: int) -> str:
    """What must happen once: `finance/weekly/2026-W47/1`."""
    return f"{report}/{kind}/{period_key}/{edition}"


class RunKey(NamedTuple):
    """The parts of `run_key`."""

    report: str
    kind: str
    period: str
    edition: int


def read_run_key(key: str) -> RunKey:
    """The parts of a key that `run_key` made."""
    report, kind, period, edition = key.rsplit("/", 3)
    return RunKey(report, kind, period, int(edition))


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first UTC instant at which clocks in `zone` show the naive `wall`, or later.

    In a fold it is the first of two; in a gap, the end of the gap.
    """
    after, before = (int(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (1, 0))
    if after >= before:
        return datetime.fromtimestamp(before, UTC)
    # Only in a gap is the offset after the change (fold 1) the earlier reading.
    gap = range(after, before)
    passed = bisect_left(
        gap, wall, key=lambda at: datetime.fromtimestamp(at, zone).replace(tzinfo=None)
    )
    return datetime.fromtimestamp(after + passed, UTC)


_KEYS: dict[Kind, Callable[[int], str]] = {
    "daily": day_of,
    "weekly": week_of,
    "monthly": month_of,
    "quarterly": quarter_of,
    "yearly": year_of,
}


@lru_cache(maxsize=4096)  # every tick asks for all since the daemon was installed
def _before(schedule: Schedule, end: int) -> Period:
    """The period that ends where another one begins."""
    key = period_of(schedule.kind, end - 1)
    start, _ = _bounds(schedule.kind, key)
    wall = datetime.combine(_due_date(schedule, end), time(schedule.hour, schedule.minute))
    settled = datetime.fromtimestamp(end + schedule.settle_seconds, UTC)
    due_at = max(first_instant(wall, _zone(schedule.zone)), settled)
    return Period(key, schedule.kind, start, end, due_at)


def _due_date(schedule: Schedule, end: int) -> date:
    """The local date on which the period that ends at `end` is due."""
    date_after = _date(end)
    if schedule.kind == "weekly":
        return date_after + timedelta(WEEKDAYS.index(schedule.weekday))
    if schedule.kind in _MONTHS:
        return date_after.replace(day=min(schedule.day, _days("monthly", date_after)))
    return date_after


def _asked(kind: Kind, key: str) -> tuple[int, int]:
    """The bounds of a period that is named from outside."""
    found = _bounds(kind, key)
    if int(key[:4]) not in _YEARS:
        raise InputError(
            f"{key!r} lies outside the years {_YEARS[0]} to {_YEARS[-1]}",
            f"Write {_FORMS[kind].noun} like {_FORMS[kind].example}.",
        )
    return found


def _bounds(kind: Kind, key: str) -> tuple[int, int]:
    first = _first_day(kind, key)
    start = (first.toordinal() - _EPOCH) * DAY
    return start, start + _days(kind, first) * DAY


def _first_day(kind: Kind, key: str) -> date:
    form = _FORMS[kind]
    match = form.pattern.fullmatch(key)
    try:
        if match:
            return form.first(*map(int, match.groups()))
    except ValueError:
        pass
    raise InputError(f"{key!r} is not {form.noun}", f"Write {form.noun} like {form.example}.")


def _days(kind: Kind, first: date) -> int:
    if kind in _MONTHS:
        months = range(first.month, first.month + _MONTHS[kind])
        return sum(calendar.monthrange(first.year, month)[1] for month in months)
    return 7 if kind == "weekly" else 1


def _date(at: int) -> date:
    return date.fromordinal(_EPOCH + utc_day(at) // DAY)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise InputError(
            f"time zone {name!r} is unknown", "Use an IANA name such as Europe/Berlin."
        ) from None


def _require(valid: bool, field: str, value: object, allowed: str) -> None:
    if not valid:
        raise InputError(f"schedule {field} {value!r} is not allowed", f"Use {allowed}.")
