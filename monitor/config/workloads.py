"""Workloads, and the ways to serve them by oneself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from monitor.config.sections import Address, Name, Section
from monitor.domain.case import read_facts
from monitor.domain.errors import ScenarioError
from monitor.domain.gates import read_gates
from monitor.domain.scenario import parse_tables


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
