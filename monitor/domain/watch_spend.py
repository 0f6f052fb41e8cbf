"""What the rules about amounts see: a day outside its range, and a bill beside our estimate."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from monitor.domain.forecast import NotEnough, Span, project_span
from monitor.domain.money import to_cents
from monitor.domain.notices import Said, Severity
from monitor.domain.periods import day_of, month_of
from monitor.domain.reconciled import unit_suspicion
from monitor.domain.rulebook import Limits
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY
from monitor.domain.watch_words import MONTH_DAYS, a_month, dollars, percent_of, quoted, shown, usd

FAR = Fraction(2)
"""So many times the distance from the middle to the end of the 80% range.

With two days of three, and by 30%, that makes 1.8 alerts a year of a public series that is restless
(4.2 at 1.5 times, 1.0 at 2.5): benchmarks/anomalies.py."""


class SpendSeen(NamedTuple):
    """What a workload is estimated to have spent, by day; pico-USD."""

    workload: str
    as_of: int
    daily: Mapping[int, int | None]
    """Up to the last closed day; None or absent is unknown."""
    unpriced: int
    """Tokens of the last closed day that are in no amount."""


def anomaly(seen: SpendSeen, limits: Limits) -> list[Signal]:
    """The last closed day against what the days before it led to expect, each way by itself.

    None while the history is too short for a range, and while the day is unknown.
    """
    day = seen.as_of - DAY
    spent = seen.daily.get(day)
    before = {at: pico for at, pico in seen.daily.items() if at < day}
    expected = project_span(before, Span(day_of(day), day, seen.as_of), day)
    if isinstance(expected, NotEnough) or spent is None:
        return []
    # What has no price is missing from the amount: that is no fall.
    return [
        _way(seen, spent, (expected.q10, expected.q50, expected.q90), limits, up=up)
        for up in ((True,) if seen.unpriced else (True, False))
    ]


def is_far(
    spent: int,
    expected: tuple[int, int, int],
    limits: Limits,
    *,
    up: bool,
    far: Fraction = FAR,
) -> bool:
    """Whether a day lies far above, or below, what its q10, q50 and q90 led to expect."""
    low, middle, high = expected
    moved = spent - middle if up else middle - spent
    return (
        moved > far * (high - middle if up else middle - low)
        and moved * 100 >= middle * (limits.percent or 0)
        and dollars(a_month(moved)) >= (limits.least_usd or 0)
    )


def _way(
    seen: SpendSeen, spent: int, expected: tuple[int, int, int], limits: Limits, *, up: bool
) -> Signal:
    low, middle, high = expected
    moved = spent - middle if up else middle - spent
    holds = is_far(spent, expected, limits, up=up)
    way = "above" if up else "below"
    far = f", {shown(percent_of(moved, middle))} {way} it" if middle else ""
    day = day_of(seen.as_of - DAY)
    said = Said(
        title=f"{seen.workload} spent {usd(spent)} on {day}: {usd(middle)} was expected{far}"
        if holds
        else f"{seen.workload} spent {usd(spent)} on {day}, as its days before led to expect",
        what=f"From its own days before, with their weekdays and growth, {usd(low)} to"
        f" {usd(high)} was expected of the day.",
        sure=f"Estimated from tokens and dated prices; two days of three lay more than {FAR} times"
        " as far out as the 80% range."
        if holds
        else "Estimated from tokens and dated prices.",
        cost=f"{usd(a_month(moved))} a month {'more' if up else 'less'}, if it stays."
        if holds
        else "Nothing beyond what is expected by now.",
        usd_per_month=to_cents(dollars(a_month(moved if up else -moved))) if holds else None,
        actions=_UP if up else _DOWN,
        query="SELECT day, model, project, api_key, requests, tokens, estimated_usd"
        f" FROM v_usage_daily WHERE day >= '{day_of(seen.as_of - 8 * DAY)}'"
        f"{_of(seen.workload)} ORDER BY day DESC, estimated_usd DESC",
        facts=(
            ("Spent", usd(spent)),
            ("Expected", usd(middle)),
            ("80% range", f"{usd(low)} to {usd(high)}"),
        ),
    )
    workload = "" if seen.workload == _ALL else seen.workload
    subject = f"{seen.workload} {way} its range"
    severity: Severity | None = None if up else "notice"
    return Signal(
        "spend_anomaly", subject, seen.as_of, holds, said, workload=workload, severity=severity
    )


_ALL = "all workloads"
_UP = (
    "See which model, project or key grew: the query shows them by day.",
    "A key that nobody expects to work is to be revoked at the provider.",
    "If the growth is meant, nothing: within about a week it is what is expected.",
)
_DOWN = (
    "See whether the traffic moved, ended, or is not reported any more: the query shows it by day.",
    "If the fall is meant, nothing: within about a week it is what is expected.",
)


def _of(workload: str) -> str:
    return "" if workload == _ALL else f" AND workload = '{quoted(workload)}'"


class BilledSeen(NamedTuple):
    """What an account was billed and what we estimated, over the same closed days; dollars."""

    account: str
    as_of: int
    days: int
    """How many closed days have both."""
    billed: Decimal
    estimated: Decimal
    unpriced: int
    """Tokens of these days that are in no estimate."""
    causes: Mapping[str, Decimal] = {}
    """Why they differ, in cents that add up."""
    remedies: tuple[str, ...] = ()


LEAST_DAYS = 7
"""Closed days below which a bill beside an estimate says nothing: single days are rounded."""


def unreconciled(seen: BilledSeen, limits: Limits) -> Signal:
    """Whether bill and estimate of the same days are further apart than is explained."""
    apart = abs(seen.billed - seen.estimated)
    month = apart * MONTH_DAYS.numerator / MONTH_DAYS.denominator / max(seen.days, 1)
    wide = apart * 100 >= abs(seen.billed) * (limits.percent or 0)
    holds = apart > 0 and wide and month >= (limits.least_usd or 0)
    share = f", {apart * 100 / seen.billed:.1f}% of the bill" if seen.billed > 0 else ""
    suspected = unit_suspicion(seen.billed, seen.estimated)
    known = set(seen.causes) - {"unexplained"}
    over = "more" if seen.billed > seen.estimated else "less"
    said = Said(
        title=f"{seen.account} was billed ${apart:,.2f} {over} than its tokens explain{share}",
        what=f"On {seen.days} closed days ${seen.billed:,.2f} was billed and"
        f" ${seen.estimated:,.2f} estimated."
        + (f" It looks like {suspected}." if suspected else ""),
        sure="Certain as a difference; "
        + ("its causes stand below." if known else "what causes it is not known.")
        + (
            f" {seen.unpriced:,} tokens of these days have no known price." if seen.unpriced else ""
        ),
        cost=f"${month:,.2f} a month: the bill counts for spend, the estimate for workloads,"
        " projections and break-evens.",
        usd_per_month=to_cents(month if seen.billed > seen.estimated else -month),
        actions=(
            *seen.remedies,
            f"See each day and model: `crossover reconcile --month {month_of(seen.as_of - DAY)}`.",
        ),
        query="SELECT day, billed_usd, estimated_usd, unpriced_tokens FROM v_spend_daily"
        f" WHERE basis = 'billed' AND account = '{quoted(seen.account)}' ORDER BY day DESC",
        facts=(
            ("Billed", f"${seen.billed:,.2f}"),
            ("Estimated", f"${seen.estimated:,.2f}"),
            ("Closed days", str(seen.days)),
            *(
                (f"Apart by {cause}", f"{'-' * (amount < 0)}${abs(amount):,.2f}")
                for cause, amount in seen.causes.items()
            ),
        ),
    )
    told = holds if seen.days >= LEAST_DAYS else None
    return Signal("unreconciled_spend", seen.account, seen.as_of, told, said)
