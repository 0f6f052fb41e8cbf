"""What `crossover breakeven` prints around the exact figures: ranges, flips, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from monitor.cli import common

if TYPE_CHECKING:
    import typer

    from monitor.domain.scenario import Scenario
    from monitor.domain.volumes import Volume
    from monitor.storage.results import Assessed

SHOWN_FLIPS = 8
_WIDE = Context(prec=1_000)
"""Wider than any amount that a scenario's numbers, of 200 digits each, can make."""

_COMPARED = {
    "requests_per_month": "requests a month",
    "api_usd_per_month": "API, USD a month",
    "self_host_usd_per_month": "own service, USD a month",
    "hybrid_usd_per_month": "after the move, USD a month",
    "savings_usd_per_month": "saved, USD a month",
    "net_12_months_usd": "net over 12 months, USD",
    "payback_months": "payback, months",
    "gpus": "GPUs",
}


def stored(
    ctx: typer.Context, workload: str, deployment: str
) -> tuple[Scenario, Sequence[Volume], Assessed]:
    """The newest stored assessment of a live workload: its scenario and projected volumes.

    Raises:
        InputError: there is none, or there are several and no deployment is named.
    """
    import json

    from monitor.domain.scenario import from_document
    from monitor.storage import results

    with common.open_database(ctx).read() as conn:
        found = results.newest_assessed(conn, workload)
        chosen = [a for a in found if not deployment or a.deployment == deployment]
        if len(chosen) != 1:
            known = [a.deployment for a in found] if found else results.assessed_names(conn)
            raise _not_one(workload, deployment, known, of_workload=bool(found))
        volumes = results.projected_requests(conn, chosen[0])
    return from_document(json.loads(chosen[0].scenario)), volumes, chosen[0]


def _not_one(
    workload: str, deployment: str, known: Sequence[str], *, of_workload: bool
) -> Exception:
    from monitor.domain.errors import InputError

    names = ", ".join(known)
    if of_workload and not deployment:
        return InputError(
            f"{workload} is assessed on several deployments: {names}", "Name one: --deployment NAME"
        )
    if of_workload:
        return InputError(f"{workload} has no assessment on {deployment}", f"Known: {names}")
    remedy = f"Known: {names}" if names else "`crossover run` assesses every day that is closed."
    return InputError(f"{workload} has no assessment", remedy)


def document(
    scenario: Scenario, volumes: Sequence[Volume], what_if: Sequence[str], *, ranges: bool
) -> dict[str, Any]:
    """The exact figures, with ranges and flips if they are asked for, and the same after changes.

    `what_if` is NAME=VALUE each; a changed volume takes its projected range with it.
    """
    from monitor.domain import whatif

    figures = _computed(scenario, volumes, ranges=ranges)
    if not what_if:
        return figures
    changed = whatif.apply(scenario, whatif.parse(what_if))
    before, after = (s.workload.requests_per_month for s in (scenario, changed))
    scaled = [v._replace(**_scaled(v, after / before)) for v in volumes] if before else []
    then = _computed(changed, volumes if before == after else scaled, ranges=ranges)
    changes = [
        {"key": c.key, "before": _number(c.before), "after": _number(c.after)}
        for c in whatif.differences(scenario, changed)
    ]
    rows = {name: _difference(figures[name], then[name]) for name in _COMPARED}
    return {**figures, "what_if": {"changes": changes, "after": then, "difference": rows}}


def _computed(scenario: Scenario, volumes: Sequence[Volume], *, ranges: bool) -> dict[str, Any]:
    from monitor.domain.breakeven import assess, to_json
    from monitor.jobs import ranging

    found = assess(scenario)
    return {**to_json(found), **(ranging.document(found, volumes) if ranges else {})}


def _scaled(volume: Volume, factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in volume._asdict().items()}


def _number(exact: Any) -> str | None:
    from monitor.domain.inputs import exact_text

    return None if exact is None else exact_text(exact)


def _difference(before: Any, after: Any) -> str | None:
    """After minus before, as text; None where one of them is undefined."""
    if before is None or after is None:
        return None
    return format(_WIDE.subtract(Decimal(str(after)), Decimal(str(before))), "f")


def before_and_after(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures in two columns with their differences, the changed keys first."""
    told = document["what_if"]
    then = told["after"]
    rows = [
        {"figure": c["key"], "before": c["before"] or "", "after": c["after"], "difference": ""}
        for c in told["changes"]
    ]
    for name, label in _COMPARED.items():
        values = (document[name], then[name], told["difference"][name])
        cells = (_cell(value) for value in values)
        rows.append(
            {"figure": label, **dict(zip(("before", "after", "difference"), cells, strict=True))}
        )
    if "ranges" in document:
        chances = [d["ranges"]["probability_cheaper"] for d in (document, then)]
        before, after = (f"{chance:.0%}" for chance in chances)
        moved = f"{100 * (chances[1] - chances[0]):+.0f} points"
        rows.append(_row("chance that own service is cheaper", before, after, moved))
    before, after = (
        _cell(d["crossing"]["requests_per_month"]) or "never" for d in (document, then)
    )
    rows.append(_row("crossing, requests a month", before, after, ""))
    rows.append(_row("verdict", document["verdict"], then["verdict"], ""))
    return rows


def _row(figure: str, before: str, after: str, difference: str) -> dict[str, str]:
    return {"figure": figure, "before": before, "after": after, "difference": difference}


def _cell(value: Any) -> str:
    return "" if value is None else f"{Decimal(str(value)):,}"


def range_rows(ranges: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ranges as label and sentence."""
    yield "chance", f"{ranges['probability_cheaper']:.0%} that own service is cheaper"
    yield "volume", _span(ranges["requests_per_month"], "requests a month")
    yield "saved", _span(ranges["savings_usd_per_month"], "USD a month")
    yield "payback", _payback(ranges)
    net = _span(ranges["net_usd"], f"USD over {ranges['horizon_months']} months")
    yield "net", f"{net}, {ranges['net_probability']:.0%} likely to be above 0"
    if ranges["net_contradicts_verdict"]:
        yield "", "the net contradicts the month's verdict"
    above = ranges["above_crossing"]
    yield "above crossing", f"{above[0]:.0%} in this month, {above[-1]:.0%} in {len(above) - 1}"
    month = ranges["crossing_month"]
    first = {None: "in none of the next 12 months", 0: "already in this month"}
    yield "crossed", f"{first.get(month, f'first in month {month}')}, with more than an even chance"


def _payback(ranges: Mapping[str, Any]) -> str:
    months, never = ranges["payback_months"], ranges["never_pays_back"]
    if months["q10"] is None:
        return f"none: {never:.0%} of the draws save nothing"
    low, middle, high = ("never" if m is None else f"{m:,.1f}" for m in months.values())
    text = f"{low} to {high}, in the middle {middle} (months)"
    return f"{text}; {never:.0%} of the draws save nothing" if never else text


def _span(quantiles: Mapping[str, Any], unit: str) -> str:
    low, middle, high = (f"{round(Decimal(str(q))):,}" for q in quantiles.values())
    return f"{low} to {high} {unit}, in the middle {middle}"


def flip_rows(flips: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The nearest flips as distance and sentence; those that do not exist in one line."""
    found = [flip for flip in flips if flip["value"] is not None]
    rows = [(_distance(flip), str(flip["sentence"])) for flip in found[:SHOWN_FLIPS]]
    return rows or [("", "No input within its bounds changes the verdict alone.")]


def _distance(flip: Mapping[str, Any]) -> str:
    far = flip["deviations"]
    return "" if far is None else f"{abs(far):.1f}"
