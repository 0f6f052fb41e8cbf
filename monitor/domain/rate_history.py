"""One model's price over time: what held when, what was announced, and at which hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

from monitor.domain.periods import WEEKDAYS
from monitor.domain.pricing import RateCard
from monitor.domain.rate_lookup import Resolver
from monitor.domain.usage import DAY

_WEEK = 7 * DAY
_SLOT = 1_800  # seconds: no provider changes its price at a finer time of day
_MONDAY = 4 * DAY  # 1970-01-05, the first Monday
_WEEKS_READ = 5
_LOOKED_AHEAD = 12
_MOST = 200_000
"""Cards looked at for one model: more than two decades of hourly prices."""


class Span(NamedTuple):
    """A card and the time in which it holds, in UTC epoch seconds."""

    card: RateCard
    begin: int
    end: int | None
    """Excluded; None: no end is known."""
    hours: str = ""
    """Of a price by the hour: `mon-fri 01-04 06-10`; '': at all hours."""


def history(
    resolver: Resolver,
    provider: str,
    model: str,
    begin: int,
    end: int,
    context: str = "",
    account: str = "",
) -> list[Span]:
    """What the resolver answers from `begin` until before `end`, equal neighbours joined.

    A price that changes by the hour is one span for each of its rates, with its hours, for as long
    as the same rates alternate. Times without any rate are left out. That a rate will be stale one
    day is no change of it.
    """
    walked = _walk(resolver, provider, model, begin, end, context, account)
    dates = resolver.dates(provider, model)
    return _folded(_joined(walked, dates), dates)


def _walk(
    resolver: Resolver, provider: str, model: str, begin: int, end: int, context: str, account: str
) -> Iterator[Span]:
    at: int | None = begin
    for _ in range(_MOST):
        if at is None or at >= end:
            return
        card = resolver.card(provider, model, at, context, account)
        if card is None:
            at = resolver.next_turn(provider, model, at, context, account)
            continue
        first = card.valid_from if at == begin else at
        fresh = tuple(mark for mark in card.marks if mark != "rate_stale")
        yield Span(replace(card, marks=fresh), first, card.valid_until)
        at = card.valid_until


def _same(a: RateCard, b: RateCard) -> bool:
    return (a.rates, a.tiers, a.marks, a.source) == (b.rates, b.tiers, b.marks, b.source)


def _joined(spans: Iterator[Span], dates: Collection[int]) -> list[Span]:
    found: list[Span] = []
    for span in spans:
        touching = bool(found) and found[-1].end == span.begin and span.begin not in dates
        if touching and _same(found[-1].card, span.card):
            found[-1] = found[-1]._replace(end=span.end)
        else:
            found.append(span)
    return found


def _folded(spans: list[Span], dates: Collection[int]) -> list[Span]:
    """Runs of short spans, which are prices by the hour, as one span for each price."""
    found: list[Span] = []
    run: list[Span] = []
    for span in spans:
        touching = bool(run) and run[-1].end == span.begin and span.begin not in dates
        if _short(span) and (not run or (touching and _alternates(run, span))):
            run.append(span)
            continue
        found += _by_price(run)
        run = []
        if _short(span):
            run = [span]
        else:
            found.append(span)
    return found + _by_price(run)


def _short(span: Span) -> bool:
    return span.end is not None and span.end - span.begin < _WEEK


def _alternates(run: list[Span], span: Span) -> bool:
    """Whether the span goes on with a run of at most two prices and one pattern."""
    cards: list[RateCard] = []
    for other in (*run[-4:], span):
        if not any(_same(card, other.card) for card in cards):
            cards.append(other.card)
    return len(cards) <= 2


def _by_price(run: list[Span]) -> list[Span]:
    if len(run) < 3:
        return run
    groups: list[list[Span]] = []
    for span in run:
        group = next((g for g in groups if _same(g[0].card, span.card)), None)
        if group:
            group.append(span)
        else:
            groups.append([span])
    begin, end = run[0].begin, run[-1].end
    return [Span(group[0].card, begin, end, _hours(group)) for group in groups]


def _hours(spans: list[Span]) -> str:
    """The times of the week that the spans cover, days with the same times together."""
    slots: dict[int, Counter[int]] = {}
    for span in spans:
        # The last weeks speak for all, together: one of them may hold a holiday.
        if span.end is None or span.begin < spans[-1].begin - _WEEKS_READ * _WEEK:
            continue
        for at in range(span.begin, span.end, _SLOT):
            slots.setdefault((at - _MONDAY) // DAY % 7, Counter())[at % DAY // _SLOT] += 1
    days: dict[tuple[int, ...], list[int]] = {}
    for day, times in sorted(slots.items()):
        usual = sorted(slot for slot, n in times.items() if 2 * n > max(times.values()))
        days.setdefault(tuple(usual), []).append(day)
    return "; ".join(f"{_days(named)} {_ranges(times)}" for times, named in days.items())


def _days(days: list[int]) -> str:
    if len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"{WEEKDAYS[days[0]]}-{WEEKDAYS[days[-1]]}"
    return ",".join(WEEKDAYS[day] for day in days)


def _ranges(slots: tuple[int, ...]) -> str:
    starts = [slot for slot in slots if slot - 1 not in slots]
    ends = [slot + 1 for slot in slots if slot + 1 not in slots]
    return " ".join(f"{_clock(a)}-{_clock(b)}" for a, b in zip(starts, ends, strict=True))


def _clock(slot: int) -> str:
    hour, half = divmod(slot, 2)
    return f"{hour:02}:30" if half else f"{hour:02}"


def next_change(resolver: Resolver, card: RateCard) -> tuple[int, RateCard | None] | None:
    """When the rates of a card change, and to what; None: no change is known.

    A card of None is unpriced. Changes of nothing but flags are passed over.
    """
    until = card.valid_until
    for _ in range(_LOOKED_AHEAD):
        if until is None:
            return None
        after = resolver.card(card.provider, card.model, until, card.context, card.account)
        if after is None or (after.rates, after.tiers) != (card.rates, card.tiers):
            return until, after
        until = after.valid_until
    return None
