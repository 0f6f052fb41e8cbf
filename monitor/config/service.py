"""How the daemon itself runs: its database, its HTTP service, its way out by mail."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from monitor.config.sections import SecretName, Section, Sender


class DatabaseSettings(Section):
    """Where everything is kept."""

    url: str = "sqlite:///crossover.db"
    password: SecretName = ""
    """Of a PostgreSQL URL; kept out of the URL, which is shown in messages."""
    reader_url: str = ""
    reader_password: SecretName = ""


class Http(Section):
    """The daemon's own HTTP service."""

    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=0, le=65535)
    body_bytes: int = Field(default=8_388_608, ge=1024, le=268_435_456)
    """As it is sent to the intake, compressed or not."""
    inflated_bytes: int = Field(default=33_554_432, ge=1024, le=1_073_741_824)
    events: int = Field(default=10_000, ge=1, le=100_000)
    """Of one request."""
    body_seconds: float = Field(default=30, gt=0)
    open_requests: int = Field(default=64, ge=1, le=10_000)
    waiting_events: int = Field(default=100_000, ge=1)
    requests_per_minute: int = Field(default=600, ge=1)
    """Of one token."""


class Mail(Section):
    """The way out. No host: reports are rendered and kept, nothing is sent."""

    host: str = ""
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: SecretName = ""
    sender: Sender = "crossover@localhost"
    timeout_seconds: float = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password belong together")
        return self


class Daemon(Section):
    """How often the daemon looks for work."""

    tick_seconds: float = Field(default=30, gt=0)
    claim_minutes: float = Field(default=10, gt=0)
