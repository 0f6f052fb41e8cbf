"""`crossover db`: bring the database to this program's schema, check it, copy it, share it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import Format, note, settings
from monitor.cli.query import show

if TYPE_CHECKING:
    from monitor.storage.engine import Database

app = typer.Typer(help="Look after the database.", no_args_is_help=True)

_Form = Annotated[Format, typer.Option("--format", help="How to print it.")]


def _database(ctx: typer.Context) -> Database:
    """The configured database, whatever its schema."""
    from monitor.wiring.opening import database

    return database(settings(ctx))


@app.command()
def upgrade(ctx: typer.Context) -> None:
    """Create the database, or migrate it to this program's schema.

    Safe to run at any time and from several places; the daemon does it at its start.
    """
    from monitor.storage import migrate

    with closing(_database(ctx)) as database:
        before, after = migrate.upgrade(database)
    if before == after:
        typer.echo(f"{database.shown} is at schema {after} already")
    else:
        typer.echo(f"{database.shown}: schema {before or 'none'} -> {after}")


@app.command()
def check(ctx: typer.Context, form: _Form = Format.TABLE) -> None:
    """Look for damage and for rows that belong to nothing; exit 1 when there is any."""
    from monitor.storage import maintenance

    with closing(_database(ctx)) as database:
        findings = maintenance.check(database)
    rows = [(item.check, "ok" if item.ok else "WRONG", item.detail) for item in findings]
    show(("check", "result", "detail"), rows, form)
    if not all(item.ok for item in findings):
        raise typer.Exit(1)


@app.command()
def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The copy; must not exist yet.")],
) -> None:
    """Copy a SQLite database completely, also while the daemon writes to it.

    Example: crossover db backup copy.db
    """
    from monitor.storage import maintenance

    with closing(_database(ctx)) as database:
        size = maintenance.backup(database, file)
    typer.echo(f"{file}: {size} bytes, checked")


@app.command()
def reader(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="The role's name.")] = "crossover_reader",
    password: Annotated[
        str, typer.Option(help="Where its password is: env:NAME or file:PATH.")
    ] = "",
) -> None:
    """Create or update the PostgreSQL role that may read the public views and nothing else.

    Example: crossover db reader --password env:READER_PASSWORD
    """
    from monitor.config import secret
    from monitor.domain.errors import InputError
    from monitor.storage.reader import make

    if password and not password.startswith(("env:", "file:")):
        raise InputError(
            "--password names a secret and is not the secret", "Write env:NAME or file:PATH."
        )
    with closing(_database(ctx)) as database:
        if database.path is not None:
            typer.echo("SQLite needs no reader's role: `crossover query` opens the file read-only")
            return
        gaps = make(database, name, secret(password, "--password") or None)
    typer.echo(f"The role {name} may log in and read the public views")
    for gap in gaps:
        note(f"Not permitted here: {gap.what}. {gap.remedy}.")


@app.command()
def size(ctx: typer.Context, form: _Form = Format.TABLE) -> None:
    """Bytes on disk of each table with its indexes, the largest first."""
    from monitor.storage import maintenance

    with closing(_database(ctx)) as database:
        show(("table", "bytes"), maintenance.sizes(database), form)
