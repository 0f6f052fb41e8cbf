"""The demonstration's company: three workloads whose sizes and rhythm are real (see README.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.usage import DAY, HOUR

DAYS = 120

_THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0

# Share of a day's requests by hour (UTC): office hours with an evening. Made up.
_HOURS = np.array([math.exp(-(((h - 13.5) / 5.0) ** 2)) + 0.12 for h in range(24)])
_HOURS /= _HOURS.sum()


class Part(NamedTuple):
    """One workload as the provider meters it."""

    workload: str
    project: str
    model: str
    sizes: str
    requests_a_day: float
    """On the last day of the story."""
    growth: float
    """Requests on the last day over those on the first."""
    cached_share: float


PARTS = (
    Part("support-bot", "proj_support", "gpt-5.1-2025-11-13", "conv", 525_000, 3.2, 0.25),
    Part("code-review", "proj_review", "gpt-5-mini-2025-08-07", "code", 160_000, 1.3, 0.10),
    Part("contract-search", "proj_legal", "gpt-5.1-2025-11-13", "conv", 60_000, 1.1, 0.0),
)


class Hour(NamedTuple):
    """What one workload used in one hour."""

    part: Part
    start: int
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int


@cache
def _table(name: str) -> NDArray[np.float64]:
    text = files("monitor.demo").joinpath(name).read_text("utf-8").splitlines()
    return np.array([[float(cell) for cell in line.split(",")] for line in text[1:]])


@lru_cache(maxsize=1024)
def hours(part: Part, day: int, last_day: int) -> tuple[Hour, ...]:
    """The 24 hours of a UTC day; the same day of the same story is always the same."""
    return tuple(_hours(part, day, last_day))


def _hours(part: Part, day: int, last_day: int) -> Iterator[Hour]:
    seed = [day // DAY, *part.project.encode()]
    rng = np.random.default_rng(seed)
    total = _requests(part, day, last_day)
    table = _table(f"sizes_{part.sizes}.csv")
    for hour in range(24):
        count = int(rng.poisson(total * _HOURS[hour]))
        # How often each of the 256 real sizes occurs among `count` requests.
        drawn = rng.multinomial(count, np.full(len(table), 1 / len(table)))
        context, generated = (int(drawn @ table[:, column]) for column in (0, 1))
        cached = int(context * part.cached_share)
        yield Hour(part, day + hour * HOUR, count, context, cached, generated)


def _requests(part: Part, day: int, last_day: int) -> float:
    """The rhythm ends with the story, and its Mondays fall on Mondays."""
    rhythm = _table("rhythm.csv")[:, 0]
    back = (last_day - day) // DAY
    newest = len(rhythm) - 7 + (last_day // DAY + _THURSDAY) % 7
    grown: float = part.growth ** (-back / DAYS)
    return part.requests_a_day * float(rhythm[newest - back]) * grown


def utilisation(at: int, gpu: int) -> float:
    """Percent in which a kernel ran on one of the fleet's GPUs, in one minute."""
    rng = np.random.default_rng([at, gpu])
    busy = 12 + 70 * _HOURS[at % DAY // HOUR] / _HOURS.max() - 4 * gpu
    return float(np.clip(busy + rng.normal(0, 6), 0, 100))
