"""`crossover alerts test`: one made-up alert through a real channel, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common


def try_(
    ctx: typer.Context,
    channel: Annotated[
        str, typer.Option("--channel", help="The name of a [[channel]], or smtp for mail.")
    ],
    to: Annotated[str, typer.Option("--to", help="The address, for smtp.")] = "",
) -> None:
    """Send a test alert, marked as one, through a channel and say what became of it.

    Nothing is stored, and nothing is tried again. Exit code 4 if it was not taken.

    Example: crossover alerts test --channel smtp --to ann@example.org
    """
    from monitor.domain.errors import ChannelError, InputError
    from monitor.wiring import outlets

    settings = common.settings(ctx)
    found = outlets.channels(settings)
    if channel not in found:
        known = ", ".join(sorted(found)) or "none"
        raise InputError(
            f"there is no channel {channel!r}", f"Configured: {known}; see [mail] and [[channel]]."
        )
    if channel == "smtp" and not to:
        raise InputError("mail needs an address", "Add --to ADDRESS.")
    now = int(common.now().timestamp())
    message = outlets.test_message(settings, channel, to, now)
    delivery = found[channel].send(to, message)
    code = "" if delivery.code is None else f" {delivery.code}"
    said = f"{channel}: {delivery.outcome} ({delivery.phase}{code}) {delivery.text}".rstrip()
    if delivery.outcome != "sent":
        raise ChannelError(said, "`crossover check` and docs/alerts.md say what a channel needs.")
    typer.echo(said)
