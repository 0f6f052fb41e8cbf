"""Money from tokens: rate cards, and one usage priced with one card, exactly.

A rate is an integer in nano-USD per million: per million tokens, or per million requests for
`per_request`. $0.15 per million is 150_000_000. Sums are integers in femto-USD (10^-15), so
nothing is rounded before a reader asks for `pico`. Which card applies is `rate_lookup`'s question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from monitor.domain.money import EXACT, usd
from monitor.domain.usage import INPUT_CLASSES, QUANTITY_FIELDS, TOKEN_CLASSES, Quantities

NANO = 10**9
MAX_SOURCE = 100
"""Characters of a card's source."""
CONTEXT_NOT_PRICED = "context_not_priced"

FLAGS = {
    "unpriced": "no rate is known: the amount is unknown, never zero",
    "class_unpriced": "some tokens have no rate; they are counted and not in the amount",
    "class_fallback": "a class without a rate of its own was charged as the class it belongs to",
    "tier_unknown": "a bucket of several requests, some of which may have been long: base rate",
    CONTEXT_NOT_PRICED: "no rate covers the requested context: charged without it",
    "rate_unverified": "our own row, behind which no page of the provider stands, or a"
    " public holiday that is not announced yet",
    "rate_stale": "nobody has checked this rate for a long time before the usage",
    "rate_before_history": "the usage is older than the price list's own record of changes",
    "rate_changes_in_bucket": "the rate changes inside the bucket: charged at its first instant",
    "bad_row": "the row of the input file could not be read",
}


class Rates(NamedTuple):
    """Nano-USD per million, field by field beside `Quantities`; None: no rate is known."""

    uncached_input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_long: int | None = None
    output: int | None = None
    audio_input: int | None = None
    audio_cache_read: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_cache_read: int | None = None
    image_output: int | None = None
    reasoning: int = 0
    """What a reasoning token costs more than the output token that it also is; mostly 0."""
    per_request: int = 0
    """Per million requests, on top of tokens; mostly 0."""

    def scaled(self, factor: Decimal) -> Rates:
        """Every rate times `factor`, rounded half even to a whole nano-USD per million."""
        return Rates._make(None if rate is None else _scale(rate, factor) for rate in self)


# A list that gives no rate for the class on the left charges it as the first class on the right
# that it does price: that is what the bill says where no discount or surcharge was published.
# Audio is absent on purpose: it never costs what text costs.
FALLBACKS = {
    "cache_read": ("uncached_input",),
    "cache_write": ("uncached_input",),
    "cache_write_long": ("cache_write", "uncached_input"),
    "audio_cache_read": ("audio_input",),
    "image_input": ("uncached_input",),
    "image_cache_read": ("image_input", "cache_read", "uncached_input"),
    "image_output": ("output",),
}


class Tier(NamedTuple):
    """Rates of a whole request whose input, of all classes, is above the threshold."""

    above_input_tokens: int
    rates: Rates


@dataclass(frozen=True)
class RateCard:
    """All rates of one model in one context, and the time in which they are known to hold."""

    provider: str
    model: str
    context: str
    """`key=value` sorted and joined by `;`; '' is the standard price."""
    valid_from: int
    """UTC epoch seconds since when exactly this card is known to apply; 0: always."""
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    """By ascending threshold."""
    source: str = ""
    source_version: str = ""
    checked_at: int | None = None
    """When somebody last compared the rates with the provider's page; None: not recorded."""
    account: str = ""
    valid_until: int | None = None
    """The next instant at which another card may apply; None: no change is known."""
    marks: tuple[str, ...] = ()
    """Flags that every usage priced with this card carries."""
    not_priced: tuple[str, ...] = ()
    """The parts of the context that no rate covers."""

    def holds(self, at: int) -> bool:
        """Whether this is still the card at `at`."""
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)

    def within(self, at: int, turns: Iterable[int]) -> RateCard:
        """The card as it is known at `at` when it may change at each of `turns`."""
        turns = list(turns)
        ends = [t for t in turns if t > at]
        if self.valid_until is not None:
            ends.append(self.valid_until)
        begin = max([self.valid_from, *(t for t in turns if t <= at)])
        return replace(self, valid_from=begin, valid_until=min(ends, default=None))

    def flagged(self, flag: str) -> RateCard:
        """The card with one more mark."""
        return self if flag in self.marks else replace(self, marks=(*self.marks, flag))

    def sourced(self, source: str) -> RateCard:
        """The card with another source, cut to what is stored of one."""
        return replace(self, source=source[:MAX_SOURCE])

    def lacking(self, parts: Iterable[str]) -> RateCard:
        """The card with exactly these parts of its context unpriced, and the flag for them."""
        parts = tuple(parts)
        if parts:
            return replace(self.flagged(CONTEXT_NOT_PRICED), not_priced=parts)
        marks = tuple(mark for mark in self.marks if mark != CONTEXT_NOT_PRICED)
        return replace(self, marks=marks, not_priced=parts)

    def changed(self, change: Callable[[Rates], Rates]) -> RateCard:
        """The card with every tier's rates changed alike."""
        tiers = tuple(tier._replace(rates=change(tier.rates)) for tier in self.tiers)
        return replace(self, rates=change(self.rates), tiers=tiers)


class Priced(NamedTuple):
    """What a usage costs; `femto` None is unpriced, and `reason` says why."""

    femto: int | None
    reason: str = ""
    flags: tuple[str, ...] = ()
    unpriced_tokens: int = 0

    @property
    def pico(self) -> int | None:
        """Whole pico-USD, rounded half even."""
        if self.femto is None:
            return None
        whole, rest = divmod(self.femto, 1000)
        return whole + (rest > 500 or (rest == 500 and whole % 2 == 1))

    @property
    def usd(self) -> Decimal | None:
        """The exact amount, unrounded."""
        return None if self.femto is None else Decimal(self.femto).scaleb(-15, EXACT)


def price(quantities: Quantities, card: RateCard | None, per_request: bool = False) -> Priced:
    """The price of one usage.

    Long-context tiers are judged by request, so they are applied only to a usage that is one
    request: `per_request`, or a bucket that counted exactly one.
    """
    if card is None:
        return Priced(None, "no rate", ("unpriced",), quantities.tokens)
    rates, flags = card.rates, card.marks
    if card.tiers:
        rates, flags = _tiered(quantities, card, per_request or quantities.requests == 1)
    # Nearly every usage is text alone, and millions are priced: no loop and one tuple.
    fresh, read, write, long, out, audio, a_read, a_out, image, i_read, i_out, _, _ = quantities
    known: Any = rates
    femto = 0
    try:
        if fresh:
            femto = fresh * known[0]
        if read:
            femto += read * known[1]
        if write:
            femto += write * known[2]
        if long:
            femto += long * known[3]
        if out:
            femto += out * known[4]
    except TypeError:  # that rate is None
        return _price_by_class(quantities, rates, flags)
    more = audio or a_read or a_out or image or i_read or i_out or known[_MORE] or known[_MORE + 1]
    if more or not femto:
        return _price_by_class(quantities, rates, flags)
    return tuple.__new__(Priced, (femto, "", flags, 0))


_INPUT = tuple(QUANTITY_FIELDS.index(name) for name in INPUT_CLASSES)
_MORE = len(TOKEN_CLASSES)  # where the rates of reasoning and requests stand


def _tiered(quantities: Quantities, card: RateCard, single: bool) -> tuple[Rates, tuple[str, ...]]:
    """The rates of the tier that the usage reaches, or the base rates and a flag."""
    total = sum(quantities[i] or 0 for i in _INPUT)
    reached = [tier for tier in card.tiers if total > tier.above_input_tokens]
    if not reached:
        return card.rates, card.marks
    if single:
        return reached[-1].rates, card.marks
    return card.rates, (*card.marks, "tier_unknown")


def tier_excess(quantities: Quantities, card: RateCard) -> int:
    """Femto-USD by which a bucket flagged `tier_unknown` may cost more than its base rate.

    That is what it would cost more if all of it were one request; 0 where no tier is reached.
    """
    highest = price(quantities, card, per_request=True).femto or 0
    return max(0, highest - (price(quantities, replace(card, tiers=())).femto or 0))


def _price_by_class(quantities: Quantities, rates: Rates, flags: tuple[str, ...]) -> Priced:
    """The price where a rate may be missing or more than text counts."""
    counts = {name: n for name, n in zip(TOKEN_CLASSES, quantities, strict=False) if n}
    charged_as = {name: _charged_as(rates, name) for name in counts}
    femto = (quantities.reasoning or 0) * rates.reasoning
    femto += (quantities.requests or 0) * rates.per_request
    femto += sum(counts[name] * getattr(rates, same) for name, same in charged_as.items() if same)

    missing = [name for name, same in charged_as.items() if same is None]
    unpriced = sum(counts[name] for name in missing)
    if rates.per_request and quantities.requests is None:
        missing.append("requests")
    if any(same not in {None, name} for name, same in charged_as.items()):
        flags = (*flags, "class_fallback")
    reason = ""
    if missing:
        flags, reason = (*flags, "class_unpriced"), f"no rate for {', '.join(missing)}"
    elif not femto and all(n is None for n in quantities[:_MORE]):
        reason = "no token counts"
    if reason and not femto and not any(charged_as.values()):
        return Priced(None, reason, (*flags, "unpriced"), unpriced)
    return Priced(femto, reason, flags, unpriced)


def _charged_as(rates: Rates, name: str) -> str | None:
    """The class whose rate is charged for `name`; None: no rate is known."""
    candidates = (name, *FALLBACKS.get(name, ()))
    return next((same for same in candidates if getattr(rates, same) is not None), None)


def nano_per_million(amount: str | int | Decimal) -> int:
    """USD per million, with at most nine decimals, as a rate.

    Raises:
        ValueError: not a number, negative, or finer than a nano-USD.
    """
    rate = usd(amount) * NANO
    if rate < 0 or rate != int(rate):
        raise ValueError(f"{amount} is no rate: USD per million, not negative, nine decimals")
    return int(rate)


def usd_per_million(**rates: str | int | Decimal) -> Rates:
    """Rates from USD per million tokens, by the names of `Rates`; absent classes have none.

    Raises:
        ValueError: an amount is no rate, or a name is no class.
    """
    unknown = rates.keys() - set(Rates._fields)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: not one of {', '.join(Rates._fields)}")
    return Rates(**{name: nano_per_million(amount) for name, amount in rates.items()})


def _scale(rate: int, factor: Decimal) -> int:
    return int(EXACT.quantize(EXACT.multiply(Decimal(rate), factor), Decimal(1)))
