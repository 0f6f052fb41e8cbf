"""Made-up years of a workload's volume around its break-even, with the truth beside them.

Four kinds: `slow` drifts through the break-even over months, `abrupt` jumps over it in a day,
`hover` walks around it all year, `away` stays below. All have weekdays, noisy days that resemble
their neighbours, and spikes. What is seen of them has gaps of some days, and days that are first
reported too low and restated three days later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["slow", "abrupt", "hover", "away"]
KINDS: tuple[Kind, ...] = ("slow", "abrupt", "hover", "away")

BEFORE, YEAR = 140, 365
CROSSING = 3_000_000
"""The break-even volume of a month."""
_PER_DAY = CROSSING / (365.25 / 12)
_DAY = 86_400


class Year(NamedTuple):
    """One workload; day 0 of all arrays lies BEFORE days before the year."""

    kind: Kind
    level: NDArray[np.float64]
    """The truth: log of the volume over the break-even, without noise and weekdays."""
    final: NDArray[np.int64]
    first: NDArray[np.int64]
    """As a day was reported until it was restated."""
    missing: NDArray[np.bool_]

    def known(self, day: int, start: int) -> Mapping[int, int | None]:
        """What was known when day `day - 1` had closed, by midnight from epoch second `start`."""
        values = np.where(np.arange(day) >= day - 3, self.first[:day], self.final[:day])
        return {
            start + n * _DAY: None if self.missing[n] else int(values[n])
            for n in range(max(day - BEFORE, 0), day)
        }

    def true_crossings(self) -> list[tuple[int, int]]:
        """Day and direction (1: up) of each change of the level's sign within the year."""
        above = self.level > 0
        changes = np.flatnonzero(above[1:] != above[:-1]) + 1
        return [(int(day), 1 if above[day] else -1) for day in changes if day >= BEFORE]


def year(kind: Kind, seed: int) -> Year:
    """The same year for the same kind and seed."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    count = BEFORE + YEAR
    level = _LEVELS[kind](rng, count)
    weekend = rng.uniform(0.25, 1.0)
    week = np.array([1, 1.03, 1.02, 1, 0.95, weekend, weekend])
    spread, alike = rng.uniform(0.06, 0.22), 0.3
    noise = np.zeros(count)
    for day, shock in enumerate(rng.normal(0, spread * np.sqrt(1 - alike**2), count)):
        noise[day] = (alike * noise[day - 1] if day else 0.0) + shock
    noise += (rng.random(count) < 0.004) * rng.uniform(0.7, 1.6, count)
    final = np.rint(_PER_DAY * np.exp(level + noise) * (week / week.mean())[np.arange(count) % 7])
    missing = np.zeros(count, dtype=bool)
    for day in np.flatnonzero(rng.random(count) < 0.008):
        missing[day : day + rng.integers(1, 5)] = True
    late = np.where(rng.random(count) < 0.05, rng.uniform(0.6, 0.97, count), 1.0)
    first = np.rint(final * late)
    return Year(kind, level, final.astype(np.int64), first.astype(np.int64), missing)


def _slow(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Half to double, or back, in 300 to 1,000 days, and through the break-even in the year."""
    slope = rng.choice([1, -1]) * np.log(2) / rng.uniform(150, 500)
    at = BEFORE + rng.uniform(90, 330)
    return slope * (np.arange(count) - at) + np.cumsum(rng.normal(0, 0.006, count))


def _abrupt(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """From 22-59% below to 35-200% above within a day, or the other way."""
    at = BEFORE + int(rng.integers(40, 330))
    low, high = -rng.uniform(0.25, 0.9), rng.uniform(0.3, 1.1)
    before, after = (low, high) if rng.random() < 0.5 else (high, low)
    return np.where(np.arange(count) < at, before, after) + np.cumsum(rng.normal(0, 0.004, count))


def _hover(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """A walk that is drawn back to the break-even."""
    steps = rng.normal(0, rng.uniform(0.008, 0.03), count)
    level = np.zeros(count)
    for day, step in enumerate(steps):
        level[day] = (0.98 * level[day - 1] if day else 0.0) + step
    return level


def _away(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """33-70% below, never within 18% of the break-even."""
    walk = -rng.uniform(0.4, 1.2) + np.cumsum(rng.normal(0, 0.006, count))
    return np.minimum(walk, -0.2)


_LEVELS = {"slow": _slow, "abrupt": _abrupt, "hover": _hover, "away": _away}
