"""A bill beside our own estimate of the same days: how far apart they are, and why.

Both are compared by day, provider and model. What differs is taken apart in steps, each by its own
evidence and as whole pico-USD, so that the causes add up to the difference exactly; what no
evidence explains stays unexplained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

from monitor.domain import tiers_named
from monitor.domain.aliases import provider_id
from monitor.domain.doubles import agreeing
from monitor.domain.model_names import ModelNames
from monitor.domain.money import PICO
from monitor.domain.steady import Steady, steady

Cause = Literal[
    "unpriced",
    "tier",
    "discount",
    "late data",
    "credits",
    "rounding",
    "unit",
    "double count",
    "unexplained",
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
MEANING: Mapping[Cause, str] = {
    "unpriced": "billed, and in no estimate: tokens without a known rate, or no tokens at all",
    "tier": "billed in a tier (batch, flex, priority, long context), estimated at standard",
    "discount": "the bill is a steady share of the list price",
    "late data": "one side of the day has not come, or came after the other",
    "credits": "lines below zero: credits, refunds, corrections",
    "rounding": "less than a cent for each line of a day",
    "unit": "cents where dollars are expected, tokens by the thousand, or the other way round",
    "double count": "two reports of the same traffic are both added",
    "unexplained": "no evidence says why",
}

_LEAST = Decimal(1)

# The further apart, the more a real difference (discounts, charges that are not by token) may add.
_UNIT = (Decimal(50), Decimal(200))
_DOUBLE = (Decimal("1.8"), Decimal("2.2"))
_CENT = PICO // 100
# What a bill is multiplied by to be right, and how near it must then be to the estimate. Tokens by
# the thousand are seen only where nothing else adds much.
_HUNDRED = Fraction(_UNIT[0]) / 100, Fraction(_UNIT[1]) / 100
_THOUSAND = Fraction(7, 10), Fraction(7, 5)
_UNITS = {
    Fraction(1, 100): _HUNDRED,
    Fraction(100): _HUNDRED,
    Fraction(1, 1000): _THOUSAND,
    Fraction(1000): _THOUSAND,
}
_READ_WRONG = "Compare one day with the provider's page, and correct what reads its amounts."
_DISCOUNT = (Fraction(56, 100), Fraction(995, 1000))
"""Below it a double count is as likely; above it hardly anything is agreed."""
_SURCHARGE = (Fraction(1005, 1000), Fraction(3, 2))
_QUARTER_NEAR = Fraction(1, 1000)
_REPORTS_NEAR = Fraction(5, 100)
_REPORTED_DAYS = 3
"""Fewer than without a bill: here it decides whether both are paid."""


def unit_suspicion(billed: Decimal, estimated: Decimal) -> str:
    """What the ratio of two amounts in dollars looks like; '': nothing, or too little to say.

    A ratio near 100 or 0.01 is an error in a unit, near 2 or 0.5 a double count. Any other has
    honest causes: a discount, models without a rate, charges for more than tokens.
    """
    if min(billed, estimated) <= _LEAST:
        return ""
    factor = max(billed / estimated, estimated / billed)
    if _UNIT[0] <= factor <= _UNIT[1]:
        return "a unit error: cents where dollars are expected, or the other way round"
    if _DOUBLE[0] <= factor <= _DOUBLE[1]:
        return "a double count?"
    return ""


class Charge(NamedTuple):
    """A line of a day's bill, in pico-USD; below 0 it is a credit."""

    day: int
    provider: str
    model: str
    """As the bill calls it; '' names none."""
    item: str
    tier: str
    reporter: str
    """Which stream of the source that bills."""
    pico: int


class Use(NamedTuple):
    """A day's tokens of one model from one source, as they were estimated."""

    day: int
    provider: str
    model: str
    context: str
    """What the price depends on, as `processing=batch`; '' is standard."""
    reporter: str
    """Which source and stream."""
    tokens: int
    unpriced: int
    """Tokens that are in no amount."""
    pico: int
    at_standard: bool = False
    """The context was not priced, or not surely."""


class Compared(NamedTuple):
    """A day, provider and model: both sides, and why they differ; all in pico-USD."""

    day: int
    provider: str
    model: str
    """Behind every form of its name; '': the bill names no model on this day."""
    billed: int
    estimated: int
    causes: Mapping[Cause, int]
    """They add up to billed less estimated; none is 0."""
    unpriced_tokens: int = 0


class Finding(NamedTuple):
    """What was seen behind one cause, and what helps."""

    cause: Cause
    provider: str
    models: tuple[str, ...]
    days: tuple[int, ...]
    pico: int
    seen: str
    remedy: str
    rate: Fraction | None = None
    """Of a discount: what is paid of one dollar at the list price."""


class Reconciled(NamedTuple):
    """An account's bill and estimate, compared."""

    compared: Sequence[Compared]
    findings: Sequence[Finding]


def reconcile(
    charges: Iterable[Charge],
    uses: Iterable[Use],
    open_days: Collection[int] = (),
    names: ModelNames | None = None,
) -> Reconciled:
    """Why the bill of an account differs from its estimate.

    Args:
        charges: every line of the bill, in US dollars.
        uses: everything that was estimated.
        open_days: UTC midnights of days of which the bill or the tokens are not final.
        names: tells which names are of one model.
    """
    case = _Case(list(_cells(charges, uses, names or ModelNames())), frozenset(open_days))
    steps = (
        *(_credits, _no_tokens, _absent, _units, _doubled_uses, _doubled_charges, _discounts),
        *(_tiers, _unpriced, _surcharges, _rounding, _late, _unexplained),
    )
    findings = [finding for step in steps for finding in step(case)]
    compared = [
        Compared(
            *(*cell.key, cell.whole_bill, cell.whole_estimate, _ordered(cell.causes)),
            unpriced_tokens=cell.unpriced,
        )
        for cell in case.cells
    ]
    return Reconciled(sorted(compared, key=lambda each: each[:3]), findings)


def total(compared: Iterable[Compared]) -> dict[Cause, int]:
    """Causes added up, in their order; those that are 0 in sum are left out."""
    sums: dict[Cause, int] = defaultdict(int)
    for each in compared:
        for cause, pico in each.causes.items():
            sums[cause] += pico
    return _ordered(sums)


def _ordered(causes: Mapping[Cause, int]) -> dict[Cause, int]:
    return {cause: causes[cause] for cause in CAUSES if causes.get(cause)}


@dataclass
class _Cell:
    """One day, provider and model; what a step takes leaves both sides nearer to each other."""

    key: tuple[int, str, str]
    charges: list[Charge] = field(default_factory=list)
    uses: list[tuple[str, Use]] = field(default_factory=list)
    """With each one's bare model."""
    causes: dict[Cause, int] = field(default_factory=lambda: defaultdict(int))
    billed: int = 0
    estimated: int = 0

    @property
    def day(self) -> int:
        return self.key[0]

    @property
    def provider(self) -> str:
        return self.key[1]

    @property
    def model(self) -> str:
        return self.key[2]

    @property
    def whole_bill(self) -> int:
        return sum(charge.pico for charge in self.charges)

    @property
    def whole_estimate(self) -> int:
        return sum(use.pico for _, use in self.uses)

    @property
    def rest(self) -> int:
        return self.billed - self.estimated

    @property
    def unpriced(self) -> int:
        return sum(use.unpriced for _, use in self.uses)

    @property
    def comparable(self) -> bool:
        """Whether a ratio of both sides says something."""
        return self.billed > 0 and self.estimated > 0 and not self.unpriced

    def take_from_bill(self, cause: Cause, pico: int) -> int:
        self.causes[cause] += pico
        self.billed -= pico
        return pico

    def take(self, cause: Cause, pico: int) -> int:
        """A part of the rest that a cause explains: the estimate moves toward the bill."""
        self.causes[cause] += pico
        self.estimated += pico
        return pico


class _Case(NamedTuple):
    cells: list[_Cell]
    open_days: frozenset[int]

    def by_provider(self) -> dict[str, list[_Cell]]:
        found: dict[str, list[_Cell]] = defaultdict(list)
        for cell in self.cells:
            found[cell.provider].append(cell)
        return found


def _cells(charges: Iterable[Charge], uses: Iterable[Use], names: ModelNames) -> Iterator[_Cell]:
    """By day, provider and model; where a day's bill names no model, its models are one."""
    found: dict[tuple[int, str, str], _Cell] = {}
    naming: dict[tuple[int, str], bool] = defaultdict(bool)
    for charge in charges:
        model = names.bare(charge.provider, charge.model)
        key = (charge.day, provider_id(charge.provider), model)
        found.setdefault(key, _Cell(key)).charges.append(charge)
        if charge.pico > 0 and not tiers_named.not_by_token(charge.item, charge.model):
            naming[key[:2]] |= bool(model)
    for use in uses:
        model, provider = names.bare(use.provider, use.model), provider_id(use.provider)
        key = (use.day, provider, model if naming.get((use.day, provider), True) else "")
        found.setdefault(key, _Cell(key)).uses.append((model, use))
    for cell in found.values():
        cell.billed, cell.estimated = cell.whole_bill, cell.whole_estimate
        yield cell


def _said(
    cause: Cause, cells: Sequence[_Cell], pico: int, seen: str, remedy: str = ""
) -> list[Finding]:
    """One finding about these cells, all of one provider; none about none."""
    if not cells or not pico:
        return []
    models = sorted({model for cell in cells for model in _models(cell)})
    days = sorted({cell.day for cell in cells})
    found = Finding(cause, cells[0].provider, tuple(models), tuple(days), pico, seen, remedy)
    return [found]


def _models(cell: _Cell) -> Iterator[str]:
    yield from filter(None, [cell.model, *(model for model, _ in cell.uses)])


def _each_provider(
    case: _Case, cause: Cause, took: Mapping[int, int], *words: str
) -> list[Finding]:
    """A finding for each provider from what was taken, by the number of the cell."""
    found = []
    for cells in _grouped(case, took).values():
        pico = sum(took[number] for number, _ in cells)
        found += _said(cause, [cell for _, cell in cells], pico, *words)
    return found


def _grouped(case: _Case, took: Mapping[int, int]) -> dict[str, list[tuple[int, _Cell]]]:
    groups: dict[str, list[tuple[int, _Cell]]] = defaultdict(list)
    for number, cell in enumerate(case.cells):
        if took.get(number):
            groups[cell.provider].append((number, cell))
    return groups


def _credits(case: _Case) -> list[Finding]:
    took = {}
    for number, cell in enumerate(case.cells):
        credit = sum(charge.pico for charge in cell.charges if charge.pico < 0)
        took[number] = cell.take_from_bill("credits", credit)
    return _each_provider(case, "credits", took, "lines of the bill are below zero")


def _no_tokens(case: _Case) -> list[Finding]:
    """Charges that name something else than tokens: no rate of ours covers them."""
    took = {}
    for number, cell in enumerate(case.cells):
        other = sum(
            charge.pico
            for charge in cell.charges
            if charge.pico > 0 and tiers_named.not_by_token(charge.item, charge.model)
        )
        took[number] = cell.take_from_bill("unpriced", other)
    seen = "charges that are not by token"
    return _each_provider(case, "unpriced", took, seen, "They stay beside the estimate.")


def _absent(case: _Case) -> list[Finding]:
    """One side of a day has not come: it did on other days, or the day is not final."""
    found = []
    for cells in case.by_provider().values():
        billed, used = _Presence.of(cells, bill=True), _Presence.of(cells, bill=False)
        without_bill = [
            cell
            for cell in cells
            if cell.billed == 0 and cell.estimated > 0 and _is_late(cell, billed, case.open_days)
        ]
        without_use = [
            cell
            for cell in cells
            if cell.billed > 0 and not cell.uses and _is_late(cell, used, case.open_days)
        ]
        for late, side in ((without_bill, "bill"), (without_use, "tokens")):
            pico = sum(cell.take("late data", cell.rest) for cell in late)
            seen = f"the {side} of these days has not come"
            found += _said("late data", late, pico, seen, "Ask for them: `crossover collect`.")
    return found


class _Presence(NamedTuple):
    """Where one side of a provider has anything."""

    days: frozenset[int]
    models: frozenset[str]

    @classmethod
    def of(cls, cells: Sequence[_Cell], *, bill: bool) -> _Presence:
        has = [cell for cell in cells if (cell.billed > 0 if bill else cell.uses)]
        models = {cell.model for cell in has if cell.model}
        return cls(frozenset(cell.day for cell in has), frozenset(models))


def _is_late(cell: _Cell, other: _Presence, open_days: frozenset[int]) -> bool:
    """Whether the side that is missing would be expected, having come on other days."""
    if cell.day in open_days:
        return True
    return bool(other.days) if cell.day not in other.days else cell.model in other.models


def _units(case: _Case) -> list[Finding]:
    found = []
    for cells in case.by_provider().values():
        for factor, near in _UNITS.items():
            days = _wrong_by(cells, factor, near)
            wrong = [cell for cell in cells if cell.day in days and cell.billed]
            pico = 0
            for cell in wrong:
                pico += cell.take_from_bill("unit", cell.billed - round(cell.billed * factor))
            seen = f"the bill is about {float(1 / factor):g} times the estimate"
            found += _said("unit", wrong, pico, seen, _READ_WRONG)
    return found


def _wrong_by(
    cells: Sequence[_Cell], factor: Fraction, near: tuple[Fraction, Fraction]
) -> set[int]:
    """The days of a provider whose bill is right once it is multiplied by the factor."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for cell in cells:
        if cell.comparable:
            sums[cell.day][0] += cell.billed
            sums[cell.day][1] += cell.estimated
    days = {d: both for d, both in sums.items() if near[0] <= both[0] * factor / both[1] <= near[1]}
    least = min(sum(both[side] for both in days.values()) for side in (0, 1))
    return set(days) if least > _LEAST * PICO else set()


def _doubled_uses(case: _Case) -> list[Finding]:
    """Two sources that count the same tokens, where the bill is nearer to one of them."""
    found = []
    for cells in case.by_provider().values():
        tokens: dict[str, dict[str, dict[int, int]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(int))
        )
        for cell in cells:
            for model, use in cell.uses:
                tokens[model][use.reporter][use.day] += use.tokens
        for model, reports in tokens.items():
            found += _doubled_model(cells, model, reports)
    return found


def _doubled_model(
    cells: Sequence[_Cell], model: str, reports: Mapping[str, Mapping[int, int]]
) -> list[Finding]:
    # The fullest report stays; equals by name, so that a month is told alike each time.
    first, *others = sorted(reports, key=lambda name: (-sum(reports[name].values()), name))
    found = []
    for other in others:
        days = agreeing(reports[first], reports[other], _REPORTS_NEAR)
        if len(days) < _REPORTED_DAYS:
            continue
        more = [
            (cell, sum(u.pico for name, u in cell.uses if (name, u.reporter) == (model, other)))
            for cell in cells
            if cell.day in days and cell.billed > 0
        ]
        if _nearer([(cell.rest, pico) for cell, pico in more]):
            pico = sum(cell.take("double count", -pico) for cell, pico in more if pico)
            seen = f"{first} and {other} both count {model}"
            remedy = "Name the one that counts: `tokens_from` in the [[account]]."
            found += _said("double count", [c for c, pico in more if pico], pico, seen, remedy)
    return found


def _nearer(pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether the rests are smaller in sum once these amounts are added to them."""
    return sum(abs(rest + more) for rest, more in pairs) < sum(abs(rest) for rest, _ in pairs)


def _doubled_charges(case: _Case) -> list[Finding]:
    """Two streams of the source that bills, which both hold the whole bill."""
    found = []
    for cells in case.by_provider().values():
        days: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for cell in cells:
            for charge in cell.charges:
                if charge.pico > 0:
                    days[charge.reporter][charge.day] += charge.pico
        if len(days) < 2:
            continue
        first, *others = sorted(days, key=lambda name: (-sum(days[name].values()), name))
        for other in others:
            both = agreeing(days[first], days[other])
            if len(both) < _REPORTED_DAYS:
                continue
            more = [(cell, _of_reporter(cell, other)) for cell in cells if cell.day in both]
            if _nearer([(cell.rest, -pico) for cell, pico in more]):
                pico = sum(cell.take_from_bill("double count", pico) for cell, pico in more)
                seen = f"{first} and {other} both hold the bill"
                found += _said("double count", [cell for cell, pico in more if pico], pico, seen)
    return found


def _of_reporter(cell: _Cell, reporter: str) -> int:
    """What a stream billed in a cell, as far as no step has taken it."""
    pico = sum(c.pico for c in cell.charges if c.reporter == reporter and c.pico > 0)
    return min(pico, max(cell.billed, 0))


def _discounts(case: _Case) -> list[Finding]:
    found = []
    for cells in case.by_provider().values():
        rates = _rates(cells, case.open_days, _DISCOUNT)
        by_rate: dict[Fraction, list[tuple[_Cell, int]]] = defaultdict(list)
        for cell in cells:
            rate = _rate_of(cell, rates)
            if rate is not None and cell.estimated > 0 and cell.billed > 0:
                less = round(cell.estimated * (rate - 1))
                if tiers_named.seen(cell.charges, _uses(cell)) or _nearer([(cell.rest, -less)]):
                    by_rate[rate].append((cell, cell.take("discount", less)))
        for rate, taken in by_rate.items():
            share = f"{float(rate):.4g}"
            seen = f"the bill is {share} of the list price"
            said = _said("discount", [c for c, _ in taken], sum(p for _, p in taken), seen)
            found += [each._replace(rate=rate) for each in said]
    return found


def _surcharges(case: _Case) -> list[Finding]:
    """A bill that is steadily more than the list price: told, but nothing says what for."""
    found = []
    for cells in case.by_provider().values():
        for model, rate in _rates(cells, case.open_days, _SURCHARGE).items():
            named = [c for c in cells if c.model == model and rate.first <= c.day <= rate.last]
            seen = f"the bill is {float(rate.rate):.4g} times the list price"
            said = _said("unexplained", named, sum(cell.rest for cell in named), seen)
            found += [each._replace(rate=rate.rate) for each in said]
    return found


def _rates(
    cells: Sequence[_Cell], open_days: frozenset[int], band: tuple[Fraction, Fraction]
) -> dict[str, Steady]:
    """Model -> the steady ratio of its bill to its estimate, where there is one."""
    points: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for cell in cells:
        plain = cell.comparable and cell.day not in open_days
        if plain and not tiers_named.seen(cell.charges, _uses(cell)):
            points[cell.model].append((cell.day, cell.billed, cell.estimated))
    found = {model: steady(of, band) for model, of in points.items()}
    return {model: rate for model, rate in found.items() if rate is not None}


def _rate_of(cell: _Cell, rates: Mapping[str, Steady]) -> Fraction | None:
    """The rate of a cell's model on its day, or that of all other models of the provider."""
    own = rates.get(cell.model)
    if own is None:
        every = list(rates.values())
        if len({rate.rate for rate in every}) != 1 or not _fits(cell, every[0].rate):
            return None
        first, last = min(r.first for r in every), max(r.last for r in every)
        own = Steady(every[0].rate, first, last)
    return own.rate if own.first <= cell.day <= own.last else None


def _fits(cell: _Cell, rate: Fraction) -> bool:
    """Whether other models' rate leaves what a tier alone would: whole quarters of standard."""
    if not tiers_named.seen(cell.charges, _uses(cell)) or cell.estimated <= 0:
        return True
    ratio = Fraction(cell.billed, cell.estimated)
    return _in_quarters(ratio / rate) and not _in_quarters(ratio)


def _in_quarters(ratio: Fraction) -> bool:
    return abs(ratio * 4 - round(ratio * 4)) <= _QUARTER_NEAR


def _uses(cell: _Cell) -> list[Use]:
    return [use for _, use in cell.uses]


def _tiers(case: _Case) -> list[Finding]:
    """Lines that name a tier which the estimate does not: as far as such tiers differ."""
    took = {}
    for number, cell in enumerate(case.cells):
        low, high = tiers_named.room(cell.charges, _uses(cell))
        if cell.billed > 0 and cell.estimated > 0 and (low or high):
            took[number] = cell.take("tier", min(max(cell.rest, low), high))
    seen = "the bill names a tier that the estimate prices as standard"
    remedy = "Group the tokens by tier, or give its price: a [[prices.override]] with a context."
    return _each_provider(case, "tier", took, seen, remedy)


def _unpriced(case: _Case) -> list[Finding]:
    took = {
        number: cell.take("unpriced", cell.rest)
        for number, cell in enumerate(case.cells)
        if cell.unpriced and cell.rest > 0 and cell.charges
    }
    seen = "tokens without a known rate were billed"
    return _each_provider(case, "unpriced", took, seen, "Give their price: a [[prices.override]].")


def _rounding(case: _Case) -> list[Finding]:
    took = {
        number: cell.take("rounding", cell.rest)
        for number, cell in enumerate(case.cells)
        if abs(cell.rest) < _CENT * max(1, len(cell.charges))
    }
    return _each_provider(case, "rounding", took, "less than a cent for each line of a day")


def _late(case: _Case) -> list[Finding]:
    took = {
        number: cell.take("late data", cell.rest)
        for number, cell in enumerate(case.cells)
        if cell.rest and cell.day in case.open_days
    }
    seen = "the bill or the tokens of these days are not final"
    return _each_provider(case, "late data", took, seen, "They will be compared once they are.")


def _unexplained(case: _Case) -> list[Finding]:
    for cell in case.cells:
        if cell.rest:
            cell.take("unexplained", cell.rest)
    return []
