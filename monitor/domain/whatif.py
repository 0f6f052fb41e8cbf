"""What if: changes to a scenario as people write them, `gpu_price=-20%`, applied exactly."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, get_args, get_type_hints

from monitor.domain.errors import InputError
from monitor.domain.inputs import BY_NAME, Input, checked, main_key, moved, read
from monitor.domain.scenario import Api, Deployment, Migration, Owned, Scenario, Workload

_NUMBER = r"\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?"
_VALUE = re.compile(rf"(?P<sign>[+-]?)(?P<number>{_NUMBER})(?P<unit>%|x?)", re.ASCII)
_TABLES = {
    "workload": Workload,
    "api": Api,
    "deployment": Deployment,
    "deployment.owned": Owned,
    "migration": Migration,
}
KEYS = tuple(
    f"{path}.{key}"
    for path, table in _TABLES.items()
    for key in get_type_hints(table)
    if key not in ("name", "owned")
)
"""Every key of a scenario that holds a number, with its tables."""
_WHOLE = {
    f"{path}.{key}"
    for path, table in _TABLES.items()
    for key, hint in get_type_hints(table).items()
    if hint is int or int in get_args(hint)
}


class Change(NamedTuple):
    """One change as it was written; `factor` scales the present value, else `value` replaces it."""

    text: str
    input: Input
    factor: Fraction | None
    value: Fraction | None


class Changed(NamedTuple):
    """One key before and after; None: it was absent."""

    key: str
    before: Fraction | None
    after: Fraction


def parse(texts: Sequence[str]) -> list[Change]:
    """Changes written as NAME=VALUE.

    NAME is an input of `inputs.INPUTS` or a dotted scenario key. VALUE is a number, `2x`, or `+20%`
    and `-20%` of the present value; of a monthly price change, percents are the change itself.

    Raises:
        InputError: an unknown name, naming the nearest and all known; a value that is none.
    """
    changes = [_parse(text) for text in texts]
    names = [change.input.name for change in changes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"what-if names {twice} twice", "Give each input one value.")
    return changes


def apply(scenario: Scenario, changes: Sequence[Change]) -> Scenario:
    """The scenario with all changes, each computed from the scenario as it was.

    Whole numbers that are scaled are rounded half even.

    Raises:
        InputError: a change that has no effect or breaks the rules of a scenario file.
    """
    values: dict[str, Any] = {}
    for change in changes:
        new = _values(scenario, change)
        if twice := values.keys() & new.keys():
            raise InputError(f"what-if changes {min(twice)} twice", "Give each key one value.")
        values |= new
    return checked(scenario, values, "what-if")


def differences(before: Scenario, after: Scenario) -> list[Changed]:
    """The keys whose values differ."""
    found = [(key, read(before, key), read(after, key)) for key in KEYS]
    return [Changed(*row) for row in found if row[1] != row[2] and row[2] is not None]


def _parse(text: str) -> Change:
    name, equals, value = (part.strip() for part in text.partition("="))
    item = BY_NAME.get(name) or (Input(name, name, (name,)) if name in KEYS else None)
    if not equals or item is None:
        raise _unknown(text, name)
    match = _VALUE.fullmatch(value)
    if match is None:
        raise InputError(
            f"what-if {text} has no value that can be read",
            f"Write a number, a factor or a percentage: {name}=3, {name}=2x, {name}=-20%",
        )
    number = Fraction(Decimal(match["number"])) * (-1 if match["sign"] == "-" else 1)
    return _change(text, item, match, number)


def _change(text: str, item: Input, match: re.Match[str], number: Fraction) -> Change:
    part = number / 100
    if match["unit"] == "%" and item.percent == "absolute":
        return Change(text, item, None, part)
    if match["unit"] == "%" and match["sign"]:
        return Change(text, item, 1 + part, None)
    if match["unit"] == "%" and item.name in ("share", "cache_hit", "headroom"):
        return Change(text, item, None, part)
    if match["unit"] == "%":
        raise InputError(
            f"what-if {text} says neither more nor less",
            f"Write {item.name}=+{match['number']}% or {item.name}=-{match['number']}%",
        )
    return Change(text, item, number, None) if match["unit"] else Change(text, item, None, number)


def _values(scenario: Scenario, change: Change) -> Mapping[str, Any]:
    """The new values of the keys that a change moves."""
    main = main_key(scenario, change.input)
    if change.factor is None:
        return _set(scenario, change, main)
    now = read(scenario, main)
    if not now:
        raise InputError(
            f"what-if {change.text} has no effect: {main} is 0",
            f"Give a value: {change.input.name}=VALUE",
        )
    scaled = moved(scenario, change.input, now * change.factor)
    return {key: round(v) if key in _WHOLE else v for key, v in scaled.items()}


def _set(scenario: Scenario, change: Change, main: str) -> Mapping[str, Any]:
    used = [key for key in change.input.keys if read(scenario, key)]
    if len(used) > 1:
        raise InputError(
            f"what-if {change.text} could mean {' or '.join(used)}",
            f"Name the key, or change all of them: {change.input.name}=-20%",
        )
    return {main: change.value}


def _unknown(text: str, name: str) -> InputError:
    near = difflib.get_close_matches(name, [*BY_NAME, *KEYS], n=1)
    hint = f" (did you mean {near[0]}?)" if near and near[0] != name else ""
    cause = "is an unknown input" if "=" in text else "is not written NAME=VALUE"
    return InputError(
        f"what-if {text} {cause}{hint}",
        f"Known: {', '.join(BY_NAME)}; or a key of the scenario such as"
        " deployment.people_usd_per_month",
    )
