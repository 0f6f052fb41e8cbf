"""What own service costs where its configuration is silent: every line with its default and source.

A line that nobody wrote is not zero. Of a published range the middle is taken. A written 0 is taken
at its word and named as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from monitor.domain.capacity import Filled, shown
from monitor.domain.hardware import read_row, read_rows, require
from monitor.domain.scenario import Count, NotNegative, exact_text

State = Literal["assumed", "configured", "zero"]

MODEL_UPDATES = "model_updates_usd_per_month"
"""A key of its own: a scenario has no such line, so it is added to the people who do it."""
MIGRATION_KEYS = ("setup_usd", "exit_usd")
MONTHS = 12


@dataclass(frozen=True, kw_only=True)
class _Week:
    least_usd: NotNegative
    most_usd: NotNegative
    source: str


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One way to write an amount: people by the month, a sum, engineer-weeks, or a count."""

    name: str
    key: str
    source: str
    engineers: NotNegative | None = None
    usd_per_engineer_month: NotNegative | None = None
    usd_per_month: NotNegative | None = None
    least_engineer_weeks: NotNegative | None = None
    most_engineer_weeks: NotNegative | None = None
    times_a_year: NotNegative | None = None
    count: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Unasked:
    """A cost that no key holds yet."""

    name: str
    source: str


class Line(NamedTuple):
    """One default: an amount in dollars a month, dollars once, or a count of replicas."""

    name: str
    key: str
    amount: Fraction
    unit: Literal["usd_per_month", "usd_once", "count"]
    source: str


class Defaults(NamedTuple):
    """The whole of costs.toml."""

    lines: Sequence[Line]
    unasked: Sequence[Unasked]

    def by_key(self) -> dict[str, list[Line]]:
        """The lines of each key, in their order."""
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.key, []).append(line)
        return found

    def amounts(self) -> dict[str, Fraction]:
        """What each key is where nobody wrote it."""
        return {k: sum((x.amount for x in v), Fraction(0)) for k, v in self.by_key().items()}


class Filling(NamedTuple):
    """A deployment's tables without silent zeros, and what was done to them.

    `assumed` are texts for people; each of `lines` has name, one of usd_per_month, usd_once,
    usd_per_gpu_hour and count (money as text), source, state, and as_of where it is dated.
    """

    cost: Mapping[str, Any]
    migration: Mapping[str, Any]
    assumed: Sequence[str]
    lines: Sequence[Mapping[str, Any]]


def parse_defaults(tables: Mapping[str, Any], where: str = "costs.toml") -> Defaults:
    """What a parsed costs.toml holds; InputError names the row and the key that is wrong."""
    week = read_row(_Week, tables.get("engineer_week", {}), "engineer_week", where)
    usd_per_week = (week.least_usd + week.most_usd) / 2
    rows = read_rows(_Line, tables, "line", where)
    lines = [_line(row, usd_per_week, where) for row in rows]
    return Defaults(lines, read_rows(Unasked, tables, "unasked", where))


def _line(row: _Line, usd_per_week: Fraction, where: str) -> Line:
    if row.count is not None:
        return Line(row.name, row.key, Fraction(row.count), "count", row.source)
    if row.usd_per_month is not None:
        return Line(row.name, row.key, row.usd_per_month, "usd_per_month", row.source)
    if row.engineers is not None and row.usd_per_engineer_month is not None:
        usd = row.engineers * row.usd_per_engineer_month
        return Line(row.name, row.key, usd, "usd_per_month", row.source)
    least, most = row.least_engineer_weeks, row.most_engineer_weeks
    ordered = least is not None and most is not None and least <= most
    require(ordered, where, f"line {row.name!r}: engineer-weeks must be given, the least first")
    usd = ((least or 0) + (most or 0)) / Fraction(2) * usd_per_week
    if row.times_a_year is None:
        return Line(row.name, row.key, usd, "usd_once", row.source)
    yearly = usd * row.times_a_year
    return Line(row.name, row.key, yearly / MONTHS, "usd_per_month", row.source)


def fill_in(
    defaults: Defaults,
    cost: Mapping[str, Any],
    migration: Mapping[str, Any],
    *,
    hardware: Mapping[str, Filled],
    model_updates: Any = None,
) -> Filling:
    """A live deployment's tables with its silent lines filled.

    Args:
        defaults: costs.toml.
        cost: [deployment.cost] as written, `owned` in it where servers are bought.
        migration: [deployment.migration] as written.
        hardware: what `capacity.fill` found for its model and GPU; empty without them.
        model_updates: dollars a month as written; None: not written.
    """
    written = {**cost, **migration}
    if model_updates is not None:
        written[MODEL_UPDATES] = model_updates
    found = {key: value for key, value in defaults.amounts().items() if key not in written}
    amounts = {**written, **found}
    filled = {key: item.value for key, item in hardware.items()}
    people = Fraction(amounts["people_usd_per_month"]) + Fraction(amounts[MODEL_UPDATES])
    moved = {key: found[key] for key in MIGRATION_KEYS if key in found}
    kept = {k: v for k, v in found.items() if k not in (*MIGRATION_KEYS, MODEL_UPDATES)}
    return Filling(
        {**cost, **filled, **kept, "people_usd_per_month": people},
        {**migration, **moved},
        _assumed(defaults, found, hardware),
        [*_gpu_lines(cost, hardware), *_lines(defaults, written), *_zero_lines(defaults, written)],
    )


def _assumed(
    defaults: Defaults, found: Mapping[str, Fraction], hardware: Mapping[str, Filled]
) -> list[str]:
    """A text for each value that nobody wrote, with where it comes from."""
    texts = [f"{key} = {shown(item.value)} ({item.source})" for key, item in hardware.items()]
    lines = defaults.by_key()
    for key, amount in found.items():
        parts = lines[key]
        why = parts[0].source
        if len(parts) > 1:
            why = ", ".join(f"{part.name} {shown(part.amount)}" for part in parts)
        texts.append(f"{key} = {shown(amount)} ({why})")
    return texts


def _lines(defaults: Defaults, written: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines that have a default, as written where they are."""
    rows = []
    for key, parts in defaults.by_key().items():
        if key in written:
            name = " and ".join(part.name for part in parts)
            rows.append(_row(name, parts[0].unit, Fraction(written[key]), "configuration"))
        else:
            rows += [_row(p.name, p.unit, p.amount, p.source, "assumed") for p in parts]
    return rows


def _gpu_lines(cost: Mapping[str, Any], hardware: Mapping[str, Filled]) -> list[dict[str, Any]]:
    """What GPUs cost: by the hour, a fixed sum, bought; nothing at all is named as zero."""
    key = "usd_per_gpu_hour"
    if key in hardware:
        item = hardware[key]
        row = _row("GPUs", key, item.value, item.source, "assumed")
        return [row | ({"as_of": item.as_of} if item.as_of else {})]
    keys = {key: "GPUs", "gpu_usd_per_month": "GPUs, a fixed sum"}
    rows = [
        _row(name, "usd_per_month" if k != key else k, Fraction(cost[k]), "configuration")
        for k, name in keys.items()
        if k in cost
    ]
    if rows or cost.get("owned"):
        return rows
    return [_row("GPUs", key, Fraction(0), "nobody wrote it")]


def _zero_lines(defaults: Defaults, written: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Costs without a default: energy above idle as written, and what nobody is asked."""
    energy = "variable_usd_per_million_tokens"
    source = "configuration" if energy in written else "nobody wrote it"
    first = _row("energy above idle", energy, Fraction(written.get(energy, 0)), source)
    return [first] + [
        _row(u.name, "usd_per_month", Fraction(0), u.source) for u in defaults.unasked
    ]


def _row(
    name: str, unit: str, amount: Fraction, source: str, state: State = "configured"
) -> dict[str, Any]:
    """A line as it is stored; an amount of 0 is named as zero whoever said it."""
    value: Any = int(amount) if unit == "count" else exact_text(amount)
    return {
        "name": name,
        unit: value,
        "source": source,
        "state": state if amount else "zero",
    }
