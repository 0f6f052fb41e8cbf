"""What the configuration asks the database to hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Any

from monitor import library
from monitor.config import Settings
from monitor.config.money import FxSettings
from monitor.config.reporting import Budget
from monitor.config.workloads import DeploymentSettings
from monitor.domain.capacity import Choice, Filled, fill, low_price
from monitor.domain.cost_lines import fill_in
from monitor.domain.errors import ConfigError, InputError
from monitor.domain.hardware import find_gpu
from monitor.domain.money import to_pico
from monitor.domain.scenario import parse_tables, to_document
from monitor.domain.workloads import Rule
from monitor.storage.price_changes import FxRate
from monitor.storage.setup import (
    AccountSetup,
    BudgetSetup,
    ContractSetup,
    DeploymentSetup,
    Setup,
    WorkloadSetup,
)
from monitor.wiring.usage import source_setup, watch_setup


def setup(settings: Settings) -> Setup:
    """The rows that the configuration asks for."""
    return Setup(
        [
            *(source_setup(item) for item in settings.source),
            *(watch_setup(item) for item in settings.watch),
        ],
        _accounts(settings),
        [
            WorkloadSetup(
                w.name,
                w.must_stay_on_api,
                w.must_stay_in_house,
                w.runs_on,
                json.dumps(w.gates, default=_written, sort_keys=True),
                w.owner,
                w.cost_centre,
            )
            for w in settings.workload
        ],
        [DeploymentSetup(d.name, d.workload, document(d)) for d in settings.deployment],
        rules(settings),
        [
            ContractSetup(
                item.account,
                midnight(item.valid_from) or 0,
                midnight(item.valid_to),
                to_pico(item.commit_usd_per_month),
            )
            for item in settings.contract
        ],
        [fx_rate(item) for item in settings.fx],
        [_budget(item) for item in settings.budget],
    )


def _budget(item: Budget) -> BudgetSetup:
    """A budget with the one thing that it is about."""
    scopes = ("workload", "account", "cost_centre", "label")
    scope = next((key for key in scopes if getattr(item, key)), "all")
    return BudgetSetup(
        item.name,
        to_pico(item.amount_usd),
        item.period,
        scope,
        "" if scope == "all" else getattr(item, scope),
        midnight(item.valid_from),
        midnight(item.valid_to),
        item.owner,
    )


def fx_rate(item: FxSettings) -> FxRate:
    """A currency's rate as it is stored."""
    day = midnight(item.day) or 0
    return FxRate(item.currency, day, int(item.usd * 10**9), item.source)


def _written(value: object) -> object:
    """A date or a decimal of the file as JSON has them."""
    return value.isoformat() if isinstance(value, date) else float(str(value))


def _accounts(settings: Settings) -> list[AccountSetup]:
    """Each account's authorities: as configured, else the only source that reports it."""
    only = {item.account: item.name for item in settings.source}
    found = []
    for name in sorted({*only, *settings.account}):
        chosen = settings.account.get(name)
        tokens = chosen.tokens_from if chosen else ""
        money = chosen.money_from if chosen else ""
        currency = chosen.currency if chosen else "USD"
        default = only.get(name, "")
        found.append(AccountSetup(name, currency, tokens or default, money or default))
    return found


def document(deployment: DeploymentSettings) -> str:
    """The deployment's tables as stored text, with what was assumed for lines left out."""
    tables = deployment.tables()
    cost = tables["deployment"]
    filling = fill_in(
        library.costs(),
        cost,
        tables["migration"],
        hardware=_hardware(deployment, cost),
        model_updates=deployment.model_updates_usd_per_month,
    )
    scenario = parse_tables({**tables, "deployment": filling.cost, "migration": filling.migration})
    return json.dumps(
        {
            "scenario": to_document(scenario),
            "assumed": list(filling.assumed),
            "lines": list(filling.lines),
            "remarks": _price_remarks(deployment, scenario.deployment.usd_per_gpu_hour),
            "price_stale_after_days": library.gpus().stale_after_days,
            "engine_model": deployment.engine_model,
            "peak_given": deployment.peak_to_mean is not None,
            "facts": deployment.facts,
        },
        default=_written,
        sort_keys=True,
    )


def _hardware(deployment: DeploymentSettings, cost: Mapping[str, Any]) -> dict[str, Filled]:
    """What the shipped figures say of the deployment's model and GPU; nothing without them."""
    if not deployment.model:
        return {}
    choice = Choice(deployment.model, deployment.gpu, deployment.precision, deployment.commitment)
    # A server that was bought has no rent.
    bought = {"usd_per_gpu_hour": 0} if deployment.owned else {}
    try:
        return fill(library.capacity(), library.gpus(), choice, {**bought, **cost})
    except InputError as error:
        raise ConfigError(
            [f"deployment {deployment.name}: {error.message}"], error.remedy
        ) from None


def _price_remarks(deployment: DeploymentSettings, usd_per_gpu_hour: Fraction) -> list[str]:
    if not deployment.gpu or not usd_per_gpu_hour:
        return []
    return low_price(find_gpu(library.gpus(), deployment.gpu), usd_per_gpu_hour)


def rules(settings: Settings) -> list[Rule]:
    """The workload rules in their order."""
    return [
        Rule(w.name, w.provider, w.model, w.project, w.api_key, w.label, w.account)
        for w in settings.workload
    ]


def midnight(day: date | None) -> int | None:
    """The UTC midnight of a configured day, in epoch seconds."""
    return int(datetime.combine(day, time(), UTC).timestamp()) if day else None
