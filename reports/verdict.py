"""What a week's comparisons come to: their order, and the one sentence that heads the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from reports.formats import REASON_CAP, about, name, number
from reports.judgement import held
from reports.language import say, say_n
from reports.model import Row, Standing, WeeklyFacts, decimal

Tone = Literal["move", "stay", "return", "unknown"]

MOVES = {
    "self_host": "Move {}",
    "self_host_with_fallback": "Move {} with the API as fallback",
    "hybrid": "Move a share of {}",
    "pilot": "Pilot {}",
}
LABELS = {
    "stay": "Stay",
    "stay_but_change": "Stay, but change",
    "pilot": "Pilot",
    "hybrid": "Move a share",
    "self_host_with_fallback": "Move with fallback",
    "self_host": "Move",
    "return_to_api": "Return to the API",
}
_NAME_CAP = 32


class Verdict(NamedTuple):
    """The headline, which is also the subject's first half."""

    headline: str
    reason: str
    """Why, in the words of the advice; or ''."""
    tone: Tone
    lead: Row | None
    """The comparison that it speaks of, if there is one."""


UNKNOWN = Verdict("No comparison could be made", "", "unknown", None)
"""Stands where the comparisons cannot be read."""


def ranked(
    rows: Sequence[Row], standings: Mapping[tuple[str, str], Standing]
) -> list[tuple[Row, Standing]]:
    """Comparisons by how much they ask of the reader, each with its standing."""
    paired = [(row, standings.get(key(row), Standing())) for row in rows]
    # What was decided asks nothing of the reader while it stands.
    return sorted(paired, key=lambda pair: (pair[1].stands, _order(*pair)))


def key(row: Row) -> tuple[str, str]:
    """Workload and deployment."""
    return str(row["workload"]), str(row["deployment"])


def savings(row: Row) -> Decimal | None:
    """Dollars a month at the q50 volume."""
    return decimal(row, "savings_usd_q50")


def label(row: Row, standing: Standing) -> tuple[str, Tone]:
    """The advice in two or three words."""
    advice = str(row["advice"])
    if standing.stands:
        return say("Decided"), "stay"
    if savings(row) is None and advice == "stay" and not _gated(standing):
        return say("Too little history"), "unknown"
    if advice == "return_to_api":
        return say(LABELS[advice]), "return"
    if advice in MOVES and _at_home(standing):
        return say("Keep"), "stay"
    return say(LABELS[advice]), "move" if advice in MOVES else "stay"


def verdict(facts: WeeklyFacts) -> Verdict:
    """The headline: the most pressing comparison, or why there is none."""
    order = ranked(facts.tables["breakevens"], facts.standings)
    return among(order) if order else Verdict(_without(facts), "", "unknown", None)


def among(order: Sequence[tuple[Row, Standing]]) -> Verdict:
    """The headline of ranked comparisons, of which there is at least one."""
    row, standing = order[0]
    workload, tone = name(str(row["workload"]), _NAME_CAP), label(row, standing)[1]
    if standing.stands:
        return Verdict(
            say("Decided: {workload}", workload=workload),
            name(standing.decided, REASON_CAP),
            "stay",
            row,
        )
    if tone == "return":
        headline = say(
            "Return {workload} to the API: {effect}",
            workload=workload,
            effect=effect(savings(row), -1),
        )
    elif row["advice"] in MOVES:
        verb = "Keep {} on own GPUs" if _at_home(standing) else MOVES[str(row["advice"])]
        headline = f"{say(verb).format(workload)}: {effect(savings(row))}{_others(order)}"
    else:
        return _stay(order)
    return Verdict(headline, _reason(row), tone, row)


def _stay(order: Sequence[tuple[Row, Standing]]) -> Verdict:
    """Nothing asks to be moved: the comparison that comes closest, gates aside."""
    free = [row for row, standing in order if not (_gated(standing) or standing.stands)]
    changes = [row for row in free if _cheaper(row)]
    row = max(changes, key=_cheaper) if changes else free[0] if free else order[0][0]
    saved, workload = savings(row), name(str(row["workload"]), _NAME_CAP)
    if not free:
        headline = say("Stay: what is compared must stay where it is")
    elif saved is None:
        return Verdict(say("Stay: too little history to compare bills"), "", "unknown", None)
    elif cheaper := _cheaper(row):
        headline = say(
            "Stay, but change how {workload} uses the API: saves {amount} a month",
            workload=workload,
            amount=about(cheaper),
        )
    elif saved > 0:
        text = "Stay: moving {workload} {effect}"
        if not held(row):
            text = "Stay for now: moving {workload} {effect}"
        headline = say(text, workload=workload, effect=unsure(saved, row))
    else:
        text = "Stay: moving {workload} would cost {amount} a month more"
        if len(free) > 1:
            text = "Stay: even moving {workload} would cost {amount} a month more"
        headline = say(text, workload=workload, amount=about(-saved))
    return Verdict(headline, _reason(row), "stay", row if saved is not None else None)


def _cheaper(row: Row) -> Decimal:
    """What changing the API's use saves where that is advised, else 0."""
    bill, changed = decimal(row, "api_usd_q50"), decimal(row, "optimised_api_usd")
    if row["advice"] != "stay_but_change" or bill is None or changed is None:
        return Decimal(0)
    return max(bill - changed, Decimal(0))


def _reason(row: Row) -> str:
    return name(str(row["reason"]), REASON_CAP)


def _without(facts: WeeklyFacts) -> str:
    if facts.numbers["spend.first_day"] is None and not facts.standings:
        return say("Nothing has been read yet")
    if facts.standings:
        return say("No comparison this week")
    return say("Spend only: no deployment is configured")


def _order(row: Row, standing: Standing) -> tuple[int, Decimal, tuple[str, str]]:
    saved, advice = savings(row), str(row["advice"])
    if advice == "return_to_api":
        return 0, saved or Decimal(0), key(row)
    group = 3 if saved is not None else 4
    if advice in MOVES:
        group = 2 if _at_home(standing) else 1
    return group, -(saved or Decimal(0)), key(row)


def effect(saved: Decimal | None, sign: int = 1) -> str:
    """What moving (1) or returning (-1) does to a month's bill."""
    if saved is None:
        return say("too little history for an amount")
    amount = about(abs(saved))
    if saved * sign >= 0:
        return say("saves {amount} a month", amount=amount)
    return say("costs {amount} a month more", amount=amount)


def unsure(saved: Decimal, row: Row | None) -> str:
    """A saving that is no reason to move, and why it is none."""
    text = "would save {amount} a month, not yet dependably"
    if row and held(row):
        text = "would save {amount} a month, but more than money holds it"
    return say(text, amount=about(saved))


def _others(order: Sequence[tuple[Row, Standing]]) -> str:
    """What else is to be moved, by workload."""
    moves = {
        row["workload"]
        for row, at in order
        if row["advice"] in MOVES and not _at_home(at) and not at.stands
    } - {order[0][0]["workload"]}
    if not moves:
        return ""
    n = len(moves)
    return say_n(n, "; {n} more workload to move", "; {n} more workloads to move", n=number(n))


def _at_home(standing: Standing) -> bool:
    return standing.runs_on != "api"


def _gated(standing: Standing) -> bool:
    return bool(standing.must_stay_on_api or standing.must_stay_in_house)
