"""`crossover prices`: what tokens cost, and by which rate."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli import prices_change
from monitor.cli.common import Format, note, now, settings, show
from monitor.domain.aliases import provider_id
from monitor.domain.errors import InputError
from monitor.domain.pricing_quote import COLUMNS, MORE_COLUMNS, Quote, Row, quote_rows
from monitor.domain.rate_lookup import Resolver
from monitor.domain.usage import DAY, Quantities

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
    audio_input: Tokens = None,
    audio_cache_read: Tokens = None,
    audio_output: Tokens = None,
    image_input: Tokens = None,
    image_cache_read: Tokens = None,
    image_output: Tokens = None,
    reasoning: Tokens = None,
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

    Example: crossover prices quote --provider openai --model gpt-5 --output 1000
    """
    from monitor.wiring import prices

    chosen = settings(ctx)
    resolver = prices.prices(chosen, prices.stored_prices(chosen))
    if source is not None:
        quote_file(source, resolver, form)
        return
    counts = Quantities(
        uncached_input,
        cache_read,
        cache_write,
        cache_write_long,
        output,
        audio_input,
        audio_cache_read,
        audio_output,
        image_input,
        image_cache_read,
        image_output,
        reasoning,
        requests,
    )
    row: dict[str | None, object] = {
        name: "" if n is None else n for name, n in counts._asdict().items()
    }
    row |= {"id": "", "provider": provider, "model": model, "at": at, "account": account}
    quote_one(row | {"context": ";".join(context or ())}, resolver, form)


@app.command("list")
def list_cards(
    ctx: typer.Context,
    provider: Annotated[str, typer.Option(help="Only this provider, by any of its names.")] = "",
    model: Annotated[str, typer.Option(help="Only models with this in their name, or *.")] = "",
    at: Annotated[str, typer.Option(help="In force when: a date, or a UTC time.")] = "",
    stale: Annotated[bool, typer.Option("--stale", help="Only rates nobody checked lately.")] = (
        False
    ),
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """List rate cards: those that priced your usage, and with a filter all that are known.

    `used` cards price stored usage, `stored` ones did once, `announced` ones will, `known` ones are
    what a quote would take. Without a database everything known is listed. USD per million tokens.

    Example: crossover prices list --provider openai --model gpt-5
    """
    from monitor.cli import price_cards as cards
    from monitor.wiring import prices

    chosen = settings(ctx)
    resolver = prices.prices(chosen)
    moment = cards.instant(at, int(now().timestamp()))
    wanted = cards.Chosen(provider_id(provider), model, moment)
    stored = cards.stored_cards(chosen)
    rows = list(cards.kept(resolver, stored, wanted, chosen.prices.stale_after_days * DAY))
    old = [row for row in rows if row["state"] == "used" and "rate_stale" in row["flags"]]
    if provider or model or not stored:
        models = prices.price_list(chosen).models()
        rows += cards.listed(resolver, cards.names(resolver, models), wanted)
    cards.print_cards([row for row in rows if not stale or "rate_stale" in row["flags"]], form)
    if not rows:
        note(
            f"No price is known at that time for provider {provider or '*'}, model {model or '*'}:"
            " its usage would be unpriced. A list without --model names every model of a provider."
        )
    if old:
        note(
            f"Rates that price your usage and that nobody has checked for "
            f"{chosen.prices.stale_after_days} days: {len(old)} (see --stale)"
        )


@app.command("show")
def show_model(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(help="Who bills: openai, bedrock, ...")],
    model: Annotated[str, typer.Argument(help="The model as the provider calls it.")],
    begin: Annotated[str, typer.Option("--from", help="A date, or a UTC time.")] = "2023-01-01",
    end: Annotated[str, typer.Option("--to", help="The same. Default: in 400 days.")] = "",
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Show one model's prices over time: past, announced, every context, tiers and hours.

    An empty `valid_from` means as long as anybody knows, an empty `valid_until` that no change is
    announced. USD per million tokens.

    Example: crossover prices show deepseek deepseek-chat --from 2026-01-01
    """
    from monitor.cli import price_cards as cards
    from monitor.wiring import prices

    chosen = settings(ctx)
    resolver = prices.prices(chosen)
    moment = int(now().timestamp())
    span = cards.instant(begin, 0), cards.instant(end, moment + 400 * DAY)
    if span[0] >= span[1]:
        raise InputError(f"--from {begin} is not before --to {end}", "Give an earlier --from.")
    known = prices.price_list(chosen)
    contexts = resolver.contexts(provider, model)
    readings = list(resolver.names.readings(provider, model))
    contexts |= {c for name in readings for c in known.contexts(*name)}
    rows = list(cards.shown(resolver, provider, model, contexts, span))
    if not rows:
        asked = ", ".join(" ".join(name) for name in readings)
        raise InputError(
            f"no rate is known for {provider} {model} between those dates (looked up: {asked})",
            "Look the name up with crossover prices list --provider NAME; say what it is called"
            " under [names], or add an override.",
        )
    cards.print_cards(rows, form)
    used = resolver.card(provider, model, moment)
    if used is not None and used.model != model:
        note(f"{model} is looked up as {used.model} of {used.provider}.")


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
