"""`crossover outbox`: what is to be sent, what was, and what could not be."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from monitor.cli import common

app = typer.Typer(
    help="Messages that wait, were sent, or could not be delivered.", no_args_is_help=True
)


class State(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    DROPPED = "dropped"


_Id = Annotated[int, typer.Argument(help="Its id.", min=1, max=2**63 - 1)]
_SHOWN = ("id", "kind", "recipient", "subject", "state", "attempts", "last_text", "sent_at")


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[State | None, typer.Option(help="Only these; else all.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Short for --state dead.")] = False,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show messages, newest first, with the server's last words.

    Example: crossover outbox list --dead
    """
    from monitor.storage import work

    with common.open_database(ctx).read() as conn:
        rows = work.outbox(conn, State.DEAD if dead else state)
    if not rows:
        common.note("no such message")
    common.show([{name: row[name] for name in _SHOWN} for row in rows], form)


@app.command()
def retry(ctx: typer.Context, message: _Id) -> None:
    """Send a dead or dropped message again, byte for byte as it was.

    Example: crossover outbox retry 7
    """
    _set(ctx, message, "pending")


@app.command()
def drop(ctx: typer.Context, message: _Id) -> None:
    """Give up a message that was not sent.

    Example: crossover outbox drop 7
    """
    _set(ctx, message, "dropped")


def _set(ctx: typer.Context, message: int, state: str) -> None:
    from monitor.domain.errors import InputError
    from monitor.storage import work

    with common.open_database(ctx).write() as conn:
        changed = work.set_outbox(conn, message, state, int(common.now().timestamp()))
    if not changed:
        raise InputError(
            f"message {message} cannot become {state}: it does not exist, was sent, or is being"
            " sent just now",
            "See `crossover outbox list`.",
        )
    common.note(f"message {message} is {state}")
