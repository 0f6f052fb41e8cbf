"""What money is counted by: prices of one's own, contracts, rates of currencies."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Self

from pydantic import Field, field_validator, model_validator

from monitor.config.sections import Name, Section
from monitor.domain.aliases import canonical_context
from monitor.domain.pricing import usd_per_million as rates_of

_MOST_TIMES = 100
_MOST_COMMITTED = 9_000_000
"""What a month's amount may be in the database, in pico-dollars."""
_MOST_USD = 1_000_000
"""Above both no price is meant, and far above them it could not be stored."""


class PriceOverride(Section):
    """A price of your own for some models: a factor on the list price, or rates."""

    account: str = ""
    provider: str
    model: str = Field(default="*", min_length=1)
    context: str = ""
    multiplier: Decimal | None = Field(default=None, ge=0)
    usd_per_million: dict[str, Decimal] = {}
    valid_from: date | None = None
    valid_to: date | None = None
    """Exclusive."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.multiplier is None) == (not self.usd_per_million):
            raise ValueError("give either multiplier or usd_per_million")
        if self.multiplier is not None and self.multiplier > _MOST_TIMES:
            raise ValueError(
                f"multiplier: at most {_MOST_TIMES} times the list price (0.85: 15% off)"
            )
        if self.valid_from and self.valid_to and self.valid_from >= self.valid_to:
            raise ValueError("valid_to: the first day without the price must be after valid_from")
        for name, usd in self.usd_per_million.items():
            if usd > _MOST_USD:
                raise ValueError(
                    f"usd_per_million.{name}: at most {_MOST_USD:,} USD per million tokens"
                )
        rates_of(**self.usd_per_million)
        return self

    @field_validator("context")
    @classmethod
    def _readable(cls, context: str) -> str:
        canonical_context(context)
        return context


class ContractSettings(Section):
    """A commitment to a provider: a least spend of each month, and a discount for it."""

    account: Name
    valid_from: date
    valid_to: date | None = None
    """Exclusive."""
    commit_usd_per_month: Decimal = Field(default=Decimal(0), ge=0, le=_MOST_COMMITTED)
    multiplier: Decimal = Field(default=Decimal(1), ge=0, le=1)


class FxSettings(Section):
    """A currency's rate: US dollars for one unit, from a UTC day on until the next one."""

    currency: str = Field(pattern="^[A-Z]{3}$")
    day: date
    usd: Decimal = Field(gt=0, le=_MOST_USD, decimal_places=9)
    source: str = Field(min_length=1, max_length=100, pattern=r"\S")
    """Where the rate was read."""

    @model_validator(mode="after")
    def _foreign(self) -> Self:
        if self.currency == "USD":
            raise ValueError("currency: USD is what the others are converted to")
        return self


class Prices(Section):
    """Where rates come from."""

    stale_after_days: int = Field(default=365, ge=1)
    override: list[PriceOverride] = []
