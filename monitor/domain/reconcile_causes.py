"""What each kind of evidence explains of a difference: one step for each cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.domain import tiers_named
from monitor.domain.money import PICO
from monitor.domain.reconcile_cells import Case, Cell, each_provider, finding_on
from monitor.domain.reconciled import Finding

_CENT = PICO // 100


def credit_lines(case: Case) -> list[Finding]:
    """Lines below zero."""
    took = {}
    for number, cell in enumerate(case.cells):
        credit = sum(charge.pico for charge in cell.charges if charge.pico < 0)
        took[number] = cell.take_from_bill("credits", credit)
    return each_provider(case, "credits", took, "lines of the bill are below zero")


def no_tokens(case: Case) -> list[Finding]:
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
    return each_provider(case, "unpriced", took, seen, "They stay beside the estimate.")


def absent(case: Case) -> list[Finding]:
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
            found += finding_on("late data", late, pico, seen, "Ask for them: `crossover collect`.")
    return found


class _Presence(NamedTuple):
    """Where one side of a provider has anything."""

    days: frozenset[int]
    models: frozenset[str]

    @classmethod
    def of(cls, cells: Sequence[Cell], *, bill: bool) -> _Presence:
        has = [cell for cell in cells if (cell.billed > 0 if bill else cell.uses)]
        models = {cell.model for cell in has if cell.model}
        return cls(frozenset(cell.day for cell in has), frozenset(models))


def _is_late(cell: Cell, other: _Presence, open_days: frozenset[int]) -> bool:
    """Whether the side that is missing would be expected, having come on other days."""
    if cell.day in open_days:
        return True
    return bool(other.days) if cell.day not in other.days else cell.model in other.models


def tiers(case: Case) -> list[Finding]:
    """Lines that name a tier which the estimate does not: as far as such tiers differ."""
    took = {}
    for number, cell in enumerate(case.cells):
        low, high = tiers_named.room(cell.charges, cell.used)
        if cell.billed > 0 and cell.estimated > 0 and (low or high):
            took[number] = cell.take("tier", min(max(cell.rest, low), high))
    seen = "the bill names a tier that the estimate prices as standard"
    remedy = "Group the tokens by tier, or give its price: a [[prices.override]] with a context."
    return each_provider(case, "tier", took, seen, remedy)


def unpriced(case: Case) -> list[Finding]:
    """What the bill has more where tokens have no known rate."""
    took = {
        number: cell.take("unpriced", cell.rest)
        for number, cell in enumerate(case.cells)
        if cell.unpriced and cell.rest > 0 and cell.charges
    }
    seen = "tokens without a known rate were billed"
    return each_provider(case, "unpriced", took, seen, "Give their price: a [[prices.override]].")


def rounding(case: Case) -> list[Finding]:
    """Less than a cent for each line."""
    took = {
        number: cell.take("rounding", cell.rest)
        for number, cell in enumerate(case.cells)
        if abs(cell.rest) < _CENT * max(1, len(cell.charges))
    }
    return each_provider(case, "rounding", took, "less than a cent for each line of a day")


def late(case: Case) -> list[Finding]:
    """What is left of days that are not final."""
    took = {
        number: cell.take("late data", cell.rest)
        for number, cell in enumerate(case.cells)
        if cell.rest and cell.day in case.open_days
    }
    seen = "the bill or the tokens of these days are not final"
    return each_provider(case, "late data", took, seen, "They will be compared once they are.")


def unexplained(case: Case) -> list[Finding]:
    """What no step took; told where the model has one side alone."""
    found = []
    for cells in case.by_model().values():
        left = [cell for cell in cells if cell.rest]
        pico = sum(cell.take("unexplained", cell.rest) for cell in left)
        if not any(cell.charges for cell in cells):
            seen = "no line of the bill is about these tokens"
            remedy = "Free, billed elsewhere, or billed by another name: see [names.PROVIDER]."
            found += finding_on("unexplained", left, pico, seen, remedy)
        elif cells[0].model and not any(cell.uses for cell in cells):
            seen = "the bill names a model of which no tokens were read"
            remedy = "Read what it was used for, or name it as its tokens are: [names.PROVIDER]."
            found += finding_on("unexplained", left, pico, seen, remedy)
    return found
