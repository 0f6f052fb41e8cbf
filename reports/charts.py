"""The pictures, as Vega-Lite in plain dicts: data in, definition out, nothing drawn here.

No name from outside stands in a picture, and no number only there: the text around it says both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any, NamedTuple

from monitor.domain import costs
from monitor.domain.scenario import Scenario
from reports import formats

Spec = dict[str, Any]

WIDTH, HEIGHT = 552, 232
FONT = "Liberation Sans"
"""The renderer brings it along, so that pictures are the same everywhere."""

# Blue and orange stay apart for every kind of colour vision; so do their luminances.
OWN, API, FAINT, INK, GRID = "#1f5a99", "#b85a00", "#a4acb7", "#4a5361", "#e6e9ed"

_STEPS = 240
_FAR = 8
"""A crossing beyond so many times the projected volume would squash the picture: it stays out."""


class Spending(NamedTuple):
    """A month's spend by day, in dollars, and what it is heading for."""

    days: int
    """Of the whole month."""
    now: Sequence[Decimal]
    """From the first of the month."""
    before: Sequence[Decimal]
    """Of the month before, no more days than this month has; empty: unknown."""
    before_name: str
    projected: tuple[Decimal, Decimal, Decimal] | None
    """The month's total: q10, q50, q90."""


class Volumes(NamedTuple):
    """Monthly requests: projected, and where the lines cross."""

    q10: int
    q50: int
    q90: int
    crossing: int | None


def spend(seen: Spending) -> Spec:
    """Spend since the first, with last month behind it and the projection as a fan."""
    total, today = _sums(seen.now), len(seen.now)
    layers = []
    if seen.before:
        layers += _behind(_sums(seen.before), total, seen.before_name)
    if seen.projected and today < seen.days:
        layers += _fan(today, total[-1], seen.days, seen.projected)
    layers.append(_line(_points(total), OWN, 2.5))
    layers += _marked(today, total[-1], {"align": "right", "dx": -6, "dy": -10})
    axis = {"values": [1, 8, 15, 22, 29], "grid": False}
    return _chart(layers, seen.days, axis)


def _behind(before: Sequence[float], now: Sequence[float], name: str) -> list[Spec]:
    """Last month's line, its name on the side where this month's line is not."""
    at = min(len(before), len(now)) // 2
    below = before[at] <= now[at]
    place = {"align": "left", "dy": 18, "dx": 4} if below else {"align": "right", "dy": -12}
    label = [{"x": at + 1, "y": before[at], "label": name}]
    return [_line(_points(before), FAINT, 1.5), _text(label, INK, place)]


def _fan(
    today: int, total: float, days: int, projected: tuple[Decimal, Decimal, Decimal]
) -> list[Spec]:
    low, middle, high = map(float, projected)
    band = [{"x": today, "y": total, "y2": total}, {"x": days, "y": low, "y2": high}]
    area = _layer(band, {"type": "area", "color": OWN, "opacity": 0.14}, y2={"field": "y2"})
    path = _line([{"x": today, "y": total}, {"x": days, "y": middle}], OWN, 1.5)
    path["mark"]["strokeDash"] = [4, 3]
    return [area, path, *_marked(days, middle, {"align": "left", "dx": 8})]


def cost(scenario: Scenario, volumes: Volumes) -> Spec:
    """A month's cost at each volume: the API's line, own GPUs' steps, and where they cross."""
    crossing = volumes.crossing or 0
    if crossing > _FAR * max(volumes.q50, 1):
        crossing = 0
    end = max(volumes.q90 * 13 // 10, crossing * 5 // 4, _STEPS)
    at = [Fraction(end * step, _STEPS) for step in range(_STEPS + 1)]
    api = [{"x": float(n), "y": float(costs.api_bill(scenario, n))} for n in at]
    own = [{"x": float(n), "y": float(costs.hybrid_bill(scenario, n))} for n in at]
    layers = _projected(volumes)
    layers += [_line(own, OWN, 2.5), _line(api, API, 2.5), *_names(own[-1], api[-1])]
    if crossing:
        usd = float(costs.api_bill(scenario, Fraction(crossing)))
        layers += _crossing(crossing, usd, left=crossing < end / 3)
    x_axis = {"labelExpr": _short("~s"), "tickCount": 6, "grid": False}
    return _chart(layers, end, x_axis)


def _projected(volumes: Volumes) -> list[Spec]:
    """The range of the projected volume as a band over the whole height."""
    band = [{"x": volumes.q10, "x2": volumes.q90}]
    rect = {"type": "rect", "color": FAINT, "opacity": 0.25}
    whole: Spec = {"x2": {"field": "x2"}, "y": {"value": 0}, "y2": {"value": "height"}}
    middle = [{"x": volumes.q50, "label": "projected"}]
    rule = {"type": "rule", "color": FAINT, "strokeWidth": 1.5}
    return [
        _layer(band, rect, **whole),
        _layer(middle, rule, y={"value": 0}, y2={"value": "height"}),
        _text(middle, INK, {"dy": -7}, y={"value": 0}),
    ]


def _crossing(x: int, usd: float, *, left: bool) -> list[Spec]:
    """A rule to the axis and a dot, named above the lines or, far left, below them."""
    place = {"align": "left", "dx": 9, "dy": 16} if left else {"align": "right", "dx": -9, "dy": -9}
    point = [{"x": x, "y": usd, "label": f"crosses at {formats.count(x)}"}]
    rule = {"type": "rule", "color": INK, "strokeDash": [3, 3]}
    return [
        _layer([{"x": x, "y": 0, "y2": usd}], rule, y2={"field": "y2"}),
        _dot(point, INK),
        _text(point, INK, place | {"fontWeight": "bold"}),
    ]


def _names(own: Mapping[str, float], api: Mapping[str, float]) -> list[Spec]:
    """Each line's name behind its end, apart where the ends are close."""
    apart = 8 if abs(own["y"] - api["y"]) < 0.08 * max(own["y"], api["y"]) else 0
    up = -apart if own["y"] >= api["y"] else apart
    place = {"align": "left", "dx": 8, "fontWeight": "bold"}
    return [
        _text([{**own, "label": "own GPUs"}], OWN, place | {"dy": up}),
        _text([{**api, "label": "API"}], API, place | {"dy": -up}),
    ]


def _marked(x: float, usd: float, place: Mapping[str, Any]) -> list[Spec]:
    point = [{"x": x, "y": usd, "label": formats.short(Decimal(str(round(usd, 2))))}]
    return [_dot(point, OWN), _text(point, OWN, {**place, "fontWeight": "bold"})]


def _dot(point: Sequence[Mapping[str, Any]], colour: str) -> Spec:
    return _layer(
        point, {"type": "point", "color": colour, "filled": True, "size": 60, "opacity": 1}
    )


def _text(
    points: Sequence[Mapping[str, Any]], colour: str, place: Mapping[str, Any], **channels: Spec
) -> Spec:
    mark = {"type": "text", "color": colour, "fontSize": 12, **place}
    return _layer(points, mark, text={"field": "label", "type": "nominal"}, **channels)


def _line(points: Sequence[Mapping[str, float]], colour: str, width: float) -> Spec:
    return _layer(points, {"type": "line", "color": colour, "strokeWidth": width})


def _layer(points: Sequence[Mapping[str, Any]], mark: Spec, **channels: Spec) -> Spec:
    plain = {name: {"field": name, "type": "quantitative"} for name in ("x", "y")}
    return {"data": {"values": list(points)}, "mark": mark, "encoding": plain | channels}


def _chart(layers: Sequence[Spec], end: float, x_axis: Spec) -> Spec:
    """The frame that both pictures share; scales begin at 0."""
    x = {"scale": {"domain": [0, end], "nice": False}, "axis": {"title": None, **x_axis}}
    y_axis = {"labelExpr": _short("$~s"), "tickCount": 5, "domain": False, "ticks": False}
    y = {"scale": {"zero": True}, "axis": {"title": None, **y_axis}}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 8,
        "background": "#ffffff",
        "layer": list(layers),
        "encoding": {"x": x, "y": y},
        "config": {
            "font": FONT,
            "view": {"stroke": None},
            "axis": {"labelColor": INK, "labelFontSize": 12, "gridColor": GRID, "tickColor": FAINT},
            "axisX": {"domainColor": FAINT},
        },
    }


def _short(form: str) -> str:
    """Tick labels such as 5M and $2B, where the library's own word is G; nothing is 0M."""
    return f"datum.value ? replace(format(datum.value, '{form}'), 'G', 'B') : format(0, '{form}')"


def _sums(days: Iterable[Decimal]) -> list[float]:
    return [float(total) for total in accumulate(days)]


def _points(totals: Sequence[float]) -> list[dict[str, float]]:
    """The total at the end of each day, from nothing before the first."""
    return [{"x": day, "y": total} for day, total in enumerate([0.0, *totals])]
