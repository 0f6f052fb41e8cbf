"""One break-even comparison in words: volumes, costs, savings, and everything it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from monitor.domain.attribution import attribute, in_cents
from monitor.domain.breakeven import WHY_NEVER
from monitor.domain.money import usd as exact
from monitor.domain.scenario import Scenario, from_document
from reports.formats import (
    REASON_CAP,
    about,
    count,
    count_span,
    day,
    month,
    name,
    number,
    plural,
    rate,
    signed,
    span,
    usd,
)
from reports.judgement import Note, drawn_savings, notes, payback, zero
from reports.language import say
from reports.model import Row, Standing, decimal, whole, words
from reports.retold import retell
from reports.verdict import Tone, label


class Compared(NamedTuple):
    """Both bills of a month at the projected volume."""

    month: str
    volume: str
    volume_range: str
    crossing: str
    api: str
    own: str
    savings: str
    savings_range: str
    payback: str


class Comparison(NamedTuple):
    """A workload and a deployment of the break-even section."""

    workload: str
    deployment: str
    advice: str
    tone: Tone
    since: str
    reason: str
    compared: Compared | None
    """None: there is nothing to compare, and the reason says why."""
    notes: tuple[Note, ...]
    """How sure it is, what would flip it, and what else the advice says."""
    taken_as_zero: str
    """The cost lines, or ''."""
    assumptions: tuple[str, ...]
    row: Row
    link: str = ""
    """URL of the recommendation; or ''."""


def comparison(row: Row, standing: Standing) -> Comparison:
    """A row of the catalogue's `breakevens` as people read it."""
    advice, tone = label(row, standing)
    there = row["month"] is not None
    return Comparison(
        workload=name(words(row, "workload")),
        deployment=name(words(row, "deployment")),
        advice=advice,
        tone=tone,
        since=say("since {day}", day=day(date.fromisoformat(words(row, "since")))),
        reason=name(retell(f"{standing.decided} {words(row, 'reason')}".strip()), REASON_CAP),
        compared=_compared(row) if there else None,
        notes=notes(row, here=standing.runs_on != "api", decided=standing.stands),
        taken_as_zero=zero(row, standing.zero_lines),
        assumptions=(
            *(_moved(row) if there else ()),
            *(_rests_on(row) if there else ()),
            *_assumed(standing),
        ),
        row=row,
        link=standing.link,
    )


def scenario(row: Row) -> Scenario | None:
    """The stored scenario at the q50 volume."""
    stored = words(row, "scenario")
    return from_document(json.loads(stored)) if stored else None


def _compared(row: Row) -> Compared:
    low, middle, high = (whole(row, f"requests_{q}") or 0 for q in _QUANTILES)
    worst, best = sorted(_amount(row, f"savings_usd_{q}") for q in ("q10", "q90"))
    return Compared(
        month=month(words(row, "month")),
        volume=count(middle),
        volume_range=count_span(low, high),
        crossing=_crossing(row),
        api=about(_amount(row, "api_usd_q50")),
        own=about(_amount(row, "self_host_usd_q50")),
        savings=about(_amount(row, "savings_usd_q50")),
        savings_range=drawn_savings(row) or span(worst, best),
        payback=payback(row, _payback(_result(row))),
    )


_QUANTILES = ("q10", "q50", "q90")


def _amount(row: Row, figure: str) -> Decimal:
    found = decimal(row, figure)
    assert found is not None, f"{figure} of a comparison is unknown"
    return found


def _crossing(row: Row) -> str:
    requests = whole(row, "crossing_requests")
    if requests is None:
        why = WHY_NEVER.get(_result(row)["crossing"]["reason"])
        return say("never crosses: {why}", why=say(why)) if why else say("never crosses")
    if not requests:
        return say("cheaper at any volume")
    return say("crosses at {n}", n=count(requests))


def _result(row: Row) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(words(row, "result"))
    return found


def _rests_on(row: Row) -> tuple[str, ...]:
    """Fleet, cost lines, request and migration, as the scenario and its result have them."""
    stored, result = scenario(row), _result(row)
    assert stored is not None
    return _fleet(stored, result), _lines(result), _request(stored), migration(row)


def _moved(row: Row) -> tuple[str, ...]:
    """How the crossing and the saving moved since last week, and why: shown cents add up."""
    stored, now = words(row, "scenario_before"), scenario(row)
    if not stored or now is None:
        return (say("How the crossing moved is not known: there was no comparison a week before."),)
    found = attribute(from_document(json.loads(stored)), now)
    then = whole(row, "crossing_before")
    text = say(
        "A week before: {crossing}, saving {amount} a month",
        crossing=_crossing_words(then),
        amount=usd(_dollars(found.before)),
    )
    cents = round(found.after * 100) - round(found.before * 100)
    parts = in_cents(found.parts, cents)
    shown = [
        f"{say(part)} {signed(Decimal(moved).scaleb(-2))}" for part, moved in parts.items() if moved
    ]
    if not shown:
        return (text + say("; nothing moved since."),)
    moved = say(
        "; now {crossing}, saving {amount}: {total}, of which {parts}.",
        crossing=_crossing_words(whole(row, "crossing_requests")),
        amount=usd(_dollars(found.after)),
        total=signed(Decimal(cents).scaleb(-2)),
        parts=", ".join(shown),
    )
    return (text + moved,)


def _crossing_words(requests: int | None) -> str:
    if requests is None:
        return say("no crossing")
    return say("crossing at {n} requests", n=count(requests))


def _fleet(of: Scenario, result: Mapping[str, Any]) -> str:
    spare = of.deployment.spare_replicas
    text = plural(result["replicas"], "replica")
    text += say(" ({n} spare)", n=spare) if spare else ""
    text += say(
        " on {gpus}, sized for {times} times the mean load",
        gpus=plural(result["gpus"], "GPU"),
        times=_number(of.workload.peak_to_mean, 1),
    )
    if result["utilisation"] is not None:
        used = 100 * Decimal(str(result["utilisation"]))
        text += say(" and {n}% used in the mean hour", n=number(used, 1))
    share = of.workload.share_moved
    if share >= 1:
        return f"{text}."
    return text + say("; {n}% of requests move.", n=_number(100 * share, 1))


A_MONTH = "A month of it:"
"""Begins the sentence on cost lines, in English."""
_LINES = {"gpu": "GPUs", "owned": "servers", "people": "people", "services": "services"}


def _lines(result: Mapping[str, Any]) -> str:
    shown = [(_LINES.get(key, "energy"), exact(cost)) for key, cost in result["lines"].items()]
    lines = ", ".join(f"{say(line)} {about(cost)}" for line, cost in shown if cost)
    return say("A month of it: {lines}.", lines=lines or say("no cost line is set"))


def _request(of: Scenario) -> str:
    w, api = of.workload, of.api
    cached = api.cached_input_usd_per_million
    parts = [(w.input_tokens, "input", api.input_usd_per_million)]
    if w.cached_input_tokens:
        price = api.input_usd_per_million if cached is None else cached
        parts.append((w.cached_input_tokens, "cached", price))
    parts.append((w.output_tokens, "output", api.output_usd_per_million))
    shown = ", ".join(
        say(f"{{n}} {kind} at {{rate}}", n=_number(tokens, 0), rate=rate(_dollars(price)))
        for tokens, kind, price in parts
    )
    return say("A mean request: {parts} (tokens; API dollars per million).", parts=shown)


def migration(row: Row) -> str:
    """What moving costs, when that is earned back, and what a year brings; '' if unknown."""
    stored = scenario(row)
    if stored is None:
        return ""
    result = _result(row)
    once, days = stored.migration.setup_usd, stored.migration.lead_days
    text = say("No cost of moving is set")
    if once:
        text = say("Moving costs {amount} once", amount=about(_dollars(once)))
    text += say(" and takes {days}", days=plural(days, "day")) if days else ""
    if result["payback_months"]:
        text += f", {_payback(result)}"
    net = exact(result["net_12_months_usd"])
    trends = (stored.api.price_change_per_month, stored.deployment.gpu_price_change_per_month)
    flat = "" if any(trends) else say(" at today's prices")
    year = "; over 12 months, that included, it loses {amount}{prices}."
    if net >= 0:
        year = "; over 12 months, that included, it saves {amount}{prices}."
    return text + say(year, amount=about(abs(net)), prices=flat)


def _payback(result: Mapping[str, Any]) -> str:
    months = result["payback_months"]
    return say("payback {n} months", n=number(Decimal(str(months)), 1)) if months else ""


def _assumed(standing: Standing) -> tuple[str, ...]:
    """What nobody measured or configured."""
    assumed = "; ".join(map(retell, standing.assumptions))
    return (say("Assumed, since nobody set it: {assumed}.", assumed=assumed),) if assumed else ()


def _number(exact_value: Fraction, places: int) -> str:
    rounded = round(exact_value * 10**places)
    return number(Decimal(rounded).scaleb(-places), places)


def _dollars(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 10**6)).scaleb(-6)
