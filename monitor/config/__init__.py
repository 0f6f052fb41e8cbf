"""The configuration: one TOML file, environment variables over it, secrets by name.

A secret is written as `env:NAME` or `file:PATH`; its value is read when it is needed, never
printed and never stored. Every problem of a file is reported at once, each with its place.
"""

from __future__ import annotations

import os
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from monitor.config.alerting import Alerts, ChannelSettings, Heartbeat
from monitor.config.money import ContractSettings, FxSettings, PriceOverride, Prices
from monitor.config.reporting import Budget, Report
from monitor.config.sections import Organisation, Section
from monitor.config.service import Daemon, DatabaseSettings, Http, Mail
from monitor.config.usage import (
    AccountSettings,
    Collect,
    Imports,
    Nvml,
    Otlp,
    SourceSettings,
    WatchSettings,
)
from monitor.config.workloads import DeploymentSettings, WorkloadSettings
from monitor.domain import contracts
from monitor.domain.errors import ConfigError, InputError

DEFAULT_FILE = "crossover.toml"

ModelName = Annotated[str, Field(min_length=1, max_length=200)]
_Part = TypeVar("_Part", bound=Section)


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
    watch: list[WatchSettings] = []
    import_: Imports = Field(default=Imports(), alias="import")
    account: dict[str, AccountSettings] = {}
    otlp: Otlp = Otlp()
    nvml: Nvml = Nvml()
    workload: list[WorkloadSettings] = []
    deployment: list[DeploymentSettings] = []
    contract: list[ContractSettings] = []
    fx: list[FxSettings] = []
    names: dict[str, dict[ModelName, ModelName]] = {}
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
    problems += [
        f"watch: the name {item.name!r} is that of a source"
        for item in settings.watch
        if item.name in {source.name for source in settings.source}
    ]
    for kind in ("source", "watch", "workload", "deployment", "budget", "channel"):
        names = [item.name for item in getattr(settings, kind)]
        problems += [
            f"{kind}: the name {name!r} is used {names.count(name)} times"
            for name in sorted(set(names))
            if names.count(name) > 1
        ]
    return problems


def _reporting(settings: Settings) -> list[tuple[str, str]]:
    """Whatever reports usage, and the account that it reports."""
    sources = [(item.name, item.account) for item in settings.source]
    return sources + [(item.name, item.account) for item in settings.watch]


def _unknown_references(settings: Settings) -> list[str]:
    sources = {name for name, _ in _reporting(settings)}
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
    reporting = _reporting(settings)
    for account in sorted({billed for _, billed in reporting}):
        names = [name for name, billed in reporting if billed == account]
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
