"""The alert about one workload: what happened, what to do, and every number behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from reports import formats
from reports.formats import REASON_CAP, about, count, day, month, name, span
from reports.judgement import Note, drawn_savings, notes
from reports.judgement import zero as taken_as_zero
from reports.model import AlertFacts, Crossed, Rendered
from reports.twins import twins
from reports.verdict import LABELS, MOVES, Tone
from reports.verdict import unsure as hesitant

_TONES: dict[Crossed, Tone] = {
    "crossed_up": "move",
    "crossed_down": "stay",
    "about_to_cross": "move",
    "return_to_api": "return",
    "unstable": "unknown",
}
_HEADLINES: dict[Crossed, Callable[[AlertFacts], str]] = {
    "crossed_up": lambda f: f"{MOVES.get(f.advice, 'Look at {}').format(_who(f))}: {_effect(f)}",
    "crossed_down": lambda f: f"Stay after all: moving {_who(f)} {_effect(f, unsure=True)}",
    "about_to_cross": lambda f: (
        f"{_who(f)} is about to cross by {_month(f.ahead_month)}: today moving it {_effect(f)}"
    ),
    "return_to_api": lambda f: f"Return {_who(f)} to the API: {_returned(f)}",
    "unstable": lambda f: f"{_who(f)} keeps crossing back and forth: moving it {_effect(f)}",
}
_HAPPENED: dict[Crossed, str] = {
    "crossed_up": "The advice for {workload} on {deployment} changed: {changed}.",
    "crossed_down": "The advice for {workload} on {deployment} changed back: it should stay where"
    " it is.",
    "about_to_cross": "At the volume projected for {ahead}, own GPUs on {deployment} would be"
    " cheaper for {workload}. That is within the lead time of a move. Until then the advice is to"
    " stay.",
    "return_to_api": "{workload} runs on own GPUs ({deployment}); the advice is now to return it"
    " to the API.",
    "unstable": "{workload} on {deployment} crossed more than four times in two weeks. This alert"
    " is quiet from here on, until it settles; the weekly report still follows it.",
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
    "unstable": (
        "Treat both answers as equal for now: the bills differ too little to act on.",
        "Check what was assumed; a measured value narrows the range.",
    ),
}


@dataclass(frozen=True)
class Volume:
    """One column of the numbers: the projection's q10, q50 or q90."""

    label: str
    requests: str
    api: str
    own: str
    savings: str


@dataclass(frozen=True)
class View:
    """The alert as words; templates only place them."""

    subject: str
    organisation: str
    dateline: str
    demo: bool
    tone: Tone
    headline: str
    happened: str
    advice: str
    month: str
    volumes: tuple[Volume, ...]
    crossing: str
    notes: tuple[Note, ...]
    rests_on: tuple[str, ...]
    steps: tuple[str, ...]
    footer: tuple[str, ...]


def build(facts: AlertFacts) -> Rendered:
    """The alert as subject, plain text and HTML."""
    shown = view(facts)
    return Rendered(shown.subject, *twins("alert", view=shown))


def view(facts: AlertFacts) -> View:
    """What the alert says."""
    headline = _HEADLINES[facts.kind](facts)
    last = facts.as_of - timedelta(days=1)
    return View(
        subject=("Demonstration: " if facts.demo else "") + headline,
        organisation=name(facts.organisation),
        dateline=f"data to {day(last, year=True)}",
        demo=facts.demo,
        tone=_TONES[facts.kind],
        headline=headline,
        happened=_HAPPENED[facts.kind].format(
            workload=_who(facts),
            deployment=name(facts.deployment),
            ahead=_month(facts.ahead_month),
            changed=_changed(facts),
        ),
        advice=f"{LABELS.get(facts.advice, name(facts.advice))}. {name(facts.reason, REASON_CAP)}",
        month=_month(facts.month),
        volumes=_volumes(facts),
        crossing=_crossing(facts),
        notes=_notes(facts),
        rests_on=_rests_on(facts),
        steps=_steps(facts),
        footer=_footer(facts),
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


def _volumes(facts: AlertFacts) -> tuple[Volume, ...]:
    labels = ("low (q10)", "middle (q50)", "high (q90)")
    return tuple(
        Volume(
            label,
            count(facts.requests[n]),
            about(facts.api_usd[n]),
            about(facts.self_host_usd[n]),
            about(facts.savings_usd[n]),
        )
        for n, label in enumerate(labels)
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


def _footer(facts: AlertFacts) -> tuple[str, ...]:
    reader = f"the addresses that {name(facts.organisation)} lists under [alerts] to"
    due = formats.instant(facts.due_at)
    return (
        f"Sent once to {reader}; it does not repeat while nothing changes.",
        "To end the question, set must_stay_on_api or must_stay_in_house for the workload.",
        f"Amounts are US dollars a month; days are UTC. Dated {due}, when it fell due.",
    )
