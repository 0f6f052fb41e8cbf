"""How sure a comparison is, what would turn it, and what else the advice says, as short notes.

Everything comes from the figures of one row of `breakevens`; what is unknown is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from monitor.domain.periods import add_months
from reports.formats import about, day, month_year, name, number, percent, plural, span
from reports.language import say, style
from reports.model import Row, Value, decimal, whole, words
from reports.retold import retell

MOVING = ("self_host", "self_host_with_fallback", "hybrid", "pilot")
_FLIPS = ("flip_1", "flip_2", "flip_3")
_WHEN = " when the "
_CAP = 360
"""Characters of a note, so that ten comparisons in full fit a mail; the document holds the rest."""
_CAP_LONGER = 420
"""Of languages that need more characters for the same."""
_LISTED = 220
_OPTIONS = 2


class Note(NamedTuple):
    """One thing to know before deciding."""

    label: str
    text: str


def notes(row: Row, *, here: bool = False, decided: bool = False) -> tuple[Note, ...]:
    """What is known beside both bills, in the order in which it is asked.

    `here`: it runs on own GPUs already; `decided`: a decision stands, and nothing is urged.
    """
    moves = row["advice"] in MOVING and not here and not decided
    found = [
        (say("How sure"), sure(row)),
        (say("Over the year"), year(row, told=moves)),
        (say("Crossing"), _crossing(row)),
        (say("Would flip it"), flips(row)),
        (say("To settle first"), _open(row)),
        (say("On condition"), _listed(row, "conditions")),
        (say("A cheaper API bill"), options(row)),
        (say("Best split"), _split(row)),
        (say("The constraint"), _constraint(row)),
        (say("Waiting"), _waiting(row) if moves else ""),
        (say("Next"), _next(row) if moves else ""),
    ]
    cap = _CAP if style().language == "en" else _CAP_LONGER
    return tuple(Note(label, name(text, cap)) for label, text in found if text)


def sure(row: Row) -> str:
    """The chance of being cheaper and of never paying back; '' if nothing was drawn."""
    cheaper, draws = decimal(row, "probability_cheaper"), whole(row, "draws")
    if cheaper is None or draws is None:
        return ""
    text = say("Own GPUs are cheaper in {share}", share=_of(cheaper, number(draws)))
    never = decimal(row, "never_pays_back") or Decimal(0)
    if never == 100:
        return text + say("; a move pays back in none.")
    return text + say("; a move never pays back in {share}.", share=percent(never))


def _of(share: Decimal, draws: str) -> str:
    """`99.4% of 2,000 draws`; all and none in words, since a percentage of them claims more."""
    if not share:
        return say("none of {n} draws", n=draws)
    if share == 100:
        return say("all of {n} draws", n=draws)
    return say("{share} of {n} draws", share=percent(share), n=draws)


def payback(row: Row, middle: str) -> str:
    """The exact payback with its range: `payback 4.7 months (2.1 to 18.2)`."""
    low, high = (decimal(row, f"payback_months_{q}") for q in ("q10", "q90"))
    if low is None:
        return middle
    far = say("never") if high is None else number(high, 1)
    reach = say("{low} to {high}", low=number(low, 1), high=far)
    return f"{middle or say('payback unsure')} ({reach})"


def drawn_savings(row: Row) -> str:
    """`$2,832 to $18,970`; '' if nothing was drawn."""
    low, high = (decimal(row, f"drawn_savings_usd_{q}") for q in ("q10", "q90"))
    return "" if low is None or high is None else span(low, high)


def year(row: Row, *, told: bool) -> str:
    """What 12 months bring; unless `told` only where that contradicts the month's verdict."""
    low, high = (decimal(row, f"net_usd_{q}") for q in ("q10", "q90"))
    pays = decimal(row, "net_probability")
    if low is None or high is None or pays is None:
        return ""
    if not row["net_contradicts"] and not told:
        return ""
    text = (
        "With both sides' prices changing as drawn, 12 months bring {span} after the cost of"
        " moving, above zero in {share} of draws."
    )
    if row["net_contradicts"]:
        text = (
            "The year contradicts the month: with both sides' prices changing as drawn, 12 months"
            " bring {span} after the cost of moving, above zero in {share} of draws."
        )
    return say(text, span=span(low, high), share=percent(pays))


def _crossing(row: Row) -> str:
    now, later = (decimal(row, f"above_crossing_{at}") for at in ("now", "in_a_year"))
    if not row["crossing_requests"] or now is None or later is None:
        return ""
    ahead, first = whole_months(row["crossing_ahead"]), words(row, "month")
    last = _named(first, 12)
    if ahead == 0:
        return say(
            "{month} reaches it with a chance of {now}, {last} with one of {later}, at today's"
            " prices.",
            month=_named(first, 0),
            now=percent(now),
            last=last,
            later=percent(later),
        )
    if ahead is not None:
        chance = decimal(row, "crossing_probability") or Decimal(0)
        return say(
            "{month} is the first month more likely than not to reach it ({chance}); {now_month}"
            " does with a chance of {now}.",
            month=_named(first, ahead),
            chance=percent(chance),
            now_month=_named(first, 0),
            now=percent(now),
        )
    return say(
        "No month to {last} is more likely than not to reach it; {last} does with a chance of"
        " {later}.",
        last=last,
        later=percent(later),
    )


def whole_months(found: Value) -> int | None:
    """A count of months that the catalogue gives as a number."""
    return None if found is None else int(found)


def _named(first: str, ahead: int) -> str:
    return month_year(add_months(first, ahead))


def flips(row: Row) -> str:
    """The nearest flips in their order; those with one beginning share it."""
    tails: dict[str, list[str]] = {}
    for flip in _FLIPS:
        head, _, tail = words(row, flip).rstrip(".").partition(_WHEN)
        if head:
            tails.setdefault(head, []).append(retell(tail))
    return " ".join(
        say("{what} when the {inputs}.", what=retell(head), inputs=say(", or the ").join(told))
        for head, told in tails.items()
    )


def document(row: Row) -> Mapping[str, Any]:
    """The stored recommendation; empty while there is none."""
    found: Mapping[str, Any] = json.loads(words(row, "recommendation") or "{}")
    return found


def _open(row: Row) -> str:
    """The open questions: in full where they hold up a move, else by their names.

    None where a gate has decided already: no answer would change the advice.
    """
    if row["advice"] in MOVING:
        return _listed(row, "open_questions")
    if held(row):
        return ""
    names = [each["id"].split(".")[1] for each in document(row).get("open_questions", ())]
    return say("Unanswered: {names}.", names=", ".join(map(say, names))) if names else ""


def _listed(row: Row, key: str) -> str:
    """The texts that the reason does not say already."""
    said, found = words(row, "reason"), document(row).get(key, ())
    texts = (each["text"] for each in found if each["text"].rstrip(".") not in said)
    return name(" ".join(map(retell, texts)), _LISTED)


def options(row: Row) -> str:
    """Cheaper uses of the API that are known to save, and what a move saves beside them."""
    api, optimised = decimal(row, "api_usd_q50"), decimal(row, "optimised_api_usd")
    saving = list(_saving(document(row)))[:_OPTIONS]
    if not saving or api is None or optimised is None:
        return ""
    left = decimal(row, "savings_against_optimised_usd") or Decimal(0)
    text = (
        "With all that is known the API costs {bill} a month, and against that a move costs {more}"
        " more: {uses}."
    )
    if left >= 0:
        text = (
            "With all that is known the API costs {bill} a month, and against that a move saves"
            " {more}: {uses}."
        )
    return say(text, bill=about(optimised), more=about(abs(left)), uses="; ".join(saving))


def _saving(said: Mapping[str, Any]) -> Iterator[str]:
    for each in said.get("options", ()):
        saves = Decimal(each["saves"] or 0)
        if saves > 0:
            yield say(
                "{use} saves {amount} a month ({assumed})",
                use=retell(each["name"]),
                amount=about(saves),
                assumed=retell(name(each["assumption"], 120)),
            )


def _split(row: Row) -> str:
    """The hybrid form that saves most, where it saves more than the move that is compared."""
    configured = max(decimal(row, "savings_usd_q50") or Decimal(0), Decimal(0))
    found = [
        (saves, text)
        for saves, text in (_base_load(row), _share(row), _tasks(document(row)))
        if saves > configured
    ]
    if not found or any(r["id"].startswith("hybrid.") for r in document(row).get("reasons", ())):
        return ""
    saves, text = max(found)
    return say("{what} would save {amount} a month.", what=text, amount=about(saves))


def _base_load(row: Row) -> tuple[Decimal, str]:
    share = decimal(row, "base_load_share") or Decimal(0)
    saves = decimal(row, "base_load_saves_usd") or Decimal(0)
    replicas = plural(whole(row, "base_load_replicas") or 0, "own replica")
    text = say(
        "{replicas} for the base load and the API above it ({share} in house)",
        replicas=replicas,
        share=percent(share),
    )
    return (saves if 0 < share < 100 else Decimal(0)), text


def _share(row: Row) -> tuple[Decimal, str]:
    share = decimal(row, "best_share") or Decimal(0)
    saves = decimal(row, "best_share_saves_usd") or Decimal(0)
    text = say("Moving {share} of the requests", share=percent(share))
    return (saves if 0 < share < 100 else Decimal(0)), text


def _tasks(said: Mapping[str, Any]) -> tuple[Decimal, str]:
    tasks = (said.get("hybrid") or {}).get("tasks")
    if not tasks:
        return Decimal(0), ""
    names = ", ".join(name(each) for each in tasks["names"])
    return Decimal(tasks["saves_usd_per_month"]), say("Moving {names}", names=names)


def held(row: Row) -> bool:
    """Whether a gate decides, and not money: then its cost is known, be it 0."""
    return row.get("constraint_usd") is not None


def _constraint(row: Row) -> str:
    cost = decimal(row, "constraint_usd")
    return say("It costs {amount} a month.", amount=about(cost)) if cost and cost > 0 else ""


def _waiting(row: Row) -> str:
    cost = decimal(row, "waiting_usd")
    if not cost or cost <= 0:
        return ""
    return say(
        "A move that begins now still forgoes {amount} of savings until it is done; deciding later"
        " adds to it.",
        amount=about(cost),
    )


def _next(row: Row) -> str:
    """The nearest step of the plan, with its day."""
    step, start = words(row, "next_step"), words(row, "next_step_from")
    if not step or not start:
        return ""
    begins = day(date.fromisoformat(start), year=True)
    return say("If it begins now, from {day}: {step}.", day=begins, step=retell(step))


def zero(row: Row, configured: Sequence[str]) -> str:
    """The cost lines taken as zero: as the advice lists them, else as they are configured."""
    listed = [
        str(each).replace("_", " ").replace("api", "API")
        for each in document(row).get("assumed_zero", ())
    ]
    return ", ".join(map(say, listed or configured))
