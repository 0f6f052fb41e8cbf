"""What the rules about prices and models see: a new price, and a snapshot that took over."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.money import to_cents
from monitor.domain.notices import Said, Severity
from monitor.domain.periods import day_of
from monitor.domain.pricing import RateCard, price
from monitor.domain.rulebook import Limits
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY, Quantities
from monitor.domain.watch_words import a_month, dollars, percent_of, quoted, shown, usd

NEWS = 7 * DAY
"""So long after a card was added it is news; what is told once does not end with a message."""


class Repriced(NamedTuple):
    """A model in use whose price changed or is going to, and what was used of it lately."""

    account: str
    old: RateCard
    new: RateCard
    as_of: int
    used: Quantities
    """Of the days before `as_of`, each class by its tokens."""
    days: int
    corrected_at: int | None = None
    """When the list changed its word about a time that had begun long before; else None."""


def price_change(seen: Repriced, limits: Limits) -> Signal | None:
    """What the month costs more or less by the new card, as it is used now.

    None where one of the two prices nothing of it.
    """
    before, after = price(seen.used, seen.old).pico, price(seen.used, seen.new).pico
    if before is None or after is None:
        return None
    moved = a_month(after - before, seen.days)
    holds = (
        abs(after - before) * 100 >= before * (limits.percent or 0)
        and abs(dollars(moved)) >= (limits.least_usd or 0)
        and moved != 0
    )
    corrected = seen.corrected_at is not None
    model, since = seen.new.model, day_of(seen.corrected_at or seen.new.valid_from)
    context = f" ({seen.new.context})" if seen.new.context else ""
    way = "dearer" if moved > 0 else "cheaper"
    share = f" ({shown(percent_of(abs(after - before), before))})" if before else ""
    said = Said(
        title=f"{model}{context} is {usd(abs(moved))} a month {way}{share}"
        + (f": its price was corrected on {since}" if corrected else f" from {since}"),
        what=f"{seen.account} used {seen.used.tokens:,} tokens of it in {seen.days} days: by the"
        f" old price {usd(before)}, by the new one {usd(after)}.",
        sure=f"As {seen.new.source or 'the price list'} says; the bill decides.",
        cost=f"{usd(abs(moved))} a month {'more' if moved > 0 else 'less'}, used as it is now.",
        usd_per_month=to_cents(dollars(moved)),
        actions=(
            "Compare with the provider's page; crossover prices show MODEL has both cards.",
            "Days that are not closed are priced anew by themselves; break-evens follow.",
        ),
        query="SELECT * FROM v_rate"
        f" WHERE provider = '{quoted(seen.new.provider)}' AND model = '{quoted(model)}'"
        " ORDER BY valid_from, added_at",
        facts=_changes(seen.old, seen.new),
    )
    severity: Severity | None = None if moved > 0 else "notice"
    subject = f"{seen.account} {seen.new.provider}/{model}{context}"
    return Signal("price_change", subject, seen.as_of, holds, said, period=since, severity=severity)


def _changes(old: RateCard, new: RateCard) -> tuple[tuple[str, str], ...]:
    """Each rate that differs, in USD per million."""
    pairs = zip(old.rates._fields, old.rates, new.rates, strict=True)
    return tuple(
        (name.replace("_", " "), f"{_rate(was)} to {_rate(now)}")
        for name, was, now in pairs
        if was != now
    )


def _rate(nano: int | None) -> str:
    return "no rate" if nano is None else f"${nano / 10**9:g}"


_SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})$")
_LATEST = re.compile(r"[-@]latest$")


def family(model: str) -> str:
    """A model without the date or number of its snapshot: what an alias stands for."""
    return _LATEST.sub("", _SNAPSHOT.sub("", model))


ROLLED_OUT = 7 * DAY
"""An alias moves at any hour, and by and by: so long a snapshot that came is still new."""


class ModelsSeen(NamedTuple):
    """Tokens of one family of snapshots in one workload."""

    workload: str
    as_of: int
    family: str
    day: Sequence[tuple[str, int]]
    """Model and its tokens on the last closed day."""
    before: Sequence[tuple[str, int]]
    """The same of four weeks, which end `ROLLED_OUT` before that day."""


def model_change(seen: ModelsSeen, limits: Limits) -> list[Signal]:
    """Snapshots that came within a week and serve a large share of the family now."""
    known = {model for model, tokens in seen.before if tokens}
    total = sum(tokens for _, tokens in seen.day)
    if not known or not total:
        return []
    return [
        _took_over(seen, model, percent_of(tokens, total), sorted(known))
        for model, tokens in seen.day
        if model not in known and tokens * 100 >= total * (limits.percent or 0) and tokens
    ]


def _took_over(seen: ModelsSeen, model: str, share: Decimal, known: Sequence[str]) -> Signal:
    was = ", ".join(known[:3]) + (" and more" if len(known) > 3 else "")
    said = Said(
        title=f"{seen.workload}: {model} serves {share:.0f}% of {seen.family}, until lately {was}",
        what=f"On {day_of(seen.as_of - DAY)} it had {share:.0f}% of the tokens of {seen.family}; up"
        f" to {day_of(seen.as_of - 2 * DAY - ROLLED_OUT)} it had none in four weeks.",
        sure="Certain: the provider reports it. Whether an alias moved or somebody chose it is not"
        " known.",
        cost="Not known yet: the price of each is in v_rate, the length of its answers shows in"
        " days.",
        actions=(
            "Pin the snapshot if the change was not meant, and run your own quality set.",
            "crossover prices show MODEL says what each costs.",
        ),
        query="SELECT day, model, requests, tokens, output, estimated_usd FROM v_usage_daily"
        f" WHERE workload = '{quoted(seen.workload)}' ORDER BY day DESC, tokens DESC",
    )
    subject = f"{seen.workload}: {model}"
    return Signal(
        "model_change", subject, seen.as_of, holds=True, said=said, workload=seen.workload
    )
