"""Which rate card applies: overrides, then our own dated rows, then a price list, else none.

A context may have several parts. The best source prices as many of them as it can; a dated factor
of our own may price another; what remains is named on the card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Protocol

from monitor.domain.aliases import canonical_context, provider_id
from monitor.domain.dated_rates import (
    STALE_AFTER,
    DatedAlias,
    DatedFactor,
    DatedRates,
    card_at,
    turns,
)
from monitor.domain.model_names import ModelNames
from monitor.domain.pricing import CONTEXT_NOT_PRICED, RateCard, Rates

_REMEMBERED = 10_000
_LONG_CONTEXT = "context_window"
"""The part of a context that says how long the requests of a bucket were, such as `0-200k`."""
_BAND = re.compile(r"(\d{1,9})([km]?)(?:\+|-(\d{1,9})([km]?))", re.ASCII)


class RateSource(Protocol):
    """A price list. It answers for one instant and says for how long the answer holds."""

    name: str

    def lookup(self, provider: str, model: str, at: int, context: str = "") -> RateCard | None:
        """The card at `at`; None: unknown to the list. Never raises for an unknown name."""


@dataclass(frozen=True)
class Override:
    """What a customer really pays: a multiplier on the price found without it, or fixed rates.

    '' for account or provider means any; `model` is a shell-style pattern, in any case. A
    `context` of None applies in every context; one that is given is thereby priced, and its
    multiplier is on the standard price.

    Raises:
        ValueError: neither or both of multiplier and rates, a multiplier below 0, or a context
            that is no `key=value`.
    """

    account: str = ""
    provider: str = ""
    model: str = "*"
    multiplier: Decimal | None = None
    rates: Rates | None = None
    valid_from: int = 0
    valid_to: int | None = None
    context: str | None = None

    def __post_init__(self) -> None:
        if (self.multiplier is None) == (self.rates is None):
            raise ValueError(f"the override of {self.model} needs either a multiplier or rates")
        if self.multiplier is not None and not self.multiplier >= 0:
            raise ValueError(f"{self.multiplier} is no multiplier: it must be 0 or more")
        canonical_context(self.context or "")

    def concerns(self, provider: str, model: str, context: str, account: str) -> bool:
        """Whether the override is about this usage, at whatever time."""
        return (
            self.account in {"", account}
            and provider_id(self.provider) in {"", provider}
            and fnmatchcase(model.lower(), self.model.lower())
            and (self.context is None or canonical_context(self.context) == context)
        )

    def holds(self, at: int) -> bool:
        """Whether the override holds at an instant."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    def rank(self) -> tuple[bool, bool, bool, int, bool, int]:
        """The highest wins: account, provider, how exact the pattern is, context, then date."""
        wild = sum(self.model.count(c) for c in "*?[")
        literal = len(self.model) - wild
        named = self.context is not None
        return bool(self.account), bool(self.provider), not wild, literal, named, self.valid_from


@dataclass(frozen=True)
class Resolver:
    """Finds the card of a usage. Where nothing is known there is none: no default rate exists.

    Args:
        library: the price list.
        overrides: one wins, the highest by `rank` and the last of equals; they do not multiply.
        own: dated rows that outrank the list.
        factors: what a part of a context does to a price, where no rate covers that part.
        aliases: names that are billed as another model for a time.
        stale_after: seconds after which a row of `own`, a factor or an alias counts as unchecked.
        names: what a source's name may be called in price lists.
    """

    library: RateSource
    overrides: Sequence[Override] = ()
    own: Sequence[DatedRates] = ()
    factors: Sequence[DatedFactor] = ()
    aliases: Sequence[DatedAlias] = ()
    stale_after: int = STALE_AFTER
    names: ModelNames = field(default_factory=ModelNames)
    _seen: dict[tuple[str, str, str, str], RateCard] = field(default_factory=dict, repr=False)

    def card(
        self,
        provider: str,
        model: str,
        at: int,
        context: str = "",
        account: str = "",
        seconds: int = 0,
    ) -> RateCard | None:
        """The card of one usage that begins at `at`; None: unpriced.

        Args:
            provider: as its source calls it.
            model: as its source calls it.
            at: UTC epoch seconds.
            context: what the request asked for, such as `processing=batch`; '' is standard.
            account: the billed account; '' for list prices.
            seconds: the width of the usage's bucket, so that a change inside it is flagged.
        """
        key = (provider, model, context, account)
        card = self._seen.get(key)
        if card is None or not card.holds(at):
            card = self._find(provider, model, at, context, account)
            if card is None:
                return None
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[key] = card
        if seconds and card.valid_until is not None and card.valid_until < at + seconds:
            return card.flagged("rate_changes_in_bucket")
        return card

    def _find(
        self, provider: str, model: str, at: int, context: str, account: str
    ) -> RateCard | None:
        # A source's tier may hold anything; what is no context is looked for and not found.
        with suppress(ValueError):
            context = canonical_context(context)
        names = list(self.names.readings(provider, model))
        cards = (self._overridden(*name, at, context, account) for name in names)
        card = next((card for card in cards if card is not None), None)
        # A name that gives nothing now may give something later, so all of them bound the card.
        return card and card.within(
            at, [t for name in names for t in self._turns(*name, at, context, account)]
        )

    def next_turn(
        self, provider: str, model: str, at: int, context: str = "", account: str = ""
    ) -> int | None:
        """The next instant after `at` at which something of ours may give another answer.

        For names that have no card now; a card says by itself until when it holds.
        """
        found = (
            turn
            for name in self.names.readings(provider, model)
            for turn in self._turns(*name, at, context, account)
        )
        return min((turn for turn in found if turn > at), default=None)

    def dates(self, provider: str, model: str) -> set[int]:
        """The instants at which rows of our own about a model begin or end, hours aside."""
        concerned = (
            row
            for name in self.names.readings(provider, model)
            for row in self.own
            if row.concerns(*name)
        )
        return {end for row in concerned for end in _ends(row.valid_from, row.valid_until)}

    def contexts(self, provider: str, model: str) -> set[str]:
        """The parts of contexts that rows and factors of our own price for a model."""
        rows: list[DatedRates | DatedFactor] = [*self.own, *self.factors]
        found = set()
        for name in self.names.readings(provider, model):
            names = {name[1], *(a.billed_as for a in self.aliases if a.concerns(*name))}
            found |= {r.context for r in rows if any(r.concerns(name[0], n) for n in names)}
        return found - {""}

    def _turns(
        self, provider: str, model: str, at: int, context: str, account: str
    ) -> Iterator[int]:
        """Instants at which an override or a row of our own may give another answer."""
        for override in self.overrides:
            if override.concerns(provider, model, context, account):
                yield from _ends(override.valid_from, override.valid_to)
        renamed = [alias for alias in self.aliases if alias.concerns(provider, model)]
        for alias in renamed:
            yield from self._ends(alias)
        for name in {model, *(alias.billed_as for alias in renamed)}:
            for wanted in _subsets(_parts(context)):
                yield from turns(self._own_rows(provider, name, wanted), at)
            for factor in self.factors:
                if factor.context in _parts(context) and factor.concerns(provider, name):
                    yield from self._ends(factor)

    def _ends(self, row: DatedFactor | DatedAlias) -> Iterator[int]:
        yield from _ends(row.valid_from, row.valid_until)
        yield row.checked_at + self.stale_after

    def _own_rows(self, provider: str, model: str, context: str) -> list[DatedRates]:
        return [r for r in self.own if r.context == context and r.concerns(provider, model)]

    def _overridden(
        self, provider: str, model: str, at: int, context: str, account: str
    ) -> RateCard | None:
        holding = [
            o
            for o in reversed(self.overrides)
            if o.holds(at) and o.concerns(provider, model, context, account)
        ]
        if holding:
            return self._apply(max(holding, key=Override.rank), provider, model, at, context)
        return self._listed(provider, model, at, context)

    def _apply(
        self, override: Override, provider: str, model: str, at: int, context: str
    ) -> RateCard | None:
        account = override.account
        if override.rates is not None:
            card = RateCard(
                provider, model, context, 0, override.rates, source="override", account=account
            )
            return card if override.context is not None else card.lacking(_parts(context))
        assert override.multiplier is not None
        base = self._listed(provider, model, at, context if override.context is None else "")
        return base and _multiplied(base, override.multiplier, context, account)

    def _listed(self, provider: str, model: str, at: int, context: str) -> RateCard | None:
        """The list price, under the name that is billed, with every part that can be priced."""
        alias = next((a for a in self.aliases if a.holds(at) and a.concerns(provider, model)), None)
        name = alias.billed_as if alias else model
        card = self._base(provider, name, at, context)
        if card is None:
            return None
        for part in card.not_priced:
            card = self._composed(card, provider, name, part, at)
        if alias:
            card = self._by(alias, card, at)
            card = replace(card, model=model).sourced(f"{card.source} as {alias.billed_as}")
        return replace(card, context=context)

    def _base(self, provider: str, model: str, at: int, context: str) -> RateCard | None:
        """Our own rows before the list's, whichever prices more parts of the context."""
        parts = _parts(context)
        listed = self.library.lookup(provider, model, at, context)
        found = [listed and listed.lacking(_lacks(listed, parts))]
        for wanted in _subsets(parts):
            rows = self._own_rows(provider, model, wanted)
            own = card_at(rows, provider, model, at, wanted, self.stale_after)
            found.append(own and own.lacking(p for p in parts if p not in _parts(wanted)))
        cards = [card for card in reversed(found) if card is not None]
        return min(cards, key=lambda card: len(card.not_priced), default=None)

    def _by(self, row: DatedFactor | DatedAlias, card: RateCard, at: int) -> RateCard:
        """The card with the doubts about a row that had a part in it; the older check counts."""
        if not row.verified:
            card = card.flagged("rate_unverified")
        if at >= row.checked_at + self.stale_after:
            card = card.flagged("rate_stale")
        checked = card.checked_at and min(card.checked_at, row.checked_at)
        return replace(card, checked_at=checked)

    def _composed(self, card: RateCard, provider: str, model: str, part: str, at: int) -> RateCard:
        """The card with one more part of its context priced, if anything prices it."""
        rest = [other for other in card.not_priced if other != part]
        key, _, band = part.partition("=")
        if key == _LONG_CONTEXT:
            found = _of_band(card, band)
            return found.lacking(rest) if found else card
        holding = [
            f
            for f in self.factors
            if f.context == part and f.holds(at) and f.concerns(provider, model)
        ]
        if not holding:
            return card
        factor = max(holding, key=lambda f: f.valid_from)
        card = self._by(factor, card.changed(factor.applied).lacking(rest), at)
        return card.sourced(f"{card.source} x {factor.factor} {factor.source}")


def _parts(context: str) -> tuple[str, ...]:
    return tuple(filter(None, context.split(";")))


def _subsets(parts: Sequence[str]) -> Iterator[str]:
    """Every choice of parts as a context, the standard one first; of many parts only a few."""
    sizes = range(len(parts) + 1) if len(parts) <= 4 else (0, 1, len(parts))
    for size in sizes:
        yield from (";".join(chosen) for chosen in combinations(parts, size))


def _lacks(card: RateCard, parts: Sequence[str]) -> Sequence[str]:
    """What a list's card does not price; where it only says that something is not, all of it."""
    return card.not_priced or (parts if CONTEXT_NOT_PRICED in card.marks else ())


def _ends(begin: int, end: int | None) -> Iterator[int]:
    yield begin
    if end is not None:
        yield end


def _of_band(card: RateCard, band: str) -> RateCard | None:
    """The card of requests whose length lies in a band, as providers report it: `200k-1M`.

    None: the band cannot be read, or a threshold of the card lies inside it.
    """
    found = _BAND.fullmatch(band.lower())
    if found is None:
        return None
    low, high = _tokens(found[1], found[2]), _tokens(found[3] or "9" * 12, found[4] or "")
    if any(
        low < tier.above_input_tokens and tier.above_input_tokens + 1 < high for tier in card.tiers
    ):
        return None
    reached = [tier for tier in card.tiers if tier.above_input_tokens <= low]
    return replace(card, rates=reached[-1].rates if reached else card.rates, tiers=())


def _tokens(digits: str, unit: str) -> int:
    return int(digits) * {"": 1, "k": 1_000, "m": 1_000_000}[unit]


def _multiplied(card: RateCard, factor: Decimal, context: str, account: str) -> RateCard:
    card = card.changed(lambda rates: rates.scaled(factor))
    card = replace(card, context=context, account=account)
    return card.sourced(f"override {factor} x {card.source}")
