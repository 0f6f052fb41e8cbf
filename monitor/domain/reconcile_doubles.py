"""Two reports of the same traffic, or of the same bill, that were both added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from monitor.domain.doubles import agreeing
from monitor.domain.reconcile_cells import Case, Cell, finding_on, nearer
from monitor.domain.reconciled import Finding

_REPORTS_NEAR = Fraction(5, 100)
_REPORTED_DAYS = 3
"""Fewer than without a bill: here it decides whether both are paid."""


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
        days = agreeing(reports[first], reports[other], _REPORTS_NEAR)
        if len(days) < _REPORTED_DAYS:
            continue
        more = [
            (cell, sum(u.pico for name, u in cell.uses if (name, u.reporter) == (model, other)))
            for cell in cells
            if cell.day in days and cell.billed > 0
        ]
        if nearer([(cell.rest, pico) for cell, pico in more]):
            pico = sum(cell.take("double count", -pico) for cell, pico in more if pico)
            seen = f"{first} and {other} both count {model}"
            remedy = "Name the one that counts: `tokens_from` in `[account.NAME]`."
            found += finding_on("double count", [c for c, pico in more if pico], pico, seen, remedy)
    return found


def doubled_charges(case: Case) -> list[Finding]:
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
