"""The price list, the prices of one's own, and the two as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from collectors.genai_rates import GenaiRates
from monitor import library
from monitor.config import Settings
from monitor.config.money import ContractSettings, PriceOverride
from monitor.domain.model_names import Known, ModelNames
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.rate_lookup import Override, Resolver
from monitor.domain.usage import DAY
from monitor.storage import price_changes
from monitor.storage.migrate import require_current
from monitor.storage.rates import RateKey, Resolve
from monitor.wiring.opening import database
from monitor.wiring.rows import midnight

if TYPE_CHECKING:
    from monitor.scheduler import LivePrices


def overrides(settings: Settings, stored: Sequence[str] = ()) -> list[Override]:
    """The customer's own prices: those of the configuration, then the stored documents.

    Of two that fit equally well the last one counts, so that a price that was set wins.
    """
    written = [_discount(item) for item in settings.contract if item.multiplier != 1]
    written += [_override(item) for item in settings.prices.override]
    return written + [stored_override(document) for document in stored]


def _discount(item: ContractSettings) -> Override:
    return Override(
        account=item.account,
        multiplier=item.multiplier,
        valid_from=midnight(item.valid_from) or 0,
        valid_to=midnight(item.valid_to),
    )


def stored_override(document: str) -> Override:
    """A stored price: the keys of [[prices.override]] as JSON."""
    return _override(PriceOverride.model_validate_json(document))


def stored_prices(settings: Settings) -> list[str]:
    """The documents of the prices in force that were set by command; none without a database."""
    opened = database(settings)
    if opened.path is not None and not opened.path.exists():
        return []
    require_current(opened)
    try:
        with opened.read() as conn:
            return [stored.document for stored in price_changes.in_force(conn)]
    finally:
        opened.close()


def _override(item: PriceOverride) -> Override:
    return Override(
        account=item.account,
        provider=item.provider,
        model=item.model,
        multiplier=item.multiplier,
        rates=usd_per_million(**item.usd_per_million) if item.usd_per_million else None,
        valid_from=midnight(item.valid_from) or 0,
        valid_to=midnight(item.valid_to),
        context=item.context or None,
    )


def prices(settings: Settings, stored: Sequence[str] = ()) -> Resolver:
    """Which card prices a usage: overrides, our own dated rows, then the price list."""
    stale_after = settings.prices.stale_after_days * DAY
    own, chosen = library.rates(), overrides(settings, stored)
    return Resolver(
        price_list(settings),
        chosen,
        own.rates,
        own.factors,
        own.aliases,
        stale_after,
        model_names(settings),
    )


def model_names(settings: Settings) -> ModelNames:
    """What sources call models: what ships, and after it what is configured."""
    configured = (
        Known(provider, name, model, instead=True)
        for provider, rows in settings.names.items()
        for name, model in rows.items()
    )
    return ModelNames((*library.names(), *configured))


def price_list(settings: Settings) -> GenaiRates:
    """The price list alone: what it names, and the contexts it knows."""
    return GenaiRates(settings.prices.stale_after_days * DAY)


def prices_hash(settings: Settings, stored: Sequence[str] = ()) -> str:
    """Changes whenever a price may: overrides, our own rows, the list's version."""
    said = (
        overrides(settings, stored),
        library.rates(),
        model_names(settings),
        GenaiRates().version,
    )
    return hashlib.sha256(repr(said).encode()).hexdigest()


def resolver(settings: Settings, stored: Sequence[str] = ()) -> Resolve:
    """The same for stored series."""
    found = prices(settings, stored)

    def card(key: RateKey, at: int, seconds: int) -> RateCard | None:
        return found.card(key.provider, key.model, at, key.context, key.account, seconds)

    return card


def live_prices(settings: Settings) -> LivePrices:
    """What the daemon prices with: looked up anew whenever a price was set or ended."""

    @lru_cache(maxsize=1)
    def found(stored: tuple[str, ...]) -> tuple[Resolve, str]:
        return resolver(settings, stored), prices_hash(settings, stored)

    return found
