"""What a corrected edition says of the one before it, and a report of those never sent."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from monitor.domain.money import to_cents
from reports.formats import count, month, month_year, percent, rate, usd
from reports.language import say, say_n
from reports.model import Told, Value

_MONEY = {"usd", "usd_per_million"}


def differs(before: Sequence[Told], now: Sequence[Told]) -> bool:
    """Whether an amount in the head is another by a cent, or became known or unknown."""
    was = {each.id: _cents(each) for each in before if each.unit in _MONEY}
    return was != {each.id: _cents(each) for each in now if each.unit in _MONEY}


def changes(before: Sequence[Told], now: Sequence[Told]) -> list[str]:
    """Each figure that is shown otherwise, as a sentence; those that are new or gone too."""
    was, is_ = ({each.id: each for each in told} for told in (before, now))
    found = []
    for id_ in dict.fromkeys((*was, *is_)):
        shown = [_shown(told[id_]) if id_ in told else say("not told") for told in (was, is_)]
        if shown[0] != shown[1]:
            label = (is_.get(id_) or was[id_]).label
            text = "{label}: told as {before}, now {now}."
            found.append(say(text, label=label, before=shown[0], now=shown[1]))
    return found


def unsent(keys: Sequence[str], own: str) -> str:
    """Which reports before `own` were not sent; '': all were."""
    if not keys:
        return ""
    names = [_period(key, own) for key in keys]
    listed = names[0]
    if len(names) > 1:
        listed = say("{first} and {last}", first=", ".join(names[:-1]), last=names[-1])
    return say_n(
        len(names),
        "{periods} was not sent: the daemon was not running.",
        "{periods} were not sent: the daemon was not running.",
        periods=listed,
    )


def _period(key: str, own: str) -> str:
    """`W44` of the same year, else `2025-W52`; of months their names."""
    if "W" in key:
        return key[5:] if key[:4] == own[:4] else key
    return month(key) if key[:4] == own[:4] else month_year(key)


def _cents(told: Told) -> Decimal | None:
    return None if told.value is None else to_cents(Decimal(str(told.value)))


def _shown(told: Told) -> str:
    value: Value = told.value
    if value is None:
        return say("unknown")
    forms = {"usd": usd, "usd_per_million": rate, "percent": percent}
    if told.unit in forms:
        return forms[told.unit](Decimal(str(value)))
    return count(int(value)) if isinstance(value, (int, Decimal)) else str(value)
