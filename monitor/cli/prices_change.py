"""`crossover prices`: the commands that change what tokens cost here."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import common
from monitor.cli.common import Format
from monitor.domain.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.config.money import PriceOverride
    from monitor.domain.pricing import RateCard
    from monitor.jobs.repricing import Difference, Repriced
    from monitor.storage.engine import Database
    from monitor.storage.pending import Pending

Usd = Annotated[str, typer.Option(help="USD per million tokens.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Apply without asking.")]
Form = Annotated[Format, typer.Option("--format", help="How to print.")]

_MOST_DAYS = 3_700
"""Ten years: a longer range has a mistyped date."""
_SHOWN = {"uncached_input": "input", "output": "output", "cache_read": "cached"}


def register(app: typer.Typer) -> None:
    """Add the commands to `crossover prices`."""
    app.command("set")(set_price)
    app.command("import")(import_prices)
    app.command("end")(end_price)
    app.command("reprice")(reprice)
    app.command("refresh")(refresh)
    app.command("fx")(set_fx)


def set_price(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(help="Who bills: openai, azure, ...")],
    model: Annotated[str, typer.Argument(help="The model, or a pattern such as gpt-5*.")],
    usd_input: Annotated[str, typer.Option("--input", help="USD per million tokens.")] = "",
    output: Usd = "",
    cached: Usd = "",
    cache_write: Usd = "",
    multiplier: Annotated[str, typer.Option(help="Times the list price: 0.85 is 15% off.")] = "",
    account: Annotated[str, typer.Option(help="Only for this billed account.")] = "",
    context: Annotated[str, typer.Option(help="Only in this context: processing=batch.")] = "",
    first: Annotated[str, typer.Option("--from", help="The first UTC day.", metavar="DATE")] = "",
    until: Annotated[
        str, typer.Option("--to", help="The first UTC day without it.", metavar="DATE")
    ] = "",
    yes: Yes = False,
    form: Form = Format.TABLE,
) -> None:
    """Store a price of your own, beside those of the configuration.

    Shows which rates of the models in use it changes, then asks. A stored price is never edited:
    set another, which then counts, or end it with `crossover prices end`. Closed months stay.

    Example: crossover prices set openai gpt-5 --input 1.10 --output 8.50 --from 2026-12-01
    """
    from monitor.cli.price_files import keys_of
    from monitor.config import price_override

    cells = {
        "provider": provider,
        "model": model,
        "account": account,
        "context": context,
        "multiplier": multiplier,
        "from": first,
        "to": until,
        "input": usd_input,
        "output": output,
        "cached": cached,
        "cache_write": cache_write,
    }
    _store(ctx, [price_override(keys_of(cells), "this price")], yes, form)


def import_prices(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="FILE.csv, or FILE.toml with [[override]].")],
    yes: Yes = False,
    form: Form = Format.TABLE,
) -> None:
    """Store many prices of your own: all of a file, or nothing of it.

    A CSV file has the columns provider, model and any of account, context, input, output, cached,
    cache_write, multiplier, from, to. Every problem is named with its line. A price that is
    stored already is refused.

    Example: crossover prices import ours.csv --yes
    """
    from monitor.cli.price_files import read

    _store(ctx, read(file), yes, form)


def end_price(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(help="As `crossover prices set` said.")],
) -> None:
    """End a stored price: from now on days are priced without it; closed months stay.

    Example: crossover prices end 3
    """
    from monitor.storage import price_changes

    database = common.open_database(ctx)
    with database.write() as conn:
        known = [stored.id for stored in price_changes.in_force(conn)]
        if not price_changes.end(conn, number, int(common.now().timestamp())):
            raise InputError(
                f"no stored price {number} is in force",
                f"In force: {', '.join(map(str, known)) or 'none'}.",
            )
    common.note(f"price {number} was ended")


def reprice(
    ctx: typer.Context,
    first: Annotated[str, typer.Option("--from", help="The first UTC day.", metavar="DATE")],
    until: Annotated[str, typer.Option("--to", help="The last UTC day.", metavar="DATE")],
    reopen: Annotated[bool, typer.Option("--reopen", help="Closed months too.")] = False,
    why: Annotated[str, typer.Option(help="The reason, kept with the record.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Apply; else only shown.")] = False,
    form: Form = Format.TABLE,
) -> None:
    """Price days again with the rates known now, and print the difference by day and model.

    Without --yes nothing is changed. A closed month is refused unless --reopen is given, which
    closes it again with a new edition, such as close/2026-10/2. Every repricing that was applied
    is a row of v_repricing.

    Example: crossover prices reprice --from 2026-11-01 --to 2026-11-30
    """
    from monitor.jobs import repricing
    from monitor.wiring import prices, rows

    order = repricing.Order(
        *_range(first, until), by=getpass.getuser(), why=why, reopen=reopen, apply=yes
    )
    settings, database = common.settings(ctx), common.open_database(ctx)
    resolve = prices.resolver(settings, prices.stored_prices(settings))
    now = int(common.now().timestamp())
    found = repricing.reprice(database, resolve, rows.setup(settings), order, now)
    common.show([_difference(one) for one in found.differences], form)
    _say(found, applied=yes)


def refresh(
    ctx: typer.Context,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Take over every change that waits.")
    ] = False,
    form: Form = Format.TABLE,
) -> None:
    """Compare the installed price list with the rates in use, as the daemon does every day.

    What changed is taken over as a new dated rate. A change of more than 50% waits, and the old
    rate stays in force, until --confirm: a list may be wrong for a day.

    Example: crossover prices refresh --confirm
    """
    from monitor.jobs import reprice as job
    from monitor.wiring import prices

    settings, database = common.settings(ctx), common.open_database(ctx)
    resolve = prices.resolver(settings, prices.stored_prices(settings))
    now = int(common.now().timestamp())
    if confirm:
        common.note(f"changes confirmed: {job.confirm(database, now)}")
    found = job.refresh(database, resolve, now)
    common.note(f"new rates: {found.taken}, changes that wait: {len(found.waiting)}")
    common.show([_waits(one) for one in found.waiting], form)


def set_fx(
    ctx: typer.Context,
    currency: Annotated[str, typer.Argument(help="Three letters: EUR.")],
    usd: Annotated[str, typer.Argument(help="US dollars for one unit: 1.08.")],
    day: Annotated[str, typer.Option(help="The UTC day from which it holds.", metavar="DATE")],
    source: Annotated[str, typer.Option(help="Where the rate was read.")],
) -> None:
    """Store the rate of a currency from a day on, so that bills in it are converted.

    Rates are never guessed and never replaced: a bill without one is shown unconverted.

    Example: crossover prices fx EUR 1.08 --day 2026-11-02 --source ecb.europa.eu
    """
    from monitor.config import fx_rate
    from monitor.storage import price_changes
    from monitor.wiring import rows

    keys = {"currency": currency, "usd": usd, "day": day, "source": source}
    rate = rows.fx_rate(fx_rate(keys, "this rate"))
    database = common.open_database(ctx)
    with database.write() as conn:
        price_changes.put_fx(conn, rate)
    common.note(f"{rate.currency} is converted from {day} on")


def _store(ctx: typer.Context, overrides: Sequence[PriceOverride], yes: bool, form: Format) -> None:
    from monitor.storage import price_changes

    settings, database = common.settings(ctx), common.open_database(ctx)
    documents = [item.model_dump_json(exclude_defaults=True) for item in overrides]
    with database.read() as conn:
        before = price_changes.in_force(conn)
    _refuse_known(documents, before)
    common.show(list(_changes(settings, database, [b.document for b in before], documents)), form)
    _agree(yes, f"{len(documents)} {'price' if len(documents) == 1 else 'prices'}")
    with database.write() as conn:
        price_changes.add(conn, documents, int(common.now().timestamp()))
        stored = price_changes.in_force(conn)
    numbers = [str(item.id) for item in stored if item.document in documents]
    common.note(
        f"stored as {', '.join(numbers)}; the daemon prices open months with it at its next tick"
    )


def _refuse_known(documents: Sequence[str], before: Sequence[Any]) -> None:
    known = {stored.document: stored.id for stored in before}
    problems = [
        f"price {n} is in force already, as {known[document]}"
        for n, document in enumerate(documents, 1)
        if document in known
    ]
    problems += ["a price stands twice"] if len(set(documents)) < len(documents) else []
    if problems:
        raise ConfigError(problems, "Nothing was stored.")


def _agree(yes: bool, what: str) -> None:
    """Go on only with --yes or after a question; without a terminal nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{what} would be stored; nothing was", "Add --yes to store.")
    if not typer.confirm(f"Store {what}?", err=True):
        raise typer.Exit(1)


def _changes(
    settings: Settings, database: Database, before: list[str], added: list[str]
) -> Iterator[dict[str, str]]:
    """Which rates of what was used in the last two months change, on the day they would."""
    from monitor.domain.usage import DAY, utc_day
    from monitor.storage import price_changes
    from monitor.storage.rollup import context_of
    from monitor.wiring import prices

    old, new = (prices.prices(settings, stored) for stored in (before, [*before, *added]))
    today = utc_day(int(common.now().timestamp()))
    days = {max(today, prices.stored_override(document).valid_from) for document in added}
    with database.read() as conn:
        used = price_changes.used_since(conn, today - 62 * DAY)
    for day in sorted(days):
        for one in used:
            asked = (one.provider, one.model, day, context_of(one.tier, one.batch), one.account)
            yield from _changed(old.card(*asked), new.card(*asked), one.model, day)


def _changed(
    old: RateCard | None, new: RateCard | None, model: str, day: int
) -> Iterator[dict[str, str]]:
    from monitor.domain.periods import day_of

    for name, shown in _SHOWN.items():
        was, becomes = (getattr(card.rates, name) if card else None for card in (old, new))
        if was != becomes:
            yield {
                "model": model,
                "from_day": day_of(day),
                "tokens": shown,
                "usd_per_million_before": _usd(was),
                "usd_per_million_after": _usd(becomes),
            }


def _usd(nano: int | None) -> str:
    from monitor.domain.money import plain

    return "" if nano is None else plain(Decimal(nano) / 10**9)


def _difference(one: Difference) -> dict[str, object]:
    from monitor.domain.periods import day_of

    return {
        "day": day_of(one.key.day),
        "workload": one.key.workload,
        "model": one.key.model,
        "usd_before": _dollars(one.before.pico),
        "usd_after": _dollars(one.after.pico),
        "usd_difference": _dollars(one.after.pico - one.before.pico),
        "unpriced_tokens_before": one.before.unpriced_tokens,
        "unpriced_tokens_after": one.after.unpriced_tokens,
    }


def _waits(one: Pending) -> dict[str, object]:
    from monitor.domain.periods import day_of

    shown = one._asdict() | {"from_day": day_of(one.valid_from), "seen_on": day_of(one.seen_at)}
    for name in ("id", "valid_from", "seen_at"):
        del shown[name]
    return shown


def _dollars(pico: int) -> str:
    from monitor.domain.money import from_pico, plain

    return plain(from_pico(pico))


def _say(found: Repriced, *, applied: bool) -> None:
    change = found.pico_after - found.pico_before
    common.note(
        f"{found.days} days, {len(found.differences)} changed: ${_dollars(found.pico_before)}"
        f" {'became' if applied else 'would become'} ${_dollars(found.pico_after)}"
        f" (${_dollars(change)})"
    )
    if found.editions:
        verb = "closed again as" if applied else "would be closed again as"
        common.note(f"{verb} {', '.join(found.editions)}")
    if not applied:
        common.note("nothing was changed: add --yes to apply")


def _range(first: str, until: str) -> tuple[int, int]:
    from monitor.domain.usage import DAY

    start, end = common.day(first, "--from"), common.day(until, "--to") + DAY
    if end <= start:
        raise InputError(f"--to {until} is before --from {first}", "Name the earlier day first.")
    if end - start > _MOST_DAYS * DAY:
        raise InputError(
            f"--from {first} --to {until} is more than {_MOST_DAYS} days", "Name fewer of them."
        )
    return start, end
