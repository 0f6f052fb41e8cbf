"""GPU utilisation by hour as a heat map: hours by servers, or by days where there is one server.

An hour that was not measured is a thin line and no field: never the colour of an idle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from reports import marks
from reports.language import say
from reports.marks import Spec
from reports.themes import LIGHT, Theme

IDLE = Decimal(1)
"""Percent: an hour below it did next to nothing."""
STEPS = (Decimal(25), Decimal(50), Decimal(75))
_LEGEND = ("idle", "to 25%", "to 50%", "to 75%", "above")
_ROW, _MOST = 20, 12
ROWS = _MOST
"""Servers that a picture shows."""


class Line(NamedTuple):
    """A server's hours, or a day's: mean utilisation in percent; None: not measured."""

    name: str
    hours: Sequence[Decimal | None]
    said: str
    """What it comes to, at the line's end."""


class Load(NamedTuple):
    """A week's hours."""

    lines: Sequence[Line]
    ticks: Sequence[tuple[int, str]]
    """Hour and its name."""
    splits: Sequence[int]
    """Hours at which a day begins."""


def step(percent: Decimal) -> int:
    """Which colour, from idle to full."""
    return 0 if percent < IDLE else 1 + sum(percent > limit for limit in STEPS)


def utilisation(seen: Load, theme: Theme = LIGHT) -> Spec:
    """A field for each run of hours of one step; a line for each run that was not measured."""
    lines, height = seen.lines[:ROWS], _ROW * min(len(seen.lines), ROWS)
    hours = max((len(each.hours) for each in lines), default=0) or 1
    runs = [(row, *run) for row, each in enumerate(lines) for run in _runs(each.hours)]
    layers: list[Spec] = []
    for n, colour in enumerate(theme.load):
        fields = [
            {"x": first, "x2": end, "y": row + 0.1, "y2": row + 0.9}
            for row, first, end, found in runs
            if found == n
        ]
        layers.append(marks.boxes(fields, colour))
    gaps = [
        {"x": first, "x2": end, "y": row + 0.5} for row, first, end, found in runs if found is None
    ]
    layers.append(marks.rule(gaps, theme.faint, 1.5, x2=marks.other("x2")))
    splits = [{"x": at} for at in seen.splits]
    whole: Spec = {"y": {"value": 0}, "y2": {"value": height}}
    layers.append(marks.rule(splits, theme.background, 1.5, **whole))
    layers += _words(seen, lines, height, theme)
    layers += _legend(theme)
    layers.append(marks.heading(say("GPU utilisation by hour, UTC"), theme.ink, -34))
    x = {"scale": {"domain": [0, hours], "nice": False}, "axis": None}
    y = {"scale": {"domain": [0, max(len(lines), 1)], "reverse": True, "nice": False}, "axis": None}
    return marks.chart(layers, height or _ROW, theme, encoding={"x": x, "y": y})


def _runs(hours: Sequence[Decimal | None]) -> list[tuple[int, int, int | None]]:
    """First hour, hour after the last, and the step that all between share."""
    runs, at = [], 0
    for found, group in groupby(None if each is None else step(each) for each in hours):
        length = len(list(group))
        runs.append((at, at + length, found))
        at += length
    return runs


def _words(seen: Load, lines: Sequence[Line], height: float, theme: Theme) -> list[Spec]:
    names = [{"y": n + 0.5, "label": marks.label(each.name)} for n, each in enumerate(lines)]
    said = [{"y": n + 0.5, "label": each.said} for n, each in enumerate(lines)]
    ticks = [{"x": at, "label": words} for at, words in seen.ticks]
    small = {"fontSize": marks.SMALL}
    left, right = {"align": "right", "dx": -8}, {"align": "left", "dx": 8}
    return [
        marks.text(names, theme.ink, small | left, x={"value": 0}),
        marks.text(said, theme.muted, small | right, x={"value": "width"}),
        marks.text(ticks, theme.muted, small | {"align": "left", "dy": 11}, y={"value": height}),
    ]


def _legend(theme: Theme) -> list[Spec]:
    """Above the fields: each colour with its name, then the line of what was not measured."""
    layers = []
    for n, (said, colour) in enumerate(zip(_LEGEND, theme.load, strict=True)):
        box = {"type": "square", "fill": colour, "stroke": theme.faint, "size": 90, "opacity": 1}
        x = 6 + 58 * n
        at: Spec = {"x": {"value": x}, "y": {"value": -14}}
        layers.append(marks.layer([{}], box, **at))
        layers.append(_name(say(said), x + 9, theme))
    x = 6 + 58 * len(_LEGEND)
    line = {"type": "rule", "color": theme.faint, "strokeWidth": 1.5}
    at = {"x": {"value": x - 4}, "x2": {"value": x + 10}, "y": {"value": -14}}
    return [*layers, marks.layer([{}], line, **at), _name(say("not measured"), x + 15, theme)]


def _name(said: str, x: float, theme: Theme) -> Spec:
    place = {"align": "left", "fontSize": marks.SMALL}
    at: Spec = {"x": {"value": x}, "y": {"value": -14}}
    return marks.text([{"label": said}], theme.muted, place, **at)
