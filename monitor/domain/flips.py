"""What it takes to change the answer: for each input the value at which the verdict turns.

One input moves at a time, the others stay as they are. A bracket is sought on a grid of values in
floats, then narrowed on decimals of six digits with the exact model: the printed value has the
other verdict, the value next to it still has the present one. Nothing is taken to be monotone; the
volume's values come from the exact model's own ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from math import floor, log, log10
from typing import Any, Literal, NamedTuple

import numpy as np

from monitor.domain import costs, volumes
from monitor.domain.breakeven import HORIZON_MONTHS, Assessment, net, net_by_month
from monitor.domain.inputs import BY_NAME, Input, exact_text, main_key, moved, read, worded, write
from monitor.domain.ranges import Uncertainty, in_floats
from monitor.domain.scenario import MAX_REQUESTS, Scenario

Answer = Literal["verdict", "net"]
LONGEST = Fraction(60)
"""Months that a horizon may have."""

_STEPS = 64
_FACTOR = 100
_DIGITS = 5
_TRIED = 8


class Flip(NamedTuple):
    """Where one input changes an answer, the nearest such value of both directions.

    `value` has the other answer and `holds`, beside it, the present one; both None where no value
    from `low` to `high` changes it.
    """

    input: str
    answer: Answer
    """The month's verdict, or whether moving pays within the horizon."""
    now: Fraction
    value: Fraction | None
    holds: Fraction | None
    low: Fraction
    high: Fraction
    percent: float | None
    """How far away it is, of the present value; None where that is 0 or nothing flips."""
    deviations: float | None
    """The same in standard deviations of the input; None where it has none or cannot go there."""
    sentence: str


class _Lever(NamedTuple):
    """An input that is moved: up to where, and in which steps its distance is measured."""

    name: str
    spread: str | float
    """A field of Uncertainty, or a standard deviation; of the logarithm unless `bounded`."""
    most: Fraction
    """The highest value tried where the present one is 0."""
    bounded: bool = False
    """Runs from 0 to 1."""
    least: Fraction = Fraction(0)


# Where no draw stands for an input its spread is a judgement, and serves the ranking alone.
_LEVERS = (
    _Lever("volume", "volume", Fraction(MAX_REQUESTS)),
    _Lever("api_price", "api_price", Fraction(1000)),
    _Lever("input_price", "api_price", Fraction(1000)),
    _Lever("output_price", "api_price", Fraction(1000)),
    _Lever("gpu_price", "gpu_price", Fraction(1000)),
    _Lever("efficiency", "capacity", Fraction(100), least=Fraction(1, 100)),
    _Lever("people", "people", Fraction(10**7)),
    _Lever("services", 0.27, Fraction(10**7)),
    _Lever("peak", "peak", Fraction(100), least=Fraction(1)),
    _Lever("share", 0.2, Fraction(1), bounded=True),
    _Lever("cache_hit", 0.1, Fraction(1), bounded=True),
    _Lever("input_tokens", "tokens", Fraction(10**6)),
    _Lever("output_tokens", "tokens", Fraction(10**6)),
)
_OF_NET = (
    _Lever("api_trend", "api_trend", Fraction(1), bounded=True),
    _Lever("gpu_trend", "gpu_trend", Fraction(1), bounded=True),
)


def flips(found: Assessment, uncertainty: Uncertainty | None = None) -> list[Flip]:
    """One flip for each input, the nearest in standard deviations first, those without one last."""
    unsure = uncertainty or Uncertainty()
    told = [_verdict_flip(found, lever, unsure) for lever in _LEVERS]
    told += [_trend_flip(found, lever, unsure) for lever in _OF_NET]
    told += [_setup_flip(found, unsure), _horizon_flip(found)]
    return sorted(told, key=_rank)


def to_json(flip: Flip) -> dict[str, Any]:
    """A flip as JSON: values as text, exact, since they are decimals of six digits."""
    return {
        "input": flip.input,
        "answer": flip.answer,
        "now": exact_text(flip.now),
        "value": None if flip.value is None else exact_text(flip.value),
        "percent": None if flip.percent is None else round(flip.percent, 2),
        "deviations": None if flip.deviations is None else round(flip.deviations, 2),
        "sentence": flip.sentence,
    }


def saves(scenario: Scenario) -> bool:
    """Whether moving saves anything at the scenario's volume, exactly."""
    n = scenario.workload.requests_per_month
    return bool(costs.api_bill(scenario, n) > costs.hybrid_bill(scenario, n))


def _rank(flip: Flip) -> tuple[bool, float, float]:
    far = float("inf")
    deviations = far if flip.deviations is None else abs(flip.deviations)
    return flip.value is None, deviations, abs(flip.percent) if flip.percent is not None else far


def _verdict_flip(found: Assessment, lever: _Lever, unsure: Uncertainty) -> Flip:
    scenario, item = found.scenario, BY_NAME[lever.name]
    now = Fraction(read(scenario, main_key(scenario, item)))
    turns: Iterable[_Turn]
    if lever.name == "volume":
        bounds = _Bounds(Fraction(0), Fraction(MAX_REQUESTS))
        turns = _volume_turns(found)
    else:
        bounds = _bounds(lever, now)
        turns = _turns(found, item, lever, now)
    return _nearest(found, lever, unsure, now, list(turns), bounds)


class _Turn(NamedTuple):
    holds: Fraction
    value: Fraction


class _Bounds(NamedTuple):
    low: Fraction
    high: Fraction


def _nearest(
    found: Assessment,
    lever: _Lever,
    unsure: Uncertainty,
    now: Fraction,
    turns: list[_Turn],
    bounds: _Bounds,
) -> Flip:
    scenario, item = found.scenario, BY_NAME[lever.name]
    pays = saves(scenario)
    measured = [(_deviations(lever, unsure, now, turn.value), turn) for turn in turns]
    if not measured:
        return _flip(item.name, "verdict", now, None, bounds, None, _none(scenario, item, bounds))
    deviations, turn = min(
        measured, key=lambda m: (m[0] is None, abs(m[0] or 0), abs(m[1].value - now))
    )
    change = "stops being cheaper" if pays else "becomes cheaper"
    told = _moved_to(scenario, item, now, turn.value)
    sentence = f"Own service {change} when the {told}{_for_good(found, item, turn.value)}."
    return _flip(item.name, "verdict", now, turn, bounds, deviations, sentence)


def _for_good(found: Assessment, item: Input, value: Fraction) -> str:
    """What a volume leaves open: whole servers make own service dearer again above it."""
    if item.name != "volume" or value <= found.requests or value == found.crossing:
        return ""
    if saves(found.scenario):
        return ""
    if found.crossing is None:
        return ", though not at every larger one"
    return f", for good from {found.crossing:,}"


def _flip(
    name: str,
    answer: Answer,
    now: Fraction,
    turn: _Turn | None,
    bounds: _Bounds,
    deviations: float | None,
    sentence: str,
) -> Flip:
    return Flip(
        input=name,
        answer=answer,
        now=now,
        value=turn and turn.value,
        holds=turn and turn.holds,
        low=bounds.low,
        high=bounds.high,
        percent=_percent(now, turn.value) if turn else None,
        deviations=deviations,
        sentence=sentence,
    )


def _volume_turns(found: Assessment) -> Iterator[_Turn]:
    """Where the volume enters or leaves the ranges that the exact model found."""
    now = found.requests
    if found.cheaper_regions_cut and now > found.cheaper_regions[-1].start:
        yield from _turns(found, BY_NAME["volume"], _LEVERS[0], Fraction(now))
        return
    edges = {r.start for r in found.cheaper_regions}
    edges |= {r.end + 1 for r in found.cheaper_regions if r.end is not None}
    if above := [edge for edge in edges if edge > now]:
        yield _Turn(Fraction(min(above) - 1), Fraction(min(above)))
    if below := [edge for edge in edges if 0 < edge <= now]:
        yield _Turn(Fraction(max(below)), Fraction(max(below) - 1))


def _bounds(lever: _Lever, now: Fraction) -> _Bounds:
    if lever.bounded:
        return _Bounds(Fraction(0), Fraction(1))
    most = min(now * _FACTOR, lever.most) if lever.name == "volume" else now * _FACTOR
    return _Bounds(min(lever.least, now), most or lever.most)


def _turns(found: Assessment, item: Input, lever: _Lever, now: Fraction) -> Iterator[_Turn]:
    """The first turn above the present value and the first below it."""
    scenario, pays = found.scenario, saves(found.scenario)
    step = Fraction(1) if item.name == "volume" else None

    def same(value: Fraction) -> bool:
        exact = int(value) if item.name == "volume" else value
        return saves(write(scenario, moved(scenario, item, exact))) == pays

    low, high = _bounds(lever, now)
    for end in (high, low):
        values = _grid(now, end, bounded=lever.bounded or not now)
        if item.name == "volume":
            values = [Fraction(round(value)) for value in values]
        if turn := _first_turn(_suspects(scenario, item, values), same, step):
            yield turn


def _grid(now: Fraction, end: Fraction, *, bounded: bool) -> list[Fraction]:
    """From the present value to the end, evenly or by equal factors, as decimals of six digits."""
    if now == end:
        return [now]
    if bounded:
        low = float(end - now) / _STEPS
        inner = [float(now) + low * i for i in range(1, _STEPS)]
    else:
        farthest = float(end or now / _FACTOR)
        factor = (farthest / float(now)) ** (1 / _STEPS)
        inner = [float(now) * factor**i for i in range(1, _STEPS + (end == 0))]
    return [now, *(Fraction(f"{value:.6g}") for value in inner), end]


def _suspects(
    scenario: Scenario, item: Input, values: list[Fraction]
) -> Iterator[tuple[Fraction, Fraction]]:
    """Neighbours on the grid of which the farther one turns in floats, the nearest first.

    Of a share all neighbours: at 1 the account is closed, which no array can say.
    """
    if item.name == "share":
        yield from pairwise(values)
        return
    array = np.array([float(value) for value in values])
    with np.errstate(all="ignore"):
        tried = write(in_floats(scenario), moved(in_floats(scenario), item, array))
        n = tried.workload.requests_per_month
        saved = costs.api_bill(tried, n) - costs.hybrid_bill(tried, n)
        other = np.broadcast_to(np.asarray(saved > 0), len(values)) != saves(scenario)
    other = np.concatenate([[False], other[1:]])
    for i in np.flatnonzero(other[1:] & ~other[:-1])[:_TRIED].tolist():
        yield values[i], values[i + 1]


def _first_turn(
    brackets: Iterable[tuple[Fraction, Fraction]],
    same: Callable[[Fraction], bool],
    step: Fraction | None = None,
) -> _Turn | None:
    for near, far in brackets:
        if not same(far):
            return _narrowed(near, far, same, step)
    return None


def _narrowed(
    near: Fraction, far: Fraction, same: Callable[[Fraction], bool], step: Fraction | None
) -> _Turn:
    """The turn between a value that keeps the answer and one that changes it.

    On whole multiples of the step, so that the result is a short decimal.
    """
    step = step or Fraction(10) ** (floor(log10(max(abs(near), abs(far)))) - _DIGITS)
    first, last = round(near / step), round(far / step)
    holds, value = near, far
    while abs(last - first) > 1:
        middle = (first + last) // 2
        if same(middle * step):
            first, holds = middle, middle * step
        else:
            last, value = middle, middle * step
    return _Turn(holds, value)


def _trend_flip(found: Assessment, lever: _Lever, unsure: Uncertainty) -> Flip:
    """A monthly change of prices at which the year's net changes its sign."""
    scenario, item = found.scenario, BY_NAME[lever.name]
    now, bounds = Fraction(read(scenario, item.keys[0])), _Bounds(Fraction(-1, 2), Fraction(1, 2))
    pays = found.net_12_months > 0

    def same(value: Fraction) -> bool:
        return bool(net(write(scenario, {item.keys[0]: value})) > 0) == pays

    turns = [_first_turn([(now, end)], same, Fraction(1, 10**4)) for end in bounds]
    turn = min((t for t in turns if t), key=lambda t: abs(t.value - now), default=None)
    if turn is None:
        return _flip(item.name, "net", now, None, bounds, None, _none_pays(scenario, item, bounds))
    then, present = worded(scenario, item, turn.value), worded(scenario, item, now)
    sentence = f"{_change(pays=pays)} when the {item.label} is {then} (now {present})."
    deviations = _deviations(lever, unsure, now, turn.value)
    return _flip(item.name, "net", now, turn, bounds, deviations, sentence)


def _setup_flip(found: Assessment, unsure: Uncertainty) -> Flip:
    """The setup cost up to which the year's net is positive: what the year saves before it."""
    item, now = BY_NAME["setup"], found.scenario.migration.setup_usd
    before, pays = found.net_12_months + now, found.net_12_months > 0
    bounds = _Bounds(Fraction(0), max(now * _FACTOR, Fraction(10**7)))
    # A net of exactly 0 does not pay.
    least = Fraction(-(-before * 100 // 1), 100)
    paying = least - Fraction(1, 100)
    if paying < 0 or least > bounds.high:
        told = _none_pays(found.scenario, item, bounds)
        return _flip("setup", "net", now, None, bounds, None, told)
    turn = _Turn(paying, least) if pays else _Turn(least, paying)
    deviations = _deviations(_Lever("setup", "one_off", bounds.high), unsure, now, turn.value)
    sentence = f"{_change(pays=pays)} when the {_moved_to(found.scenario, item, now, turn.value)}."
    return _flip("setup", "net", now, turn, bounds, deviations, sentence)


def _horizon_flip(found: Assessment) -> Flip:
    """The number of months over which moving pays for itself, or no longer does."""
    pays, now, bounds = found.net_12_months > 0, HORIZON_MONTHS, _Bounds(Fraction(1), LONGEST)
    nets = enumerate(net_by_month(found.scenario, int(LONGEST)), start=1)
    others = [months for months, saved in nets if (saved > 0) != pays]
    if not others:
        sentence = f"No horizon from 1 to {LONGEST} months changes whether moving pays."
        return _flip("horizon", "net", Fraction(now), None, bounds, None, sentence)
    value = min(others, key=lambda months: abs(months - now))
    turn = _Turn(Fraction(value - 1 if value > now else value + 1), Fraction(value))
    told = "does not pay for itself" if pays else "pays for itself"
    sentence = f"Moving {told} over {value} months ({now} are counted)."
    return _flip("horizon", "net", Fraction(now), turn, bounds, None, sentence)


def _deviations(lever: _Lever, unsure: Uncertainty, now: Fraction, value: Fraction) -> float | None:
    """The distance in the input's own standard deviations."""
    if lever.name == "volume" and unsure.projected:
        return volumes.surprise(unsure.projected[0], float(value))
    spread = getattr(unsure, lever.spread) if isinstance(lever.spread, str) else lever.spread
    if not spread:
        return None
    if lever.bounded:
        return float(value - now) / spread
    return log(value / now) / spread if value > 0 and now > 0 else None


def _percent(now: Fraction, value: Fraction) -> float | None:
    return float(value / now - 1) * 100 if now else None


def _change(*, pays: bool) -> str:
    return f"Moving {'stops paying' if pays else 'pays'} for itself within {HORIZON_MONTHS} months"


def _moved_to(scenario: Scenario, item: Input, now: Fraction, value: Fraction) -> str:
    """`GPU price falls to $1.43 an hour (now $2 an hour, 28.5% lower)`."""
    way, side = ("rises", "higher") if value > now else ("falls", "lower")
    percent = _percent(now, value)
    far = "" if percent is None else f", {_shown(abs(percent))}% {side}"
    shown, present = (worded(scenario, item, v) for v in (value, now))
    if shown == present:
        # What four digits cannot tell apart.
        shown, present = (worded(scenario, item, v, _DIGITS + 1) for v in (value, now))
    return f"{item.label} {way} to {shown} (now {present}{far})"


def _shown(percent: float) -> str:
    if percent < 0.01:
        return "less than 0.01"
    return f"{percent:,.1f}" if percent >= 1 else f"{percent:.1g}"


def _none(
    scenario: Scenario, item: Input, bounds: _Bounds, what: str = "changes the verdict"
) -> str:
    low, high = (worded(scenario, item, bound) for bound in bounds)
    return f"No {item.label} between {low} and {high} {what}."


def _none_pays(scenario: Scenario, item: Input, bounds: _Bounds) -> str:
    what = f"changes whether moving pays within {HORIZON_MONTHS} months"
    return _none(scenario, item, bounds, what)
