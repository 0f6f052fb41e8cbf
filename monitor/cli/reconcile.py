"""`crossover reconcile`: a month's bill beside its estimate, and why they differ."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.jobs.reconcile import Comparison


def reconcile(
    ctx: typer.Context,
    month: Annotated[str, typer.Option(help="The UTC month, such as 2026-10.")],
    account: Annotated[str, typer.Option(help="One account; else all with a bill.")] = "",
    form: Annotated[common.Format, typer.Option("--format", help="table or json.")] = (
        common.Format.TABLE
    ),
) -> None:
    """Compare a month's bill with its estimate by provider, model and day, and say why they differ.

    The causes of a difference add up to it: unpriced, tier, discount, late data, credits, rounding,
    unit, double count, and what stays unexplained. A steady ratio is told with the contract to
    write. Nothing is changed.

    Example: crossover reconcile --month 2026-10 --account acme --format json
    """
    from monitor.domain.errors import InputError
    from monitor.domain.periods import month_bounds
    from monitor.jobs import reconcile as job
    from monitor.storage.reconcile import billed_accounts
    from monitor.wiring import prices

    if form is common.Format.CSV:
        raise InputError(
            "there is no CSV of several tables",
            "Use --format json, or for a closed month `crossover export csv v_reconciliation`.",
        )
    start, end = month_bounds(month)
    settings = common.settings(ctx)
    sources = [item.name for item in settings.source]
    with common.open_database(ctx).read() as conn:
        known = billed_accounts(conn)
        if account and account not in known:
            raise InputError(
                f"no bill of account {account!r} is read",
                f"Accounts with a bill: {', '.join(known) or 'none'}.",
            )
        chosen = [account] if account else known
        names = prices.model_names(settings)
        found = [job.compare(conn, each, start, end, sources, names) for each in chosen]
    if form is common.Format.JSON:
        common.show_document({"month": month, "accounts": [job.document(each) for each in found]})
        return
    if not found:
        common.note("no account has a bill that is read: nothing checks the estimates")
    for each in found:
        _print(each, month)


def _print(found: Comparison, month: str) -> None:
    """The whole, its causes, models and days, and what was seen behind them."""
    from monitor.domain.periods import day_of
    from monitor.domain.reconciled import MEANING
    from monitor.jobs import reconcile as job

    compared = found.found.compared
    table = common.Format.TABLE
    title = f"{found.account}, {month}, in US dollars: bill less estimate is the difference"
    common.show(job.rows(compared, lambda _: {"account": found.account}), table, title)
    parts = job.in_dollars(compared)
    why = [
        {"cause": cause, "difference": parts[cause], "meaning": meaning}
        for cause, meaning in MEANING.items()
        if cause in parts
    ]
    common.show(why, table, "Why they differ")
    by_model = job.rows(compared, lambda c: {"provider": c.provider, "model": c.model or "(any)"})
    common.show(by_model, table, "By provider and model")
    days = job.rows(compared, lambda c: {"day": day_of(c.day)})
    common.show([row for row in days if row["difference"] or row["why"]], table, "Days that differ")
    for each in found.found.findings:
        if each.cause != "rounding":
            models = ", ".join(each.models) or "any model"
            where = f"{each.provider} {models}, {job.days_told(each.days)}"
            remedy = job.suggestion(found, each)
            told = f"{each.cause} {job.dollars(each.pico)}: {where}: {each.seen}. {remedy}".rstrip()
            sys.stdout.write(textwrap.fill(told, 100, subsequent_indent="  ") + "\n")
    if not compared:
        common.note(f"{found.account} has neither a bill nor tokens in {month}")
    for currency, _ in found.unconverted:
        common.note(f"{found.account} is billed in {currency} without a rate: left out; see [[fx]]")
