"""Alerts: which rules, who hears of them, through which channel, and when not."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor.config.sections import (
    Clock,
    Name,
    OptionalZone,
    SecretName,
    Section,
    Weekday,
)
from monitor.domain import address
from monitor.domain.rulebook import LIMITS, Limits

Severity = Literal["notice", "warning", "critical"]
RuleName = Literal[
    "crossing",
    "move",
    "return_to_api",
    "about_to_cross",
    "budget",
    "budget_projected",
    "spend_anomaly",
    "price_change",
    "unpriced_spend",
    "unreconciled_spend",
    "source_stale",
    "gpu_idle",
    "telemetry_lost",
    "model_change",
    "rate_limit",
    "availability",
    "failover_spend",
    "expiry",
    "internal",
]


def _target(text: str) -> str:
    if "@" in text and address.split(text) != ("", text):
        raise ValueError(
            "an address is written name@example.org, in ASCII; else name a [[channel]]"
        )
    return text


Target = Annotated[str, Field(min_length=1, max_length=320), AfterValidator(_target)]
"""A mail address, or the name of a [[channel]]."""


class RuleSettings(Section):
    """What to change of one rule; an absent key keeps the rule's own default."""

    enabled: bool = True
    severity: Severity | None = None
    owner: str = ""
    runbook: str = Field(default="", pattern=r"^(https?://\S+)?$")
    least_usd: Decimal | None = Field(default=None, ge=0)
    """Dollars a month below which the rule keeps quiet."""
    percent: int | None = Field(default=None, ge=0, le=1000)
    """The share that the rule compares with; docs/alerts.md says of what."""
    days: int | None = Field(default=None, ge=0, le=365)
    """The days that the rule waits or looks ahead; docs/alerts.md says which."""


class Route(Section):
    """Alerts that match all of this go to these targets; of several routes all that match."""

    severity: list[Severity] = []
    rule: str = "*"
    workload: str = "*"
    owner: bool = False
    """To the workload's owner too."""
    to: list[Target] = []

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.to and not self.owner:
            raise ValueError("a route leads somewhere: name targets in to, or set owner = true")
        return self


class Quiet(Section):
    """Hours in which only critical alerts leave; the others wait for their end."""

    start: Clock
    end: Clock
    zone: OptionalZone = ""
    """Empty: the organisation's."""
    days: list[Weekday] = []
    """On which the hours begin; empty: every day."""


class Maintenance(Section):
    """A planned time in which alerts change their state and tell nobody."""

    start: datetime
    end: datetime
    why: str = Field(min_length=1, max_length=200)
    rule: str = "*"
    subject: str = "*"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("start and end need a zone, such as 2026-12-01T20:00:00Z")
        if self.start >= self.end:
            raise ValueError("end must be after start")
        return self


class Alerts(Section):
    """Who hears of what, how long before, and how often at most."""

    to: list[Target] = []
    """Who gets every alert that no route takes."""
    lead_days: int = Field(default=60, ge=0, le=90)
    reopen_percent: int = Field(default=20, ge=1, le=1000)
    group_minutes: float = Field(default=10, ge=0, le=1440)
    """So long at most a first alert waits for others that belong into the same message."""
    gap_hours: float = Field(default=6, ge=0, le=168)
    """At most one message to a target in so many hours, except critical ones."""
    digest: Literal["weekly", "daily", "off"] = "weekly"
    """When a target is told what an unstable or lowest-severity alert did."""
    digest_at: Clock = "08:00"
    link_days: int = Field(default=14, ge=1, le=90)
    """So long the links of an alert work."""
    rules: dict[RuleName, RuleSettings] = {}
    route: list[Route] = []
    quiet: list[Quiet] = []
    maintenance: list[Maintenance] = []

    @model_validator(mode="after")
    def _limits_that_count(self) -> Self:
        for name, chosen in self.rules.items():
            known = LIMITS.get(name, Limits())
            for field in Limits._fields:
                if getattr(chosen, field) is not None and getattr(known, field) is None:
                    raise ValueError(
                        f"rules.{name}.{field}: this rule compares with no such limit;"
                        " docs/alerts.md lists what each has"
                    )
        return self


class ChannelSettings(Section):
    """A way out besides mail."""

    name: Name
    kind: Literal["webhook", "slack", "teams", "pagerduty", "alertmanager", "apprise"]
    url: SecretName = ""
    """The address that messages are posted to: it holds the key of most services."""
    secret: SecretName = ""
    """Of webhook: what signs a message; of pagerduty: the routing key."""
    timeout_seconds: float = Field(default=15, gt=0, le=120)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = "secret" if self.kind == "pagerduty" else "url"
        if not getattr(self, needed):
            raise ValueError(f"{needed}: a channel of kind {self.kind} needs it")
        if self.name == "smtp" or "@" in self.name:
            raise ValueError("name: smtp is mail's own name, and an address is no channel")
        return self


class Heartbeat(Section):
    """An address outside that is called after each good round: it says when calls stay away."""

    url: SecretName = ""
    every_minutes: float = Field(default=15, gt=0)
