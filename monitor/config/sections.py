"""What every section of the configuration is made of: strict tables, names, addresses, secrets."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from monitor.domain import address
from monitor.domain.names import clean_name


def _secret_name(ref: str) -> str:
    if ref and not re.fullmatch(r"(env:[A-Za-z_]\w*|file:.+)", ref):
        raise ValueError("a secret is named, not written: use env:NAME or file:PATH")
    return ref


def _plain_name(name: str) -> str:
    if not name or name != clean_name(name):
        raise ValueError("a name is 1 to 200 printable characters without spaces around it")
    return name


def _address(text: str) -> str:
    if address.split(text) != ("", text):
        raise ValueError("an address is written name@example.org, in ASCII")
    return text


def _sender(text: str) -> str:
    if not address.split(text)[1]:
        raise ValueError(
            "a sender is written name@example.org or Name <name@example.org>, the address in ASCII"
        )
    return text.strip()


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("not a time zone name, such as Europe/Berlin") from None
    return value


def _optional_zone(value: str) -> str:
    return _zone(value) if value else ""


SecretName = Annotated[str, AfterValidator(_secret_name)]
Name = Annotated[str, AfterValidator(_plain_name)]
Address = Annotated[str, Field(max_length=320), AfterValidator(_address)]
Sender = Annotated[str, Field(max_length=320), AfterValidator(_sender)]
Zone = Annotated[str, AfterValidator(_zone)]
OptionalZone = Annotated[str, AfterValidator(_optional_zone)]
Language = Literal["en", "de"]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Organisation(Section):
    """Who reads the reports, and how they look."""

    name: str = "our organisation"
    timezone: Zone = "UTC"
    language: Language = "en"
    currency: Currency = "USD"
    """That reports print beside US dollars, converted with the dated rates of [[fx]]."""
    colour: str = Field(default="#1f5a99", pattern="^#[0-9a-fA-F]{6}$")
    logo: str = ""
    """A PNG file, at most 200 kB."""
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Where people reach the daemon's HTTP service: links in mails begin so. Empty: no links."""
    link_secret: SecretName = ""
    """What links are signed with. Empty: one is drawn and kept in the database."""
