"""Which rate card applies: overrides, then our own dated rows, then a price list, else none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Protocol

from monitor.domain.aliases import canonical_context, names_of, provider_id
from monitor.domain.corrections import CORRECTIONS
from monitor.domain.dated_rates import STALE_AFTER, DatedRates, card_at, turns
from monitor.domain.pricing import RateCard, Rates

_REMEMBERED = 10_000


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
        stale_after: seconds after which a row of `own` counts as unchecked.
    """

    library: RateSource
    overrides: Sequence[Override] = ()
    own: Sequence[DatedRates] = CORRECTIONS
    stale_after: int = STALE_AFTER
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
        names = list(names_of(provider, model))
        cards = (self._overridden(*name, at, context, account) for name in names)
        card = next((card for card in cards if card is not None), None)
        # A name that gives nothing now may give something later, so all of them bound the card.
        return card and card.within(
            at, [t for name in names for t in self._turns(*name, at, context, account)]
        )

    def _turns(
        self, provider: str, model: str, at: int, context: str, account: str
    ) -> Iterator[int]:
        """Instants at which an override or a row of our own may give another answer."""
        for override in self.overrides:
            if override.concerns(provider, model, context, account):
                ends = (override.valid_from, override.valid_to)
                yield from (end for end in ends if end is not None)
        for wanted in {context, ""}:
            yield from turns(self._own_rows(provider, model, wanted), at)

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
            uncovered = context and override.context is None
            return card.flagged("context_not_priced") if uncovered else card
        assert override.multiplier is not None
        base = self._listed(provider, model, at, context if override.context is None else "")
        return base and _multiplied(base, override.multiplier, context, account)

    def _listed(self, provider: str, model: str, at: int, context: str) -> RateCard | None:
        """The list price: our own rows before the library's."""
        rows = self._own_rows(provider, model, context)
        card = card_at(rows, provider, model, at, context, self.stale_after)
        card = card or self.library.lookup(provider, model, at, context)
        if context and (card is None or "context_not_priced" in card.marks):
            rows = self._own_rows(provider, model, "")
            own = card_at(rows, provider, model, at, context, self.stale_after)
            card = own.flagged("context_not_priced") if own else card
        return card


def _multiplied(card: RateCard, factor: Decimal, context: str, account: str) -> RateCard:
    return replace(
        card,
        rates=card.rates.scaled(factor),
        tiers=tuple(tier._replace(rates=tier.rates.scaled(factor)) for tier in card.tiers),
        context=context,
        account=account,
        source=f"override {factor} x {card.source}",
    )
