"""The pictures, as Vega-Lite in plain dicts: data in, definition out, nothing drawn here.

No number stands only in a picture: the text around it says each. Series differ by more than their
colour: by dash, by a label at the line's end, or by their order, which the label's order repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from monitor.domain import costs
from monitor.domain.scenario import Scenario
from reports import formats, marks
from reports.language import say
from reports.marks import Spec
from reports.themes import LIGHT, Theme

STACKS = 5
"""Workloads with a colour of their own."""

_TOTAL, _BY_DAY = (160.0, 0.0), (306.0, 196.0)
"""The two panels of spend: pixels from the plot's top, the scale's lower end first."""
_COST_HEIGHT, _UNIT_HEIGHT = 200, 150
_STEPS, _TITLE_CAP, _FEW_WEEKS = 240, 40, 8
_FAR = 8
"""A crossing beyond so many times the projected volume would squash the picture: it stays out."""


class Stack(NamedTuple):
    """What a workload cost by day; None: that day it is not known."""

    name: str
    usd: Sequence[Decimal | None]


class Spending(NamedTuple):
    """A month's spend by day, in dollars, and what it is heading for."""

    title: str
    """Of the month so far, with its total."""
    days: int
    """Of the whole month."""
    now: Sequence[Decimal]
    """From the first of the month."""
    before: Sequence[Decimal]
    """Of the whole month before; empty: unknown."""
    before_name: str
    projected: tuple[Decimal, Decimal, Decimal] | None
    """The month's total: q10, q50, q90."""
    stacks: Sequence[Stack] = ()
    """The largest workloads, the largest first."""
    rest: Sequence[Decimal] = ()
    """Of all other workloads together."""


class Volumes(NamedTuple):
    """Monthly requests: projected, and where the lines cross."""

    q10: int
    q50: int
    q90: int
    crossing: int | None


class UnitCosts(NamedTuple):
    """Dollars per million tokens; what is not known has no entry."""

    first: date
    """A Monday."""
    weeks: int
    api: Mapping[date, Decimal]
    """Of the week that begins on a Monday."""
    own: Mapping[date, Decimal]
    """Of the month that begins on its first day."""


def spend(seen: Spending, theme: Theme = LIGHT) -> Spec:
    """Above the month's total with the projection's fan, below each day by workload."""
    days = max(seen.days, len(seen.before))
    axis = {
        "values": [n + 0.5 for n in range(0, days, 7)],
        "labelExpr": "format(datum.value + 0.5, 'd')",
    }
    layers = [_total(seen, theme), _by_day(seen, theme)]
    return marks.chart(
        layers,
        _BY_DAY[0],
        theme,
        encoding={"x": marks.x_of(days, **axis)},
        resolve={"scale": {"y": "independent"}},
    )


def _total(seen: Spending, theme: Theme) -> Spec:
    """The sum since the first, that of the month before, and what the month is heading for."""
    total, before = _sums(seen.now), _sums(seen.before)
    projected = seen.projected if 0 < len(total) < seen.days else None
    low, middle, high = map(float, projected) if projected else (total[-1:] or [0.0]) * 3
    bottom, top = _ends([*total, *before, low, high])
    layers = [marks.line(_points(before), theme.muted, 1.5, marks.DOTTED)] if before else []
    if projected:
        layers += _fan(len(total), total[-1], seen.days, (low, middle, high), theme)
    layers.append(marks.line(_points(total), theme.ink, 2.5))
    if total:
        layers.append(marks.dot([{"x": len(total), "y": total[-1]}], theme.ink))
    said = []
    if len(total) == seen.days:
        said.append((total[-1], formats.short(_money(total[-1])), True))
    if projected:
        said.append((middle, formats.short(projected[1]), True))
        said.append((middle, formats.short_range(projected[0], projected[2]), False))
    if before:
        said.append((before[-1], f"{seen.before_name} {formats.short(_money(before[-1]))}", False))
    layers += _ended(said, (bottom, top), theme)
    layers.append(marks.heading(seen.title, theme.ink, -10, fontWeight="bold"))
    return {"layer": layers, "encoding": {"y": marks.dollars(bottom, top, _TOTAL)}}


def _ended(
    said: Sequence[tuple[float, str, bool]], ends: tuple[float, float], theme: Theme
) -> list[Spec]:
    """What each line ends at, beside its end."""
    bottom, top = ends
    height = _TOTAL[0]
    wanted = [height * (top - value) / (top - bottom) for value, _, _ in said]
    places = marks.apart(wanted, height)
    return [
        marks.beside(
            [(at, words)],
            theme.ink if strong else theme.muted,
            {"fontWeight": "bold"} if strong else {"fontSize": marks.SMALL},
        )
        for at, (_, words, strong) in zip(places, said, strict=True)
    ]


def _fan(
    today: int, total: float, days: int, ends: tuple[float, float, float], theme: Theme
) -> list[Spec]:
    low, middle, high = ends
    band = [{"x": today, "y": total, "y2": total}, {"x": days, "y": low, "y2": high}]
    path = [{"x": today, "y": total}, {"x": days, "y": middle}]
    return [
        marks.area(band, theme.ink),
        marks.line(path, theme.ink, 1.5, marks.DASHED),
        marks.dot([{"x": days, "y": middle}], theme.ink),
    ]


def _by_day(seen: Spending, theme: Theme) -> Spec:
    """A bar a day; a rule at the day's total, which what no workload holds fills up."""
    found, heights = [], [0.0] * len(seen.now)
    named = list(zip(seen.stacks, theme.series, strict=False))
    if any(seen.rest):
        named.append((Stack(say("all other"), seen.rest), theme.other))
    for stack, colour in named:
        found.append((stack.name, colour, _pile(stack.usd, heights)))
    total = [float(usd) for usd in seen.now]
    outside = [
        _bar(n, heights[n], usd)
        for n, usd in enumerate(total)
        if usd - heights[n] >= max(0.005, usd / 200)
    ]
    layers = [marks.boxes(bars, colour) for _, colour, bars in found if bars]
    if outside:
        layers.append(marks.boxes(outside, theme.background, theme.muted))
    rules = [{"x": n + 0.08, "x2": n + 0.92, "y": usd} for n, usd in enumerate(total)]
    layers.append(marks.rule(rules, theme.ink, 2, x2=marks.other("x2")))
    legend = [(name, colour) for name, colour, bars in found if bars]
    layers += _legend(legend, theme, outside=bool(outside))
    layers.append(
        marks.heading(
            say("Each day by workload; the line is the day's total"), theme.ink, _BY_DAY[1] - 14
        )
    )
    ends = _ends([*heights, *total])
    return {"layer": layers, "encoding": {"y": marks.dollars(*ends, _BY_DAY, 3)}}


def _pile(usd: Sequence[Decimal | None], heights: list[float]) -> list[dict[str, float]]:
    """A bar for each day on what lies there already, which grows by it."""
    bars = []
    for n, amount in enumerate(usd):
        if amount:
            bars.append(_bar(n, heights[n], heights[n] + float(amount)))
            heights[n] += float(amount)
    return bars


def _bar(n: int, low: float, high: float) -> dict[str, float]:
    return {"x": n + 0.14, "x2": n + 0.86, "y": low, "y2": high}


def _legend(found: Sequence[tuple[str, str]], theme: Theme, *, outside: bool) -> list[Spec]:
    """Names in the order of the bars, the topmost first, and what the rule is."""
    rows = [(say("outside workloads"), theme.background)] if outside else []
    rows += [(marks.label(name), colour) for name, colour in reversed(found)]
    top = _BY_DAY[0] - 8 - marks.GAP * (len(rows) - 1)
    layers = []
    for n, (name, colour) in enumerate(rows):
        at = top + marks.GAP * n
        layers += marks.swatch(at, colour, theme.muted if colour == theme.background else colour)
        place = {"dx": 21, "fontSize": marks.SMALL}
        layers.append(marks.beside([(at, name)], theme.ink, place))
    return layers


def cost(scenario: Scenario, volumes: Volumes, workload: str = "", theme: Theme = LIGHT) -> Spec:
    """A month's cost at each volume: the API's line, own GPUs' steps, and where they cross."""
    crossing = volumes.crossing or 0
    if crossing > _FAR * max(volumes.q50, 1):
        crossing = 0
    end = max(volumes.q90 * 13 // 10, crossing * 5 // 4, _STEPS)
    at = [Fraction(end * step, _STEPS) for step in range(_STEPS + 1)]
    api = [{"x": float(n), "y": float(costs.api_bill(scenario, n))} for n in at]
    own = [{"x": float(n), "y": float(costs.hybrid_bill(scenario, n))} for n in at]
    ends = _ends([point["y"] for point in (*own, *api)])
    said = say("Dollars a month, by requests a month")
    if workload:
        of = marks.label(workload, _TITLE_CAP)
        said = say("{workload}: dollars a month, by requests a month", workload=of)
    layers = [marks.heading(said, theme.ink, -28)]
    layers += _projected(volumes, theme)
    layers += [marks.line(own, theme.own, 2.5), marks.line(api, theme.api, 2.5, marks.DASHED)]
    layers += _names({"own GPUs": own[-1]["y"], "API": api[-1]["y"]}, ends, theme)
    if crossing:
        usd = float(costs.api_bill(scenario, Fraction(crossing)))
        layers += _crossing(crossing, usd, theme, left=crossing < end / 3)
    x = marks.x_of(end, labelExpr=marks.short(end), tickCount=6)
    y = marks.dollars(*ends, (_COST_HEIGHT, 0), 5)
    return marks.chart(layers, _COST_HEIGHT, theme, encoding={"x": x, "y": y})


def _projected(volumes: Volumes, theme: Theme) -> list[Spec]:
    """The range of the projected volume as a band over the whole height."""
    whole: Spec = {"y": {"value": 0}, "y2": {"value": _COST_HEIGHT}}
    band = {"type": "rect", "color": theme.faint, "opacity": 0.22}
    middle = [{"x": volumes.q50, "label": say("projected")}]
    return [
        marks.layer([{"x": volumes.q10, "x2": volumes.q90}], band, x2=marks.other("x2"), **whole),
        marks.rule(middle, theme.faint, 1.5, **whole),
        marks.text(middle, theme.muted, {"dy": -9}, y={"value": 0}),
    ]


def _crossing(x: int, usd: float, theme: Theme, *, left: bool) -> list[Spec]:
    """A rule to the axis and a dot, named above the lines or, far left, below them."""
    place = (
        {"align": "left", "dx": 9, "dy": 12} if left else {"align": "right", "dx": -9, "dy": -12}
    )
    point = [{"x": x, "y": usd, "label": say("crosses at {n}", n=formats.count(x))}]
    down = marks.rule([{"x": x, "y": 0, "y2": usd}], theme.muted, 1, y2=marks.other("y2"))
    down["mark"]["strokeDash"] = list(marks.DOTTED)
    return [
        down,
        marks.dot(point, theme.ink),
        marks.text(point, theme.ink, place | {"fontWeight": "bold"}),
    ]


def unit_cost(seen: UnitCosts, theme: Theme = LIGHT) -> Spec:
    """The API by week as a line, which ends where a week is unknown, and own GPUs by month."""
    days = 7 * seen.weeks
    weeks = {(monday - seen.first).days: float(usd) for monday, usd in seen.api.items()}
    months = [_held(seen, month, float(usd)) for month, usd in sorted(seen.own.items())]
    ends = _ends([0.0, *weeks.values(), *(month["y"] for month in months)])
    layers = [marks.line(run, theme.api, 2.5, marks.DASHED) for run in _runs(weeks)]
    layers.append(
        marks.dot([{"x": x + 3.5, "y": y} for x, y in sorted(weeks.items())], theme.api, 22)
    )
    last: dict[str, float] = {}
    if weeks:
        last["API"] = weeks[max(weeks)]
    if months:
        layers.append(marks.rule(months, theme.own, 3, x2=marks.other("x2")))
        last["own GPUs"] = months[-1]["y"]
    layers += _names(last, ends, theme, _UNIT_HEIGHT)
    layers += _ticks(seen, theme)
    layers.append(marks.heading(say("Dollars per million tokens"), theme.ink, -10))
    x = marks.x_of(days, labels=False, ticks=False)
    y = marks.dollars(*ends, (_UNIT_HEIGHT, 0))
    return marks.chart(layers, _UNIT_HEIGHT, theme, encoding={"x": x, "y": y})


def _held(seen: UnitCosts, month: date, usd: float) -> dict[str, float]:
    """A month's figure over its days, as far as the picture reaches."""
    first, last = (month - seen.first).days, (_next(month) - seen.first).days
    return {"x": max(first, 0), "x2": min(last, 7 * seen.weeks), "y": usd}


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _runs(weeks: Mapping[int, float]) -> list[list[dict[str, float]]]:
    """Weeks that follow each other, as lines through their middles."""
    runs: list[list[dict[str, float]]] = []
    for day, usd in sorted(weeks.items()):
        if not runs or runs[-1][-1]["x"] + 7 < day + 3.5:
            runs.append([])
        runs[-1].append({"x": day + 3.5, "y": usd})
    return [run for run in runs if len(run) > 1]


def _ticks(seen: UnitCosts, theme: Theme) -> list[Spec]:
    """Names below the axis: of each month where it begins, of each week where there are few."""
    weeks = [seen.first + timedelta(7 * n) for n in range(seen.weeks)]
    if seen.weeks <= _FEW_WEEKS:
        found = [{"x": 7 * n, "label": formats.day(each)} for n, each in enumerate(weeks)]
    else:
        months = [date(each.year, each.month, 1) for each in weeks]
        found = [
            {"x": (each - seen.first).days, "label": formats.short_month(f"{each:%Y-%m}")}
            for each in dict.fromkeys(months)
            if each >= seen.first
        ]
    y: Spec = {"y": {"value": _UNIT_HEIGHT}}
    tick = marks.rule(found, theme.faint, 1, **y, y2={"value": _UNIT_HEIGHT + 5})
    return [tick, marks.text(found, theme.muted, {"dy": 14, "align": "left"}, **y)]


def _names(
    ends: Mapping[str, float],
    scale: tuple[float, float],
    theme: Theme,
    height: float = _COST_HEIGHT,
) -> list[Spec]:
    """Each side's name behind its line's end, apart where the ends are close."""
    bottom, top = scale
    wanted = [height * (top - usd) / (top - bottom) for usd in ends.values()]
    colours = {"own GPUs": theme.own, "API": theme.api}
    return [
        marks.beside([(at, say(name))], colours[name], {"fontWeight": "bold"})
        for name, at in zip(ends, marks.apart(wanted, height), strict=True)
    ]


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """Of a scale that holds nothing and all values, with some room above them."""
    held = [0.0, *values]
    low, high = min(held), max(held)
    return (low * 1.06, high * 1.06) if high > low else (0.0, 1.0)


def _money(amount: float) -> Decimal:
    return Decimal(str(round(amount, 2)))


def _sums(days: Iterable[Decimal]) -> list[float]:
    return [float(total) for total in accumulate(days)]


def _points(totals: Sequence[float]) -> list[dict[str, float]]:
    """The total at the end of each day, from nothing before the first."""
    return [{"x": day, "y": total} for day, total in enumerate([0.0, *totals])]
