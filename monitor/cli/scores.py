"""The record of past projections and verdicts, for `crossover project --score`."""

from __future__ import annotations

import typer

from monitor.cli import common


def print_record(ctx: typer.Context, workload: str, form: common.Format) -> None:
    """Print how often the ranges held and the verdicts were right, of one workload or of all.

    Raises:
        InputError: there is no such workload.
    """
    from monitor.domain.errors import InputError
    from monitor.jobs.scores import track_record
    from monitor.storage import results

    now = int(common.now().timestamp())
    with common.open_database(ctx).read() as conn:
        known = {each.name for each in results.workloads(conn)}
        if workload and workload not in known:
            raise InputError(
                f"there is no workload {workload!r}", "Name one of the configuration, or none."
            )
        rows = track_record(conn, now, workload)
    if not rows:
        common.note("no month was scored yet: that happens when the first one is closed")
    common.show(rows, form)
