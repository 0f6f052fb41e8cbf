"""The scenario: a workload, an API, a deployment and a migration, each number exact.

The tables and keys of a scenario file are the fields below, each with its rule and its default.
Reading collects every problem; a problem names the key with its tables, the value and the rule.
The daemon's own configuration holds some of the same tables and reads them with `read_table`.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from monitor.domain.errors import ScenarioError
from monitor.domain.money import EXACT, plain

MAX_REQUESTS = 10**13
"""The largest monthly volume that the model speaks about."""

_MAX_DIGITS = 200
_REMEDY = "Correct the scenario: docs/examples has complete ones"


class Rule(NamedTuple):
    """What a number must be."""

    text: str
    holds: Callable[[Fraction], bool]


NotNegative = Annotated[Fraction, Rule("at least 0", lambda x: x >= 0)]
AtLeast1 = Annotated[Fraction, Rule("at least 1", lambda x: x >= 1)]
Positive = Annotated[Fraction, Rule("above 0", lambda x: x > 0)]
AboveMinus1 = Annotated[Fraction, Rule("above -1", lambda x: x > -1)]
Share = Annotated[Fraction, Rule("from 0 to 1", lambda x: 0 <= x <= 1)]
Headroom = Annotated[Fraction, Rule("above 0 and at most 1", lambda x: 0 < x <= 1)]
Count = Annotated[int, Rule("a whole number, at least 0", lambda x: x >= 0)]
CountFrom1 = Annotated[int, Rule("a whole number, at least 1", lambda x: x >= 1)]
Volume = Annotated[int, Rule("a whole number from 0 to 10^13", lambda x: 0 <= x <= MAX_REQUESTS)]

ZERO = Fraction(0)
ONE = Fraction(1)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is asked: requests a month, and tokens of a mean request."""

    name: str = "workload"
    requests_per_month: Volume
    input_tokens: NotNegative
    cached_input_tokens: NotNegative = ZERO
    output_tokens: NotNegative
    peak_to_mean: AtLeast1 = ONE
    share_moved: Share = ONE


@dataclass(frozen=True, kw_only=True)
class Api:
    """What the API charges, in US dollars; `cached_input_usd_per_million` None: as other input."""

    input_usd_per_million: NotNegative
    cached_input_usd_per_million: NotNegative | None = None
    output_usd_per_million: NotNegative
    fixed_usd_per_month: NotNegative = ZERO
    minimum_usd_per_month: NotNegative = ZERO
    price_change_per_month: AboveMinus1 = ZERO


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A server that is bought."""

    server_purchase_usd: NotNegative = ZERO
    life_months: Positive = Fraction(48)
    residual_share: Share = ZERO
    server_kw: NotNegative = ZERO
    pue: AtLeast1 = Fraction("1.3")
    usd_per_kwh: NotNegative = Fraction("0.12")
    hosting_usd_per_server_month: NotNegative = ZERO


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A way to self-host the workload: capacity of a GPU, shape of the fleet, cost lines."""

    gpus_per_replica: CountFrom1
    gpu_input_tokens_per_second: NotNegative = ZERO
    gpu_output_tokens_per_second: NotNegative = ZERO
    context_coefficient: NotNegative = ZERO
    prefix_cache_hit_share: Share = ZERO
    headroom: Headroom = Fraction("0.7")
    software_efficiency: Positive = ONE
    min_replicas: Count = 1
    spare_replicas: Count = 0
    gpus_per_server: Count = 0
    usd_per_gpu_hour: NotNegative = ZERO
    gpu_price_change_per_month: AboveMinus1 = ZERO
    gpu_usd_per_month: NotNegative = ZERO
    services_usd_per_month: NotNegative = ZERO
    people_usd_per_month: NotNegative = ZERO
    variable_usd_per_million_tokens: NotNegative = ZERO
    owned: Owned | None = None


@dataclass(frozen=True, kw_only=True)
class Migration:
    """What moving and returning cost, in dollars, days and months."""

    setup_usd: NotNegative = ZERO
    lead_days: Count = 0
    dual_running_months: NotNegative = ZERO
    exit_usd: NotNegative = ZERO
    exit_lead_days: Count = 0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The whole document; an assessment is a function of this alone."""

    workload: Workload
    api: Api
    deployment: Deployment
    migration: Migration


class Keys(Protocol):
    """A dataclass: its fields are the keys of a table."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Table = TypeVar("Table", bound=Keys)


def parse_scenario(text: str, where: str = "scenario") -> Scenario:
    """The scenario written in a TOML text; ScenarioError names every problem after `where`."""
    return parse_tables(read_toml(text, where), where)


def read_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text, its numbers exact; ScenarioError if it is no TOML."""
    try:
        return tomllib.loads(text, parse_float=_decimal)
    # Besides TOMLDecodeError: an integer beyond Python's limit, brackets without end.
    except (ValueError, RecursionError) as error:
        cause = " ".join(str(error).split())
        raise ScenarioError(f"{where} is not TOML: {cause}", _REMEDY) from None


def parse_tables(tables: Mapping[str, Any], where: str = "scenario") -> Scenario:
    """A scenario from parsed tables, whose numbers are int, Decimal or Fraction (never float)."""
    scenario, problems = read_table(Scenario, tables)
    if scenario is None:
        raise ScenarioError(f"{where}: " + "; ".join(problems), _REMEDY)
    return scenario


def to_document(table: Keys) -> dict[str, Any]:
    """A scenario in JSON types, exactly: counts are numbers, all else is text ("0.7", "1/3")."""
    document: dict[str, Any] = {}
    for key in fields(table):
        value = getattr(table, key.name)
        if isinstance(value, Fraction):
            document[key.name] = exact_text(value)
        elif isinstance(value, str | int):
            document[key.name] = value
        elif value is not None:
            document[key.name] = to_document(value)
    return document


def from_document(document: Mapping[str, Any]) -> Scenario:
    """The scenario that `to_document` wrote down, checked anew."""
    return parse_tables(_exact_tables(document), "stored scenario")


def read_table(kind: type[Table], values: object, path: str = "") -> tuple[Table | None, list[str]]:
    """One table, `path` being its dotted name; or None and everything that is wrong with it."""
    if not isinstance(values, Mapping):
        return None, [f"{path} = {_shown(values)} must be a table"]
    hints = get_type_hints(kind, include_extras=True)
    problems = [_unknown(name, values[name], hints, path) for name in values if name not in hints]
    found: dict[str, Any] = {}
    for key in fields(kind):
        if key.name in values or key.default is MISSING:
            value, place = values.get(key.name, MISSING), _dotted(path, key.name)
            found[key.name], wrong = _read_value(hints[key.name], value, place)
            problems += wrong
    if kind is Deployment and "owned" in values and found.get("gpus_per_server", 0) == 0:
        place = _dotted(path, "gpus_per_server")
        problems.append(f"{place} = 0 must be at least 1 where {_dotted(path, 'owned')} is present")
    return (None, problems) if problems else (kind(**found), problems)


def _read_value(hint: Any, value: object, path: str) -> tuple[Any, list[str]]:
    """The value of one key as its type asks, and what is wrong with it."""
    if type(None) in get_args(hint):
        hint = get_args(hint)[0]
    origin = get_origin(hint)
    if origin is Annotated:
        kind, rule = get_args(hint)
        return _read_number(kind, rule, value, path)
    if origin in (tuple, dict):
        return _read_many(hint, value, path)
    if origin is Literal or hint in (str, bool, date):
        return _read_word(hint, value, path)
    return read_table(hint, {} if value is MISSING else value, path)


def _read_word(hint: Any, value: object, path: str) -> tuple[Any, list[str]]:
    """A text, one of some words, a date (as TOML or ISO text), true or false."""
    must = {str: "text that is not blank", date: "a date", bool: "true or false"}.get(hint)
    must = must or f"one of {', '.join(get_args(hint))}"
    if value is MISSING:
        return None, [f"{path} is missing: it is required and must be {must}"]
    if hint is date and isinstance(value, str):
        try:
            return date.fromisoformat(value), []
        except ValueError:
            return None, [f"{path} = {_shown(value)} must be {must}"]
    if hint is str:
        fits = isinstance(value, str) and bool(value.strip())
    else:
        fits = type(value) is hint if hint in (bool, date) else value in get_args(hint)
    return (value, []) if fits else (None, [f"{path} = {_shown(value)} must be {must}"])


def _read_many(hint: Any, value: object, path: str) -> tuple[Any, list[str]]:
    """A list of one kind of value, or a table of named ones."""
    inner = get_args(hint)[1 if get_origin(hint) is dict else 0]
    if get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            return None, [f"{path} = {_shown(value)} must be a table"]
        read = {name: _read_value(inner, v, _dotted(path, name)) for name, v in value.items()}
        found: Any = {name: item for name, (item, _) in read.items()}
        return found, [problem for _, wrong in read.values() for problem in wrong]
    if not isinstance(value, list | tuple):
        return None, [f"{path} = {_shown(value)} must be a list"]
    items = [_read_value(inner, v, f"{path}.{i}") for i, v in enumerate(value)]
    return tuple(item for item, _ in items), [problem for _, wrong in items for problem in wrong]


def _read_number(kind: Any, rule: Rule, value: object, path: str) -> tuple[Any, list[str]]:
    """A number as int or Fraction, and what is wrong with it."""
    if value is MISSING:
        return None, [f"{path} is missing: it is required and must be {rule.text}"]
    exact, fault = _exact(value)
    if exact is None:
        return None, [f"{path} = {_shown(value)} must be {fault} {rule.text}"]
    if not rule.holds(exact) or (kind is int and exact.denominator != 1):
        return None, [f"{path} = {_shown(value)} must be {rule.text}"]
    return kind(exact), []


def _exact(value: object) -> tuple[Fraction | None, str]:
    """The exact value, or None and what it must be before any other rule."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | Fraction):
        return None, "a number,"
    if isinstance(value, Decimal) and not value.is_finite():
        return None, "a finite number,"
    if _long(value):
        return None, f"a number of at most {_MAX_DIGITS} digits,"
    return Fraction(value), ""


def _long(value: object) -> bool:
    """Whether exact arithmetic may take for ever: 1e999999999 is written in ten characters."""
    if isinstance(value, Decimal):
        return max(len(value.as_tuple().digits), abs(value.adjusted())) > _MAX_DIGITS
    return isinstance(value, int) and abs(value) >= 10**_MAX_DIGITS


def _decimal(text: str) -> Decimal | str:
    """A TOML float, exactly; as text, which is then refused by key, if Decimal cannot hold it."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _unknown(name: str, value: object, known: Mapping[str, Any], path: str) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"
    return f"{_dotted(path, name)} = {_shown(value)} is an unknown key ({hint})"


def _dotted(path: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _shown(name)
    return f"{path}.{shown}" if path else shown


def _shown(value: object) -> str:
    """A value much as TOML writes it, on one line and capped."""
    if isinstance(value, Mapping | list):
        return "(a table)" if isinstance(value, Mapping) else "(a list)"
    if isinstance(value, int) and _long(value):
        return "(a huge number)"
    if isinstance(value, str | bool):
        text = json.dumps(value)
    elif isinstance(value, Decimal):
        text = str(value).lower().replace("infinity", "inf").replace("e+", "e")
    elif isinstance(value, Fraction):
        text = exact_text(value)
    else:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def exact_text(exact: Fraction) -> str:
    """A fraction as its decimals where it has an end, else as itself: "0.7", "1/3"."""
    decimal = plain(EXACT.divide(Decimal(exact.numerator), Decimal(exact.denominator)))
    return decimal if Fraction(decimal) == exact else str(exact)


def _exact_tables(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored document with its texts, names apart, turned back into numbers."""
    tables: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            tables[key] = _exact_tables(value)
        else:
            tables[key] = Fraction(value) if isinstance(value, str) and key != "name" else value
    return tables
