"""`crossover prices`: what tokens cost, and by which rate."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli import prices_change
from monitor.cli.common import Format, note, settings, show
from monitor.domain.errors import InputError
from monitor.domain.pricing_quote import COLUMNS, MORE_COLUMNS, Quote, Row, quote_rows
from monitor.domain.rate_lookup import Resolver

Tokens = Annotated[int | None, typer.Option(min=0, help="Tokens of this class.")]


app = typer.Typer(help="What tokens cost, and by which rate.", no_args_is_help=True)


@app.command()
def quote(
    ctx: typer.Context,
    provider: Annotated[str, typer.Option(help="Who bills: openai, bedrock, ...")] = "",
    model: Annotated[str, typer.Option(help="The model as the provider calls it.")] = "",
    at: Annotated[str, typer.Option(help="When: 2026-11-20T12:00:00Z.")] = "",
    uncached_input: Tokens = None,
    cache_read: Tokens = None,
    cache_write: Tokens = None,
    cache_write_long: Tokens = None,
    output: Tokens = None,
    requests: Annotated[int, typer.Option(min=0, help="More than 1 is a bucket.")] = 1,
    context: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, repeatable: processing=batch.")
    ] = None,
    account: Annotated[str, typer.Option(help="The billed account, for its own prices.")] = "",
    source: Annotated[
        Path | None, typer.Option("--input", help="A CSV file of many usages.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Price one usage, or a CSV file of many, with the rates in force at its time.

    Your own prices from the configuration come first, then the list's. An unknown price stays
    unknown: it is never zero and never guessed.
    """
    from monitor import wiring

    chosen = settings(ctx)
    resolver = wiring.prices(chosen, wiring.stored_prices(chosen))
    if source is not None:
        quote_file(source, resolver, form)
        return
    counts = (requests, uncached_input, cache_read, cache_write, cache_write_long, output)
    named = ("" if n is None else n for n in counts)
    cells = ("", provider, model, at, *named, ";".join(context or ()), account)
    quote_one(dict(zip((*COLUMNS, "account"), cells, strict=True)), resolver, form)


def quote_one(row: Row, resolver: Resolver, form: Format) -> None:
    """Print the price of one usage; raises InputError where it cannot be read."""
    (answer,) = quote_rows([("", row)], resolver)
    if "bad_row" in answer.priced.flags:
        raise InputError(
            answer.priced.reason, "Give --provider, --model, --at and counts, or --input."
        )
    show([_printed(answer, form)], form)


def quote_file(path: Path, resolver: Resolver, form: Format) -> None:
    """Print the price of every row; rows that cannot be read are named on stderr.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    answers = list(quote_rows(_rows(path), resolver))
    show([_printed(answer, form) for answer in answers], form)
    bad = [answer for answer in answers if "bad_row" in answer.priced.flags]
    for answer in bad:
        note(f"{path} {answer.place}: {answer.priced.reason}")
    if bad:
        note(f"{len(bad)} of {len(answers)} rows could not be read: see above")


def _printed(answer: Quote, form: Format) -> dict[str, Any]:
    """CSV is the three columns that programs rely on; the other forms say more."""
    flags = answer.priced.flags
    shown: dict[str, Any] = {"id": answer.id, "usd": answer.usd, "flags": " ".join(flags)}
    if form is Format.CSV:
        return shown
    card = answer.card
    shown["reason"] = answer.priced.reason
    shown["unpriced_tokens"] = answer.priced.unpriced_tokens
    shown["source"] = f"{card.source} {card.source_version}".strip() if card else ""
    if form is Format.JSON:
        shown |= {"flags": list(flags), "usd": answer.usd or None}
    return shown


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_header(path, reader.fieldnames or ())
            for row in reader:
                yield f"line {reader.line_num}", row
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no UTF-8 CSV file: {error}") from None


def _check_header(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"{path} lacks {'the column' if len(missing) == 1 else 'the columns'} "
            f"{', '.join(missing)}",
            f"The first line must name {','.join(COLUMNS)}.",
        )
    if len(set(names)) < len(names):
        raise InputError(f"{path} names a column twice", "Keep one column of each name.")
    ignored = [name for name in names if name not in {*COLUMNS, *MORE_COLUMNS}]
    if ignored:
        note(f"{path}: ignored {', '.join(map(repr, ignored))}, which no price depends on")


prices_change.register(app)
