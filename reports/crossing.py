"""The words of an alert about moving a workload: what happened, what to do, and every number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from monitor.domain.notices import Said
from reports.formats import REASON_CAP, about, count, day, month, name, percent, span
from reports.judgement import Note, drawn_savings, notes
from reports.judgement import zero as taken_as_zero
from reports.model import AlertFacts, Crossed
from reports.verdict import LABELS, MOVES
from reports.verdict import unsure as hesitant

_HEADLINES: dict[Crossed, Callable[[AlertFacts], str]] = {
    "crossed_up": lambda f: f"{MOVES.get(f.advice, 'Look at {}').format(_who(f))}: {_effect(f)}",
    "crossed_down": lambda f: f"Stay after all: moving {_who(f)} {_effect(f, unsure=True)}",
    "above": lambda f: f"{_who(f)} is above its break-even: moving it {_effect(f)}",
    "below": lambda f: f"{_who(f)} is below its break-even again: moving it {_effect(f)}",
    "about_to_cross": lambda f: (
        f"{_who(f)} is about to cross its break-even: today moving it {_effect(f)}"
    ),
    "return_to_api": lambda f: f"Return {_who(f)} to the API: {_returned(f)}",
    "stays_home": lambda f: f"Keep {_who(f)} on own GPUs after all: {_returned(f)}",
}
_HAPPENED: dict[Crossed, str] = {
    "crossed_up": "The advice for {workload} on {deployment} changed: {changed}.",
    "crossed_down": "The advice for {workload} on {deployment} changed back: it should stay where"
    " it is.",
    "about_to_cross": "The volume of {workload} heads for the volume from which own GPUs on"
    " {deployment} are cheaper, {near}. That is within the lead time of a move. Until then the"
    " advice is to stay.",
    "return_to_api": "{workload} runs on own GPUs ({deployment}); the advice is now to return it"
    " to the API.",
    "above": "The volume of {workload} rose above the volume from which own GPUs on {deployment}"
    " are cheaper.",
    "below": "The volume of {workload} fell below the volume from which own GPUs on {deployment}"
    " are cheaper.",
    "stays_home": "{workload} runs on own GPUs ({deployment}); a return to the API is advised no"
    " more.",
}
_CHANGED = {
    "pilot": "it should be tried on both sides before anything moves",
    "hybrid": "a share of it should leave the API",
    "self_host_with_fallback": "it should leave the API, which stays as fallback",
}
_LEAVES = "it should leave the API"
_TRIED = "it should be tried in house before anything moves"
_PILOT_NEXT = (
    "Settle the open questions and conditions that are listed above.",
    "Run the workload on both sides for a while and compare quality, latency and cost.",
    "Move nothing before that: what was assumed or counts as zero can turn the answer.",
)
_SHARE_NEXT = (
    "Check what was assumed and what counts as zero; one wrong line can turn the answer.",
    "Run that share on both sides for a while and compare quality, latency and cost.",
    "Move the share, leave the rest on the API, and set runs_on in its [[workload]] table.",
)
_HOUSE_NEXT = (
    "Settle the open questions and conditions that are listed above.",
    "Try it on own servers with made-up or cleared data: what holds it in house forbids an API.",
    "Move it, with spares in place of an API, and set runs_on in its [[workload]] table.",
)
_NEXT: dict[Crossed, tuple[str, ...]] = {
    "crossed_up": (
        "Check what was assumed and what counts as zero; one wrong line can turn the answer.",
        "Run the workload on both sides for a while and compare quality, latency and cost.",
        "Move it, keep the API as fallback, and set runs_on in its [[workload]] table.",
    ),
    "crossed_down": (
        "Pause a move that has begun; nothing needs to be done if there was none.",
        "Look at what changed: volume, prices of the API, or your own cost lines.",
    ),
    "about_to_cross": (
        "Settle the open questions now: quality, data, licence, people.",
        "Check what was assumed and what counts as zero, then plan the lead time.",
    ),
    "return_to_api": (
        "Check whether the drop in volume will last.",
        "If it does, move the traffic back before the servers' next term begins.",
        "Set runs_on in its [[workload]] table.",
    ),
    "above": (
        "Nothing needs to be done at once: whether to move is the advice's to say.",
        "Check what was assumed and what counts as zero; one wrong line can turn the answer.",
    ),
    "below": ("Nothing needs to be done: whether to stay or return is the advice's to say.",),
    "stays_home": ("Pause a return that has begun; nothing needs to be done if there was none.",),
}


def said(facts: AlertFacts) -> Said:
    """What the alert says."""
    found = dict(_notes(facts))
    sure = found.pop("How sure", "")
    return Said(
        title=_HEADLINES[facts.kind](facts),
        what=_HAPPENED[facts.kind].format(
            workload=_who(facts),
            deployment=name(facts.deployment),
            near=_near(facts),
            changed=_changed(facts),
        )
        + f" Advice: {_advice(facts)}",
        sure=sure or _crossing(facts),
        cost=f"Moving {_effect(facts)} at the volume projected for {_month(facts.month)}.",
        usd_per_month=facts.savings_usd[1],
        actions=_steps(facts),
        query=_query(facts),
        facts=_volumes(facts),
        rests_on=_rests_on(facts),
        notes=(*([("Break-even", _crossing(facts))] if sure else []), *found.items()),
    )


def _advice(facts: AlertFacts) -> str:
    return f"{LABELS.get(facts.advice, name(facts.advice))}. {name(facts.reason, REASON_CAP)}"


def _near(facts: AlertFacts) -> str:
    """When it is expected, and how likely."""
    if facts.near_days is None or facts.near_chance is None:
        return "soon"
    by = day(facts.as_of + timedelta(days=facts.near_days), year=True)
    chance = percent(Decimal(str(round(100 * facts.near_chance))))
    return f"by its trend around {by} (chance within the time looked ahead: {chance})"


def _query(facts: AlertFacts) -> str:
    """The days of the comparison, newest first."""
    workload, deployment = (text.replace("'", "''") for text in (facts.workload, facts.deployment))
    return (
        "SELECT as_of, requests, api_usd, self_host_usd, savings_usd, verdict FROM v_assessment"
        f" WHERE workload = '{workload}' AND deployment = '{deployment}' AND volume = 'q50'"
        " ORDER BY as_of DESC LIMIT 30"
    )


def _who(facts: AlertFacts) -> str:
    return name(facts.workload, 32)


def _month(key: str) -> str:
    """`November 2026`: a lead time may reach into the next year."""
    return f"{month(key)} {key[:4]}"


def _effect(facts: AlertFacts, *, unsure: bool = False) -> str:
    """What moving does at the middle volume; `unsure`: a saving that is no reason to move."""
    saved = facts.savings_usd[1]
    amount = about(abs(saved))
    if saved <= 0:
        return f"costs {amount} a month more"
    return hesitant(saved, facts.row) if unsure else f"saves {amount} a month"


def _returned(facts: AlertFacts) -> str:
    """What the bills say of a return: a gate may ask for it at a price."""
    saved = facts.savings_usd[1]
    if saved > 0:
        return f"that costs {about(saved)} a month more"
    return f"own GPUs cost {about(-saved)} a month more"


def _changed(facts: AlertFacts) -> str:
    if facts.in_house and facts.advice == "pilot":
        return _TRIED
    return _CHANGED.get(facts.advice, _LEAVES)


def _steps(facts: AlertFacts) -> tuple[str, ...]:
    if facts.kind == "crossed_up" and facts.in_house:
        return _HOUSE_NEXT
    if facts.kind == "crossed_up" and facts.advice in ("pilot", "hybrid"):
        return _PILOT_NEXT if facts.advice == "pilot" else _SHARE_NEXT
    return _NEXT[facts.kind]


def _notes(facts: AlertFacts) -> tuple[Note, ...]:
    """As in the weekly report, with the range of the saving."""
    if not facts.row:
        return ()
    found = notes(facts.row, here=facts.kind == "return_to_api")
    drawn = drawn_savings(facts.row)
    return (
        (Note("Drawn savings", f"{drawn} a month in four of five draws."), *found)
        if drawn
        else found
    )


def _volumes(facts: AlertFacts) -> tuple[tuple[str, str], ...]:
    """Both bills at three volumes of the projection."""
    labels = ("low (q10)", "middle (q50)", "high (q90)")
    return tuple(
        (
            f"{_month(facts.month)}, {label}",
            _bills(facts, n),
        )
        for n, label in enumerate(labels)
    )


def _bills(facts: AlertFacts, n: int) -> str:
    return (
        f"{count(facts.requests[n])} requests: API {about(facts.api_usd[n])}, own GPUs"
        f" {about(facts.self_host_usd[n])}, saves {about(facts.savings_usd[n])}"
    )


def _crossing(facts: AlertFacts) -> str:
    middle = count(facts.requests[1])
    if facts.crossing_requests is None:
        return f"There is no volume from which own GPUs stay cheaper; projected: {middle}."
    if facts.crossing_requests == 0:
        return f"Own GPUs are cheaper at any volume; projected: {middle} requests."
    crossing = count(facts.crossing_requests)
    return (
        f"From {crossing} requests a month own GPUs stay cheaper; {middle} are projected. Over the"
        f" projection's range a move {_range(facts)}."
    )


def _range(facts: AlertFacts) -> str:
    low, high = sorted((facts.savings_usd[0], facts.savings_usd[2]))
    if high < 0:
        return f"costs {span(-high, -low)} a month more"
    return f"saves {span(low, high)} a month"


def _rests_on(facts: AlertFacts) -> tuple[str, ...]:
    assumed = "; ".join(name(text, 200) for text in facts.assumptions)
    lines = facts.zero_lines
    listed = taken_as_zero(facts.row, lines) if facts.row else ", ".join(lines)
    zero = name(listed, 400)
    return (
        f"Assumed, since nobody set it: {assumed}."
        if assumed
        else "Nothing was assumed: every line is measured or configured.",
        f"Taken as zero: {zero}." if zero else "No cost line is taken as zero.",
    )
