"""The colours of pictures, light and dark: tests/unit/test_palette.py says what they must hold."""

from __future__ import annotations

from typing import NamedTuple


class Theme(NamedTuple):
    """Colours by what they stand for, as `#rrggbb`. Every background is opaque."""

    name: str
    background: str
    border: str
    """Around the picture: seen on a light page and on a dark one."""
    ink: str
    """Headings, and lines of totals."""
    muted: str
    """Labels of axes, and of what is no series."""
    faint: str
    """Axes, bands, and what was not measured."""
    grid: str
    """Decoration: nothing is read from it alone."""
    own: str
    api: str
    series: tuple[str, ...]
    """Workloads, the largest first."""
    other: str
    """The workloads that have no colour of their own."""
    load: tuple[str, ...]
    """From idle to full."""


LIGHT = Theme(
    name="light",
    background="#ffffff",
    border="#7f8893",
    ink="#1c2430",
    muted="#4a5361",
    faint="#7d8794",
    grid="#e6e9ed",
    own="#1f5a99",
    api="#b85a00",
    series=("#4a47ac", "#e06205", "#6497c0", "#821026", "#567b5d"),
    other="#919191",
    load=("#d2dce8", "#9fc0e2", "#659bd0", "#2a6aad", "#0b3768"),
)
DARK = Theme(
    name="dark",
    background="#1a2027",
    border="#7f8893",
    ink="#f3f5f7",
    muted="#b4bdc8",
    faint="#87919d",
    grid="#2c343e",
    own="#6aa9ee",
    api="#f0a04b",
    series=("#4a8ed4", "#e78b18", "#78c8ff", "#c0a8a9", "#b1d798"),
    other="#7b8089",
    load=("#323d49", "#2f6196", "#4c93d1", "#8ac4f3", "#e2f1ff"),
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}
MAIL = LIGHT
"""A mail has one picture for both surroundings: an opaque card with a border."""
