"""The recommendation for one case: gates first, then money, then what the field's bands doubt.

`recommend` is pure: the same case gives the same recommendation. Each reason has a stable id, of
which the first decided. The crossing is a fact among the figures; only the kind says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from monitor.domain import bands, breakeven, costs, hybrid, plan, weighing
from monitor.domain.advice import Kind
from monitor.domain.case import Case
from monitor.domain.gates import Finding, findings
from monitor.domain.lines import assumed_zero, low_gpu_price
from monitor.domain.options import Option, barred, open_to, options
from monitor.domain.reasons import (
    Reason,
    View,
    better_api,
    dollars,
    horizon_told,
    money_text,
    why_hold,
    why_move,
    why_return,
)
from monitor.domain.weighing import Money

B_ORDER = ("standing", "data", "volume", "team", "capability", "licence", "control", "time")
"""B puts volume second and the team before the frontier question."""
OUR_ORDER = ("standing", "data", "capability", "team", "licence", "capacity", "control", "time")
"""Ours, up to money; what the gates leave open is decided by volume."""


class Answer(NamedTuple):
    """What to do, by which reasons, the first one deciding."""

    kind: Kind
    reasons: tuple[Reason, ...]
    share: Fraction = Fraction(0)
    """Of the requests on own servers when the advice is followed."""
    replicas: int | None = None
    """K, where own replicas serve the base load."""
    tasks: tuple[str, ...] = ()


class Order(NamedTuple):
    """The first gate that decides, in one order of asking."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """Everything that is advised on one workload, with what it rests on."""

    case: Case
    answer: Answer
    would_be: Answer | None
    """What a pilot is about: the advice once its questions are answered."""
    conditions: tuple[Reason, ...]
    open_questions: tuple[Reason, ...]
    notes: tuple[Reason, ...]
    money: Money
    constraint_usd: Fraction | None
    """What a constraint costs a month; None: there is none."""
    waiting_usd: Fraction
    """What waiting for the lead time costs."""
    bands: tuple[bands.Placed, ...]
    options: tuple[Option, ...]
    shares: tuple[hybrid.Split, ...]
    ours: Order
    b_order: Order
    assumed_zero: tuple[str, ...]
    phases: tuple[plan.Phase, ...]
    latency: tuple[plan.Seconds, ...]

    @property
    def kind(self) -> Kind:
        """What to do."""
        return self.answer.kind


def recommend(case: Case) -> Recommendation:
    """The advice for a case, with its conditions, figures, alternatives, plan and risks."""
    view = _view(case)
    firm = _decide(view)
    answer = _doubted(view, firm)
    would_be = firm if answer.kind is Kind.PILOT else None
    money = view.money
    return Recommendation(
        case=case,
        answer=answer,
        would_be=would_be,
        conditions=_conditions(view, answer),
        open_questions=_reasons(view.side("open")),
        notes=_notes(view),
        money=money,
        constraint_usd=_constraint(view),
        waiting_usd=_waiting(money),
        bands=view.placed,
        options=tuple(options(money.scenario, case.facts.options, view.bars)),
        shares=tuple(hybrid.split(money.scenario, s) for s in hybrid.SHOWN_SHARES),
        ours=_first(view, firm, OUR_ORDER),
        b_order=_first(view, firm, B_ORDER),
        assumed_zero=tuple(assumed_zero(money.scenario, case)),
        phases=tuple(plan.phases(case.as_of, money.scenario.migration, closed=_closed(view))),
        latency=tuple(_latency(case)),
    )


def _view(case: Case) -> View:
    lead = case.scenario.migration.lead_days
    asked = (*findings(case.gates, case.as_of, lead), *_unfit_tasks(case))
    closed = any(finding.side == "own" for finding in asked)
    # What runs in house runs whole, whatever share a move would take.
    whole = closed or (case.facts.runs_on == "self_host" and not case.facts.tasks)
    bars = barred(finding.id for finding in asked)
    facts = replace(case.facts, options=open_to(case.facts.options, bars))
    case = replace(case, facts=facts)
    money = weighing.weigh(case, all_moves=whole)
    found = (*asked, *weighing.refusals(case, money))
    signal, placed = weighing.signal(case, money), tuple(_placed(case, money))
    return View(case, money, found, signal, placed, bars)


def _unfit_tasks(case: Case) -> Iterable[Finding]:
    tasks = case.facts.tasks
    if tasks and all(hybrid.stays(task) for task in tasks):
        text = "Every task needs the frontier API."
        yield Finding("capability", "capability.frontier", "api", text)


def _placed(case: Case, money: Money) -> list[bands.Placed]:
    """The workload in each band, its crossing in dollars of API."""
    crossing = money.found.crossing
    tokens = money.requests * costs.request_tokens(money.scenario.workload)
    usd = None if crossing is None else weighing.api_at(money.scenario, crossing)
    return bands.place(case.guide.bands, money.api, tokens, usd)


def _decide(view: View) -> Answer:
    """Gates in their order, then money; open questions and bands come after."""
    api = [f for f in view.side("api") if f.gate != "time"]
    own, late = view.side("own"), [f for f in view.side("api") if f.gate == "time"]
    if api and own:
        both = _reasons((own[0], api[0]))
        text = "The gates contradict each other: " + " ".join(reason.text for reason in both)
        return _stays(view, (Reason("gates.contradict", text), *both), changes=False)
    if own:
        return _in_house(view, _reasons(own))
    if api or (late and view.case.facts.runs_on == "api"):
        return _stays(view, _reasons((*api, *late)))
    return _by_money(view)


def _in_house(view: View, reasons: tuple[Reason, ...]) -> Answer:
    fallback = view.case.facts.api_fallback and not _closed(view)
    kind = Kind.SELF_HOST_WITH_FALLBACK if fallback else Kind.SELF_HOST
    return Answer(kind, (*reasons, *_price_of_it(view)), Fraction(1))


def _closed(view: View) -> bool:
    """Whether no API may be used at all, not even as a failover."""
    return any(f.id in ("gate.data.closed", "gate.standing.own") for f in view.found)


def _price_of_it(view: View) -> tuple[Reason, ...]:
    cost = -view.money.savings
    if cost <= 0:
        return ()
    return (Reason("constraint.cost", f"The constraint costs {dollars(cost)} a month."),)


def _by_money(view: View) -> Answer:
    """The money signal, and the form in which a move saves most."""
    facts, money = view.case.facts, view.money
    if facts.runs_on != "api":
        told = horizon_told(view)
        if view.signal == "return":
            return Answer(Kind.RETURN_TO_API, why_return(view, told))
        return _moved(view, (Reason("money.keep", money_text(money)), *told))
    if view.signal == "move":
        return _unless_cheaper(view, _best_form(view, _moved(view, why_move(view))))
    why = why_hold(view)
    if facts.signal is None and money.requests and why[0].id != "volume.not_surely":
        form = _other_form(view, why)
        if form:
            return _unless_cheaper(view, form)
    return _stays(view, why)


def _moved(view: View, reasons: tuple[Reason, ...]) -> Answer:
    """The move of the scenario's share, or of its chosen tasks."""
    money = view.money
    if money.tasks:
        names = ", ".join(money.tasks.names)
        reasons = (*reasons, Reason("hybrid.tasks", f"Own servers take: {names}."))
    if money.share < 1:
        names_of = money.tasks.names if money.tasks else ()
        return Answer(Kind.HYBRID, reasons, money.share, tasks=names_of)
    fallback = view.case.facts.api_fallback
    kind = Kind.SELF_HOST_WITH_FALLBACK if fallback else Kind.SELF_HOST
    return Answer(kind, reasons, money.share)


def _best_form(view: View, moved: Answer) -> Answer:
    """A full move that base load on own replicas would beat becomes that."""
    money, base = view.money, view.money.base
    if moved.share < 1 or base is None or money.tasks or not 0 < base.share < 1:
        return moved
    if base.usd >= money.own:
        return moved
    if view.case.facts.signal is not None:
        # The rule of entering watches the configured move; its form is told, not changed.
        return moved._replace(reasons=(*moved.reasons, _base_reason(base)))
    return _base(base, moved.reasons)


def _other_form(view: View, why: tuple[Reason, ...]) -> Answer | None:
    """A form that saves where the move itself does not."""
    money, base, split = view.money, view.money.base, view.money.best_share
    if money.tasks:
        return None
    if base and 0 < base.share < 1 and weighing.base_pays(view.case, money):
        return _base(base, why)
    if 0 < split.share < 1 and money.share == 1 and weighing.share_pays(money):
        text = (
            f"Moving {float(split.share):.1%} of the requests saves {dollars(split.saves)} a month:"
            " the fleet is then full."
        )
        return Answer(Kind.HYBRID, (Reason("hybrid.share", text), *why), split.share)
    return None


def _base(base: hybrid.Base, why: tuple[Reason, ...]) -> Answer:
    return Answer(Kind.HYBRID, (_base_reason(base), *why), base.share, base.replicas)


def _base_reason(base: hybrid.Base) -> Reason:
    own = f"{base.replicas:,} own replica{'s' if base.replicas != 1 else ''}"
    text = (
        f"With {own} for the base load and the API above it, {float(base.share):.1%} of the"
        f" requests run in house and {dollars(base.saves)} a month is saved."
    )
    return Reason("hybrid.base_load", text)


def _unless_cheaper(view: View, moved: Answer) -> Answer:
    """A move that saves only against an API bill that could be lower is no reason to move."""
    money = view.money
    usd = money.base.usd if moved.replicas and money.base else money.own
    if moved.reasons[0].id == "hybrid.share":
        usd = money.best_share.usd
    if money.optimised >= money.api or money.optimised > usd:
        return moved
    reasons = (better_api(money, usd, "move"), *moved.reasons)
    return Answer(Kind.STAY_BUT_CHANGE, reasons)


def _stays(view: View, reasons: tuple[Reason, ...], *, changes: bool = True) -> Answer:
    """On the API, or back to it; changed where that saves. A contradiction leaves all as it is."""
    facts, money = view.case.facts, view.money
    if not changes:
        return Answer(Kind.STAY, reasons, _now(view))
    if facts.runs_on != "api":
        return Answer(Kind.RETURN_TO_API, reasons)
    saved = money.api - money.optimised
    if saved <= 0:
        return Answer(Kind.STAY, reasons)
    text = f"Changing the API's use saves {dollars(saved)} a month without a move."
    return Answer(Kind.STAY_BUT_CHANGE, (*reasons, Reason("options.save", text)))


def _now(view: View) -> Fraction:
    shares = {"api": Fraction(0), "self_host": Fraction(1)}
    return shares.get(view.case.facts.runs_on, view.case.scenario.workload.share_moved)


def _doubted(view: View, firm: Answer) -> Answer:
    """A pilot first: where a question is open, or a band of the field doubts the volume."""
    facts = view.case.facts
    moves = firm.kind in (Kind.HYBRID, Kind.SELF_HOST, Kind.SELF_HOST_WITH_FALLBACK)
    settled = facts.runs_on == "self_host" or (facts.runs_on == "hybrid" and firm.share < 1)
    if moves and settled:
        return firm
    if moves and (questions := view.side("open")):
        text = "Still open: " + "; ".join(finding.text for finding in questions)
        return Answer(Kind.PILOT, (Reason("gates.open", text), *firm.reasons), _now(view))
    return _band_doubt(view, firm, moves=moves)


def _band_doubt(view: View, firm: Answer, *, moves: bool) -> Answer:
    """Between a band's ends: no constraint, no gate and no live rule may be overruled by it."""
    by_money = {"money.below_crossing", "shape.too_variable"}
    near = firm.kind is Kind.STAY and firm.reasons[0].id in by_money
    near = near and view.case.facts.signal is None
    if view.side("own") or not (moves or near):
        return firm
    doubts = bands.between(view.placed, moves=moves)
    if not doubts:
        return firm
    rules = "; ".join(f"{placed.band.source}: {placed.band.written}" for placed in doubts)
    text = (
        f"The API bill lies where published rules of thumb leave it open ({rules}): try both side"
        " by side."
    )
    return Answer(Kind.PILOT, (Reason("bands.between", text), *firm.reasons), _now(view))


def _conditions(view: View, answer: Answer) -> tuple[Reason, ...]:
    """Papers wherever an API is used; licence and tuning only where own weights are."""
    own = {Kind.HYBRID, Kind.SELF_HOST, Kind.SELF_HOST_WITH_FALLBACK, Kind.PILOT}
    in_house = answer.kind is Kind.SELF_HOST and view.case.facts.runs_on == "self_host"
    found = [
        finding
        for finding in view.side("condition")
        if not (finding.gate in ("licence", "control") and answer.kind not in own)
        if not (finding.gate == "data" and in_house)
    ]
    if answer.kind in own:
        found += [f for f in view.side("api") if f.gate == "time"]
    return _reasons(found)


def _notes(view: View) -> tuple[Reason, ...]:
    low = low_gpu_price(view.money.scenario)
    flagged = (Reason("price.gpu_low", low),) if low else ()
    if view.money.peak:
        flagged = (*flagged, Reason("shape.peak_taken", view.money.peak))
    found = [f for f in view.side("note") if f.id != "latency.worth" or not _slower(view.case)]
    return (*_reasons(found), *_slower(view.case), *horizon_told(view), *flagged)


def _slower(case: Case) -> tuple[Reason, ...]:
    """Where own servers were measured to answer no sooner, a faster answer is no reason."""
    by_side = {row.side: row for row in _latency(case)}
    api, own = by_side.get("api"), by_side.get("own")
    if not (api and own) or own.low < api.high:
        return ()
    text = (
        f"Own servers take {float(own.low):.3g} s a request, the API {float(api.high):.3g} s:"
        " moving makes no answer faster."
    )
    return (Reason("latency.slower", text),)


def _constraint(view: View) -> Fraction | None:
    """What in-house gates cost over the API, or gates of the API over a move that could be."""
    api = [finding for finding in view.side("api") if finding.gate != "capacity"]
    own = view.side("own")
    if own and not api:
        return max(-view.money.savings, Fraction(0))
    return max(view.money.savings, Fraction(0)) if api and not own else None


def _waiting(money: Money) -> Fraction:
    """The saving of the lead time, which a decision taken now does not bring back."""
    lead = money.scenario.migration.lead_days / breakeven.DAYS_PER_MONTH
    return max(money.savings, Fraction(0)) * lead


def _first(view: View, firm: Answer, order: Sequence[str]) -> Order:
    """The kind and reason that asking in this order comes to first."""
    if view.side("api") and view.side("own"):
        return Order(firm.kind, firm.reasons[0].id)
    held = [f for f in view.found if f.side in ("api", "own")]
    for gate in order:
        if gate == "volume" and view.signal == "hold" and view.case.facts.runs_on == "api":
            return Order(_stays(view, why_hold(view)).kind, why_hold(view)[0].id)
        for finding in held:
            if finding.gate == gate:
                own = finding.side == "own"
                kind = Kind.SELF_HOST if own else _stays(view, _reasons((finding,))).kind
                return Order(kind, finding.id)
    return Order(firm.kind, firm.reasons[0].id)


def _latency(case: Case) -> list[plan.Seconds]:
    calls = case.gates.latency.calls_per_request if case.gates.latency else 1
    measured = {"api": case.facts.latency.api, "own": case.facts.latency.own}
    return plan.latency(case.guide, calls, measured)


def _reasons(found: Iterable[Finding]) -> tuple[Reason, ...]:
    return tuple(Reason(finding.id, finding.text) for finding in found)


def on_day(case: Case, as_of: date) -> Case:
    """The case with its day, where its facts name none."""
    if case.facts.as_of:
        return case
    return replace(case, facts=replace(case.facts, as_of=as_of))
