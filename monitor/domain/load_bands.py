"""What own engines were measured to do at each load: tokens, requests and latency by band.

A band is a range of mean running requests, each twice as high as the one below. Between bands the
rates are interpolated; beyond the highest measured load there is no figure, only the highest one
and a word that it is exceeded. An hour without readings is left out and counted: it is not idle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from monitor.domain import costs
from monitor.domain.scenario import ONE, ZERO, Api, Deployment, Migration, Scenario, Workload

MINUTE = 60
_ABSURD = 10**9


class EngineHour(NamedTuple):
    """One hour of one engine. Tokens are counts; `prompt_tokens` has the cached ones in it.

    A histogram maps the upper bound of a bucket, in requests or seconds ("+Inf" for the last), to
    the count in that bucket alone. None: not measured.
    """

    engine_id: int
    hour: int
    minutes: int
    requests: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    running_mean: float | None
    waiting_mean: float | None
    load_histogram: Mapping[str, float] | None
    latency_histogram: Mapping[str, float] | None


@dataclass(frozen=True)
class Band:
    """One range of load, [least, below) running requests; rates are per second and engine."""

    least: float
    below: float
    load: float
    """The mean load inside it."""
    hours: float
    """Measured time behind it, in hours."""
    requests_per_second: float
    prompt_tokens_per_second: float
    cached_tokens_per_second: float
    output_tokens_per_second: float
    waiting: float | None
    """Mean requests in the queue; None: not measured."""
    latency_p50: float | None
    """Seconds; None: no latencies were measured in this band."""
    latency_p95: float | None


class Reading(NamedTuple):
    """A rate at a load; `beyond` says that the load is higher than any that was measured."""

    output_tokens_per_second: float
    requests_per_second: float
    beyond: bool
    said: str


@dataclass(frozen=True)
class Measured:
    """Bands from the lowest load to the highest; at least one."""

    bands: Sequence[Band]
    hours: float
    hours_without_readings: int

    def at(self, load: float) -> Reading:
        """The rates at a load: straight lines between the bands, from nothing at no load.

        Raises:
            ValueError: the load is negative or not a number.
        """
        if not load >= 0 or math.isinf(load):
            raise ValueError(f"a load of {load} is not a number of running requests")
        top = self.bands[-1]
        beyond = load > top.load
        points = [(0.0, 0.0, 0.0)] + [
            (b.load, b.output_tokens_per_second, b.requests_per_second) for b in self.bands
        ]
        said = f"between measured loads; {self.hours:.0f} hours in all"
        if beyond:
            said = (
                f"beyond the highest measured load, {top.load:.1f} running requests"
                f" ({top.hours:.0f} hours): its rates are shown, more is not known"
            )
        return Reading(
            _between([(x, y) for x, y, _ in points], load),
            _between([(x, y) for x, _, y in points], load),
            beyond,
            said,
        )

    @property
    def saturated(self) -> Band | None:
        """The busiest band if requests queued in it for a day in all: more load gives no more.

        None: the engines were never full for long enough, so what they can do is not known.
        """
        top = max(self.bands, key=lambda band: band.output_tokens_per_second)
        full = (top.waiting or 0) >= 1 and top.hours >= 24 and top.requests_per_second > 0
        return top if full else None

    def within(self, seconds: float) -> Band | None:
        """The busiest band whose 95% latency is at most this long; None: there is none."""
        kept = [b for b in self.bands if b.latency_p95 is not None and b.latency_p95 <= seconds]
        return max(kept, key=lambda b: b.output_tokens_per_second, default=None)


def measured(rows: Sequence[EngineHour]) -> Measured | str:
    """The bands of these hours, or a text that says why there are none."""
    usable: dict[int, list[tuple[EngineHour, float]]] = {}
    missing = 0
    for row in rows:
        load = _load(row)
        if load is None or row.output_tokens is None or row.minutes <= 0:
            missing += 1
        elif 0 < load < _ABSURD:
            usable.setdefault(_octave(load), []).append((row, load))
    if not usable:
        return (
            f"No hour of an engine shows tokens under load; {missing} hours are without readings."
        )
    bands = [_band(octave, usable[octave]) for octave in sorted(usable)]
    return Measured(bands, sum(band.hours for band in bands), missing)


def as_measured(deployment: Deployment, top: Band) -> Deployment:
    """The deployment with its own software's measured efficiency, at the shape of its requests.

    The formula then gives the measured rate for requests like those measured, and its own terms
    tell how others differ. Without rates the measured output of a GPU becomes the rate.
    """
    rate = top.requests_per_second
    fresh = max(0.0, top.prompt_tokens_per_second - top.cached_tokens_per_second) / rate
    shape = Workload(
        requests_per_month=1,
        input_tokens=_exact(fresh),
        output_tokens=_exact(top.output_tokens_per_second / rate),
    )
    free = Api(input_usd_per_million=ZERO, output_usd_per_million=ZERO)
    plain = replace(deployment, prefix_cache_hit_share=ZERO)
    seconds = float(
        costs.gpu_seconds(
            Scenario(workload=shape, api=free, deployment=plain, migration=Migration())
        )
    )
    efficiency = _exact(rate * seconds / deployment.gpus_per_replica)
    if efficiency > 0:
        return replace(deployment, software_efficiency=efficiency)
    per_gpu = _exact(top.output_tokens_per_second / deployment.gpus_per_replica)
    return replace(deployment, gpu_output_tokens_per_second=per_gpu, software_efficiency=ONE)


def _exact(value: float) -> Fraction:
    """Six significant digits, as a number that a document holds exactly."""
    return Fraction(f"{value:.6g}")


def quantile(histogram: Mapping[str, float], share: float) -> float | None:
    """The value below which this share of the counts lies, straight inside a bucket.

    Above the last finite bound that bound is the answer: more is not known. None: no counts.
    """
    buckets = sorted((_bound(bound), count) for bound, count in histogram.items())
    total = sum(count for _, count in buckets)
    if total <= 0:
        return None
    wanted, seen, low = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count > 0 and seen + count >= wanted:
            inside = (wanted - seen) / count
            return low if math.isinf(bound) else low + (bound - low) * inside
        seen += count
        low = low if math.isinf(bound) else bound
    return low


def read_histogram(text: str | None) -> Mapping[str, float] | None:
    """A stored histogram; None where there is none or it cannot be read: unknown is not zero."""
    try:
        found = json.loads(text or "null")
        counts = {str(bound): float(count) for bound, count in found.items()}
        for bound in counts:
            _bound(bound)
    except (ValueError, TypeError, AttributeError):
        return None
    return counts if all(0 <= count < math.inf for count in counts.values()) else None


def _load(row: EngineHour) -> float | None:
    """Mean running requests, from their histogram where no mean was stored."""
    if row.running_mean is not None:
        return row.running_mean if 0 <= row.running_mean < _ABSURD else None
    return quantile(row.load_histogram, 0.5) if row.load_histogram else None


def _octave(load: float) -> int:
    """0 up to one running request, then one more for each doubling."""
    return 0 if load < 1 else math.frexp(load)[1]


def _band(octave: int, rows: Sequence[tuple[EngineHour, float]]) -> Band:
    minutes = sum(row.minutes for row, _ in rows)
    latencies = _merged([row.latency_histogram for row, _ in rows])
    least = 0.0 if octave == 0 else math.ldexp(1, octave - 1)

    def rate(counts: Sequence[int | None]) -> float:
        """Over the minutes in which it was counted: an hour without a count is not an idle one."""
        known = [
            (n, row.minutes) for n, (row, _) in zip(counts, rows, strict=True) if n is not None
        ]
        counted = sum(each for _, each in known)
        return sum(n for n, _ in known) / (counted * MINUTE) if counted else 0.0

    return Band(
        least=least,
        below=max(1.0, least * 2),
        load=sum(load * row.minutes for row, load in rows) / minutes,
        hours=minutes / 60,
        requests_per_second=rate([row.requests for row, _ in rows]),
        prompt_tokens_per_second=rate([row.prompt_tokens for row, _ in rows]),
        cached_tokens_per_second=rate([row.cached_tokens for row, _ in rows]),
        output_tokens_per_second=rate([row.output_tokens for row, _ in rows]),
        waiting=_mean([(row.waiting_mean, row.minutes) for row, _ in rows]),
        latency_p50=quantile(latencies, 0.5),
        latency_p95=quantile(latencies, 0.95),
    )


def _mean(values: Sequence[tuple[float | None, int]]) -> float | None:
    """The mean by minutes of what was measured."""
    known = [(x, minutes) for x, minutes in values if x is not None and 0 <= x < _ABSURD]
    return sum(x * m for x, m in known) / sum(m for _, m in known) if known else None


def _merged(histograms: Sequence[Mapping[str, float] | None]) -> dict[str, float]:
    total: dict[str, float] = {}
    for histogram in histograms:
        for bound, count in (histogram or {}).items():
            total[bound] = total.get(bound, 0.0) + count
    return total


def _between(points: Sequence[tuple[float, float]], x: float) -> float:
    """The straight line through the two points around x; the last point beyond it."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x == x1:
            return y1
        if x < x1:
            # Never past an end by a rounding: a rate lies between those around it.
            y = y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
            return min(max(y, min(y0, y1)), max(y0, y1))
    return points[-1][1]


def _bound(text: str) -> float:
    bound = math.inf if text == "+Inf" else float(text)
    if math.isnan(bound) or bound < 0:
        raise ValueError(text)
    return bound
