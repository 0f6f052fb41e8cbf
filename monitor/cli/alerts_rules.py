"""`crossover alerts rules`: what is watched, with which limits, and what is not and why."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common


def rules(
    ctx: typer.Context,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show every rule: whether it is watched, when it fires and ends, and what it compares with.

    A rule that is not configured names what is missing. docs/alerts.md says what each compares.

    Example: crossover alerts rules
    """
    from monitor.jobs.watched import listed
    from monitor.wiring import alerting, parts

    settings = common.settings(ctx)
    named = bool(parts.certificates(settings))
    with common.open_database(ctx).read() as conn:
        rows = listed(conn, alerting.policy(settings), certificates=named)
    if form is common.Format.TABLE:
        # Whom to ask and the version are for machines; a table is to fit a screen.
        rows = [{k: v for k, v in row.items() if k not in ("runbook", "version")} for row in rows]
    common.show(rows, form)
