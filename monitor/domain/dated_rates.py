"""Dated rows of our own: a beginning, an end, hours of the week, and the source of each."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from monitor.domain.pricing import RateCard, Rates
from monitor.domain.usage import DAY, HOUR, utc_day

STALE_AFTER = 365 * DAY
_THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0


class Window(NamedTuple):
    """Whole hours of certain weekdays, in UTC."""

    hours: frozenset[int]
    weekdays: frozenset[int]
    """Monday is 0."""

    def contains(self, at: int) -> bool:
        """Whether an instant falls into the window."""
        return at % DAY // HOUR in self.hours and (at // DAY + _THURSDAY) % 7 in self.weekdays


class DatedRates(NamedTuple):
    """One row. Of the rows that hold at an instant a windowed one wins, then the latest start."""

    provider: str
    """Canonical, as `aliases.provider_id` writes it."""
    model: str
    """A shell-style pattern in lower case."""
    rates: Rates
    source: str
    checked_at: int
    """When the source was read, UTC epoch seconds."""
    valid_from: int = 0
    valid_until: int | None = None
    window: Window | None = None
    """None: at all hours."""
    context: str = ""

    def concerns(self, provider: str, model: str) -> bool:
        """Whether the row is about this model, at whatever time and in whatever context."""
        return self.provider == provider and fnmatchcase(model.lower(), self.model)

    def holds(self, at: int) -> bool:
        """Whether the row holds at an instant."""
        begun = self.valid_from <= at and (self.valid_until is None or at < self.valid_until)
        return begun and (self.window is None or self.window.contains(at))


def card_at(
    rows: Sequence[DatedRates],
    provider: str,
    model: str,
    at: int,
    context: str,
    stale_after: int = STALE_AFTER,
) -> RateCard | None:
    """The card that rows about one model give at an instant; None: none of them holds.

    `stale_after`: seconds after which a row that nobody has checked again is marked.
    """
    row = _row_at(rows, at)
    if row is None:
        return None
    stale_from = row.checked_at + stale_after
    card = RateCard(
        provider=provider,
        model=model,
        context=context,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        rates=row.rates,
        source=row.source,
        checked_at=row.checked_at,
        marks=("rate_stale",) if at >= stale_from else (),
    )
    return card.within(at, [stale_from])


def turns(rows: Sequence[DatedRates], at: int) -> list[int]:
    """Instants at which rows about one model and context may give another answer.

    Of windows only those of the UTC day of `at`, with its beginning and end.
    """
    found = [e for r in rows for e in (r.valid_from, r.valid_until) if e is not None]
    if any(row.window for row in rows):
        day = utc_day(at)
        hours = range(day + HOUR, day + DAY, HOUR)
        hourly = (h for h in hours if _row_at(rows, h) is not _row_at(rows, h - HOUR))
        found += [day, *hourly, day + DAY]
    return found


def _row_at(rows: Sequence[DatedRates], at: int) -> DatedRates | None:
    holding = (row for row in rows if row.holds(at))
    return max(holding, key=lambda row: (row.window is not None, row.valid_from), default=None)
