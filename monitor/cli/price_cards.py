"""Rate cards as rows for people and programs: what `crossover prices list` and `show` print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from monitor.cli.common import Format, note, show
from monitor.domain.aliases import provider_id
from monitor.domain.errors import CrossoverError, InputError
from monitor.domain.money import plain
from monitor.domain.pricing import RateCard, Rates
from monitor.domain.rate_history import Span, history, next_change
from monitor.domain.usage import DAY

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.domain.rate_lookup import Resolver
    from monitor.storage.rates import Stored

_RATES = ("uncached_input", "cache_read", "cache_write", "cache_write_long", "output")
_SHORT = dict(zip(_RATES, ("in", "read", "write", "long write", "out"), strict=True))
_OTHERS = tuple(name for name in Rates._fields if name not in _RATES)


class Chosen(NamedTuple):
    """Which cards are wanted."""

    provider: str
    """Canonical; '' is any."""
    model: str
    """A shell-style pattern, or a part of the name; '' is any."""
    at: int

    def has(self, provider: str, model: str) -> bool:
        """Whether a model is among them."""
        pattern = self.model.lower()
        if not any(c in pattern for c in "*?["):
            pattern = f"*{pattern}*"
        return self.provider in {"", provider} and fnmatchcase(model.lower(), pattern)


def instant(text: str, default: int) -> int:
    """UTC epoch seconds of a date, which means its midnight, or of an instant with Z.

    Raises:
        InputError: it is neither.
    """
    if not text:
        return default
    with suppress(ValueError):
        day = date.fromisoformat(text) if len(text) == 10 else None
        found = datetime.combine(day, time(), UTC) if day else datetime.fromisoformat(text)
        if found.tzinfo is not None and found.year >= 1970:
            return int(found.timestamp())
    raise InputError(
        f"{text!r} is no date and no UTC time",
        "Write 2026-11-20 or 2026-11-20T12:00:00Z.",
    )


def stored_cards(settings: Settings) -> list[Stored]:
    """What the database holds; nothing, with a remark, where it cannot be asked."""
    from monitor.storage.migrate import require_current
    from monitor.storage.rates import stored
    from monitor.wiring.opening import database

    opened = database(settings)
    if opened.path is not None and not opened.path.exists():
        return []
    try:
        require_current(opened)
        with closing(opened), opened.read() as conn:
            return stored(conn)
    except CrossoverError as error:
        note(f"The database is left out: {error}")
        return []


def listed(
    resolver: Resolver, models: Iterable[tuple[str, str]], wanted: Chosen
) -> Iterator[dict[str, Any]]:
    """The standard card of every model that is wanted and priced at the instant."""
    for provider, model in sorted({name for name in models if wanted.has(*name)}):
        card = resolver.card(provider, model, wanted.at)
        if card is not None:
            yield _row(resolver, card, "known", wanted.at, card.marks)


def kept(
    resolver: Resolver, rows: Iterable[Stored], wanted: Chosen, stale_after: int
) -> Iterator[dict[str, Any]]:
    """The stored cards that are wanted, whatever their time; `used` where they price usage."""
    for card, _, used_until in rows:
        if wanted.has(provider_id(card.provider), card.model):
            unused = "announced" if card.valid_from > wanted.at else "stored"
            state = unused if used_until is None else "used"
            marks = _aged(resolver, card, wanted.at, stale_after)
            yield _row(resolver, card, state, wanted.at, marks)


def _aged(resolver: Resolver, card: RateCard, at: int, stale_after: int) -> tuple[str, ...]:
    """The card's marks, and whether it is stale by now, which it was not when it was stored."""
    if card.valid_until is not None and card.valid_until <= at:
        return card.marks  # it is history: nobody checks it any more
    now = resolver.card(card.provider, card.model, at, card.context, card.account)
    stale = card.checked_at is not None and at - card.checked_at >= stale_after
    stale |= now is not None and "rate_stale" in now.marks
    return card.flagged("rate_stale").marks if stale else card.marks


def _row(
    resolver: Resolver, card: RateCard, state: str, at: int, marks: Sequence[str]
) -> dict[str, Any]:
    until = card.valid_until
    if state == "known":
        change = next_change(resolver, card)
        until = change and change[0]
    return {
        "provider": card.provider,
        "model": card.model,
        "context": card.context,
        "account": card.account,
        "state": state,
        **_amounts(card.rates),
        "tiers": _tiers(card),
        "valid_from": _when(card.valid_from or None),
        "valid_until": _when(until),
        "checked": _when(card.checked_at),
        "age_days": "" if card.checked_at is None else max(0, (at - card.checked_at) // DAY),
        "source": card.source,
        "version": card.source_version,
        "flags": " ".join(marks),
    }


def shown(
    resolver: Resolver, provider: str, model: str, contexts: Iterable[str], span: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """The history of one model in every context, the standard price first."""
    for context in ("", *sorted(set(contexts))):
        for found in history(resolver, provider, model, *span, context):
            if not context or not found.card.not_priced:
                yield _span(found, context, span[1])


def _span(span: Span, context: str, end: int) -> dict[str, Any]:
    until = span.end if span.end is not None and span.end < end else None
    card = span.card
    return {
        "context": context,
        "valid_from": _when(span.begin or None),
        "valid_until": _when(until),
        "hours": span.hours,
        **_amounts(card.rates),
        "tiers": _tiers(card),
        "checked": _when(card.checked_at),
        "source": card.source,
        "version": card.source_version,
        "flags": " ".join(card.marks),
    }


def print_cards(rows: Sequence[Mapping[str, Any]], form: Format) -> None:
    """Every column for programs; for people the rates in one column, and no empty one."""
    if form is not Format.TABLE:
        show(rows, form)
        return
    short = [_short(row) for row in rows]
    filled = [name for name in (short[0] if short else ()) if any(row[name] for row in short)]
    show([{name: row[name] for name in filled} for row in short], form)


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    rates = [f"{label} {row[name]}" for name, label in _SHORT.items() if row[name]]
    left_out = {*_RATES, "others", "tiers", "valid_from", "valid_until", "version", "age_days"}
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name == "uncached_input":
            found["usd_per_million"] = " ".join([*rates, row["others"]]).strip()
            found["tiers"] = row["tiers"]
            found["holds"] = f"{row['valid_from'] or '...'} to {row['valid_until'] or '...'}"
        if name not in left_out:
            found[name] = value
    found["source"] = f"{row['source']} {row['version']}".strip()
    return found


def _amounts(rates: Rates) -> dict[str, str]:
    """USD per million by class, the usual ones always and the others together."""
    usual = {name: _usd(getattr(rates, name)) for name in _RATES}
    others = ((name, getattr(rates, name)) for name in _OTHERS)
    return usual | {"others": " ".join(f"{name}={_usd(n)}" for name, n in others if n)}


def _tiers(card: RateCard) -> str:
    return "; ".join(
        f">{tier.above_input_tokens}: "
        + " ".join(f"{n}={_usd(r)}" for n, r in zip(Rates._fields, tier.rates, strict=True) if r)
        for tier in card.tiers
    )


def _usd(nano: int | None) -> str:
    from decimal import Decimal

    return "" if nano is None else plain(Decimal(nano).scaleb(-9))


def _when(at: int | None) -> str:
    """A day, or an instant where it is no midnight; '' is open."""
    if at is None:
        return ""
    found = datetime.fromtimestamp(at, UTC)
    return f"{found:%Y-%m-%d}" if at % DAY == 0 else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def names(resolver: Resolver, models: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What the list names, and what our rows, names and overrides add in plain words."""
    rows = ((row.provider, row.model) for row in resolver.own)
    aliases = ((alias.provider, name) for alias in resolver.aliases for name in alias.models)
    private = ((o.provider, o.model) for o in resolver.overrides if o.provider)
    further = (pair for pair in chain(rows, aliases, private) if not set("*?[") & set(pair[1]))
    yield from chain(models, further)
