"""Steady ratios of a bill to its estimate: an agreed discount, or more than the list price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from monitor.domain import tiers_named
from monitor.domain.reconcile_cells import Case, Cell, finding_on, nearer, plain
from monitor.domain.reconciled import Finding
from monitor.domain.steady import Steady, steady

_DISCOUNT = (Fraction(56, 100), Fraction(995, 1000))
"""Below it a double count is as likely; above it hardly anything is agreed."""
_TOLD = ((Fraction(1005, 1000), Fraction(3)), (Fraction(1, 10), _DISCOUNT[0]))
_TWICE = Fraction(1, 10)
"""How near a ratio is to a half or to two where a double count is as likely."""
_QUARTER_NEAR = Fraction(1, 1000)


def discounts(case: Case) -> list[Finding]:
    """As far as a steady share of the list price explains the bill."""
    found = []
    for cells in case.by_provider().values():
        rates = _rates(cells, case.open_days, _DISCOUNT)
        by_rate: dict[Fraction, list[tuple[Cell, int]]] = defaultdict(list)
        for cell in cells:
            rate = _rate_of(cell, rates)
            if rate is not None and cell.estimated > 0 and cell.billed > 0:
                less = round(cell.estimated * (rate - 1))
                if tiers_named.seen(cell.charges, cell.used) or nearer([(cell.rest, -less)]):
                    by_rate[rate].append((cell, cell.take("discount", less)))
        for rate, taken in by_rate.items():
            share = f"{float(rate):.4g}"
            seen = f"the bill is {share} of the list price"
            said = finding_on("discount", [c for c, _ in taken], sum(p for _, p in taken), seen)
            found += [each._replace(rate=rate) for each in said]
    return found


def other_prices(case: Case) -> list[Finding]:
    """A bill that is steadily more than the list price, or half and less: told, not explained."""
    found = []
    for cells in case.by_provider().values():
        rates = [_rates(cells, case.open_days, band) for band in _TOLD]
        for model, rate in [pair for each in rates for pair in each.items()]:
            named = [c for c in cells if c.model == model and rate.first <= c.day <= rate.last]
            seen = f"the bill is {float(rate.rate):.4g} times the list price"
            if min(abs(rate.rate * 2 - 1), abs(rate.rate / 2 - 1)) <= _TWICE:
                seen += ": another price, or one side counts twice"
            said = finding_on("unexplained", named, sum(cell.rest for cell in named), seen)
            found += [each._replace(rate=rate.rate) for each in said]
    return found


def _rates(
    cells: Sequence[Cell], open_days: frozenset[int], band: tuple[Fraction, Fraction]
) -> dict[str, Steady]:
    """Model -> the steady ratio of its bill to its estimate, where there is one."""
    points: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for cell in cells:
        if plain(cell, open_days):
            points[cell.model].append((cell.day, cell.billed, cell.estimated))
    found = {model: steady(of, band) for model, of in points.items()}
    return {model: rate for model, rate in found.items() if rate is not None}


def _rate_of(cell: Cell, rates: Mapping[str, Steady]) -> Fraction | None:
    """The rate of a cell's model on its day, or that of all other models of the provider."""
    own = rates.get(cell.model)
    if own is None:
        every = list(rates.values())
        if len({rate.rate for rate in every}) != 1 or not _fits(cell, every[0].rate):
            return None
        first, last = min(r.first for r in every), max(r.last for r in every)
        own = Steady(every[0].rate, first, last)
    return own.rate if own.first <= cell.day <= own.last else None


def _fits(cell: Cell, rate: Fraction) -> bool:
    """Whether other models' rate leaves what a tier alone would: whole quarters of standard."""
    if not tiers_named.seen(cell.charges, cell.used) or cell.estimated <= 0:
        return True
    ratio = Fraction(cell.billed, cell.estimated)
    return _in_quarters(ratio / rate) and not _in_quarters(ratio)


def _in_quarters(ratio: Fraction) -> bool:
    return abs(ratio * 4 - round(ratio * 4)) <= _QUARTER_NEAR
