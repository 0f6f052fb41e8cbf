"""A bill beside our own estimate of the same days: how far apart they are, and why.

Both are compared by day, provider and model. What differs is taken apart in steps, each by its own
evidence and as whole pico-USD, so that the causes add up to the difference exactly; what no
evidence explains stays unexplained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from monitor.domain.model_names import ModelNames
from monitor.domain.reconcile_causes import (
    absent,
    credit_lines,
    late,
    no_tokens,
    rounding,
    tiers,
    unexplained,
    unpriced,
)
from monitor.domain.reconcile_cells import Case, cells_of
from monitor.domain.reconcile_doubles import doubled_charges, doubled_days, doubled_uses
from monitor.domain.reconcile_rates import discounts, other_prices
from monitor.domain.reconcile_units import units
from monitor.domain.reconciled import Charge, Compared, Reconciled, Use, ordered


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
    cells = sorted(cells_of(charges, uses, names or ModelNames()), key=lambda cell: cell.key)
    case = Case(cells, frozenset(open_days))
    steps = (
        *(units, credit_lines, no_tokens, absent, doubled_uses, doubled_charges, discounts),
        *(doubled_days, tiers, unpriced, other_prices, rounding, late, unexplained),
    )
    findings = [finding for step in steps for finding in step(case)]
    compared = [
        Compared(
            *(*cell.key, cell.whole_bill, cell.whole_estimate, ordered(cell.causes)),
            unpriced_tokens=cell.unpriced,
        )
        for cell in case.cells
    ]
    return Reconciled(compared, findings)
