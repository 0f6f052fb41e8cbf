"""`crossover breakeven`: one scenario file, computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.common import Format, show

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
    scenario: Annotated[
        Path, typer.Option("--scenario", help="The scenario, a TOML file.", show_default=False)
    ],
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Compare an API bill with own GPUs, and say at which volume the two cross.

    The scenario file describes a workload, the API's prices, a deployment
    and a migration. Nothing else is read: no configuration, no database.

    Example: crossover breakeven --scenario docs/examples/f11-growing-fleet.toml
    """
    from monitor.domain.breakeven import assess, to_json
    from monitor.domain.scenario import parse_scenario

    figures = to_json(assess(parse_scenario(read(scenario), str(scenario))))
    if form is Format.JSON:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    elif form is Format.CSV:
        show([{"figure": name, "value": value} for name, value in _flat(figures)], Format.CSV)
    else:
        _summary(figures)


def read(path: Path) -> str:
    """The file's text; line ends are left to the TOML reader."""
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
            for i, (start, end) in enumerate(value):
                yield f"{prefix}{name}.{i}", f"{start}-{'' if end is None else end}"
        else:
            plain = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}", "" if value is None else plain


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
