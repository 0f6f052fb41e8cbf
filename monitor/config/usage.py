"""Where usage comes from: sources, the accounts that are billed, this host's GPUs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from monitor.config.sections import Name, SecretName, Section


class Collect(Section):
    """How sources are read."""

    every_minutes: float = Field(default=60, gt=0)
    overlap_days: int = Field(default=3, ge=1)
    deep_days: int = Field(default=35, ge=1)
    settle_hours: float = Field(default=6, ge=0)
    close_after_days: int = Field(default=5, ge=0)
    archive: str = ""
    archive_days: int = Field(default=90, ge=1)


class SourceSettings(Section):
    """One place that usage comes from."""

    name: Name
    kind: str
    account: Name
    admin_key: SecretName = ""
    base_url: str = ""
    bucket: Literal["1h", "1d"] = "1h"
    backfill_days: int = Field(default=120, ge=1, le=3650)
    requests_per_minute: float | None = Field(default=None, gt=0)
    options: dict[str, Any] = {}
    """What only this kind can be told."""


class AccountSettings(Section):
    """Who is billed, and which one source counts for its tokens and its money."""

    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    tokens_from: str = ""
    money_from: str = ""


class Nvml(Section):
    """GPUs of this host."""

    mode: Literal["auto", "required", "off"] = "auto"
    host: str = ""
    every_seconds: float = Field(default=5, gt=0, le=60)


class Imports(Section):
    """How files are imported."""

    mapping: dict[str, str] = {}
    """One-line maps by name."""


class WatchSettings(Section):
    """A file or folder that the daemon imports again and again."""

    name: Name
    path: str = Field(min_length=1)
    format: str = "auto"
    account: Name
    mapping: str = ""
    """A map, or the name of a saved one."""
    every_minutes: float = Field(default=5, gt=0)


class OtlpView(Section):
    """Which report of a service's use of a provider counts."""

    service: str = ""
    provider: str = ""
    kind: Literal[
        "",
        "spans",
        "claude_code.api_request",
        "claude_code.token.usage",
        "gen_ai.client.inference.usage",
        "gen_ai.client.inference.tokens",
        "gen_ai.client.token.usage",
        "unnamed spans",
    ] = ""
    scope: str = ""


class Otlp(Section):
    """What OpenTelemetry clients send."""

    label: str = ""
    """The resource attribute that becomes the label."""
    view: list[OtlpView] = []
