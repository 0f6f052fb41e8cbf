"""The parts that pictures are made of, as plain dicts of Vega-Lite.

A layer holds its own data under fixed field names, so that a name from outside is only ever a value
to be shown: never a field, an expression or an address.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from monitor.domain.names import clean_name
from reports.language import say, symbols
from reports.themes import Theme

Spec = dict[str, Any]

WIDTH = 552
"""Of every picture, its border included."""
FONT = "Open Sans"
"""Ours (reports/fonts), so that pictures are the same everywhere."""
FONTS = f"{FONT}, Helvetica, Arial, sans-serif"
"""A page without our font takes the next: narrower, so that nothing overlaps."""
SIZE, SMALL = 12, 11
LABEL_CAP = 16
GAP = 15
"""Between the middles of two labels in a column, in pixels."""

DASHED, DOTTED = (5, 3), (1.5, 3)

# What our font can show: Latin, Greek, Cyrillic, and some punctuation.
_SHOWN = (
    *((0x20, 0x7E), (0xA1, 0x17F), (0x386, 0x386), (0x388, 0x38A), (0x38C, 0x38C)),
    *((0x38E, 0x3A1), (0x3A3, 0x3CE), (0x400, 0x482), (0x48A, 0x513), (0x1EA0, 0x1EF9)),
    *((0x2013, 0x2015), (0x2018, 0x201E), (0x2020, 0x2022), (0x2026, 0x2026), (0x20AC, 0x20AC)),
)


def label(text: str, cap: int = LABEL_CAP) -> str:
    """A name from outside as a picture can show it: `?` stands for what our font lacks."""
    composed = unicodedata.normalize("NFC", clean_name(text, 4 * cap))
    shown = ""
    for char in composed:
        if unicodedata.combining(char):
            continue
        if any(first <= ord(char) <= last for first, last in _SHOWN):
            shown += char
        elif not shown.endswith("?"):
            shown += "?"
    # Names of a kind differ at their end as often as at their beginning.
    return shown if len(shown) <= cap else f"{shown[: cap - 8].rstrip()}...{shown[-5:].lstrip()}"


def layer(points: Sequence[Mapping[str, Any]], mark: Spec, **channels: Spec) -> Spec:
    """A mark at the fields `x` and `y` of its points."""
    plain = {name: {"field": name, "type": "quantitative"} for name in ("x", "y")}
    return {"data": {"values": list(points)}, "mark": mark, "encoding": plain | channels}


def line(
    points: Sequence[Mapping[str, float]], colour: str, width: float, dash: Sequence[float] = ()
) -> Spec:
    """Points joined in their order."""
    mark: Spec = {"type": "line", "color": colour, "strokeWidth": width}
    return layer(points, mark | ({"strokeDash": list(dash)} if dash else {}))


def rule(points: Sequence[Mapping[str, Any]], colour: str, width: float, **to: Spec) -> Spec:
    """A straight line from each point to its `x2` or `y2`."""
    return layer(points, {"type": "rule", "color": colour, "strokeWidth": width}, **to)


def area(points: Sequence[Mapping[str, float]], colour: str) -> Spec:
    """What lies between `y` and `y2`, seen through."""
    return layer(points, {"type": "area", "color": colour, "opacity": 0.14}, y2=other("y2"))


def dot(points: Sequence[Mapping[str, Any]], colour: str, size: int = 60) -> Spec:
    """A full circle at each point."""
    mark = {"type": "point", "color": colour, "filled": True, "size": size, "opacity": 1}
    return layer(points, mark)


def boxes(points: Sequence[Mapping[str, float]], fill: str, stroke: str = "") -> Spec:
    """A rectangle from `x`, `y` to `x2`, `y2` of each point."""
    mark: Spec = {"type": "rect", "color": fill, "opacity": 1}
    mark |= {"fill": fill, "stroke": stroke, "strokeWidth": 1} if stroke else {}
    return layer(points, mark, x2=other("x2"), y2=other("y2"))


def text(
    points: Sequence[Mapping[str, Any]], colour: str, place: Mapping[str, Any], **channels: Spec
) -> Spec:
    """The field `label` at each point."""
    mark = {"type": "text", "color": colour, "fontSize": SIZE, "baseline": "middle", **place}
    return layer(points, mark, text={"field": "label", "type": "nominal"}, **channels)


def other(field: str) -> Spec:
    """The second end of a mark."""
    return {"field": field}


def beside(labels: Sequence[tuple[float, str]], colour: str, place: Mapping[str, Any]) -> Spec:
    """Labels right of the plot, each at a number of pixels from its top."""
    points = [{"y": at, "label": said} for at, said in labels]
    pixels: Spec = {"field": "y", "type": "quantitative", "scale": None}
    where = {"align": "left", "dx": 8, **place}
    return text(points, colour, where, x={"value": "width"}, y=pixels)


def heading(said: str, colour: str, y: float, **place: Any) -> Spec:
    """A line of words that begins at the plot's left edge, `y` pixels from its top."""
    where = {"align": "left", **place}
    return text([{"label": said}], colour, where, x={"value": 0}, y={"value": y})


def apart(wanted: Sequence[float], end: float, gap: float = GAP) -> list[float]:
    """Places in pixels near the wanted ones, a gap between each two, none beyond `end`."""
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    placed = list(wanted)
    for before, n in pairwise(order):
        placed[n] = max(placed[n], placed[before] + gap)
    limit = end
    for n in reversed(order):
        placed[n] = min(placed[n], limit)
        limit = placed[n] - gap
    return placed


def chart(layers: Sequence[Spec], height: float, theme: Theme, **more: Any) -> Spec:
    """The frame that all pictures share; `height` is the plot's alone, in pixels."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 10, "right": 12, "top": 12, "bottom": 10},
        "background": theme.background,
        "usermeta": {"border": theme.border},
        "layer": list(layers),
        "config": {
            "aria": False,
            "font": FONTS,
            "view": {"stroke": None},
            "axis": {
                "labelColor": theme.muted,
                "labelFontSize": SIZE,
                "gridColor": theme.grid,
                "tickColor": theme.faint,
            },
            "axisX": {"domainColor": theme.faint},
            **_numbers(),
        },
        **more,
    }


def _numbers() -> Spec:
    """How the library writes numbers, where that is not as in English."""
    found = symbols()
    if found.decimal == ".":
        return {}
    money = [part.format("$") for part in found.money]
    written = {"decimal": found.decimal, "thousands": found.group, "grouping": [3]}
    return {"locale": {"number": written | {"currency": money}}}


def x_of(end: float, **axis: Any) -> Spec:
    """A scale from 0 to `end`, and its axis."""
    return {
        "scale": {"domain": [0, end], "nice": False, "zero": True},
        "axis": {"title": None, "grid": False, **axis},
    }


def dollars(low: float, high: float, place: Sequence[float], ticks: int = 4) -> Spec:
    """A scale of dollars over a part of the height, from the pixel `place[0]` up to `place[1]`."""
    axis = {"title": None, "tickCount": ticks, "domain": False, "ticks": False, "orient": "left"}
    return {
        "scale": {"domain": [low, high], "nice": False, "zero": False, "range": list(place)},
        "axis": axis | {"labelExpr": short(high, "$")},
    }


def short(high: float, sign: str = "") -> str:
    """Tick labels such as 5M and $2B; below a thousand $500, $0.25: never $250m for 25 cents."""
    if high < 1000:
        places = 2 if high >= 1 else 6
        return f"format(datum.value, '{sign},.{places}~f')"
    # The library's own words are G for a billion, and 0k for nothing.
    big = f"replace(format(datum.value, '{sign}~s'), 'G', '{say('B')}')"
    return f"datum.value ? {big} : format(0, '{sign}~s')"


def swatch(y: float, fill: str, stroke: str) -> list[Spec]:
    """A square right of the plot, before a name."""
    mark = {"type": "square", "fill": fill, "stroke": stroke, "size": 70, "opacity": 1}
    pixels: Spec = {"field": "y", "type": "quantitative", "scale": None}
    place: Spec = {"x": {"value": "width"}, "y": pixels}
    return [layer([{"y": y}], mark | {"xOffset": 13}, **place)]
