"""A case: everything that advice on one workload rests on, as a file or as measured.

A case file is a scenario file with two tables more: `[gates]`, the questionnaire, and `[facts]`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Literal

from monitor.domain.errors import ScenarioError
from monitor.domain.gates import Questionnaire, read_gates
from monitor.domain.guide import Guide
from monitor.domain.hybrid import Task
from monitor.domain.options import OptionFacts
from monitor.domain.plan import Side
from monitor.domain.scenario import (
    CountFrom1,
    NotNegative,
    Positive,
    Scenario,
    Volume,
    Workload,
    read_table,
    read_toml,
)

Signal = Literal["hold", "move", "return"]
"""What money says: stay where it runs, move in, or go back."""

_REMEDY = "Correct the case: docs/advice.md explains every key"
_LAST_YEAR = 9_900  # a plan is dated decades ahead, and its dates must be dates too


@dataclass(frozen=True, kw_only=True)
class Model:
    """The weights, and the memory they must fit: gigabytes of 10^9 bytes."""

    parameters_billion: Positive
    bytes_per_parameter: Positive
    gpu_memory_gb: NotNegative
    cache_gb: NotNegative | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A cost line as it was taken: configured, assumed from a source, or zero."""

    name: str
    state: Literal["assumed", "configured", "zero"]
    usd_per_month: NotNegative | None = None
    usd_once: NotNegative | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class LatencyFacts:
    """Measured latency of either side, in seconds."""

    api: Side | None = None
    own: Side | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of the workload beside its scenario."""

    as_of: dt.date | None = None
    runs_on: Literal["api", "self_host", "hybrid"] = "api"
    signal: Signal | None = None
    """The money signal of the enter and leave rule; absent: this scenario's own figures."""
    requests_low: Volume | None = None
    """The low end of the volume's range: what must still pay."""
    requests_high: Volume | None = None
    hourly_requests: tuple[NotNegative, ...] = ()
    """A typical period's requests, hour by hour."""
    coefficient_of_variation: NotNegative | None = None
    api_fallback: bool = False
    """The API stays as failover of own servers."""
    max_gpus: CountFrom1 | None = None
    """How many GPUs can be had."""
    fleet_output_tokens_per_second: NotNegative | None = None
    """What the fleet of a scenario without a capacity limit really writes."""
    fine_tuning: bool = False
    model: Model | None = None
    options: OptionFacts = field(default_factory=OptionFacts)
    latency: LatencyFacts = field(default_factory=LatencyFacts)
    tasks: tuple[Task, ...] = ()
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Case:
    """One workload and one deployment, to be advised on."""

    scenario: Scenario
    gates: Questionnaire = field(default_factory=Questionnaire)
    facts: Facts = field(default_factory=Facts)
    guide: Guide = field(default_factory=Guide)

    @property
    def as_of(self) -> dt.date:
        """The day the advice is given; where nobody says, the first of 2026."""
        return self.facts.as_of or dt.date(2026, 1, 1)


def parse_case(text: str, guide: Guide, where: str = "case") -> Case:
    """The case of a TOML text.

    Raises:
        ScenarioError: it is no TOML, or a key is wrong; every problem is named.
    """
    return case_of(read_toml(text, where), guide, where)


def case_of(tables: dict[str, Any], guide: Guide, where: str = "case") -> Case:
    """The same from parsed tables, whose numbers are int, Decimal or Fraction."""
    rest = {name: value for name, value in tables.items() if name not in ("gates", "facts")}
    scenario, problems = read_table(Scenario, rest)
    gates, wrong = read_gates(tables.get("gates", {}))
    facts, wrong_facts = read_facts(tables.get("facts", {}))
    problems = [*problems, *wrong, *wrong_facts]
    if scenario is not None and facts is not None:
        problems += _contradictions(scenario.workload, facts)
    if problems or scenario is None or gates is None or facts is None:
        raise ScenarioError(f"{where}: " + "; ".join(problems), _REMEDY)
    return Case(scenario, gates, facts, guide)


def _contradictions(workload: Workload, facts: Facts) -> list[str]:
    """What the scenario and the facts cannot both say."""
    problems = []
    if facts.requests_low is not None and facts.requests_low > workload.requests_per_month:
        problems.append("facts.requests_low must not be above workload.requests_per_month")
    if facts.requests_high is not None and facts.requests_high < workload.requests_per_month:
        problems.append("facts.requests_high must not be below workload.requests_per_month")
    if facts.runs_on == "hybrid" and not workload.share_moved and not facts.tasks:
        problems.append('facts.runs_on = "hybrid" needs a workload.share_moved above 0')
    return problems


def read_facts(values: object) -> tuple[Facts | None, list[str]]:
    """The facts of a table, or None and everything that is wrong with it."""
    facts, problems = read_table(Facts, values, "facts")
    if facts is not None:
        problems += _shares(facts.tasks)
        if facts.requests_low and facts.requests_high and facts.requests_low > facts.requests_high:
            problems.append("facts.requests_low must not be above facts.requests_high")
        if facts.as_of and facts.as_of.year > _LAST_YEAR:
            problems.append(f"facts.as_of = {facts.as_of} must not be after the year {_LAST_YEAR}")
    return (None, problems) if problems else (facts, problems)


def _shares(tasks: tuple[Task, ...]) -> list[str]:
    """Tasks divide all requests, each under a name of its own."""
    problems = []
    total = sum(task.share for task in tasks)
    if tasks and total != 1:
        problems.append(f"facts.tasks: the shares add up to {float(total):g}, not to 1")
    if len({task.name for task in tasks}) < len(tasks):
        problems.append("facts.tasks: a name is used twice")
    return problems
