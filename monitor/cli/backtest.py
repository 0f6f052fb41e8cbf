"""`crossover backtest`: the advice of past days, followed, beside hindsight."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.breakeven import scenario_text
from monitor.cli.common import Format, note, now, open_database, settings, show

if TYPE_CHECKING:
    from monitor.domain.backtest import Daily
    from monitor.domain.scenario import Scenario

_ADVICE = {"self_host": "move to own service", "api": "return to the API"}
_COSTS = {
    "followed_usd": "advice followed",
    "hindsight_usd": "hindsight, the least possible",
    "api_only_usd": "API only",
    "self_host_only_usd": "moved on the first day",
}


def backtest(
    ctx: typer.Context,
    daily: Annotated[
        Path | None,
        typer.Option("--daily", help="Days, a CSV file: date,requests.", show_default=False),
    ] = None,
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", help="The scenario, a TOML file.", show_default=False),
    ] = None,
    workload: Annotated[
        str, typer.Option(help="Replay a workload of the database instead.", show_default=False)
    ] = "",
    deployment: Annotated[
        str, typer.Option(help="Its deployment, if it has several.", show_default=False)
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Replay the advice on past days, and price what following it would have cost.

    At the end of each day only that day and those before it are known.
    Everything starts on the API. Regret is what following the advice cost
    beyond the best decisions that hindsight could take. The scenario's own
    volume and its price changes are not used.

    Example: crossover backtest --daily FILE.csv --scenario FILE.toml
    """
    from monitor.domain.backtest import advised, price_days, replay, to_json

    if workload and not (daily or scenario):
        days, chosen = _stored(ctx, workload, deployment)
    elif daily and scenario and not (workload or deployment):
        days, chosen = _written(daily, scenario)
    else:
        raise typer.BadParameter("give --daily and --scenario, or --workload")
    moves = advised(days, chosen)
    figures = to_json(days, moves, replay(price_days(days, chosen), moves))
    if form is Format.JSON:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    elif form is Format.CSV:
        show([{"figure": name, "value": value} for name, value in _flat(figures)], Format.CSV)
    else:
        _summary(f"{len(days.requests):,} days from {days.start}", figures)


def _written(daily: Path, scenario: Path) -> tuple[Daily, Scenario]:
    from monitor.domain.backtest import read_daily
    from monitor.domain.scenario import parse_scenario

    chosen = parse_scenario(scenario_text(scenario), str(scenario))
    return read_daily(_daily_text(daily), str(daily)), chosen


def _daily_text(path: Path) -> str:
    from monitor.domain.errors import InputError

    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", "Name a CSV file: date,requests"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: {error}", "Save it as UTF-8") from None


def _stored(ctx: typer.Context, workload: str, deployment: str) -> tuple[Daily, Scenario]:
    from monitor.jobs.backtest import past

    sources = [item.name for item in settings(ctx).source]
    database = open_database(ctx)
    try:
        with database.read() as conn:
            found = past(conn, workload, deployment, sources, int(now().timestamp()))
    finally:
        database.close()
    note(f"{workload} on {found.deployment}: the mix and the prices of its last four weeks")
    if found.left_out:
        note(f"{found.left_out} days before {found.daily.start} are left out: unknown days follow")
    return found.daily, found.scenario


def _flat(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted names and values; an absent value is empty."""
    for i, event in enumerate(figures["events"]):
        yield f"events.{i}", f"{event['date']} {event['advice']}"
    for name, usd in figures["costs"].items():
        yield f"costs.{name}", usd
    yield "regret", figures["regret"]


def _summary(days: str, figures: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    events = Table(box=None, show_header=False, pad_edge=False)
    for event in figures["events"]:
        events.add_row(event["date"], _ADVICE[event["advice"]])
    costs = Table(box=None, header_style="bold", pad_edge=False)
    costs.add_column("")
    costs.add_column("USD", justify="right")
    for name, usd in figures["costs"].items():
        costs.add_row(_COSTS[name], f"{Decimal(usd):,}")
    console = Console(highlight=False)
    console.print(days, style="bold")
    parts: list[Any] = [events if figures["events"] else "never moved", "", costs, ""]
    for part in parts:
        console.print(part)
    regret = figures["regret"]
    console.print(f"regret {'undefined: hindsight is 0' if regret is None else f'{regret:.2%}'}")
