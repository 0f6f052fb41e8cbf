"""When to move and when to return: in near the crossing, out far below it.

At the end of each day the rule looks at what is known by then and nothing else. It moves when the
projected volume two to three months out and the usual week agree that moving would repay what it
costs within `ENTER_MONTHS`; it returns when not even the projection's q90 promises that staying is
worth a round trip within `LEAVE_MONTHS`. So the band between the two is as wide as switching is
dear and as demand is volatile: the former sets the amounts, the latter the q90. The four numbers
below were chosen on replayed public series (docs/decisions.md has the table); around them regret
hardly changes.

The state is a plain tuple of text and numbers, so that a day can be stored and replayed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain import costs
from monitor.domain.breakeven import DAYS_PER_MONTH
from monitor.domain.errors import InputError
from monitor.domain.forecast import NEEDED_DAYS, filled, known_days, span_total
from monitor.domain.scenario import MAX_REQUESTS, Scenario
from monitor.domain.usage import DAY

ENTER_MONTHS = 24
"""Savings of so many months must cover what moving costs: setup and double running."""
LEAVE_MONTHS = 12
"""Losses of so many months must cover a round trip: the exit, and moving in again later."""
USUAL_WEEKS = 12
"""The usual week is the median of so many: a burst of a few weeks is no reason to move."""
DOUBT = 0.75
"""A short history must promise more: its volume counts as exp(-DOUBT / sqrt(days)) of it."""

HISTORY_DAYS = 800
"""The rule asks for no more days than these, so that a day costs the same in any year."""
LEAST_DAYS = 7
"""One whole week, so that no weekday decides alone."""
SPAN_DAYS = 75
LATEST_SPAN = 130
"""The projection's span begins when a move would end its lead time, and ends by this day."""
PROJECT_EVERY = 7
"""Days after which the volume is projected again."""
_PRIOR_SPREAD = 0.77
"""ln(q90/q50) before there is enough history for a projection: 1.28 times a sd of 0.6."""

Place = Literal["api", "self_host"]


class State(NamedTuple):
    """What one day leaves for the next; days are counted by any number that rises by 1 a day."""

    place: Place = "api"
    """Where the rule wants the workload to run; the moved share of it, where that is below 1."""
    began: int = 0
    """First day on which a decision in this place may be taken: it may lie ahead."""
    projected_on: int | None = None
    """The day of the projection below; None: there was too little history for one."""
    projected: float = 0.0
    """Its q50, in requests a month."""
    spread: float = _PRIOR_SPREAD
    """Its ln(q90/q50)."""


@dataclass(frozen=True)
class View:
    """What is known at the end of a day."""

    day: int
    daily: NDArray[np.float64]
    """Requests of the days up to and with this one, oldest first, without holes; the last
    `HISTORY_DAYS` are enough. `history` makes it of what a database knows."""
    bills: Bills


class Move(NamedTuple):
    """A decision at the end of a day."""

    day: int
    to: Place


@dataclass(frozen=True)
class Reading:
    """What the rule saw on a day, for an explanation. Volumes are requests a month."""

    state: State
    view: View
    volume: int
    """Of projection and usual week the smaller one on the API, the larger one in own service."""
    counted: int
    """At which bills are compared: less for a short history on the API, q90 in own service."""
    saving: Fraction
    """Dollars a month that own service saves at the counted volume; negative: it costs more."""
    months: int
    hurdle: Fraction
    """Dollars that the saving, or the loss, of so many months must cover."""
    moves: bool

    @cached_property
    def entry_volume(self) -> int | None:
        """`volume` from which the rule moves; None: no volume is enough."""
        entry = self.view.bills.pays_from
        return None if entry is None else math.ceil(entry / _trust(self.view))

    @cached_property
    def return_volume(self) -> int | None:
        """`volume` below which the rule returns; None: it never does."""
        leave = self.view.bills.loses_to
        return None if leave is None else int(leave / math.exp(self.state.spread))

    @property
    def to_entry(self) -> Fraction | None:
        """How far the volume must rise to the entry, as a share of it; negative: above."""
        return _distance(self.entry_volume, self.volume)

    @property
    def to_return(self) -> Fraction | None:
        """How far the volume must change to the return, as a share of it; negative: fall."""
        return _distance(self.return_volume, self.volume)

    @property
    def reason(self) -> str:
        """One sentence with the figures that decide, for who pays the bills."""
        entering = self.state.place == "api"
        counted = (
            "a careful count: the lower of projection and usual week, less a margin"
            if entering
            else "a generous count: the higher of projection and usual week, at its high end"
        )
        weighed = self._entry() if entering else self._return()
        return f"At {self.counted:,} requests a month ({counted}) own GPUs {weighed}."

    def _entry(self) -> str:
        double = self.view.bills.scenario.migration.dual_running_months
        cost = f"${round(self.hurdle):,}"
        both = ", double running included" if double else ""
        if self.saving <= 0:
            return f"{self._dearer()}, and moving costs {cost} once{both}"
        verb = "repay" if self.moves else "do not repay"
        return (
            f"save ${round(self.saving):,} a month; {self.months} months of that {verb} the {cost}"
            f" that moving costs{both}"
        )

    def _return(self) -> str:
        if self.saving > 0:
            return f"save ${round(self.saving):,} a month, so nothing speaks for a return"
        verb = "reach" if self.moves else "do not reach"
        return (
            f"{self._dearer()}; {self.months} months of that {verb} the ${round(self.hurdle):,}"
            " that returning and moving in again later would cost"
        )

    def _dearer(self) -> str:
        if not self.saving:
            return "cost as much as the API"
        return f"cost ${round(-self.saving):,} a month more than the API"


def _distance(threshold: int | None, volume: int) -> Fraction | None:
    return Fraction(threshold, volume) - 1 if threshold is not None and volume else None


class Bills:
    """Both bills of a scenario by volume, exactly; its own volume is not used.

    Prices of both sides change as the scenario says, month by month from the day of decision. One
    object a scenario: it remembers its thresholds.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        api, own = scenario.api, scenario.deployment
        self._changes = bool(api.price_change_per_month or own.gpu_price_change_per_month)

    @property
    def span(self) -> tuple[int, int]:
        """The days of the projection, counted from the day after the last: [lo, hi)."""
        lo = min(self.scenario.migration.lead_days, LATEST_SPAN - SPAN_DAYS)
        return lo, lo + SPAN_DAYS

    def saved(self, volume: int, months: int) -> Fraction:
        """Dollars that own service saves in so many months; negative: it costs more."""
        if not self._changes:
            return months * self._saved_in(volume, 0)
        return sum((self._saved_in(volume, k) for k in range(months)), Fraction(0))

    def _saved_in(self, volume: int, month: int) -> Fraction:
        n = Fraction(volume)
        api = costs.api_bill(self.scenario, n, month)
        return Fraction(api - costs.hybrid_bill(self.scenario, n, month))

    def entry_cost(self, volume: int) -> Fraction:
        """Dollars that moving costs once: setup, and the own fleet while both bills run."""
        migration, share = self.scenario.migration, self.scenario.workload.share_moved
        own = Fraction(costs.self_bill(self.scenario, share * volume))
        return migration.setup_usd + migration.dual_running_months * own

    def round_trip(self, volume: int) -> Fraction:
        """Dollars of returning to the API and moving in again later."""
        return self.scenario.migration.exit_usd + self.entry_cost(volume)

    def pays(self, volume: int) -> bool:
        """Whether moving saves at this volume, and repays itself in time."""
        saved = self.saved(volume, ENTER_MONTHS)
        return saved > 0 and saved >= self.entry_cost(volume)

    def loses(self, volume: int) -> bool:
        """Whether own service loses at this volume, and as much as a round trip costs."""
        lost = -self.saved(volume, LEAVE_MONTHS)
        return lost > 0 and lost >= self.round_trip(volume)

    @cached_property
    def pays_from(self) -> int | None:
        """The volume from which moving pays at every larger one, steps of a fleet aside."""
        last = _last(lambda volume: not self.pays(volume))
        return None if last == MAX_REQUESTS else last + 1

    @cached_property
    def loses_to(self) -> int | None:
        """The largest volume at which own service loses a round trip; None: there is none."""
        last = _last(self.loses)
        return None if last < 0 else last


def _last(holds: Callable[[int], bool]) -> int:
    """About the largest volume at which a condition holds; -1: it holds nowhere.

    Looked for at ten volumes a decade and then halved: what lasts less than that is not seen.
    """
    volumes = [0, *(round(10 ** (k / 10)) for k in range(131))]
    found = next((i for i in reversed(range(len(volumes))) if holds(volumes[i])), None)
    if found is None:
        return -1
    if found == len(volumes) - 1:
        return MAX_REQUESTS
    low, high = volumes[found], volumes[found + 1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def history(daily: Mapping[int, int | None], as_of: int) -> NDArray[np.float64]:
    """The `daily` of a view at `as_of`, the UTC midnight that ends its day.

    Args:
        daily: UTC midnight (epoch seconds) -> requests of that day; None or absent is missing, and
            filled as the projection fills it. Days before the first use are no history.
        as_of: exclusive; only days before it are read.
    """
    known = known_days(daily, as_of)
    if not known:
        return np.zeros(0)
    days = range(max(min(known), as_of - HISTORY_DAYS * DAY), as_of, DAY)
    totals = np.array([known.get(day, math.nan) for day in days], dtype=np.float64)
    return filled(totals) if np.isfinite(totals).any() else np.zeros(0)


def step(
    state: State, view: View, *, lead_days: int = 0, exit_lead_days: int = 0
) -> tuple[State, Move | None]:
    """The rule at the end of one day: the next state, and the decision if there is one.

    The state takes it that a decision is followed, and is in the new place from then on. Until so
    many days after a decision there is no other; 0 lets the next day withdraw it.

    Raises:
        InputError: the history has holes or negative days.
    """
    state = _projected(state, view)
    if view.day < state.began or len(view.daily) < LEAST_DAYS:
        return state, None
    counted = _counted(state, view)
    if state.place == "api" and view.bills.pays(counted):
        began = view.day + 1 + lead_days
        return state._replace(place="self_host", began=began), Move(view.day, "self_host")
    if state.place == "self_host" and view.bills.loses(counted):
        began = view.day + 1 + exit_lead_days
        return state._replace(place="api", began=began), Move(view.day, "api")
    return state, None


def saves(state: State, view: View) -> bool:
    """Whether own service saves at all, at the larger volume of projection and usual week."""
    volume = round(max(_projected(state, view).projected, _usual(view)))
    return view.bills.saved(volume, LEAVE_MONTHS) > 0


def placed(state: State, place: Place, day: int) -> State:
    """The state of a workload that was seen to run in a place: the band starts again from there."""
    return state if state.place == place else state._replace(place=place, began=day)


def reading(state: State, view: View) -> Reading | None:
    """What `step` sees of the same state and view; None below `LEAST_DAYS` days of history.

    To explain a day, pass the state from before its step.
    """
    state = _projected(state, view)
    if len(view.daily) < LEAST_DAYS:
        return None
    bills, on_api = view.bills, state.place == "api"
    counted = _counted(state, view)
    months = ENTER_MONTHS if on_api else LEAVE_MONTHS
    return Reading(
        state=state,
        view=view,
        volume=round(_level(state, view)),
        counted=counted,
        saving=bills.saved(counted, months) / months,
        months=months,
        hurdle=bills.entry_cost(counted) if on_api else bills.round_trip(counted),
        moves=bills.pays(counted) if on_api else bills.loses(counted),
    )


def _projected(state: State, view: View) -> State:
    """The state with a projection that is no older than a week."""
    daily = view.daily
    if daily.size and not (np.isfinite(daily).all() and daily.min() >= 0):
        raise InputError(
            f"the {len(daily)} days up to {view.day} have holes or negative days",
            "Fill missing days before the rule sees them.",
        )
    if len(daily) < NEEDED_DAYS:
        mean = float(daily.mean()) if daily.size else 0.0
        return state._replace(
            projected_on=None, projected=mean * float(DAYS_PER_MONTH), spread=_PRIOR_SPREAD
        )
    if state.projected_on is not None and view.day - state.projected_on < PROJECT_EVERY:
        return state
    lo, hi = view.bills.span
    _, q50, q90 = span_total(daily, lo, hi)
    return state._replace(
        projected_on=view.day,
        projected=q50 / (hi - lo) * float(DAYS_PER_MONTH),
        spread=math.log(q90 / q50) if q50 > 0 else 0.0,
    )


def _usual(view: View) -> float:
    """Requests a month at the median week of the last `USUAL_WEEKS`."""
    weeks = min(len(view.daily) // 7, USUAL_WEEKS)
    totals = view.daily[len(view.daily) - 7 * weeks :].reshape(weeks, 7).sum(axis=1)
    return float(np.median(totals)) / 7 * float(DAYS_PER_MONTH)


def _level(state: State, view: View) -> float:
    """Projection and usual week must agree: the smaller to move, the larger to return."""
    agree = min if state.place == "api" else max
    return agree(state.projected, _usual(view))


def _trust(view: View) -> float:
    return math.exp(-DOUBT / math.sqrt(len(view.daily)))


def _counted(state: State, view: View) -> int:
    """The volume at which the bills are compared."""
    factor = _trust(view) if state.place == "api" else math.exp(state.spread)
    return round(_level(state, view) * factor)
