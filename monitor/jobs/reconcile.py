"""A month's bills beside its estimates: compared, stored when the month closes, and told."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import Connection

from monitor.domain.attribution import in_cents
from monitor.domain.model_names import ModelNames
from monitor.domain.money import PICO, from_pico, to_cents
from monitor.domain.periods import day_of, month_bounds
from monitor.domain.reconcile import reconcile
from monitor.domain.reconciled import (
    Cause,
    Compared,
    Finding,
    Reconciled,
    total,
)
from monitor.domain.watch_spend import BilledSeen
from monitor.storage import reconcile as stored

_CENTS = Fraction(100, PICO)


class Comparison(NamedTuple):
    """An account's days: bill and estimate, why they differ, and what could not be compared."""

    account: str
    start: int
    end: int
    found: Reconciled
    open_days: set[int]
    unconverted: Sequence[tuple[str, int]]
    """Billed in currencies without a rate: (currency, 10^-12 of it)."""

    @property
    def final(self) -> list[Compared]:
        """What is of days that are final on both sides."""
        return [each for each in self.found.compared if each.day not in self.open_days]


def compare(
    conn: Connection,
    account: str,
    start: int,
    end: int,
    sources: Sequence[str],
    names: ModelNames | None = None,
) -> Comparison:
    """Compare the days [start, end) of an account.

    Args:
        conn: a transaction.
        account: its name.
        start: UTC midnight.
        end: UTC midnight.
        sources: those that are read.
        names: tells which names are of one model.
    """
    bill = stored.billed(conn, account, start, end)
    uses = stored.used(conn, account, start, end)
    not_final = stored.open_days(conn, account, start, end, sources) | bill.unconverted_days
    found = reconcile(bill.charges, uses, not_final, names)
    return Comparison(account, start, end, found, not_final, bill.unconverted)


def compare_all(
    conn: Connection,
    start: int,
    end: int,
    sources: Sequence[str],
    names: ModelNames | None = None,
) -> list[Comparison]:
    """The same of every account of which a bill is read."""
    return [
        compare(conn, account, start, end, sources, names)
        for account in stored.billed_accounts(conn)
    ]


def store_month(
    conn: Connection, month: str, sources: Sequence[str], names: ModelNames | None = None
) -> None:
    """Compare a month and keep it, for reports and queries."""
    for each in compare_all(conn, *month_bounds(month), sources, names):
        stored.put(conn, each.account, month, each.found.compared, each.open_days)


def document(found: Comparison) -> dict[str, Any]:
    """A comparison as data; amounts are exact dollars as text."""
    compared = found.found.compared
    return {
        "account": found.account,
        "from": day_of(found.start),
        "to": day_of(found.end),
        **_sides(compared),
        "causes": _usd(total(compared)),
        "by_provider": _by(compared, lambda each: {"provider": each.provider}),
        "by_model": _by(compared, lambda each: {"provider": each.provider, "model": each.model}),
        "by_day": _by(compared, lambda each: {"day": day_of(each.day)}),
        "rows": [
            {
                "day": day_of(each.day),
                "provider": each.provider,
                "model": each.model,
                **_sides([each]),
                "causes": _usd(each.causes),
            }
            for each in compared
        ],
        "findings": [_finding(found, each) for each in found.found.findings],
        "days_not_final": [day_of(day) for day in sorted(found.open_days)],
        "unconverted": [
            {"currency": currency, "amount": _text(pico)} for currency, pico in found.unconverted
        ],
    }


def seen(found: Comparison, as_of: int) -> BilledSeen:
    """What the rule about bills is told: days that are final and have both sides."""
    billed = {each.day for each in found.final if each.billed}
    whole = billed & {each.day for each in found.final if each.estimated or each.unpriced_tokens}
    compared = [each for each in found.final if each.day in whole]
    told = [suggestion(found, each) for each in found.found.findings]
    return BilledSeen(
        found.account,
        as_of,
        len(whole),
        *sides(compared),
        sum(each.unpriced_tokens for each in compared),
        in_dollars(compared),
        tuple(dict.fromkeys(filter(None, told))),
    )


def rows(
    compared: Sequence[Compared], key: Callable[[Compared], Mapping[str, str]]
) -> list[dict[str, object]]:
    """Lines for people, by a key: both sides, the difference and its causes; cents add up."""
    found = []
    for name, group in _grouped(compared, key):
        billed, estimated = _both(group)
        cents = round((billed - estimated) * _CENTS)
        found.append(
            {
                **name,
                "billed": _cents(round(billed * _CENTS)),
                "estimated": _cents(round(billed * _CENTS) - cents),
                "difference": _cents(cents),
                "why": "; ".join(f"{cause} {usd}" for cause, usd in in_dollars(group).items()),
            }
        )
    return found


def in_dollars(compared: Sequence[Compared]) -> dict[str, Decimal]:
    """The causes of a difference in whole cents that add up to it; those of none are left out."""
    billed, estimated = _both(compared)
    causes: dict[str, Fraction] = {c: Fraction(n, PICO) for c, n in total(compared).items()}
    parts = in_cents(causes, round((billed - estimated) * _CENTS)) if causes else {}
    return {cause: _cents(n) for cause, n in parts.items() if n}


def sides(compared: Iterable[Compared]) -> tuple[Decimal, Decimal]:
    """What was billed and what was estimated, in dollars."""
    billed, estimated = _both(compared)
    return from_pico(billed), from_pico(estimated)


def suggestion(found: Comparison, finding: Finding) -> str:
    """What to write into the configuration about a steady ratio; else the finding's remedy."""
    if finding.rate is None:
        return finding.remedy
    first = day_of(finding.days[0])
    where = f'account = "{_quoted(found.account)}", valid_from = {first}'
    where += f", multiplier = {float(finding.rate):.4g}"
    if finding.cause == "discount" and first.endswith("-01") and _is_whole(found, finding):
        return f"If it was agreed, write a [[contract]]: {where}."
    models = f'"{_quoted(finding.models[0])}"' if len(finding.models) == 1 else '"*"'
    return (
        f"If it was agreed, write a [[prices.override]]: {where},"
        f' provider = "{_quoted(finding.provider)}", model = {models}.'
    )


def _is_whole(found: Comparison, finding: Finding) -> bool:
    """Whether a finding is about everything that the account was billed by token."""
    billed = [each for each in found.found.compared if each.billed and each.estimated]
    return all(
        each.provider == finding.provider and (not each.model or each.model in finding.models)
        for each in billed
    )


def dollars(pico: int) -> str:
    """An amount for people, rounded to cents."""
    return f"{'-' * (pico < 0)}${abs(to_cents(from_pico(pico))):,.2f}"


def days_told(days: Sequence[int]) -> str:
    """Days as words: the first, the last, and how many."""
    if len(days) == 1:
        return day_of(days[0])
    return f"{len(days)} days from {day_of(days[0])} to {day_of(days[-1])}"


def _finding(found: Comparison, each: Finding) -> dict[str, Any]:
    return {
        "cause": each.cause,
        "provider": each.provider,
        "models": list(each.models),
        "days": [day_of(day) for day in each.days],
        "usd": _text(each.pico),
        "seen": each.seen,
        "remedy": suggestion(found, each),
    }


def _by(
    compared: Sequence[Compared], key: Callable[[Compared], Mapping[str, str]]
) -> list[dict[str, Any]]:
    return [
        {**name, **_sides(group), "causes": _usd(total(group))}
        for name, group in _grouped(compared, key)
    ]


def _grouped(
    compared: Iterable[Compared], key: Callable[[Compared], Mapping[str, str]]
) -> list[tuple[Mapping[str, str], list[Compared]]]:
    groups: dict[tuple[str, ...], list[Compared]] = defaultdict(list)
    names: dict[tuple[str, ...], Mapping[str, str]] = {}
    for each in compared:
        name = key(each)
        groups[tuple(name.values())].append(each)
        names[tuple(name.values())] = name
    return [(names[at], groups[at]) for at in sorted(groups)]


def _both(compared: Iterable[Compared]) -> tuple[int, int]:
    each = list(compared)
    return sum(one.billed for one in each), sum(one.estimated for one in each)


def _sides(compared: Sequence[Compared]) -> dict[str, str]:
    billed, estimated = _both(compared)
    return {
        "billed_usd": _text(billed),
        "estimated_usd": _text(estimated),
        "difference_usd": _text(billed - estimated),
    }


def _usd(causes: Mapping[Cause, int]) -> dict[str, str]:
    return {cause: _text(pico) for cause, pico in causes.items()}


def _text(pico: int) -> str:
    return f"{from_pico(pico):.12f}"


def _cents(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)[1:-1]
