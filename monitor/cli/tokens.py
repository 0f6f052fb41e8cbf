"""`crossover tokens`: who may send to the daemon."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from monitor.cli import common
from monitor.domain.intake import SCOPES

app = typer.Typer(
    help="Tokens with which programs and hosts send usage to the daemon.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(help="What the token is called in lists: it is no secret.")]
_Form = Annotated[common.Format, typer.Option("--format")]


@app.command()
def create(
    ctx: typer.Context,
    name: _Name,
    source: Annotated[
        str,
        typer.Option(help="Whose usage it is, such as a host or a team; else the token's name."),
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"What it allows: {', '.join(SCOPES)}; may be repeated. Else usage."),
    ] = None,
    account: Annotated[str, typer.Option(help="Fix the account: it can report for no other.")] = "",
    project: Annotated[str, typer.Option(help="Fix the project.")] = "",
    label: Annotated[str, typer.Option(help="Fix the label.")] = "",
    form: _Form = common.Format.TABLE,
) -> None:
    """Make a token and print it, this once: only its digest is kept.

    Two tokens of one source are two keys to the same door: make the second, hand it out, then
    revoke the first.

    Example: crossover tokens create build-7 --source build-hosts --project ci
    """
    from monitor.domain.errors import InputError
    from monitor.storage import tokens

    scopes = list(dict.fromkeys(scope or ["usage"]))
    if unknown := [each for each in scopes if each not in SCOPES]:
        raise InputError(
            f"there is no scope {', '.join(unknown)}", f"Scopes are {', '.join(SCOPES)}."
        )
    names = {
        "name": name,
        "source": source or name,
        "account": account,
        "project": project,
        "label": label,
    }
    for option, said in names.items():
        _check(option, said)
    wanted = tokens.TokenSetup(**names, scopes=scopes)
    configured = {item.name: item.kind for item in common.settings(ctx).source}
    with common.open_database(ctx).write() as conn:
        secret = tokens.create(conn, wanted, configured, int(common.now().timestamp()))
    if form is common.Format.TABLE:
        # Alone, so that a script can take it as it is.
        sys.stdout.write(secret + "\n")
        common.note(f"token {name} of source {wanted.source}: keep it now, it is not shown again")
    else:
        common.show([{**names, "scopes": " ".join(scopes), "token": secret}], form)


def _check(option: str, said: str) -> None:
    from monitor.domain.errors import InputError
    from monitor.domain.names import NAME_CAP, clean_name

    if said != clean_name(said) or (option in ("name", "source") and not said):
        raise InputError(
            f"{option} is no name",
            f"A name is 1 to {NAME_CAP} printable characters without spaces around it.",
        )


@app.command("list")
def list_(ctx: typer.Context, form: _Form = common.Format.TABLE) -> None:
    """Show every token, revoked ones too, with its last use (to the minute).

    Example: crossover tokens list --format json
    """
    from monitor.storage import tokens

    with common.open_database(ctx).read() as conn:
        rows = tokens.listed(conn)
    if not rows:
        common.note("there is no token")
    common.show(
        [{name: _cell(value) for name, value in row._asdict().items()} for row in rows], form
    )


def _cell(value: object) -> object:
    from datetime import datetime

    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value


@app.command()
def revoke(ctx: typer.Context, name: _Name) -> None:
    """End a token: the next request that brings it is refused. What it sent stays.

    Example: crossover tokens revoke build-7
    """
    from monitor.storage import tokens

    with common.open_database(ctx).write() as conn:
        tokens.revoke(conn, name, int(common.now().timestamp()))
    common.note(f"token {name} is revoked")
