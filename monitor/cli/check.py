"""`crossover check`: try everything that is configured."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common


def check(
    ctx: typer.Context,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Try the database, each source's credentials, the mail server and the GPUs.

    Also compares bills with estimates, where an error in a unit or a double count shows. What is
    not configured shows as "off", which is well. Exit code 0 only when all is well.

    Example: crossover check --format json
    """
    from monitor.jobs.check import check_all
    from monitor.wiring.probes import probes

    settings = common.settings(ctx)
    now = int(common.now().timestamp())
    found = check_all(probes(settings, now))
    common.show([item._asdict() for item in found], form)
    if any(item.state == "fails" for item in found):
        raise typer.Exit(1)
