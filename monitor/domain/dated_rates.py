"""Dated rows of our own: rates, factors of a context, and names that are billed as another's.

Each has a beginning, an end, a source and the day on which somebody read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from monitor.domain.model_names import fits
from monitor.domain.pricing import RateCard, Rates, Tier
from monitor.domain.usage import DAY, HOUR, utc_day

STALE_AFTER = 365 * DAY
_THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0


class Window(NamedTuple):
    """Whole hours of certain weekdays, in UTC, public holidays left out."""

    hours: frozenset[int]
    weekdays: frozenset[int]
    """Monday is 0."""
    days_off: frozenset[int] = frozenset()
    """UTC midnights, in epoch seconds, of days that do not count."""
    known_until: int | None = None
    """From when on days that do not count may be missing; None: never."""

    def contains(self, at: int) -> bool:
        """Whether an instant falls into the window."""
        weekday = (at // DAY + _THURSDAY) % 7
        listed = at % DAY // HOUR in self.hours and weekday in self.weekdays
        return listed and utc_day(at) not in self.days_off


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
    tiers: tuple[Tier, ...] = ()
    verified: bool = True
    """Whether a published figure stands behind the row; its usages are flagged where none does."""

    def concerns(self, provider: str, model: str) -> bool:
        """Whether the row is about this model, at whatever time and in whatever context."""
        return self.provider == provider and fits(model, self.model)

    def holds(self, at: int) -> bool:
        """Whether the row holds at an instant."""
        begun = _within(at, self.valid_from, self.valid_until)
        return begun and (self.window is None or self.window.contains(at))


class DatedFactor(NamedTuple):
    """What one part of a context does to the price found without it, such as half for a batch."""

    provider: str
    models: tuple[str, ...]
    """Shell-style patterns in lower case."""
    context: str
    """One part, `key=value`."""
    factor: Decimal
    source: str
    checked_at: int
    excluded: tuple[str, ...] = ()
    """Patterns of models that the rule leaves out."""
    classes: tuple[str, ...] = ()
    """The rates that it changes; (): all of them."""
    valid_from: int = 0
    valid_until: int | None = None
    verified: bool = True

    def concerns(self, provider: str, model: str) -> bool:
        """Whether the factor is about this model, at whatever time."""
        name = model.lower()
        return (
            self.provider == provider
            and any(fnmatchcase(name, pattern) for pattern in self.models)
            and not any(fnmatchcase(name, pattern) for pattern in self.excluded)
        )

    def holds(self, at: int) -> bool:
        """Whether the factor holds at an instant."""
        return _within(at, self.valid_from, self.valid_until)

    def applied(self, rates: Rates) -> Rates:
        """The rates with the factor on the classes that it changes."""
        scaled = rates.scaled(self.factor)
        if not self.classes:
            return scaled
        return rates._replace(**{name: getattr(scaled, name) for name in self.classes})


class DatedAlias(NamedTuple):
    """A name that its provider bills as another model for a time."""

    provider: str
    models: tuple[str, ...]
    """Shell-style patterns in lower case."""
    billed_as: str
    source: str
    checked_at: int
    valid_from: int = 0
    valid_until: int | None = None
    verified: bool = True

    def concerns(self, provider: str, model: str) -> bool:
        """Whether the alias is about this name, at whatever time."""
        return self.provider == provider and any(fits(model, p) for p in self.models)

    def holds(self, at: int) -> bool:
        """Whether the alias holds at an instant."""
        return _within(at, self.valid_from, self.valid_until)


def _within(at: int, begin: int, end: int | None) -> bool:
    return begin <= at and (end is None or at < end)


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
    guessed_from = row.window.known_until if row.window else None
    card = RateCard(
        provider=provider,
        model=model,
        context=context,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        rates=row.rates,
        tiers=row.tiers,
        source=row.source,
        checked_at=row.checked_at,
        marks=("rate_stale",) if at >= stale_from else (),
    )
    if not row.verified or (guessed_from is not None and at >= guessed_from):
        card = card.flagged("rate_unverified")
    return card.within(at, [stale_from, *([] if guessed_from is None else [guessed_from])])


def turns(rows: Sequence[DatedRates], at: int) -> list[int]:
    """Instants at which rows about one model and context may give another answer.

    Of windows only those of the UTC day of `at`, with its beginning and end.
    """
    found = [e for r in rows for e in (r.valid_from, r.valid_until) if e is not None]
    day = utc_day(at)
    if any(row.window and _touches(row, day) for row in rows):
        hours = range(day + HOUR, day + DAY, HOUR)
        hourly = (h for h in hours if _row_at(rows, h) is not _row_at(rows, h - HOUR))
        found += [day, *hourly, day + DAY]
    return found


def _touches(row: DatedRates, day: int) -> bool:
    return row.valid_from < day + DAY and (row.valid_until is None or row.valid_until > day)


def _row_at(rows: Sequence[DatedRates], at: int) -> DatedRates | None:
    holding = (row for row in rows if row.holds(at))
    return max(holding, key=lambda row: (row.window is not None, row.valid_from), default=None)
