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
