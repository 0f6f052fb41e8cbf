"""`crossover quarantine`: rows that could not be read."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.storage.collecting import Waiting

app = typer.Typer(help="Rows of sources and files that could not be read.", no_args_is_help=True)

_Id = Annotated[int, typer.Argument(help="Its id.", min=1, max=2**63 - 1)]
_Source = Annotated[str, typer.Option(help="Only this source.")]
_REASON = 120


@app.command("list")
def list_(
    ctx: typer.Context,
    source: _Source = "",
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show rows in quarantine, those that were seen last first.

    Example: crossover quarantine list --source openai
    """
    from monitor.storage import collecting

    with common.open_database(ctx).read() as conn:
        rows = collecting.waiting(conn, source)
    if not rows:
        common.note("no row is in quarantine")
    common.show([_row(row) | {"reason": row.reason[:_REASON]} for row in rows], form)


@app.command()
def show(
    ctx: typer.Context,
    number: _Id,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.JSON,
) -> None:
    """Show one row with all that is kept of it.

    Example: crossover quarantine show 7
    """
    from monitor.storage import collecting

    with common.open_database(ctx).read() as conn:
        rows = collecting.waiting(conn, number=number)
    if not rows:
        raise _unknown(number)
    further = {"place": rows[0].place, "payload": rows[0].payload}
    common.show([_row(rows[0]) | further], form)


@app.command()
def replay(
    ctx: typer.Context,
    number: Annotated[int | None, typer.Argument(help="Its id; else all.", min=1)] = None,
    source: _Source = "",
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Read the days again that rows in quarantine are of; what can be read now leaves it.

    Do this after an update that reads what an older version could not. Exit code 4 if a source
    failed. Watched files are read from their start; files that were imported by hand are imported
    with `--again`, and what was sent is sent again.

    Example: crossover quarantine replay --source openai
    """
    from monitor import logs
    from monitor.jobs import quarantine
    from monitor.jobs.rollup import roll_up
    from monitor.wiring import prices, rows, usage

    logs.configure("WARNING")
    settings = common.settings(ctx)
    database = common.open_database(ctx)
    now = int(common.now().timestamp())
    with database.read() as conn:
        chosen = quarantine.chosen(conn, source, number)
    if number is not None and not chosen:
        raise _unknown(number)
    with ExitStack() as open_sources:
        sources = usage.sources(settings)
        for one in sources.values():
            open_sources.callback(one.close)
        watched = {item.name: item.files for item in usage.watched(settings)}
        done = quarantine.replay(database, sources, usage.pace(settings), chosen, now, watched)
    resolve = prices.resolver(settings, prices.stored_prices(settings))
    roll_up(database, resolve, rows.rules(settings), now)
    if not done:
        common.note("no row is in quarantine")
    common.show([item._asdict() for item in done], form)
    if any(item.error for item in done):
        raise typer.Exit(4)


@app.command()
def drop(ctx: typer.Context, number: _Id) -> None:
    """Take a row out of quarantine that will never be readable; it comes back if it is read again.

    Example: crossover quarantine drop 7
    """
    from monitor.storage import collecting

    with common.open_database(ctx).write() as conn:
        dropped = collecting.drop_problem(conn, number)
    if not dropped:
        raise _unknown(number)
    common.note(f"row {number} is dropped")


def _unknown(number: int) -> Exception:
    from monitor.domain.errors import InputError

    return InputError(f"there is no row {number} in quarantine", "See `crossover quarantine list`.")


def _row(row: Waiting) -> dict[str, object]:
    from monitor.domain.periods import day_of

    return {
        "id": row.id,
        "source": row.source,
        "stream": row.stream,
        "from": "" if row.day_from is None else day_of(row.day_from),
        "to": "" if row.day_to is None else day_of(row.day_to),
        "times": row.times,
        "last_seen": f"{row.last_seen:%Y-%m-%dT%H:%M:%SZ}",
        "reason": row.reason,
    }
