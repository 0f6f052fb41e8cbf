"""Whether two reports of a model's tokens count the same traffic twice.

Two reports of one traffic agree day by day; two workloads of about the same volume do not, because
each has its own days. Where the days themselves hardly differ, agreement says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from monitor.domain.model_names import ModelNames

NEAR = Fraction(2, 100)
"""How far apart two counts of one day's traffic may be: failed calls, the edge of the day."""
LEAST_DAYS = 7
_MOST = Fraction(4, 5)
_BY_CHANCE = Fraction(1, 2)


class Counted(NamedTuple):
    """What a source counted of a model for an account on a day."""

    account: str
    source: str
    provider: str
    model: str
    """As the source calls it."""
    day: int
    tokens: int


class Double(NamedTuple):
    """Two sources that report the same tokens of a model; `accounts` in the order of `sources`."""

    sources: tuple[str, str]
    accounts: tuple[str, str]
    model: str
    """Behind every form of its name."""
    days: Sequence[int]
    tokens: int
    """Of the first of both, on these days."""
    times: int = 1
    """1000: the second counts thousands where the first counts tokens; -1000: the first does."""


def agreeing(
    one: Mapping[int, int], other: Mapping[int, int], near: Fraction = NEAR
) -> tuple[int, ...]:
    """The days on which both counted about the same, if most of their common days are such."""
    both = [day for day in sorted(one) if one[day] > 0 and other.get(day, 0) > 0]
    same = [day for day in both if _near(one[day], other[day], near)]
    return tuple(same) if len(same) >= _MOST * len(both) else ()


def find(counted: Iterable[Counted], names: ModelNames) -> list[Double]:
    """Every pair of sources that look as if they counted the same; of an account or of two.

    Only pairs with `LEAST_DAYS` common days, by the most tokens first.
    """
    reports: dict[str, dict[tuple[str, str], dict[int, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    for each in counted:
        reports[names.bare(each.provider, each.model)][each.account, each.source][each.day] += (
            each.tokens
        )
    found = [
        double
        for model, by in reports.items()
        for a, b in combinations(sorted(by), 2)
        if a[1] != b[1] and (double := _double(model, (a, by[a]), (b, by[b])))
    ]
    return sorted(found, key=lambda double: -double.tokens)


_Report = tuple[tuple[str, str], Mapping[int, int]]


def _double(model: str, one: _Report, other: _Report) -> Double | None:
    """What two reports of a model have in common, by the token or by the thousand."""
    (a, tokens), (b, others) = one, other
    for times in (1, 1000, -1000):
        first, second = max(1, -times), max(1, times)
        days = _twice(_scaled(tokens, first), _scaled(others, second))
        if days:
            of_days = sum(tokens[day] for day in days)
            return Double((a[1], b[1]), (a[0], b[0]), model, days, of_days, times)
    return None


def _scaled(tokens: Mapping[int, int], times: int) -> Mapping[int, int]:
    return {day: count * times for day, count in tokens.items()} if times > 1 else tokens


def _twice(one: Mapping[int, int], other: Mapping[int, int]) -> tuple[int, ...]:
    days = agreeing(one, other)
    if len(days) < LEAST_DAYS:
        return ()
    apart = [(a, b) for a in days for b in days if a != b]
    alike = sum(_near(one[a], other[b], NEAR) for a, b in apart)
    return days if alike <= _BY_CHANCE * len(apart) else ()


def _near(one: int, other: int, near: Fraction) -> bool:
    return abs(one - other) <= near * max(one, other)
