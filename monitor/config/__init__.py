"""The configuration: one TOML file, environment variables over it, secrets by name.

A secret is written as `env:NAME` or `file:PATH`; its value is read when it is needed, never
printed and never stored. Every problem of a file is reported at once, each with its place.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from monitor.config.alerting import Alerts, ChannelSettings, Heartbeat
from monitor.config.reporting import Budget, Report
from monitor.config.sections import Address, Name, Organisation, SecretName, Section, Sender
from monitor.domain import contracts
from monitor.domain.aliases import canonical_context
from monitor.domain.case import read_facts
from monitor.domain.errors import ConfigError, InputError, ScenarioError
from monitor.domain.gates import read_gates
from monitor.domain.pricing import usd_per_million as rates_of
from monitor.domain.scenario import parse_tables

DEFAULT_FILE = "crossover.toml"

_Part = TypeVar("_Part", bound=Section)


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


class Collect(Section):
    """How sources are read."""

    every_minutes: float = Field(default=60, gt=0)
    overlap_days: int = Field(default=3, ge=1)
    deep_days: int = Field(default=35, ge=1)
    settle_hours: float = Field(default=6, ge=0)
    close_after_days: int = Field(default=5, ge=0)


class SourceSettings(Section):
    """One place that usage comes from."""

    name: Name
    kind: str
    account: Name
    admin_key: SecretName = ""
    base_url: str = ""
    bucket: Literal["1h", "1d"] = "1h"
    backfill_days: int = Field(default=120, ge=1, le=3650)


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


class WorkloadSettings(Section):
    """A named share of the traffic; the first workload whose patterns all match takes a series."""

    name: Name
    account: str = ""
    provider: str = ""
    model: str = ""
    project: str = ""
    api_key: str = ""
    label: str = ""
    must_stay_on_api: str = ""
    must_stay_in_house: str = ""
    runs_on: Literal["api", "self_host", "hybrid"] = "api"
    owner: Address | Literal[""] = ""
    """Who gets the reports and, by a route, the alerts about it."""
    cost_centre: str = Field(default="", max_length=100)
    gates: dict[str, Any] = {}

    @field_validator("gates")
    @classmethod
    def _answers(cls, value: dict[str, Any]) -> dict[str, Any]:
        _, problems = read_gates(value)
        if problems:
            raise ValueError("\n".join(problems))
        return value

    @model_validator(mode="after")
    def _one_must(self) -> Self:
        if self.must_stay_on_api and self.must_stay_in_house:
            raise ValueError("must_stay_on_api and must_stay_in_house contradict each other")
        return self


class DeploymentSettings(Section):
    """A way to self-host a workload; `cost` and `migration` are tables of a scenario."""

    name: Name
    workload: str
    model: str = ""
    precision: str = ""
    gpu: str = ""
    engine_model: str = ""
    commitment: Literal["on_demand", "reserved", "spot", "owned"] = "on_demand"
    share_moved: Decimal = Decimal(1)
    peak_to_mean: Decimal | None = None
    model_updates_usd_per_month: Decimal | None = Field(default=None, ge=0)
    cost: dict[str, Any] = {}
    owned: dict[str, Any] = {}
    migration: dict[str, Any] = {}
    facts: dict[str, Any] = {}

    @field_validator("facts")
    @classmethod
    def _known_facts(cls, value: dict[str, Any]) -> dict[str, Any]:
        _, problems = read_facts(value)
        if problems:
            raise ValueError("\n".join(problems))
        return value

    @model_validator(mode="after")
    def _like_a_scenario(self) -> Self:
        if bool(self.model) != bool(self.gpu):
            raise ValueError("model and gpu belong together")
        if self.precision and not self.model:
            raise ValueError("precision belongs to model and gpu")
        tables = self.tables()
        if self.model:
            # A model and a GPU settle it, when the daemon looks them up.
            tables["deployment"] = {"gpus_per_replica": 1} | tables["deployment"]
        try:
            parse_tables(tables, "as a scenario")
        except ScenarioError as error:
            raise ValueError(error.message) from None
        return self

    def tables(self) -> dict[str, dict[str, Any]]:
        """A scenario's tables with a token workload and price: the rules for the rest apply."""
        cost = self.cost | ({"owned": self.owned} if self.owned else {})
        workload: dict[str, Any] = {"requests_per_month": 1, "input_tokens": 1, "output_tokens": 1}
        workload["share_moved"] = self.share_moved
        if self.peak_to_mean is not None:
            workload["peak_to_mean"] = self.peak_to_mean
        return {
            "workload": workload,
            "api": {"input_usd_per_million": 1, "output_usd_per_million": 1},
            "deployment": cost,
            "migration": self.migration,
        }


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


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="CROSSOVER_", env_nested_delimiter="__"
    )

    organisation: Organisation = Organisation()
    database: DatabaseSettings = DatabaseSettings()
    http: Http = Http()
    collect: Collect = Collect()
    source: list[SourceSettings] = []
    account: dict[str, AccountSettings] = {}
    nvml: Nvml = Nvml()
    workload: list[WorkloadSettings] = []
    deployment: list[DeploymentSettings] = []
    contract: list[ContractSettings] = []
    fx: list[FxSettings] = []
    prices: Prices = Prices()
    mail: Mail = Mail()
    report: Report = Report()
    budget: list[Budget] = []
    alerts: Alerts = Alerts()
    channel: list[ChannelSettings] = []
    heartbeat: Heartbeat = Heartbeat()
    daemon: Daemon = Daemon()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the file; nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        del info
        problems = [
            *_repeated(self),
            *_unknown_references(self),
            *_unknown_targets(self),
            *_authorities(self),
            *_terms(self),
            *_two_rates(self),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _repeated(settings: Settings) -> list[str]:
    problems = []
    for kind in ("source", "workload", "deployment", "budget", "channel"):
        names = [item.name for item in getattr(settings, kind)]
        problems += [
            f"{kind}: the name {name!r} is used {names.count(name)} times"
            for name in sorted(set(names))
            if names.count(name) > 1
        ]
    return problems


def _unknown_references(settings: Settings) -> list[str]:
    sources = {item.name for item in settings.source}
    workloads = {item.name for item in settings.workload}
    problems = [
        f"deployment.{item.name}.workload: there is no workload {item.workload!r}"
        for item in settings.deployment
        if item.workload not in workloads
    ]
    for name, account in settings.account.items():
        for key in ("tokens_from", "money_from"):
            named = getattr(account, key)
            if named and named not in sources:
                problems.append(f"account.{name}.{key}: there is no source {named!r}")
    return problems


def _unknown_targets(settings: Settings) -> list[str]:
    """Targets and budgets that name what is not there."""
    channels = {item.name for item in settings.channel}
    named = [("alerts.to", settings.alerts.to)]
    named += [(f"alerts.route.{n}.to", r.to) for n, r in enumerate(settings.alerts.route)]
    problems = [
        f"{where}: there is no channel {target!r}"
        for where, targets in named
        for target in targets
        if "@" not in target and target not in channels
    ]
    workloads = {item.name for item in settings.workload}
    problems += [
        f"budget.{item.name}.workload: there is no workload {item.workload!r}"
        for item in settings.budget
        if item.workload and item.workload not in workloads
    ]
    return problems


def _authorities(settings: Settings) -> list[str]:
    """Two sources of one account would count its tokens twice unless one is named."""
    problems = []
    for account in sorted({item.account for item in settings.source}):
        names = [item.name for item in settings.source if item.account == account]
        chosen = settings.account.get(account, AccountSettings())
        if len(names) > 1 and not (chosen.tokens_from and chosen.money_from):
            problems.append(
                f"account.{account}: the sources {', '.join(names)} all report it; say which one"
                " counts with tokens_from and money_from"
            )
    return problems


def _terms(settings: Settings) -> list[str]:
    return contracts.problems(
        [
            contracts.Contract(item.account, item.valid_from, item.valid_to)
            for item in settings.contract
        ]
    )


def _two_rates(settings: Settings) -> list[str]:
    days = [(item.currency, item.day) for item in settings.fx]
    return [
        f"fx: {currency} has {days.count((currency, day))} rates of {day}; a day has one"
        for currency, day in sorted(set(days))
        if days.count((currency, day)) > 1
    ]


def price_override(keys: dict[str, Any], where: str) -> PriceOverride:
    """One [[prices.override]] from elsewhere than the configuration, by the same rules.

    Raises:
        ConfigError: its problems, each after `where`.
    """
    return _section(PriceOverride, keys, where)


def fx_rate(keys: dict[str, Any], where: str) -> FxSettings:
    """One [[fx]], likewise."""
    return _section(FxSettings, keys, where)


def _section(kind: type[_Part], keys: dict[str, Any], where: str) -> _Part:
    try:
        return kind(**keys)
    except ValidationError as error:
        problems = [line for item in error.errors() for line in _shown(item, "")]
    raise ConfigError([f"{where}: {problem}" for problem in problems])


def find_file(explicit: Path | None) -> Path | None:
    """The file to read: named, else CROSSOVER_CONFIG, else ./crossover.toml if it is there."""
    if explicit is not None:
        return explicit
    if named := os.environ.get("CROSSOVER_CONFIG"):
        return Path(named)
    here = Path(DEFAULT_FILE)
    return here if here.is_file() else None


def load(explicit: Path | None = None) -> Settings:
    """Read the configuration.

    Raises:
        ConfigError: it cannot be read, or anything in it is wrong; all problems at once.
    """
    path = find_file(explicit)
    text = _read(path) if path else ""
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path} is not TOML: {error}"], "Correct that line.") from None
    return from_tables(tables, text, str(path) if path else "the environment")


def from_tables(tables: dict[str, Any], text: str = "", where: str = "settings") -> Settings:
    """Settings from a parsed file; `text` is used to say in which line a problem stands."""
    try:
        return Settings(**tables)
    except ValidationError as error:
        problems = [line for item in error.errors() for line in _shown(item, text)]
    raise ConfigError(
        [f"{where}: {problem}" for problem in problems],
        "`crossover init` writes a commented file; docs/configuration.md explains every key.",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError([f"{path} is not UTF-8 text"], "Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(
            [f"cannot read {path}: {error.strerror}"], "Name a file with --config."
        ) from None


_PLAINER = {
    "extra_forbidden": "unknown key",
    "missing": "this key is required",
}


def _shown(item: Any, text: str) -> list[str]:
    """One problem without the value: a mistyped secret must not be printed."""
    place = ".".join(str(part) for part in item["loc"])
    line = _line_of(text, item["loc"])
    cause = _PLAINER.get(item["type"], item["msg"].removeprefix("Value error, "))
    prefix = f"{place}{f' (line {line})' if line else ''}: " if place else ""
    return [prefix + part for part in cause.split("\n")]


def _line_of(text: str, loc: tuple[int | str, ...]) -> int | None:
    """The line where a key stands, or its table; None: it is not in the file."""
    names = [part for part in loc if isinstance(part, str)]
    wanted = next((part for part in loc if isinstance(part, int)), 0)
    seen, table, best = -1, "", None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?", line):
            table = header[1].replace('"', "").replace("'", "")
            seen += table == names[0] and line.lstrip().startswith("[[") if names else 0
            if names and table == names[0] and (seen in (-1, wanted)):
                best = number
        key = re.match(r"\s*([\w.-]+|\"[^\"]*\")\s*=", line)
        dotted = [*table.split("."), *key[1].strip('"').split(".")] if key else []
        if dotted and [p for p in dotted if p] == names and seen in (-1, wanted):
            return number
    return best


def secret(ref: str, where: str) -> str:
    """The value of a named secret.

    Raises:
        ConfigError: the variable or file does not exist or is empty.
    """
    if not ref:
        return ""
    kind, _, name = ref.partition(":")
    try:
        value = os.environ[name] if kind == "env" else Path(name).read_text("utf-8")
    except KeyError:
        raise ConfigError(
            [f"{where}: the environment variable {name} is not set"], f"Set {name}."
        ) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            [f"{where}: the file {name} cannot be read"], "Create it, readable by Crossover."
        ) from None
    if not value.strip():
        raise ConfigError([f"{where}: {ref} is empty"], "Put the secret there.")
    return value.strip()


def weekday_number(name: str) -> int:
    """0 is Monday, as in `datetime.weekday`."""
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if name not in days:
        raise InputError(f"{name!r} is not a weekday", f"Use one of {', '.join(days)}.")
    return days.index(name)
