"""`crossover advise`: what to do about one workload, from a case file or as stored."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli import common
from monitor.cli.common import Format, show


def advise(
    ctx: typer.Context,
    case: Annotated[
        Path | None,
        typer.Option("--case", help="A case, a TOML file: a scenario, its gates and facts."),
    ] = None,
    workload: Annotated[
        str, typer.Option("--workload", help="A workload: its newest stored advice.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Say what to do about a workload, why, and on which conditions.

    A case file is a scenario file with two tables more, the questionnaire
    `gates` and the `facts`; it needs no configuration and no database. A
    workload is looked up in the database: what the last daily decision advised.

    Example: crossover advise --case docs/examples/cases/hospital.toml

    Example: crossover advise --workload support-bot --format json
    """
    from monitor.domain.errors import InputError

    if (case is None) == (not workload):
        raise InputError(
            "advise needs either --case or --workload", "Name a file, or a workload, not both."
        )
    documents = [_computed(case)] if case else _stored(ctx, workload)
    if form is Format.JSON:
        found = documents[0] if case else documents
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif form is Format.CSV:
        show([row for document in documents for row in _rows(document)], Format.CSV)
    else:
        for document in documents:
            _summary(document)


def _computed(path: Path) -> dict[str, Any]:
    from monitor import library
    from monitor.cli.breakeven import scenario_text
    from monitor.domain.advised import to_json
    from monitor.domain.case import parse_case
    from monitor.domain.recommend import on_day, recommend

    found = parse_case(scenario_text(path), library.guide(), str(path))
    return to_json(recommend(on_day(found, common.now().date())))


def _stored(ctx: typer.Context, workload: str) -> list[dict[str, Any]]:
    """The newest advice of each of the workload's deployments."""
    from monitor.domain.errors import InputError
    from monitor.domain.periods import day_of
    from monitor.storage import aftermath, results

    opened = common.open_database(ctx)
    try:
        with opened.read() as conn:
            rows = results.newest_advice(conn, workload)
            moved = [aftermath.accounts(conn, workload, row["deployment"]) for row in rows]
    finally:
        opened.close()
    if not rows:
        raise InputError(
            f"there is no advice on a workload {workload!r}",
            "`crossover query 'SELECT DISTINCT workload FROM v_advice'` lists those with advice.",
        )
    return [
        {
            "deployment": row["deployment"],
            "workload": workload,
            "kind": row["kind"],
            "since": day_of(row["since"]),
            "text": row["reason"],
            **json.loads(row["document"]),
            "after_move": months,
        }
        for row, months in zip(rows, moved, strict=True)
    ]


def _rows(document: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Dotted names and values; an absent value is empty."""
    yield from ({"key": key, "value": value} for key, value in _flat(document))


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{i}")
    else:
        yield name, "" if value is None else str(value)


def _summary(document: Mapping[str, Any]) -> None:
    """The advice for people: what, why, on which conditions, at what price."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from monitor.domain.names import clean_name

    console = Console(highlight=False)
    head = f"{clean_name(str(document['workload']))}: {_said(document)}"
    if "deployment" in document:
        head += f", on {clean_name(str(document['deployment']))}, since {document['since']}"
    # Text, because a name from outside must not be read as markup.
    console.print(Text(head, style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, text in (*_lines(document), *_after_move(document)):
        table.add_row(label, Text(text))
    console.print(table)


def _after_move(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The closed months since it moved, and what follows unless the advice changed since."""
    from monitor.domain.aftermath import agrees

    months = document.get("after_move", ())
    for row in months:
        if row["saved_usd"] is None:
            yield f"moved, {row['month']}", f"saving unknown: {row['reason']}"
            continue
        promised = row["promised_usd"]
        told = "nothing was promised" if promised is None else f"{_usd(promised)} was promised"
        part = "" if row["status"] == "measured" else f" (partial: {row['reason']})"
        yield f"moved, {row['month']}", f"saved {_usd(row['saved_usd'])}, {told}{part}"
    for row in months[-1:]:
        if row["direction"] and agrees(row["direction"], document["kind"]):
            yield "fleet", f"{row['direction']}: {row['outlook']}"


def _said(document: Mapping[str, Any]) -> str:
    kind = str(document["kind"]).replace("_", " ")
    if document["kind"] != "hybrid":
        return kind
    replicas = document.get("replicas")
    return f"{kind}, share {document['share']}" + (f", {replicas} replicas" if replicas else "")


def _lines(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    stored = str(document.get("text", ""))
    if stored:
        yield "why", stored
    if "figures" not in document:
        return
    for key, label in (
        ("reasons", "why"),
        ("conditions", "on condition"),
        ("open_questions", "still open"),
        ("notes", "note"),
    ):
        for reason in document[key]:
            if reason["text"] not in stored:
                yield label, f"{reason['text']} [{reason['id']}]"
    for name, value in document["figures"].items():
        if value is not None:
            yield _figure(name, value)
    for row in document["hybrid"]["shares"]:
        falls = f"{float(row['api_falls']):.0%}"
        text = f"API bill falls {falls}, total saving {_usd(row['saves_usd_per_month'])} a month"
        yield f"share {row['share']} moved", text
    yield "taken as zero", ", ".join(document["assumed_zero"]) or "nothing"
    yield from _beside(document)


def _figure(name: str, value: object) -> tuple[str, str]:
    """A figure for people: dollars with their sign, counts in thousands, shares in percent."""
    label = name.replace("_usd_per_month", " a month").replace("_usd", "").replace("_", " ")
    if "_usd" in name:
        return label.replace("api a", "API bill a").replace("own a", "after the move a"), _usd(
            value
        )
    if name == "utilisation":
        return label, f"{float(str(value)):.1%}"
    if name == "verdict":
        return "by this month's figures", str(value).replace("_", " ")
    return label, f"{value:,}" if isinstance(value, int) else str(value)


def _usd(value: object) -> str:
    text = f"{Decimal(str(value)):,.2f}"
    return f"-${text[1:]}" if text.startswith("-") else f"${text}"


def _saves(value: object) -> str:
    return "unknown" if value is None else f"saves {_usd(value)} a month"


def _beside(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Cross-checks, alternatives, plan and risks."""
    for row in document["bands"]:
        yield f"band {row['source']}", f"{row['place']} ({row['written']}). {row['why']}"
    for row in document["options"]:
        yield "option", f"{row['name']}: {_saves(row['saves'])} ({row['assumption']})"
    for row in document["plan"]:
        yield f"phase {row['phase']}", f"from {row['start']}: {row['name']}"
    for row in document["risks"]:
        yield f"risk ({row['side']})", f"{row['risk']}: {row['against']}"
