"""The command line: parse, call a job or a query, print. Commands import their parts when run."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from monitor import __version__
from monitor.cli import (
    advise,
    agent,
    alerts,
    backtest,
    breakeven,
    budgets,
    capacity,
    check,
    collect,
    config,
    db,
    decide,
    demo,
    explain,
    export,
    imports,
    init,
    outbox,
    pages,
    prices,
    project,
    quarantine,
    query,
    readers,
    reconcile,
    report,
    run,
    runs,
    tokens,
)
from monitor.domain.errors import ConfigError, CrossoverError

_HELP = """Says from measurement when self-hosting a language model becomes cheaper than its API.

Start with `crossover demo`, which needs no keys; then `crossover init`, `crossover check` and
`crossover run`. Exit codes: 0 well, 1 a check or job failed, 2 wrong input or configuration,
3 database, 4 source or channel, 5 a query was refused or stopped."""

app = typer.Typer(
    help=_HELP, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"crossover {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[
        str,
        typer.Option(
            help="Configuration file; else CROSSOVER_CONFIG, else ./crossover.toml.",
            show_default=False,
        ),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    del config, version
    # A command that logs nowhere would print the bare name of the event, once for each retry.
    logging.getLogger("stamina").addHandler(logging.NullHandler())


app.command()(demo.demo)
app.command()(init.init)
app.command()(check.check)
app.command()(run.run)
app.command()(agent.agent)
app.command()(collect.collect)
app.command("import")(imports.import_file)
app.command()(project.project)
app.command()(breakeven.breakeven)
app.command()(backtest.backtest)
app.command()(budgets.budgets)
app.command()(capacity.capacity)
app.command()(advise.advise)
app.command()(decide.decide)
app.command()(query.query)
app.command()(reconcile.reconcile)
app.command()(explain.explain)
app.add_typer(config.app, name="config")
app.add_typer(prices.app, name="prices")
report.app.command()(readers.unsubscribe)
report.app.command()(readers.subscribe)
report.app.command()(readers.unsubscribed)
app.add_typer(report.app, name="report")
app.add_typer(alerts.app, name="alerts")
app.add_typer(outbox.app, name="outbox")
app.add_typer(runs.app, name="runs")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(pages.app, name="pages")
app.add_typer(tokens.app, name="tokens")
app.add_typer(export.app, name="export")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run a command; an error of ours is one calm message and its own exit code."""
    try:
        app()
    except CrossoverError as error:
        _explain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output closed it, as `head` does; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("CROSSOVER_DEBUG"):
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        sys.stderr.write(
            f"Error: unexpected failure: {text}\n"
            "Run again with CROSSOVER_DEBUG=1 for the traceback.\n"
        )
        sys.exit(1)


def _explain(error: CrossoverError) -> None:
    lines = error.problems if isinstance(error, ConfigError) else [error.message]
    for line in lines:
        sys.stderr.write(f"Error: {line}\n")
    if error.remedy:
        sys.stderr.write(f"{error.remedy}\n")
