"""`crossover report unsubscribe|subscribe|unsubscribed`: who wants no report."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common

_Address = Annotated[str, typer.Argument(help="A reader's address.")]
_Report = Annotated[str, typer.Argument(help="A report, as the link or the list names it.")]


def unsubscribe(ctx: typer.Context, address: _Address, report: _Report) -> None:
    """Let a reader leave a report, as the link in it does.

    Example: crossover report unsubscribe ann@example.org finance
    """
    from monitor.storage import people

    with common.open_database(ctx).write() as conn:
        new = people.unsubscribe(conn, address, report, int(common.now().timestamp()))
    common.note(f"{address} {'no longer gets' if new else 'had left'} {report}")


def subscribe(ctx: typer.Context, address: _Address, report: _Report) -> None:
    """Let a reader have a report again that they had left.

    Example: crossover report subscribe ann@example.org finance
    """
    from monitor.domain.errors import InputError
    from monitor.storage import people

    with common.open_database(ctx).write() as conn:
        changed = people.subscribe(conn, address, report)
    if not changed:
        raise InputError(
            f"{address} had not left {report!r}",
            "Who gets it is configured in report.to; see `crossover report unsubscribed`.",
        )
    common.note(f"{address} gets {report} again")


def unsubscribed(
    ctx: typer.Context,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show who left which report, the last first.

    Example: crossover report unsubscribed
    """
    from datetime import UTC, datetime

    from monitor.storage import people

    with common.open_database(ctx).read() as conn:
        rows = [dict(row) for row in people.unsubscribed(conn)]
    if not rows:
        common.note("nobody left a report")
    for row in rows:
        row["at"] = f"{datetime.fromtimestamp(row['at'], UTC):%Y-%m-%dT%H:%M:%SZ}"
    common.show(rows, form)
