"""What the rules about spend, sources and the daemon itself see: facts in, signals out.

Every rule is told only what was measured. A fact that is missing makes its signal unknown, which
changes nothing; it is never taken for zero or for all being well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.notices import Said
from monitor.domain.signals import Signal
from monitor.domain.watch_words import counted
from monitor.domain.watch_words import percent_of as _percent
from monitor.domain.watch_words import quoted as _quoted
from monitor.domain.watch_words import shown as _shown
from monitor.domain.watch_words import usd as _usd

LET_GO = Decimal("0.9")
"""A projection that is told lets go below this share of its threshold, not just below it."""


class BudgetSeen(NamedTuple):
    """A budget in its period at the end of a closed day; pico-USD, None is unknown."""

    name: str
    period: str
    as_of: int
    amount: int
    spent: int | None
    q10: int | None
    q50: int | None
    q90: int | None
    unpriced_tokens: int | None
    basis: str
    """billed, mixed or estimated."""
    remark: str
    owner: str = ""
    workload: str = ""


class Thresholds(NamedTuple):
    """Of a budget, in percent of its amount."""

    actual: Sequence[int] = (50, 80, 100)
    projected: Sequence[int] = (100,)


def budget(seen: BudgetSeen, thresholds: Thresholds) -> list[Signal]:
    """What was spent, and what the period is heading for, against the thresholds."""
    found = []
    if thresholds.actual:
        found.append(_spent(seen, sorted(thresholds.actual)))
    if thresholds.projected:
        found.append(_heading(seen, sorted(thresholds.projected)))
    return found


def _spent(seen: BudgetSeen, percents: Sequence[int]) -> Signal:
    crossed = _crossed(seen.spent, seen.amount, percents)
    share = None if seen.spent is None else _percent(seen.spent, seen.amount)
    told = (
        f"Budget {seen.name} ({seen.period}): {_usd(seen.spent)} of {_usd(seen.amount)} spent"
        f" ({_shown(share)})"
    )
    said = Said(
        title=told,
        what=f"{told}."
        + (f" It passed {percents[crossed]}% of the budget." if crossed is not None else ""),
        sure=_basis(seen),
        cost=_left(seen),
        usd_per_month=None,
        actions=_TO_DO,
        query=_budget_query(seen.name),
        facts=_budget_facts(seen),
    )
    return _signal("budget", seen, seen.spent, crossed, percents, said)


def _heading(seen: BudgetSeen, percents: Sequence[int]) -> Signal:
    # Its lower end lies above: the range itself says that the threshold is passed.
    crossed = _crossed(seen.q10, seen.amount, percents)
    told = (
        f"Budget {seen.name} ({seen.period}) is heading for {_usd(seen.q50)},"
        f" {_usd(_over(seen))} over {_usd(seen.amount)}"
    )
    said = Said(
        title=told,
        what=f"{told}."
        + (
            f" Even the low end of its range passes {percents[crossed]}% of the budget."
            if crossed is not None
            else ""
        ),
        sure=f"80% range {_usd(seen.q10)} to {_usd(seen.q90)}. {_basis(seen)}".strip(),
        cost=_left(seen),
        actions=_TO_DO,
        query=_budget_query(seen.name),
        facts=_budget_facts(seen),
    )
    lowest = seen.amount * min(percents) * LET_GO / 100
    released = None if seen.q50 is None else seen.q50 < lowest
    signal = _signal("budget_projected", seen, seen.q10, crossed, percents, said)
    return signal._replace(released=released)


def _signal(
    rule: str,
    seen: BudgetSeen,
    value: int | None,
    crossed: int | None,
    percents: Sequence[int],
    said: Said,
) -> Signal:
    return Signal(
        rule,
        seen.name,
        seen.as_of,
        None if value is None else crossed is not None,
        said,
        period=seen.period,
        threshold="" if crossed is None else f"{percents[crossed]}%",
        rank=-1 if crossed is None else crossed,
        workload=seen.workload,
        owner=seen.owner,
    )


_TO_DO = (
    "See which workload moved: the weekly report splits its change into volume, mix and price.",
    "Slow it down, pay for it, or change the budget; a new period begins at 0 by itself.",
)


def _crossed(value: int | None, amount: int, percents: Sequence[int]) -> int | None:
    """The place of the highest threshold that a value reaches."""
    if value is None:
        return None
    reached = [n for n, percent in enumerate(percents) if value * 100 >= amount * percent]
    return reached[-1] if reached else None


def _over(seen: BudgetSeen) -> int | None:
    return None if seen.q50 is None else max(seen.q50 - seen.amount, 0)


def _left(seen: BudgetSeen) -> str:
    if seen.spent is None:
        return "What is left is not known."
    left = seen.amount - seen.spent
    return f"{_usd(left)} of the period are left." if left >= 0 else f"{_usd(-left)} are overspent."


def _basis(seen: BudgetSeen) -> str:
    words = {
        "billed": "All of it is billed.",
        "mixed": "A part is billed, the rest estimated from tokens.",
        "estimated": "Estimated from tokens and dated prices.",
    }
    unpriced = (
        f" {seen.unpriced_tokens:,} tokens have no known rate and are in no amount."
        if seen.unpriced_tokens
        else ""
    )
    remark = f" Not known: {seen.remark}." if seen.remark else ""
    return words.get(seen.basis, "") + unpriced + remark


def _budget_facts(seen: BudgetSeen) -> tuple[tuple[str, str], ...]:
    return (
        ("Period", seen.period),
        ("Budget", _usd(seen.amount)),
        ("Spent", _usd(seen.spent)),
        ("Heading for", _usd(seen.q50)),
        ("80% range", f"{_usd(seen.q10)} to {_usd(seen.q90)}"),
    )


def _budget_query(name: str) -> str:
    return f"SELECT * FROM v_budget WHERE budget = '{_quoted(name)}'"


class UnpricedSeen(NamedTuple):
    """Tokens of one month to date, by workload."""

    workload: str
    as_of: int
    month: str
    tokens: int
    unpriced: int
    models: Sequence[str]
    """Without a rate, those with most tokens first."""


def unpriced(seen: UnpricedSeen, percent: int) -> Signal:
    """Tokens without a rate from `percent` of a workload's tokens on: its amounts are too low."""
    holds = seen.unpriced * 100 >= seen.tokens * percent and seen.unpriced > 0
    share = _shown(_percent(seen.unpriced, seen.tokens)) if seen.tokens else "none"
    named = ", ".join(seen.models[:3]) + (" and more" if len(seen.models) > 3 else "")
    told = f"{seen.workload}: {share} of its tokens have no known price"
    said = Said(
        title=told,
        what=f"{seen.unpriced:,} of {seen.tokens:,} tokens in {seen.month} are in no amount"
        + (f": {named}." if named else "."),
        sure="Certain: no card covers them.",
        cost="Not known: that is the point. Spend, projection and break-even are too low by it.",
        actions=(
            "Set a price: crossover prices set, or [[prices.override]].",
            "crossover prices show MODEL says what is known of one.",
        ),
        query="SELECT month, workload, tokens, unpriced_tokens FROM v_workload_cost"
        f" WHERE workload = '{_quoted(seen.workload)}' ORDER BY month DESC",
    )
    return Signal("unpriced_spend", seen.workload, seen.as_of, holds, said, workload=seen.workload)


def stale(sources: Iterable[str], late: Mapping[str, Sequence[str]], as_of: int) -> list[Signal]:
    """Sources of which a day that should be closed is not, by the hour.

    Args:
        sources: every live one.
        late: source -> its streams that did not close the day.
        as_of: the hour.
    """
    return [_stale(name, late.get(name, ()), as_of) for name in sources]


def _stale(name: str, streams: Sequence[str], as_of: int) -> Signal:
    listed = ", ".join(streams)
    said = Said(
        title=f"Source {name} is behind: yesterday's data has not come",
        what=f"{listed or 'All of it'} did not close the last day that should be complete."
        if streams
        else f"Everything of {name} is read again.",
        sure="Certain: the last complete reading is older.",
        cost="Nothing by itself. What rests on it waits: projections, advice, budgets, reports.",
        actions=(
            "crossover check says whether the key still works.",
            "v_data_quality has the last error.",
        ),
        query=f"SELECT * FROM v_data_quality WHERE source = '{_quoted(name)}'",
    )
    return Signal("source_stale", name, as_of, bool(streams), said)


class GivenUp(NamedTuple):
    """Work that waits for a person."""

    runs: int
    messages: int
    first: str
    """The oldest with its error; '' if there is none."""
    partial: Sequence[str] = ()
    """Reports of the last days that left without a part, each with its cause."""


def internal(seen: GivenUp, as_of: int) -> Signal:
    """Work that was given up, and reports that lack a part: the operator's to mend.

    One more is told too, while the others still wait.
    """
    count = seen.runs + seen.messages + len(seen.partial)
    told = [f"The oldest: {seen.first}."] if seen.first else []
    if seen.partial:
        told.append(f"The newest that lacks a part: {seen.partial[0]}.")
    said = Said(
        title=_waits(seen),
        what=" ".join(told) or "Nothing waits for a person any more.",
        sure="Certain: their tries are used up, or what was sent says what it lacks.",
        cost="Nothing by itself; a report or an alert may not have arrived.",
        actions=(
            "crossover runs list and crossover outbox list --dead show them with their errors.",
            "Mend the cause, then crossover runs retry or crossover outbox retry.",
        ),
        query="SELECT * FROM v_runs WHERE state = 'dead' OR error LIKE 'left without %'",
    )
    return Signal("internal", "given up", as_of, count > 0, said, rank=count)


def _waits(seen: GivenUp) -> str:
    dead = [
        counted(number, noun)
        for number, noun in ((seen.runs, "run"), (seen.messages, "message"))
        if number
    ]
    were = "was" if seen.runs + seen.messages == 1 else "were"
    parts = [f"{' and '.join(dead)} {were} given up"] if dead else []
    if seen.partial:
        parts.append(f"{counted(len(seen.partial), 'report')} left without a part")
    return ", ".join(parts) or "Nothing waits for a person any more"
