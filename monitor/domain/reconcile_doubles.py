"""Two reports of the same traffic, or of the same bill, that were both added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from monitor.domain.doubles import agreeing
from monitor.domain.reconcile_cells import Case, Cell, finding_on, nearer, plain
from monitor.domain.reconciled import Finding
from monitor.domain.steady import LEAST_DAYS, SHARE

_REPORTS_NEAR = Fraction(5, 100)
_REPORTED_DAYS = 3
"""Fewer than without a bill: here it decides whether both are paid."""
_BILL_NEAR = Fraction(5, 1000)
_MOST = Fraction(4, 5)
_TWICE_NEAR = Fraction(2, 1000)


def doubled_uses(case: Case) -> list[Finding]:
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
    cells: Sequence[Cell], model: str, reports: Mapping[str, Mapping[int, int]]
) -> list[Finding]:
    # The fullest report stays; equals by name, so that a month is told alike each time.
    first, *others = sorted(reports, key=lambda name: (-sum(reports[name].values()), name))
    found = []
    for other in others:
        both = [
            (cell, sum(u.pico for name, u in cell.uses if (name, u.reporter) == (model, other)))
            for cell in cells
            if cell.billed > 0 and reports[first].get(cell.day) and reports[other].get(cell.day)
        ]
        days: Collection[int] = agreeing(reports[first], reports[other], _REPORTS_NEAR)
        if len(days) < _REPORTED_DAYS:
            days = _paid_once(both, reports[first], reports[other])
        more = [(cell, pico) for cell, pico in both if cell.day in days]
        if nearer([(cell.rest, pico) for cell, pico in more]):
            pico = sum(cell.take("double count", -pico) for cell, pico in more if pico)
            seen = f"{first} and {other} both count {model}"
            remedy = "Name the one that counts: `tokens_from` in `[account.NAME]`."
            found += finding_on("double count", [c for c, pico in more if pico], pico, seen, remedy)
    return found


def _paid_once(
    both: Sequence[tuple[Cell, int]], one: Mapping[int, int], other: Mapping[int, int]
) -> set[int]:
    """The days on which the bill is that of one report alone.

    Most of the common days must be such, as where a gateway sees a part of the traffic; or both
    have the same tokens to the last one.
    """
    reported = [(cell, pico) for cell, pico in both if pico > 0]
    alone = {
        cell.day
        for cell, pico in reported
        if abs(cell.rest + pico) <= _BILL_NEAR * cell.billed < abs(cell.rest)
    }
    common = len({cell.day for cell, _ in reported})
    if len(alone) >= _REPORTED_DAYS and len(alone) >= _MOST * common:
        return alone
    return {day for day in alone if one[day] == other[day]}


def doubled_charges(case: Case) -> list[Finding]:
    """Two streams of the source that bills, which both hold the bill of a provider or a model."""
    found = []
    for cells in (*case.by_provider().values(), *case.by_model().values()):
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
            if nearer([(cell.rest, -pico) for cell, pico in more]):
                pico = sum(cell.take_from_bill("double count", pico) for cell, pico in more)
                seen = f"{first} and {other} both hold the bill"
                found += finding_on(
                    "double count", [cell for cell, pico in more if pico], pico, seen
                )
    return found


def _of_reporter(cell: Cell, reporter: str) -> int:
    """What a stream billed in a cell, as far as no step has taken it."""
    pico = sum(c.pico for c in cell.charges if c.reporter == reporter and c.pico > 0)
    return min(pico, max(cell.billed, 0))


def doubled_days(case: Case) -> list[Finding]:
    """Single days with twice the bill or twice the tokens, where other days agree.

    A run of days up to the first or the last of the month may as well be another price.
    """
    found = []
    for every in case.by_model().values():
        cells = [cell for cell in every if plain(cell, case.open_days)]
        agreed = [cell.day for cell in cells if _near(cell.billed, cell.estimated, _BILL_NEAR)]
        for times, side in ((Fraction(2), "bill"), (Fraction(1, 2), "tokens")):
            twice = [c for c in cells if _near(c.billed, c.estimated * times, _TWICE_NEAR)]
            if len(agreed) < LEAST_DAYS or not twice:
                continue
            first, last = twice[0].day, twice[-1].day
            run = sum(first <= cell.day <= last for cell in cells) * SHARE <= len(twice)
            inside = agreed[0] < first and last < agreed[-1]
            if run and len(twice) >= LEAST_DAYS and not inside:
                continue
            pico = sum(_take_half(cell, side) for cell in twice)
            seen = f"these days have exactly twice the {side}, and the others agree"
            remedy = "Look for what was read or sent twice, under two names."
            found += finding_on("double count", twice, pico, seen, remedy)
    return found


def _take_half(cell: Cell, side: str) -> int:
    if side == "bill":
        return cell.take_from_bill("double count", cell.billed // 2)
    return cell.take("double count", -(cell.estimated // 2))


def _near(one: Fraction | int, other: Fraction | int, near: Fraction) -> bool:
    return abs(Fraction(one) - other) <= near * other
