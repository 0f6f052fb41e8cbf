"""Reports and budgets: who gets which, and what may be spent."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from monitor.config.sections import Address, Clock, Language, Name, Section, Weekday

MOST_USD = 9_000_000
"""What an amount may be in the database, in pico-dollars."""


FINANCE = "finance"
"""The report that `to` gets."""
OWNER_PREFIX = "owner "
"""Begins the names of owners' reports."""


class Audience(Section):
    """Further readers of reports: what they see first, how often, in which language."""

    name: Name = Field(max_length=100)
    kind: Literal["finance", "engineering"] = "finance"
    to: list[Address] = Field(min_length=1)
    every: list[Literal["weekly", "monthly"]] = ["weekly", "monthly"]
    language: Language | None = None
    """None: the organisation's."""
    xlsx: bool = False
    pdf: bool = False


class Report(Section):
    """The weekly report and the monthly closing report of finance, and what all reports share."""

    to: list[Address] = []
    weekday: Weekday = "monday"
    at: Clock = "08:00"
    catch_up: int = Field(default=2, ge=0)
    deadline_hours: float = Field(default=24, ge=0)
    """So long a report waits for its data; then it leaves and says what is missing."""
    correct_days: int = Field(default=14, ge=0)
    """Within so many days a corrected edition follows once the data came; 0: none."""
    owners: bool = True
    """Each owner of a workload gets a report about the workloads that are theirs."""
    xlsx: bool = False
    pdf: bool = False
    audience: list[Audience] = []

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [item.name for item in self.audience]
        problems = [
            f"audience: the name {each!r} is used {names.count(each)} times"
            for each in sorted(set(names))
            if names.count(each) > 1
        ]
        problems += [
            f"audience: the name {each!r} is taken; choose another than {FINANCE!r} and such as"
            f" begin with {OWNER_PREFIX!r}"
            for each in names
            if each == FINANCE or each.startswith(OWNER_PREFIX)
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


class Budget(Section):
    """What may be spent in a calendar period, in all or by one part of the traffic."""

    name: Name
    amount_usd: Decimal = Field(gt=0, le=MOST_USD)
    period: Literal["weekly", "monthly", "quarterly", "yearly"] = "monthly"
    workload: str = ""
    account: str = ""
    cost_centre: str = ""
    label: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    """Exclusive."""
    actual_percent: list[int] = [50, 80, 100]
    """Of the amount spent: one alert at each, once a period."""
    projected_percent: list[int] = [100]
    """Of the amount that the period is heading for."""
    owner: str = ""

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        chosen = [k for k in ("workload", "account", "cost_centre", "label") if getattr(self, k)]
        if len(chosen) > 1:
            raise ValueError(f"a budget is about one thing: choose one of {' and '.join(chosen)}")
        if self.valid_from and self.valid_to and self.valid_from >= self.valid_to:
            raise ValueError("valid_to: the first day without the budget must be after valid_from")
        for key in ("actual_percent", "projected_percent"):
            if any(not 1 <= percent <= 1000 for percent in getattr(self, key)):
                raise ValueError(f"{key}: percentages from 1 to 1000")
        return self
