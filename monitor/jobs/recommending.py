"""From stored rows to a case of the recommendation, and from its signal to the day's judgement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from monitor.domain.advice import Judged
from monitor.domain.advised import to_json
from monitor.domain.breakeven import fixed
from monitor.domain.case import Case, Facts, Line, Signal, read_facts
from monitor.domain.gates import Questionnaire, Standing, findings, read_gates
from monitor.domain.guide import Guide
from monitor.domain.recommend import Recommendation, recommend
from monitor.domain.scenario import Scenario
from monitor.storage.demand import Deployment, Workload

_LEAST_HOURS = 7 * 24
"""A whole week: below it a profile lacks a weekday."""
_ASSUMED = {
    "people_usd_per_month": "people",
    "services_usd_per_month": "services",
    "spare_replicas": "spare_replicas",
}


def questionnaire(workload: Workload) -> Questionnaire:
    """The configured answers and standing orders of a workload."""
    asked, _ = read_gates(json.loads(workload.gates, parse_float=Decimal))
    asked = asked or Questionnaire()
    orders = asked.standing or Standing()
    return replace(
        asked,
        standing=Standing(
            api=workload.must_stay_on_api or orders.api,
            own=workload.must_stay_in_house or orders.own,
        ),
    )


def gated(workload: Workload, as_of: int) -> Workload:
    """The workload with the reasons why its gates hold it on either side."""
    held = {"api": workload.must_stay_on_api, "own": workload.must_stay_in_house}
    for finding in findings(questionnaire(workload), day_of(as_of)):
        if finding.gate not in ("standing", "time") and finding.side in held:
            held[finding.side] = held[finding.side] or finding.text.rstrip(".")
    return workload._replace(must_stay_on_api=held["api"], must_stay_in_house=held["own"])


def day_of(as_of: int) -> date:
    """The UTC day of an instant."""
    return datetime.fromtimestamp(as_of, UTC).date()


def case_of(
    workload: Workload,
    deployment: Deployment,
    scenario: Scenario,
    as_of: int,
    hours: Mapping[int, int],
    assumed: Iterable[str],
    guide: Guide,
) -> Case:
    """What the advice of a day rests on: the scenario at the projection's q50 volume.

    The configured facts of the deployment, but the day, where it runs and the hours as measured.
    """
    lines = tuple(
        Line(name=_ASSUMED[key], state="assumed", source="published comparisons")
        for key in (text.partition(" = ")[0] for text in assumed)
        if key in _ASSUMED
    )
    document = json.loads(deployment.document, parse_float=Decimal)
    profile = tuple(map(Fraction, hours.values())) if len(hours) >= _LEAST_HOURS else ()
    known, _ = read_facts(document.get("facts", {}))
    known = known or Facts()
    facts = replace(
        known,
        as_of=day_of(as_of),
        runs_on=workload.runs_on,
        hourly_requests=profile,
        lines=(*lines, *_updates(document), *known.lines),
    )
    return Case(scenario, questionnaire(workload), facts, guide)


def _updates(document: Mapping[str, Any]) -> Iterable[Line]:
    """The line of model updates, whose money the scenario counts among people."""
    for line in document.get("lines", ()):
        if line["name"] == "model updates":
            yield Line(name="model_updates", state=line["state"], source=line["source"])


def cost_lines(deployment: Deployment) -> list[dict[str, Any]]:
    """Every cost line of a deployment with amount, state and source; money as text."""
    document = json.loads(deployment.document)
    return [
        {key: fixed(Fraction(value), 6) if "usd" in key else value for key, value in line.items()}
        for line in document.get("lines", ())
    ]


class Judging:
    """Judges the money signal of one day by a case; keeps what it recommended."""

    def __init__(self, case: Case, lines: Sequence[Mapping[str, Any]] = ()) -> None:
        """`lines`: the deployment's cost lines, stored beside the recommendation."""
        self._case = case
        self._lines = list(lines)
        self.said: Recommendation | None = None

    def __call__(self, signal: Signal) -> Judged:
        """The kind, and every reason that is not money's own sentence."""
        facts = replace(self._case.facts, signal=signal)
        self.said = said = recommend(replace(self._case, facts=facts))
        reasons = said.answer.reasons
        texts = [r.text for r in reasons if not r.id.startswith("money.")]
        return Judged(said.kind, " ".join(texts), len(texts) < len(reasons))

    def document(self) -> str:
        """The recommendation as JSON text."""
        if self.said is None:
            return "{}"
        return json.dumps({**to_json(self.said), "cost_lines": self._lines}, sort_keys=True)
