"""`crossover runs`: what must happen once: days decided, reports made, months closed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from monitor.cli import common

app = typer.Typer(
    help="What happens once: days decided, reports made, months closed.", no_args_is_help=True
)

_SHOWN = ("run_key", "state", "attempts", "due_at", "finished_at", "error")


class State(StrEnum):
    """Where a run stands."""

    DUE = "due"
    DONE = "done"
    SKIPPED = "skipped"
    DEAD = "dead"


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[State | None, typer.Option(help="Only these; else all.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Short for --state dead.")] = False,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show runs, the last due first, with the error of the last try.

    Example: crossover runs list --dead
    """
    from monitor.storage import work

    with common.open_database(ctx).read() as conn:
        rows = work.runs(conn, State.DEAD if dead else state)
    if not rows:
        common.note("no such run")
    common.show([{name: row[name] for name in _SHOWN} for row in rows], form)


@app.command()
def retry(
    ctx: typer.Context,
    run_key: Annotated[str, typer.Argument(help="Its key, such as decide/2026-11-08.")],
) -> None:
    """Let the daemon try a run again that was given up, or now one that waits.

    Remove the cause first: it is tried eight times, further and further apart.
    Later runs of its kind wait for it meanwhile, as they do for any.

    Example: crossover runs retry decide/2026-11-08
    """
    from difflib import get_close_matches

    from monitor.domain.errors import InputError
    from monitor.storage import work

    with common.open_database(ctx).write() as conn:
        changed = work.set_run(conn, run_key, int(common.now().timestamp()))
        known = {} if changed else {row["run_key"]: row["state"] for row in work.runs(conn)}
    if changed:
        common.note(f"{run_key} is due; the daemon takes it up at its next tick")
        return
    if run_key in known:
        raise InputError(
            f"{run_key} is {known[run_key]}, or being carried out just now",
            "Only what was given up or waits can be tried again: `crossover runs list --dead`.",
        )
    near = get_close_matches(run_key, known, 3, 0.5)
    raise InputError(
        f"there is no run {run_key!r}",
        f"Did you mean {' or '.join(near)}?" if near else "See `crossover runs list`.",
    )
