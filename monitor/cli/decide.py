"""`crossover decide`: what people decided about a workload, so that advice stops repeating it."""

from __future__ import annotations

import getpass
from enum import StrEnum
from typing import Annotated, Any

import typer

from monitor.cli import common

_MODELLED = (
    "modelled_worth_usd is modelled: what following a decision saved beside the other choice, at"
    " the projected volume of each assessed day while it stood, the cost of moving left out;"
    " measured_saving_usd is what own engines saved in the closed months of an accepted move"
)


class Choice(StrEnum):
    """What was decided about a move."""

    ACCEPT = "accept"
    DEFER = "defer"
    REJECT = "reject"


def decide(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="A workload.", show_default=False)] = "",
    choice: Annotated[
        Choice | None, typer.Argument(help="What was decided.", show_default=False)
    ] = None,
    deployment: Annotated[str, typer.Option(help="One deployment; else all of them.")] = "",
    until: Annotated[
        str, typer.Option(help="The UTC day on which it is open again, such as 2027-03-01.")
    ] = "",
    why: Annotated[str, typer.Option(help="The reason, as it stands in reports.")] = "",
    by: Annotated[str, typer.Option(help="Who decided; else your login.")] = "",
    listing: Annotated[
        bool, typer.Option("--list", help="Show what was decided, newest first.")
    ] = False,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Record a decision with what is known today, or list what was decided.

    The list says what each decision was worth since, as modelled day by day.
    Alerts about it are not sent and the report shows the decision, until its
    date has passed or the saving has moved by more than `alerts.reopen_percent`.

    Example: crossover decide support-bot defer --until 2027-03-01 --why "contract"
    """
    if not listing:
        _record(ctx, workload, choice, deployment, until, why, by)
        if form is common.Format.TABLE:
            return
    rows = _worths(ctx)
    if not rows:
        common.note("nothing was decided yet")
    common.show(rows if listing else rows[:1], form)
    if rows:
        common.note(_MODELLED)


def _worths(ctx: typer.Context) -> list[dict[str, Any]]:
    from monitor.jobs import decisions

    with common.open_database(ctx).read() as conn:
        return [dict(row) for row in decisions.worths(conn)]


def _record(
    ctx: typer.Context,
    workload: str,
    choice: Choice | None,
    deployment: str,
    until: str,
    why: str,
    by: str,
) -> None:
    from monitor.domain.errors import InputError
    from monitor.domain.names import clean_name
    from monitor.domain.periods import day_bounds
    from monitor.jobs import decisions

    if not workload or choice is None or not why.strip():
        raise InputError(
            "a decision needs a workload, accept, defer or reject, and --why",
            'For example: crossover decide support-bot defer --why "the contract ends in March"',
        )
    day = day_bounds(until)[0] if until else None
    who, reason = clean_name(by or getpass.getuser(), 200), clean_name(why, 400)
    if not who or not reason:
        raise InputError("--by or --why has no readable character", "Say it in words.")
    with common.open_database(ctx).write() as conn:
        decisions.decide(conn, workload, deployment, choice.value, day, reason, who, common.now())
    common.note(f"{choice} is recorded for {deployment or 'every deployment of ' + workload}")
