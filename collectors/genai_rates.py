"""List prices out of genai-prices, as data: the one module that imports it.

The library is a source of rates, never the calculator: it reads the sum of a bucket as one
request. An empty usage makes it name the rates that it would apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from monitor.domain.aliases import canonical_context
from monitor.domain.dated_rates import STALE_AFTER
from monitor.domain.model_names import is_named
from monitor.domain.pricing import RateCard, Rates, Tier
from monitor.domain.usage import DAY, utc_day

if TYPE_CHECKING:
    from genai_prices.types import (
        ConditionalPrice,
        MatchLogic,
        ModelInfo,
        ModelPrice,
        PriceCalculation,
        TieredPrices,
    )

_REMEMBERED = 10_000

# Our classes as the library's price keys. A class that it does not price is None there too.
_PRICE_KEYS = {
    "uncached_input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
    "output": "output_mtok",
    "audio_input": "input_audio_mtok",
    "audio_cache_read": "cache_audio_read_mtok",
    "audio_output": "output_audio_mtok",
    "image_input": "input_image_mtok",
    "image_cache_read": "cache_image_read_mtok",
    "image_output": "output_image_mtok",
}


class GenaiRates:
    """`RateSource` over the price list that the installed library carries; works offline."""

    name = "genai-prices"

    def __init__(self, stale_after: int = STALE_AFTER) -> None:
        """`stale_after`: seconds after the list's newest change from which it counts as old."""
        self._stale_after = stale_after
        self._seen: dict[tuple[str, str, str], RateCard | None] = {}

    @cached_property
    def version(self) -> str:
        """The library's version, which is the price list's."""
        return version("genai-prices")

    def lookup(self, provider: str, model: str, at: int, context: str = "") -> RateCard | None:
        """The list price at `at`; None: the list does not know exactly this provider and model.

        A context, or a part of one, that changes nothing is marked `context_not_priced`.
        """
        key = (provider, model, context)
        if key in self._seen:
            card = self._seen[key]
            if card is None or card.holds(at):
                return card
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        card = self._seen[key] = self._card(provider, model, at, context)
        return card

    def _card(self, provider: str, model: str, at: int, context: str) -> RateCard | None:
        parts = (part.partition("=") for part in context.split(";") if part)
        wanted = {key: value for key, _, value in parts}
        found = _ask(provider, model, at, wanted)
        if found is None:
            return None
        card = RateCard(
            provider=provider,
            model=model,
            context=context,
            valid_from=0,
            rates=_rates(found.model_price, 0),
            tiers=_tiers(found.model_price),
            source=self.name,
            source_version=self.version,
        )
        idle = []
        for part, key in zip(filter(None, context.split(";")), wanted, strict=False):
            without = _ask(provider, model, at, {k: v for k, v in wanted.items() if k != key})
            if without and without.model_price == found.model_price:
                idle.append(part)
        return self._dated(card.lacking(idle), found.model, at)

    def models(self) -> Iterator[tuple[str, str]]:
        """Every (provider, model) that the list names."""
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

        for provider in get_snapshot().providers:
            yield from ((provider.id, model.id) for model in provider.models)

    def contexts(self, provider: str, model: str) -> set[str]:
        """The contexts, of one part or more, that the list prices for a model at some time."""
        found = _ask(provider, model, 0, {})
        variants = found.model.price_variants if found else None
        written = (";".join(f"{k}={v}" for k, v in sorted(v.when.items())) for v in variants or ())
        return {canonical for text in written if (canonical := canonical_context(text))}

    def _dated(self, card: RateCard, model: ModelInfo, at: int) -> RateCard:
        """The card with the time in which it holds, and marks where the list's record fails."""
        recorded, newest = self._history
        stale_from = newest + self._stale_after
        if at >= stale_from:
            card = card.flagged("rate_stale")
        if at < recorded or _falls_back(model, at):
            card = card.flagged("rate_before_history")
        starts = _starts(model, variants=bool(card.context))
        turns = [*starts, *_turns_of_day(model, at), recorded, stale_from]
        return card.within(at, turns)

    @cached_property
    def _history(self) -> tuple[int, int]:
        """The first and the last change of any price that the list dates."""
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

        models = (model for provider in get_snapshot().providers for model in provider.models)
        dates = [start for model in models for start in _starts(model, variants=False)]
        return min(dates), max(dates)


def _ask(provider: str, model: str, at: int, context: Mapping[str, str]) -> PriceCalculation | None:
    # Imported on first use: it takes 0.4 s and brings a second HTTP stack.
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    try:
        found = calc_price(
            Usage(),
            model,
            provider_id=provider,
            genai_request_timestamp=datetime.fromtimestamp(at, UTC),
            price_context=context,
        )
    except LookupError:
        return None
    # The library guesses a provider, and some models, from a part of a name; only a whole one is
    # meant here.
    if found.provider.id != provider or not _is_whole(found.model, model):
        return None
    return found


def _is_whole(found: ModelInfo, model: str) -> bool:
    """Whether a name is one that the list writes, and not only holds one."""
    leaves = list(_leaves(found.match))
    patterns = [leaf.regex for leaf in leaves if hasattr(leaf, "regex")]
    if any(re.fullmatch(pattern, model.lower()) for pattern in patterns):
        return True
    written = (
        str(next(iter(vars(leaf).values()))) for leaf in leaves if not hasattr(leaf, "regex")
    )
    return is_named(model, (found.id, *written))


def _leaves(clause: MatchLogic) -> Iterator[Any]:
    """The conditions of a rule, without how they are joined."""
    joined = getattr(clause, "or_", None) or getattr(clause, "and_", None)
    if not joined:
        yield clause
    for each in joined or ():
        yield from _leaves(each)


def _rates(prices: ModelPrice, input_tokens: int) -> Rates:
    """The rates of a request of so many input tokens."""
    rates = {
        ours: _nano(getattr(prices, theirs), input_tokens) for ours, theirs in _PRICE_KEYS.items()
    }
    reasoning = _nano(prices.output_reasoning_mtok, input_tokens)
    per_thousand = _nano(prices.requests_kcount, input_tokens)
    return Rates(
        **rates,
        reasoning=0 if reasoning is None else reasoning - (rates["output"] or 0),
        per_request=(per_thousand or 0) * 1000,
    )


def _tiers(prices: ModelPrice) -> tuple[Tier, ...]:
    """One tier for each threshold of any class, with the rates of all classes above it."""
    tiered = (getattr(price, "tiers", ()) for price in vars(prices).values())
    starts = sorted({tier.start for tiers in tiered for tier in tiers})
    return tuple(Tier(start, _rates(prices, start + 1)) for start in starts)


def _nano(price: Decimal | TieredPrices | None, input_tokens: int) -> int | None:
    """A list price as a rate, rounded to the 10^-6 USD that providers publish in.

    A few prices of the list carry the dust of a float (1.0399999999999998).
    """
    if price is None:
        return None
    if not isinstance(price, Decimal):
        reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
        price = reached[-1] if reached else price.base
    return int((price * 10**6).quantize(Decimal(1), ROUND_HALF_EVEN)) * 1000


def _rows(model: ModelInfo) -> Sequence[ConditionalPrice]:
    return model.prices if isinstance(model.prices, list) else ()


def _starts(model: ModelInfo, *, variants: bool) -> Iterator[int]:
    """Midnights at which a price of the model begins; `variants`: in other contexts too."""
    for row in (*_rows(model), *((variants and model.price_variants) or ())):
        start = getattr(row.constraint, "start_date", None)
        if start is not None:
            yield _epoch(start)


def _turns_of_day(model: ModelInfo, at: int) -> Iterator[int]:
    """The instants of `at`'s UTC day at which a price by the hour may change."""
    day = utc_day(at)
    for row in _rows(model):
        start = getattr(row.constraint, "start_time", None)
        end = getattr(row.constraint, "end_time", None)
        if start is not None and end is not None:
            yield from (day, day + _seconds(start), day + _seconds(end), day + DAY)


def _falls_back(model: ModelInfo, at: int) -> bool:
    """Whether every price of the model begins later: the library then answers with the first."""
    now = datetime.fromtimestamp(at, UTC)
    rows = _rows(model)
    held = (row.constraint is None or row.constraint.active(now) for row in rows)
    return bool(rows) and not any(held)


def _epoch(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second
