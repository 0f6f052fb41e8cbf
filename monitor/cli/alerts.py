"""`crossover alerts`: what stands, and what people answer."""

from __future__ import annotations

import typer

from monitor.cli import alerts_people, alerts_replay, alerts_rules, alerts_try

app = typer.Typer(help="What stands, who was told, and answers to it.", no_args_is_help=True)

app.command("list")(alerts_people.list_)
app.command()(alerts_people.show)
app.command()(alerts_people.ack)
app.command()(alerts_people.snooze)
app.command()(alerts_people.silence)
app.command()(alerts_people.silences)
app.command()(alerts_people.unsilence)
app.command()(alerts_rules.rules)
app.command()(alerts_replay.replay)
app.command("test")(alerts_try.try_)
