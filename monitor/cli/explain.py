"""`crossover explain`: the query behind a figure, run again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from sqlalchemy import Connection


def explain(
    ctx: typer.Context,
    figure: Annotated[
        str, typer.Argument(help="A figure's id; none: list them.", show_default=False)
    ] = "",
    week: Annotated[
        str, typer.Option(help="ISO week, such as 2026-W47; else the last complete one.")
    ] = "",
    workload: Annotated[str, typer.Option(help="For a figure of one workload.")] = "",
    deployment: Annotated[str, typer.Option(help="For a figure of one deployment.")] = "",
    month: Annotated[
        str, typer.Option(help="As the closing report of a month, such as 2026-10, tells it.")
    ] = "",
    as_of: Annotated[
        str, typer.Option(help="As the recommendation of a day, such as 2026-11-23, tells it.")
    ] = "",
    budget: Annotated[str, typer.Option(help="For a figure of one budget.")] = "",
    account: Annotated[str, typer.Option(help="For a figure of one account.")] = "",
    cost_centre: Annotated[str, typer.Option(help="For a figure of one cost centre.")] = "",
    label: Annotated[str, typer.Option(help="For a figure of one tag.")] = "",
    owner: Annotated[str, typer.Option(help="For a figure of one owner of workloads.")] = "",
    cause: Annotated[str, typer.Option(help="For why a bill differs, such as discount.")] = "",
    currency: Annotated[str, typer.Option(help="For the rate of a currency, such as EUR.")] = "",
    form: Annotated[common.Format, typer.Option("--format", help="How to print it.")] = (
        common.Format.TABLE
    ),
) -> None:
    """Show where a number of a report comes from: what it is, its SQL, and its value.

    Reads the same statement over the same public views as the report, for the same week, month or
    day.

    Example: crossover explain projection.usd.q50 --week 2026-W47
    """
    from monitor.storage import figures

    if not figure:
        common.show(_catalogue(), form)
        return
    end = _end(week, month, as_of)
    named = {"workload": workload, "deployment": deployment, "budget": budget, "account": account}
    named |= {"cost_centre": cost_centre, "label": label, "owner": owner}
    named |= {"currency": currency, "cause": cause}
    params = figures.period(end) | {name: value for name, value in named.items() if value}
    with common.open_database(ctx).read() as conn:
        found = _answer(conn, figure, params)
    if form is common.Format.TABLE:
        _print(found)
    elif form is common.Format.JSON:
        sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")
    else:
        common.show(_rows(found), form)


def _end(week: str, month: str, as_of: str) -> int:
    """The end of the one period that is named, or of the last week."""
    from monitor.cli.report import last_week
    from monitor.domain.errors import InputError
    from monitor.domain.periods import day_bounds, month_bounds, week_bounds

    named = {"--week": week, "--month": month, "--as-of": as_of}
    if len(given := [option for option, value in named.items() if value]) > 1:
        raise InputError(f"{' and '.join(given)} are two periods", "Name one of them.")
    if as_of:
        # It ends what is known: the midnight before it, not the one after.
        return day_bounds(as_of)[0]
    return month_bounds(month)[1] if month else week_bounds(week or last_week(common.now()))[1]


def _catalogue() -> list[dict[str, str]]:
    from monitor.storage.figure_sql import CATALOGUE

    return [
        {"figure": name, "unit": spec.unit or "table", "about": spec.about}
        for name, spec in CATALOGUE.items()
    ]


def _answer(conn: Connection, figure: str, params: Mapping[str, str]) -> dict[str, Any]:
    """The figure as one document: a value with its unit, or rows."""
    from monitor.storage import figures

    found = (figures.rows if figures.is_table(figure) else figures.read)(conn, figure, **params)
    value = (
        {"rows": found.rows}
        if isinstance(found, figures.Table)
        else {"value": found.value, "unit": found.unit}
    )
    return {
        "figure": figure,
        "about": figures.about(figure),
        **value,
        "as_of": found.as_of,
        "sql": found.sql,
        "parameters": found.params,
    }


def _rows(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (
        found["rows"] if "rows" in found else [{k: found[k] for k in ("figure", "value", "unit")}]
    )


def _print(found: Mapping[str, Any]) -> None:
    bound = "".join(f"\n  {name} = {value}" for name, value in found["parameters"].items())
    head = f"{found['figure']}\n{found['about']}\nAs of {found['as_of']}, exclusive, in UTC.\n\n"
    sys.stdout.write(f"{head}{found['sql']}\n{f'with{bound}' if bound else ''}\n\n")
    if "rows" in found:
        common.show(found["rows"], common.Format.TABLE)
        return
    value = "unknown" if found["value"] is None else f"{found['value']} {found['unit']}"
    sys.stdout.write(f"{value}\n")
