"""The record of past projections and verdicts, for `crossover project --score`."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from monitor.cli import common


def print_record(ctx: typer.Context, named: Sequence[str], form: common.Format) -> None:
    """Print how often the ranges held and the verdicts were right, of these workloads or of all.

    Raises:
        InputError: there is no such workload.
    """
    from monitor.domain.errors import InputError
    from monitor.jobs.scores import track_record
    from monitor.storage import demand

    now = int(common.now().timestamp())
    with common.open_database(ctx).read() as conn:
        known = {each.name for each in demand.workloads(conn)}
        if unknown := [name for name in named if name not in known]:
            raise InputError(
                f"there is no workload {unknown[0]!r}", "Name one of the configuration, or none."
            )
        rows = [row for name in named or [""] for row in track_record(conn, now, name)]
    if not rows:
        common.note("no month was scored yet: that happens when the first one is closed")
    common.show(rows, form)
