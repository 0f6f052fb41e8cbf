"""Trying what is configured, one probe after the other; a failing one stops none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from monitor.domain import doubles
from monitor.domain.errors import CrossoverError
from monitor.domain.model_names import ModelNames
from monitor.domain.reconciled import MEANING, Cause, Compared, total, unit_suspicion
from monitor.domain.usage import DAY, utc_day
from monitor.jobs.reconcile import Comparison, compare_all, days_told, in_dollars, sides
from monitor.storage import pending, reconcile, work
from monitor.storage.engine import Database

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_COMPARED_DAYS = 28
_REPORTED_DAYS = 7
_WRONG: tuple[Cause, ...] = ("unit", "double count")


class Probe(NamedTuple):
    """Something to try: returns what it saw, or raises; None: it is not configured."""

    what: str
    attempt: Callable[[], str] | None
    required: bool = True


class Checked(NamedTuple):
    """A line of the table."""

    what: str
    state: Literal["well", "off", "fails"]
    seen: str
    remedy: str


def check_all(probes: Iterable[Probe]) -> list[Checked]:
    """Every probe's line, in order."""
    return [_check(probe) for probe in probes]


def _check(probe: Probe) -> Checked:
    if probe.attempt is None:
        return Checked(probe.what, "off", "not configured", "")
    try:
        return Checked(probe.what, "well", probe.attempt(), "")
    except CrossoverError as error:
        state: Literal["off", "fails"] = "fails" if probe.required else "off"
        return Checked(probe.what, state, error.message, error.remedy)


def compare_bills(
    database: Database, now: int, sources: Sequence[str], names: ModelNames | None = None
) -> str:
    """Each account's bill beside our estimate over the last final days, and why they differ.

    Raises:
        CrossoverError: one looks like an error in a unit or a double count.
    """
    end = utc_day(now)
    with database.read() as conn:
        found = compare_all(conn, end - _COMPARED_DAYS * DAY, end, sources, names)
    both = [each for each in found if any(one.billed and one.estimated for one in each.final)]
    suspected = [_suspected(each.final) for each in both]
    shown = "; ".join(map(_compared, both, suspected))
    if any(suspected):
        raise CrossoverError(
            shown,
            "Compare a day of v_bill_daily and of v_usage_daily with the provider's own pages;"
            " `crossover reconcile --month` shows each day.",
        )
    return shown or "no closed day has both yet"


def _suspected(compared: Sequence[Compared]) -> str:
    """What is no honest cause: by the evidence of the days, else by the ratio of the sums."""
    causes = total(compared)
    wrong = "; ".join(f"{cause}: {MEANING[cause]}" for cause in _WRONG if causes.get(cause))
    return unit_suspicion(*sides(compared)) or wrong


def nothing_twice(database: Database, now: int, names: ModelNames | None = None) -> str:
    """Says that no two sources seem to count the same tokens, over the last closed days.

    Raises:
        CrossoverError: two do, or one counts thousands where the other counts tokens; it names the
            pair with the most tokens.
    """
    end = utc_day(now)
    with database.read() as conn:
        counted = reconcile.counted(conn, end - _COMPARED_DAYS * DAY, end)
    found = doubles.find(counted, names or ModelNames())
    if not found:
        return f"no two sources count alike over {_COMPARED_DAYS} days"
    first = found[0]
    (one, other), more = first.sources, len(found) - 1
    shown = f"{one} and {other} both count {first.model}, {days_told(first.days)}"
    if first.times != 1:
        much, few = (one, other) if first.times > 0 else (other, one)
        shown = (
            f"{much} counts 1000 times the tokens of {few} for {first.model},"
            f" {days_told(first.days)}"
        )
    raise CrossoverError(
        f"{shown}: {first.tokens:,} tokens by {one}" + (f"; and {more} more pairs" if more else ""),
        _REMEDY_UNIT if first.times != 1 else _remedy(first),
    )


_REMEDY_UNIT = "Compare one day with the provider's page: one of both counts thousands of tokens."


def _remedy(double: doubles.Double) -> str:
    one, other = double.accounts
    counts = f"let its tokens_from name one of {' and '.join(double.sources)}"
    if one == other:
        return f"If it is the same traffic, {counts} in [account.{_key(one)}]."
    return (
        f"If it is the same traffic, give both sources the same account (now {one} and {other})"
        f" and {counts}."
    )


def _key(name: str) -> str:
    """A name as a key of TOML."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def nothing_given_up(database: Database, now: int) -> str:
    """Says that every run and message was carried out in full or will be tried again.

    Raises:
        CrossoverError: some were given up, or a report of the last days left without a part; it
            names the first with its error.
    """
    with database.read() as conn:
        dead, partial = work.dead(conn), work.left_without(conn, now - _REPORTED_DAYS * DAY)
    if dead.first:
        raise CrossoverError(
            f"dead runs: {dead.runs}, dead messages: {dead.messages}; the first is {dead.first}",
            "See `crossover outbox list --dead` and the dead runs in v_runs.",
        )
    if partial:
        raise CrossoverError(
            f"reports that left without a part: {len(partial)}; the newest is {partial[0]}",
            "See `crossover runs list`; the daemon's log holds the cause in full.",
        )
    return "nothing was given up"


def no_price_waits(database: Database) -> str:
    """Says that no change of the price list waits for a person's word.

    Raises:
        CrossoverError: some do; it names the first.
    """
    with database.read() as conn:
        waiting = pending.waiting(conn)
    if waiting:
        first = waiting[0]
        far = "beyond measure" if first.percent is None else f"by {first.percent}%"
        raise CrossoverError(
            f"changes of list prices that wait: {len(waiting)}; the first is {first.provider}"
            f" {first.model}, {far}",
            "See `crossover prices refresh`; --confirm takes them over.",
        )
    return "no change of a list price waits"


def _compared(item: Comparison, suspected: str) -> str:
    billed, estimated = sides(item.final)
    line = f"{item.account}: billed ${billed:,.2f}, estimated ${estimated:,.2f}"
    why = ", ".join(f"{cause} {usd:,}" for cause, usd in in_dollars(item.final).items())
    if why:
        line += f" (apart by {why})"
    return f"{line}, {suspected}" if suspected else line
