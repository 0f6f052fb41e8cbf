"""Where own service is cheaper than the API: every range of volumes, and the lasting crossing.

The difference hybrid(n) - api(n) is solved for whole n in 0..10^13. Between the few volumes at
which a committed minimum is used up or the fleet begins to grow, it is

    constant + slope*n + usd_per_unit * units(n)

where a unit is a server, or a replica if GPUs are bought singly. The units grow in up to 10^13
steps and more, which `floors` searches without walking. units(n) may be a rounding of a rounding
(needed replicas to whole ones, their GPUs to whole servers). Then it is the least of a few
sequences with one rounding each, and the greatest of a few others: the difference is negative
where any of the former makes it so, positive where any of the latter does. That is needed near zero
only: where a fleet of broken units and one rounded up twice give the same sign, the sign will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from math import ceil, floor, gcd, lcm
from typing import NamedTuple, TypeVar

from monitor.domain import costs
from monitor.domain.errors import ScenarioError
from monitor.domain.floors import Line, first_negative, word
from monitor.domain.scenario import MAX_REQUESTS, ONE, ZERO, Deployment, Scenario

MAX_REGIONS = 100
MAX_LEVELS = 3_000
"""Sequences that are searched at most: some seconds. Only fleets of thousands of GPUs a replica and
a server, at prices that tie for long, have more."""


class Region(NamedTuple):
    """Whole volumes from `start` to `end`, both included; None: without an end."""

    start: int
    end: int | None


class Crossings(NamedTuple):
    """`lasting`: the least n from which own service is never dearer; None: there is none."""

    lasting: int | None
    regions: tuple[Region, ...]
    """The first ranges with own service strictly cheaper, rising."""
    cut: bool
    """There are more of them."""


def solve(scenario: Scenario, limit: int = MAX_REQUESTS) -> Crossings:
    """The crossing and the cheaper regions among the whole volumes 0..limit."""
    pieces = list(_pieces(scenario, limit))
    last = _last_dearer(pieces)
    lasting = 0 if last is None else last + 1 if last < limit else None
    regions = tuple(islice(_regions(pieces), MAX_REGIONS + 1))
    return Crossings(lasting, regions[:MAX_REGIONS], cut=len(regions) > MAX_REGIONS)


class _Bill(NamedTuple):
    """A bill that is constant + slope*n up to and including n = `last`."""

    last: int
    constant: Fraction
    slope: Fraction


class _Staircase(NamedTuple):
    """A number of units: base + height * floor((rise*n + offset) / run)."""

    base: int
    height: int
    rise: int
    offset: int
    run: int


class _Flat(NamedTuple):
    """The same number of units up to n = `last`."""

    last: int
    units: int


class _Piece(NamedTuple):
    """The difference for n in first..last: the least of `above`, the greatest of `below`."""

    first: int
    last: int
    above: list[Line]
    below: list[Line]


class _Seeker:
    """Finds where one line of a piece is negative, for bounds that only rise."""

    def __init__(self, line: Line, first: int, last: int) -> None:
        self._first = first
        self._word, self._start = word(line.shifted(first), last - first + 1)
        self._found: int | None = -1

    def at_or_after(self, n: int) -> int | None:
        """The first such volume that is not below n."""
        if self._found is not None and self._found < n:
            index = first_negative(self._word, self._start, max(0, n - self._first))
            self._found = None if index is None else self._first + index
        return self._found


def _regions(pieces: list[_Piece]) -> Iterator[Region]:
    cheaper = [_Seeker(line, p.first, p.last) for p in pieces for line in p.above]
    others = [_Seeker(line.complement(), p.first, p.last) for p in pieces for line in p.below]
    start = _first(cheaper, 0)
    while start is not None:
        end = _first(others, start)
        yield Region(start, None if end is None else end - 1)
        start = None if end is None else _first(cheaper, end)


def _last_dearer(pieces: list[_Piece]) -> int | None:
    """The last n at which own service costs more than the API."""
    for piece in reversed(pieces):
        backwards = [line.negated().mirrored(piece.last) for line in piece.below]
        back = _first([_Seeker(line, 0, piece.last - piece.first) for line in backwards], 0)
        if back is not None:
            return piece.last - back
    return None


def _first(seekers: Iterable[_Seeker], n: int) -> int | None:
    found = (seeker.at_or_after(n) for seeker in seekers)
    return min((at for at in found if at is not None), default=None)


def _pieces(scenario: Scenario, limit: int) -> Iterator[_Piece]:
    """The difference over 0..limit, cut where one of its parts changes its form."""
    share = scenario.workload.share_moved
    api = _api_bills(scenario, ONE, limit)
    rest = _api_bills(scenario, 1 - share, limit) if share < 1 else [_Bill(limit, ZERO, ZERO)]
    own = _own_bill(scenario, limit)
    fleet = _fleet(scenario, limit)
    usd_per_unit = _usd_per_unit(scenario.deployment)
    first = 0
    ends = {bill.last for bill in api + rest} | {units.last for units in fleet}
    for last in sorted(end for end in ends if end >= 0):
        saved, left, units = _at(last, api), _at(last, rest), _at(last, fleet)
        constant = own.constant + left.constant - saved.constant
        bill = _Bill(last, constant, own.slope + left.slope - saved.slope)
        if isinstance(units, _Flat) or not usd_per_unit:
            count = units.units if isinstance(units, _Flat) else 0
            line = _line(bill, usd_per_unit, _Staircase(count, 0, 0, 0, 1))
            yield _Piece(first, last, [line], [line])
        else:
            yield from _grown(first, bill, usd_per_unit, units)
        first = last + 1


_Part = TypeVar("_Part", _Bill, "_Flat | _Growing")


def _at(n: int, parts: Sequence[_Part]) -> _Part:
    return next(part for part in parts if n <= part.last)


def _grown(first: int, bill: _Bill, usd_per_unit: Fraction, units: _Growing) -> Iterator[_Piece]:
    """The difference from `first` on while the fleet grows; where it is sure, its sign alone."""
    start = first
    for end, sign in _signs(bill, usd_per_unit, units):
        last = min(end, bill.last)
        if last < start:
            continue
        if sign:
            line = Line(sign, 0, 0, 0, 0, 1)
            yield _Piece(start, last, [line], [line])
        else:
            above, below = units.stairs(start, last)
            yield _Piece(
                start,
                last,
                [_line(bill, usd_per_unit, stairs) for stairs in above],
                [_line(bill, usd_per_unit, stairs) for stairs in below],
            )
        start = last + 1


def _signs(bill: _Bill, usd_per_unit: Fraction, units: _Growing) -> list[tuple[int, int]]:
    """Up to which n the difference has which sign whatever is rounded; 0: it depends.

    The units lie in [least, least + more), `least` being those of a fleet that is not rounded.
    """
    least, each, more = units.unrounded()
    low = bill.constant + usd_per_unit * least
    high = low + usd_per_unit * more
    slope = bill.slope + usd_per_unit * each
    if not slope:
        return [(bill.last, 1 if low > 0 else -1 if high <= 0 else 0)]
    # Where low + slope*n and high + slope*n are 0, the larger n second.
    zeros = sorted((-low / slope, -high / slope))
    if slope < 0:
        return [(ceil(zeros[0]) - 1, 1), (ceil(zeros[1]) - 1, 0), (bill.last, -1)]
    return [(floor(zeros[0]), -1), (floor(zeros[1]), 0), (bill.last, 1)]


def _line(bill: _Bill, usd_per_unit: Fraction, stairs: _Staircase) -> Line:
    """Bill and units together, scaled to whole numbers: only the sign counts."""
    scale = lcm(bill.constant.denominator, bill.slope.denominator, usd_per_unit.denominator)
    return Line(
        constant=int(scale * (bill.constant + usd_per_unit * stairs.base)),
        slope=int(scale * bill.slope),
        step=int(scale * usd_per_unit) * stairs.height,
        rise=stairs.rise,
        offset=stairs.offset,
        run=stairs.run,
    )


def _api_bills(scenario: Scenario, share: Fraction, limit: int) -> list[_Bill]:
    """api(share*n): flat until the committed minimum is used up, rising after it."""
    minimum, fixed = scenario.api.minimum_usd_per_month, scenario.api.fixed_usd_per_month
    slope = share * costs.api_usd_per_request(scenario)
    flat_to = limit if fixed <= minimum else -1
    if slope:
        flat_to = min(limit, (minimum - fixed) // slope)
    return [_Bill(flat_to, minimum, ZERO), _Bill(limit, fixed, slope)]


def _own_bill(scenario: Scenario, limit: int) -> _Bill:
    """What own service costs for the moved share of n, its units left out."""
    own = scenario.deployment
    constant = own.gpu_usd_per_month + own.services_usd_per_month + own.people_usd_per_month
    slope = scenario.workload.share_moved * costs.variable_usd_per_request(scenario)
    return _Bill(limit, constant, slope)


def _usd_per_unit(deployment: Deployment) -> Fraction:
    gpus = deployment.gpus_per_server or deployment.gpus_per_replica
    rent = gpus * deployment.usd_per_gpu_hour * costs.HOURS
    owned = costs.usd_per_server(deployment.owned) if deployment.owned else ZERO
    return rent + Fraction(owned)


class _Shape(NamedTuple):
    """How replicas fit into units: `replica` and `unit` are GPUs in lowest terms."""

    replica: int
    unit: int
    spare: int

    def level(self, needed: int) -> tuple[int, int]:
        """The units for so many needed replicas, and the most needed replicas that fit them."""
        units = -(-(needed + self.spare) * self.replica // self.unit)
        return units, self.holds(units)

    def holds(self, units: int) -> int:
        """The most needed replicas that fit so many units."""
        return units * self.unit // self.replica - self.spare


def _shape(deployment: Deployment) -> _Shape:
    replica = deployment.gpus_per_replica
    unit = deployment.gpus_per_server or replica
    common = gcd(replica, unit)
    return _Shape(replica // common, unit // common, deployment.spare_replicas)


class _Growing(NamedTuple):
    """The units up to n = `last` of a fleet whose replicas are all needed, its spares aside."""

    last: int
    shape: _Shape
    per_request: Fraction

    def unrounded(self) -> tuple[Fraction, Fraction, Fraction]:
        """(least, each, more): at n there are least + each*n units, and less than `more` beyond."""
        per_replica = Fraction(self.shape.replica, self.shape.unit)
        return self.shape.spare * per_replica, self.per_request * per_replica, 1 + per_replica

    def stairs(self, first: int, last: int) -> tuple[list[_Staircase], list[_Staircase]]:
        """`above` and `below`: units(n) in first..last is the least and the greatest of them.

        Levels repeat: `shape.unit` replicas further on there are `shape.replica` units more. Each
        of the levels of one period stands for all that are whole periods away.

        Raises:
            ScenarioError: there are more than `MAX_LEVELS`.
        """
        above: list[_Staircase] = []
        below: list[_Staircase] = []
        needed = ceil(self.per_request * first)
        for _ in range(min(self.shape.replica, self.shape.unit)):
            if len(above) == MAX_LEVELS:
                raise self._too_many()
            units, holds = self.shape.level(needed)
            held = self.shape.holds(units - 1)
            above.append(self._repeated(units, holds))
            below.append(self._repeated(units - self.shape.replica, held))
            if holds >= self.per_request * last:
                break
            needed = holds + 1
        return above, below

    def _repeated(self, base: int, edge: int) -> _Staircase:
        """The units base + shape.replica * ceil((per_request*n - edge) / shape.unit)."""
        run = self.per_request.denominator * self.shape.unit
        return _Staircase(
            base=base,
            height=self.shape.replica,
            rise=self.per_request.numerator,
            offset=run - 1 - self.per_request.denominator * edge,
            run=run,
        )

    def _too_many(self) -> ScenarioError:
        return ScenarioError(
            "deployment.gpus_per_replica and deployment.gpus_per_server fit together in more than"
            f" {MAX_LEVELS:,} ways while both bills nearly tie",
            "Give one of them as a multiple of the other, or GPUs that are bought singly:"
            " deployment.gpus_per_server = 0",
        )


def _fleet(scenario: Scenario, limit: int) -> list[_Flat | _Growing]:
    """The units for the moved share of n: flat at first, then growing."""
    share, least = scenario.workload.share_moved, scenario.deployment.min_replicas
    shape = _shape(scenario.deployment)
    idle, holds = shape.level(least)
    replicas_per_request = share * costs.replicas_per_request(scenario)
    if replicas_per_request:
        flat_to = min(limit, holds // replicas_per_request)
        return [_Flat(flat_to, idle), _Growing(limit, shape, replicas_per_request)]
    busy, _ = shape.level(max(least, 1))
    return [_Flat(0, idle), _Flat(limit, busy)] if share else [_Flat(limit, idle)]
