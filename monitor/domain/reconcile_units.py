"""Bills that are right once they are multiplied: cents for dollars, tokens by the thousand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from monitor.domain import tiers_named
from monitor.domain.money import PICO
from monitor.domain.reconcile_cells import Case, Cell, finding_on, is_by_token
from monitor.domain.reconciled import FAR, LEAST, Finding

_NEAR = Fraction(FAR[0]) / 100, Fraction(FAR[1]) / 100
# Tokens by the thousand are seen only where nothing else adds much.
_NEARER = Fraction(7, 10), Fraction(7, 5)
_LIKE_OTHER_DAYS = Fraction(1, 10)
_OTHER_DAYS = 3
_RIGHT = Fraction(1)
_TIMES = (100, 1000, 10**6)
_REMEDY = "Compare one day with the provider's page, and correct what reads its amounts."


def units(case: Case) -> list[Finding]:
    """Bills that are so far from their estimate; what is left is in the right unit."""
    found = []
    for cells in case.by_provider().values():
        factors = _factors(cells)
        for factor in sorted(set(factors.values()) - {_RIGHT}):
            wrong = [c for n, c in enumerate(cells) if factors.get(n) == factor and c.charges]
            pico = sum(_multiply(cell, factor) for cell in wrong)
            one, other = ("bill", "estimate") if factor < 1 else ("estimate", "bill")
            seen = f"the {one} is about {int(max(factor, 1 / factor)):,} times the {other}"
            found += finding_on("unit", wrong, pico, seen, _REMEDY)
    return found


def _multiply(cell: Cell, factor: Fraction) -> int:
    before = cell.billed
    cell.charges = [line._replace(pico=round(line.pico * factor)) for line in cell.charges]
    return cell.take_from_bill("unit", before - sum(line.pico for line in cell.charges))


def _factors(cells: Sequence[Cell]) -> dict[int, Fraction]:
    """What the bill of each cell of a provider, by its number, is multiplied by to be right."""
    ratios = {n: Fraction(_by_token(c), c.estimated) for n, c in enumerate(cells) if _shown(c)}
    found = dict.fromkeys(ratios, _RIGHT)
    for times in _TIMES:
        for factor in (Fraction(1, times), Fraction(times)):
            wrong = [n for n in ratios if _is_near(cells[n], ratios[n] * factor, times)]
            sums = [sum(_by_token(cells[n]) for n in wrong), sum(cells[n].estimated for n in wrong)]
            if min(sums) > LEAST * PICO:
                found.update(dict.fromkeys(wrong, factor))
    right = {n: ratio * found[n] for n, ratio in ratios.items()}
    for n in [n for n, factor in found.items() if factor != _RIGHT]:
        others = [right[m] for m in _alike(cells, n, right)]
        same = sum(abs(right[n] - other) <= _LIKE_OTHER_DAYS * other for other in others)
        if same < min(_OTHER_DAYS, len(others)):
            found[n] = _RIGHT
    days: dict[int, set[Fraction]] = {}
    for n, factor in found.items():
        days.setdefault(cells[n].day, set()).add(factor)
    return {n: found.get(n) or _of_day(cell.day, days) for n, cell in enumerate(cells)}


def _by_token(cell: Cell) -> int:
    return sum(line.pico for line in cell.charges if is_by_token(line))


def _shown(cell: Cell) -> bool:
    """Whether a ratio of both sides says something."""
    return _by_token(cell) > 0 and cell.estimated > 0 and not cell.unpriced


def _is_near(cell: Cell, ratio: Fraction, times: int) -> bool:
    wide = times == min(_TIMES) or tiers_named.seen(cell.charges, cell.used)
    low, high = _NEAR if wide else _NEARER
    return low <= ratio <= high


def _alike(cells: Sequence[Cell], n: int, known: Collection[int]) -> list[int]:
    """The cells of the same model that a cell can be told by; none where a tier is named."""
    if tiers_named.seen(cells[n].charges, cells[n].used):
        return []
    return [m for m in known if m != n and cells[m].model == cells[n].model]


def _of_day(day: int, days: Mapping[int, set[Fraction]]) -> Fraction:
    """The factor that all else of a day has, or all of the days around it that show one."""
    before = max((other for other in days if other < day), default=None)
    after = min((other for other in days if other > day), default=None)
    around = [day] if day in days else [at for at in (before, after) if at is not None]
    factors = set().union(*(days[at] for at in around))
    return factors.pop() if len(factors) == 1 else _RIGHT
