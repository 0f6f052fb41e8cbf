"""`crossover budgets`: where each budget stands."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common

_SHOWN = ("budget", "period", "amount", "spent", "percent_spent", "percent_elapsed")
_AHEAD = ("projected_q10", "projected_q50", "projected_q90", "percent_projected")
_REST = ("basis", "unpriced_tokens", "as_of", "remark")


def budgets(
    ctx: typer.Context,
    as_of: Annotated[
        str, typer.Option(help="The end of that UTC day, such as 2026-11-22; else the newest.")
    ] = "",
    form: Annotated[common.Format, typer.Option("--format", help="How to print it.")] = (
        common.Format.TABLE
    ),
) -> None:
    """Show each budget: what is spent of it, how much of its period is over, where it is heading.

    As of the newest day that was decided. Dollars are billed where the bill is final, else
    estimated; of a workload, a cost centre or a tag always estimated. Empty is unknown, and the
    remark says why.

    Example: crossover budgets --format json
    """
    from monitor.domain.periods import day_bounds
    from monitor.domain.usage import DAY
    from monitor.storage import figures

    midnight = int(common.now().timestamp()) // DAY * DAY
    end = day_bounds(as_of)[1] if as_of else midnight
    with common.open_database(ctx).read() as conn:
        rows = figures.rows(conn, "budgets", **figures.period(end)).rows
    if not rows:
        common.note(
            "no budget stands yet: [[budget]] configures one, and each closed day computes it"
        )
    shown = (*_SHOWN, *_AHEAD, *_REST)
    common.show([{name: _cell(row[name]) for name in shown} for row in rows], form)


def _cell(value: object) -> object:
    """Amounts in cents; the figures have all their digits."""
    from decimal import Decimal

    from monitor.domain.money import to_cents

    return to_cents(value) if isinstance(value, Decimal) else value
