"""`crossover demo`: the whole product in a minute, without keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import common


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("crossover-demo"),
) -> None:
    """Run the whole pipeline on a made-up company: no keys, no GPU, no mail server.

    Leaves report.html, report.eml, alert.eml and crossover.db, prints the verdict, and says what
    to open next.

    Example: crossover demo --output demo
    """
    from monitor import logs
    from monitor.demo.run import demonstrate

    logs.configure("WARNING")
    found = demonstrate(output, int(common.now().timestamp()), common.note)
    sys.stdout.write(
        f"{found.verdict}\n\n"
        f"Open next:\n"
        f"  {found.folder / 'report.html'}   the weekly report, in a browser\n"
        f"  {found.folder / 'report.eml'}    the same as it was mailed, and alert.eml\n"
        f"  crossover --config {found.folder / 'crossover.toml'} query"
        f' "SELECT * FROM v_workload_cost"\n'
    )
