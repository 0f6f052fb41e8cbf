"""An organisation's own look: its colour, as far as it can be read, and its logo."""

from __future__ import annotations

import struct
from typing import NamedTuple

from monitor.domain.errors import InputError

CARD, DARK_CARD = "#ffffff", "#1a2027"
"""What headings stand on, in a light and in a dark surrounding."""
LOGO = "logo"
_READABLE = 4.5
"""The contrast that WCAG 2 asks of text."""
_MOST_BYTES = 200_000
_WIDEST, _HIGHEST = 200, 40
_STEPS = 50
_PNG = b"\x89PNG\r\n\x1a\n"


class Logo(NamedTuple):
    """A PNG and the size at which it is shown, in pixels."""

    png: bytes
    width: int
    height: int


class Look(NamedTuple):
    """Colours as `#rrggbb`, each readable where it stands."""

    accent: str = "#1f5a99"
    dark_accent: str = "#8fbdf0"
    logo: Logo | None = None


PLAIN = Look()


def look(colour: str, logo: Logo | None = None) -> Look:
    """The look in a colour: darkened on light ground, lightened on dark, as far as it must be."""
    return Look(readable(colour, CARD, "#000000"), readable(colour, DARK_CARD, "#ffffff"), logo)


def readable(colour: str, ground: str, towards: str) -> str:
    """The nearest colour on the way to another that has enough contrast to the ground."""
    for step in range(_STEPS + 1):
        mixed = _mix(colour, towards, step / _STEPS)
        if contrast(mixed, ground) >= _READABLE:
            return mixed
    return towards


def contrast(one: str, other: str) -> float:
    """Of two colours, from 1 to 21: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def read_logo(png: bytes, where: str) -> Logo:
    """A logo from a file's bytes.

    Raises:
        InputError: it is no PNG, or too large for a mail.
    """
    if len(png) > _MOST_BYTES:
        raise InputError(
            f"{where}: {len(png):,} bytes are too many for each mail",
            f"Use a PNG of at most {_MOST_BYTES:,} bytes.",
        )
    if not png.startswith(_PNG) or png[12:16] != b"IHDR" or len(png) < 24:
        raise InputError(f"{where} is not a PNG", "Save the logo as PNG.")
    width, height = struct.unpack(">II", png[16:24])
    if not width or not height:
        raise InputError(f"{where} is an empty picture", "Save the logo as PNG.")
    scale = min(_WIDEST / width, _HIGHEST / height, 1)
    return Logo(png, max(round(width * scale), 1), max(round(height * scale), 1))


def _mix(one: str, other: str, share: float) -> str:
    parts = zip(_parts(one), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (part / 255 for part in _parts(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
