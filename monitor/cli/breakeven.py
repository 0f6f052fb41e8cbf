"""`crossover breakeven`: one scenario file or one live workload, computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import Format, show

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.domain.scenario import Scenario

SHOWN_REGIONS = 5

_VERDICTS = {
    "api": "stay on the API",
    "hybrid": "move the share, keep the API for the rest",
    "self_host": "self-host",
}
_REASONS = {
    "nothing_moved": "never: share_moved is 0",
    "marginal_cost": "never: one more own request costs at least as much as one of the API",
    "fixed_cost": "never up to 10^13 requests: the fixed cost is too high",
}


def breakeven(
    ctx: typer.Context,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="More changes, after --what-if."),
    ] = None,
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", help="The scenario, a TOML file.", show_default=False),
    ] = None,
    workload: Annotated[
        str, typer.Option(help="Instead: the newest assessment of this workload.")
    ] = "",
    deployment: Annotated[
        str, typer.Option(help="Which deployment of the workload, if it has several.")
    ] = "",
    ranges: Annotated[
        bool, typer.Option("--ranges", help="Add ranges, and what would change the verdict.")
    ] = False,
    what_if: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Also compute it with this changed."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Compare an API bill with own GPUs, and say at which volume the two cross.

    A scenario file describes a workload, the API's prices, a deployment and a
    migration; nothing else is read. With --workload the newest assessment
    stored in the database is computed again, with its ranges.

    A change is gpu_price=-20%, volume=2x, people=5000 or share=0.8; a key of
    the scenario such as api.fixed_usd_per_month serves as well.

    Example: crossover breakeven --scenario docs/examples/f11-growing-fleet.toml

    Example: crossover breakeven --workload support-bot --what-if gpu_price=-20% volume=2x
    """
    from monitor.cli import ranged
    from monitor.domain.periods import day_of

    changes = [*(what_if or []), *(more or [])]
    _refuse(scenario, workload, deployment, stray=bool(more and not what_if))
    if workload:
        chosen, volumes, found = ranged.stored(ctx, workload, deployment)
        named = {"deployment": found.deployment, "as_of": day_of(found.as_of), "month": found.month}
        figures = ranged.document(chosen, volumes, changes, ranges=True) | named
    else:
        assert scenario is not None
        parsed = _parsed(scenario)
        figures = ranged.document(parsed, (), changes, ranges=ranges)
    if form is Format.JSON:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    elif form is Format.CSV:
        show([{"figure": name, "value": value} for name, value in _flat(figures)], Format.CSV)
    else:
        _summary(figures)


def _refuse(scenario: Path | None, workload: str, deployment: str, *, stray: bool) -> None:
    from monitor.domain.errors import InputError

    if stray:
        raise InputError("a change stands alone", "Write --what-if before the first NAME=VALUE")
    if (scenario is None) == (not workload):
        raise InputError(
            "breakeven needs either a scenario or a workload",
            "Give --scenario FILE or --workload NAME",
        )
    if deployment and not workload:
        raise InputError("--deployment belongs to --workload", "Name the workload too")


def _parsed(path: Path) -> Scenario:
    from monitor.domain.scenario import parse_scenario

    return parse_scenario(scenario_text(path), str(path))


def scenario_text(path: Path) -> str:
    """The text of a scenario file; line ends are left to the TOML reader."""
    from monitor.domain.errors import InputError, ScenarioError

    try:
        return path.read_bytes().decode()
    except OSError as error:
        cause = error.strerror or error
        raise InputError(
            f"{path} cannot be read: {cause}", "Name a scenario file, such as one of docs/examples"
        ) from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} is not TOML: {error}", "Save it as UTF-8") from None


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values; an absent value is empty."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from _flat_list(value, f"{prefix}{name}.")
        else:
            plain = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}", "" if value is None else plain


def _flat_list(values: list[Any], prefix: str) -> Iterator[tuple[str, str]]:
    for i, value in enumerate(values):
        if isinstance(value, list):
            start, end = value
            yield f"{prefix}{i}", f"{start}-{'' if end is None else end}"
        else:
            yield from _flat({str(i): value}, prefix)


def _summary(figures: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from monitor.domain.names import clean_name

    requests, tokens = figures["requests_per_month"], figures["tokens_per_month"]
    name = clean_name(figures["workload"])
    costs = Table(box=None, header_style="bold", pad_edge=False)
    costs.add_column("")
    costs.add_column("USD a month", justify="right")
    costs.add_column("USD per million tokens", justify="right")
    for row in _cost_rows(figures):
        costs.add_row(*row)
    results = Table(box=None, show_header=False, pad_edge=False)
    for label, value in _result_rows(figures):
        results.add_row(label, value)
    console = Console(highlight=False)
    # Text, because a name from outside must not be read as markup.
    console.print(Text(f"{name}: {requests:,} requests a month, {tokens:,} tokens", style="bold"))
    for part in ("", costs, "", results):
        console.print(part)
    _print_ranged(figures, console)


def _print_ranged(figures: Mapping[str, Any], console: Console) -> None:
    """Ranges, flips and the changed scenario, where they were asked for."""
    from rich.text import Text

    from monitor.cli import ranged

    if "as_of" in figures:
        place = "on {deployment}, projected for {month} as of {as_of}".format(**figures)
        console.print("", Text(place), sep="\n")
    if "ranges" in figures:
        _print_pairs(console, "Ranges: 80 of 100 lie within", ranged.range_rows(figures["ranges"]))
        _print_pairs(
            console,
            "What changes the answer, by distance in standard deviations",
            ranged.flip_rows(figures["flips"]),
        )
    if "what_if" in figures:
        console.print()
        show(ranged.before_and_after(figures), Format.TABLE, "What if")


def _print_pairs(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for label, value in rows:
        table.add_row(label, value)
    for part in ("", title, table):
        console.print(part)


def _cost_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What each side costs, own service line by line."""
    per_million = figures["usd_per_million_tokens"]
    yield "API", _money(figures["api_usd_per_month"]), _money(per_million["api"])
    yield (
        "own service",
        _money(figures["self_host_usd_per_month"]),
        _money(per_million["self_host"]),
    )
    for line, usd in figures["lines"].items():
        yield f"  {line}", _money(usd), ""
    yield "after the move", _money(figures["hybrid_usd_per_month"]), ""
    yield "saved by it", _money(figures["savings_usd_per_month"]), ""


def _result_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "fleet", _fleet(figures)
    yield "crossing", _crossing(figures["crossing"])
    yield "cheaper at", _regions(figures)
    months = figures["payback_months"]
    yield (
        "payback",
        "none: nothing is saved" if months is None else f"{Decimal(months):,.1f} months",
    )
    yield (
        "12 months",
        f"{_money(figures['net_12_months_usd'])} USD saved in all, after setup and double running",
    )
    yield "verdict", _VERDICTS[figures["verdict"]]


def _fleet(figures: Mapping[str, Any]) -> str:
    text = f"{_count(figures['replicas'], 'replica')} on {_count(figures['gpus'], 'GPU')}"
    if figures["servers"] is not None:
        text += f" in {_count(figures['servers'], 'server')}"
    used = figures["utilisation"]
    return text if used is None else f"{text}, {used:.1%} used on average"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _crossing(crossing: Mapping[str, Any]) -> str:
    if crossing["reason"]:
        return _REASONS[crossing["reason"]]
    requests, tokens = crossing["requests_per_month"], crossing["tokens_per_month"]
    return f"{requests:,} requests a month, {tokens:,} tokens"


def _regions(figures: Mapping[str, Any]) -> str:
    regions = figures["cheaper_regions"]
    shown = [_region(*region) for region in regions[:SHOWN_REGIONS]]
    if len(regions) > SHOWN_REGIONS:
        shown.append("and more ranges: see --format json")
    return "\n".join(shown) or "no volume"


def _region(start: int, end: int | None) -> str:
    return f"{start:,} and more" if end is None else f"{start:,} to {end:,}"


def _money(amount: str | None) -> str:
    return "" if amount is None else f"{Decimal(amount):,}"
