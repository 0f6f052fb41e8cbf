"""Why money says to move, to stay or to return: each reason a stable id and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from monitor.domain import bands, breakeven, weighing
from monitor.domain.case import Case, Signal
from monitor.domain.gates import Finding
from monitor.domain.weighing import Money


class Reason(NamedTuple):
    """A stable id and a sentence."""

    id: str
    text: str


class View(NamedTuple):
    """A case weighed: what its gates and its money say."""

    case: Case
    money: Money
    found: tuple[Finding, ...]
    signal: Signal
    placed: tuple[bands.Placed, ...]
    bars: Mapping[str, str]
    """Options that a gate rules out, and why."""

    def side(self, side: str) -> tuple[Finding, ...]:
        """What the gates found for a side."""
        return tuple(finding for finding in self.found if finding.side == side)


def why_move(view: View) -> tuple[Reason, ...]:
    """Why money says to move: the deciding reason first."""
    money, resized = view.money, _resized(view.money, "capacity.resized")
    if money.savings <= 0 and view.case.facts.signal is None:
        return (_contradiction(view), *resized)
    told = horizon_told(view)
    return (Reason("money.above_crossing", money_text(money)), *resized, *told)


def why_return(view: View, told: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """What says to return first: this month, the year, or an API that is used better."""
    money = view.money
    by_month = Reason("money.return", money_text(money))
    if money.savings <= 0:
        return (by_month, *told)
    if money.kept <= 0 or view.case.facts.signal:
        return (*told, by_month)
    return (better_api(money, money.own, "service"), by_month, *told)


def better_api(money: Money, usd: Fraction, what: str) -> Reason:
    """That the API, used better, beats own servers at `usd` a month."""
    text = (
        f"Changed, the API costs {dollars(money.optimised)} a month, own servers {dollars(usd)}:"
        f" the change saves more than the {what}."
    )
    return Reason("options.cheaper_api", text)


def why_hold(view: View) -> tuple[Reason, ...]:
    """Why money says to stay: the deciding reason first."""
    money = view.money
    if not money.requests:
        text = "There is no load: an API that nothing is asked of costs nothing."
        if money.api:
            text = (
                f"There is no load: the API costs the {dollars(money.api)} a month that is agreed."
            )
        return (Reason("money.zero_load", text),)
    if money.savings > 0:
        return _why_not_yet(view)
    below = Reason("money.below_crossing", money_text(money))
    beyond = _resized(money, "capacity.beyond_fleet")
    if weighing.busy_would_save(money):
        text = (
            f"Too variable to keep a fleet busy: the peak is"
            f" {float(money.scenario.workload.peak_to_mean):g} times the mean."
        )
        return (*beyond, Reason("shape.too_variable", text), below)
    if money.found.crossing is None:
        why = breakeven.WHY_NEVER[money.found.crossing_reason or "fixed_cost"]
        text = f"No volume makes it cheaper: {why}. {money_text(money)}"
        return (*beyond, Reason("money.no_crossing", text))
    return (*beyond, below)


def _why_not_yet(view: View) -> tuple[Reason, ...]:
    """The month would save, and yet it does not move."""
    money = view.money
    if money.net <= 0:
        return (_contradiction(view), *_resized(money, "capacity.resized"))
    told = Reason("money.hold", money_text(money))
    if money.low_savings > 0:
        return (told,)
    text = "At the low end of the volume's range the move does not pay."
    return (Reason("volume.not_surely", text), told)


def _resized(money: Money, name: str) -> tuple[Reason, ...]:
    return (Reason(name, money.resized),) if money.resized else ()


def horizon_told(view: View) -> tuple[Reason, ...]:
    """A horizon that contradicts the month is always said."""
    contradicts = (view.money.savings > 0) != (_year(view) > 0)
    return (_contradiction(view),) if contradicts else ()


def _year(view: View) -> Fraction:
    """What 12 months save: of the move, or of what has moved already."""
    return view.money.net if view.case.facts.runs_on == "api" else view.money.kept


def _contradiction(view: View) -> Reason:
    facts, savings, year = view.case.facts, view.money.savings, _year(view)
    moved = facts.runs_on != "api"
    text = (
        f"This month's figures say that {'own service' if moved else 'the move'}"
        f" {'saves' if savings > 0 else 'costs'} {dollars(abs(savings))} a month; over"
        f" 12 months it {'saves' if year > 0 else 'loses'} {dollars(abs(year))}."
    )
    in_house = view.signal == ("hold" if moved else "move")
    # The rule of entering and leaving looks further, and a return waits for a clear loss.
    decides = facts.signal is None and in_house == (year > 0)
    return Reason("horizon.contradicts", text + " The year decides." * decides)


def money_text(money: Money) -> str:
    """The month's figures in a sentence."""
    verb = "saves" if money.savings > 0 else "costs"
    text = (
        f"The move {verb} {dollars(abs(money.savings))} a month against an API bill of"
        f" {dollars(money.api)}"
    )
    if money.optimised < money.api:
        text += f", {dollars(money.optimised)} if the API were used better"
    return text + "."


def dollars(amount: Fraction) -> str:
    """Whole dollars for a sentence."""
    return f"${round(amount):,}"
