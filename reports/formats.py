"""Numbers, dates and names as people read them. Rounding happens here and nowhere before.

Statements show cents; estimates of $1,000 and more show whole dollars, since their cents mean
nothing; headings show three digits. All of it is ASCII, so that a number copies as it is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from monitor.domain.money import EXACT, to_cents
from monitor.domain.names import clean_name

NAME_CAP = 48
REASON_CAP = 440
"""The longest reason of an advice, with what was decided about it."""
WIDTH = 72
"""Columns of the plain twin."""

_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August"]
_MONTHS += ["September", "October", "November", "December"]
_SUFFIXES = ("", "k", "M", "B", "T")


def usd(amount: Decimal) -> str:
    """To the cent: `$1,234.56`, `-$0.50`."""
    return _dollars(to_cents(amount), ",.2f")


def about(amount: Decimal) -> str:
    """An estimate: `$41,203`; below a thousand to the cent."""
    if abs(amount) < 1000:
        return usd(amount)
    return _dollars(EXACT.quantize(amount, Decimal(1)), ",.0f")


def signed(amount: Decimal) -> str:
    """A difference to the cent: `+$1,204.10`, `-$12.50`, `$0.00`."""
    return f"{'+' if to_cents(amount) > 0 else ''}{usd(amount)}"


def short(amount: Decimal) -> str:
    """For a heading: `$41.2k`, `$950.00`."""
    if abs(amount) < 1000:
        return usd(amount)
    return f"{'-' if amount < 0 else ''}${_digits(abs(amount))}"


def short_range(low: Decimal, high: Decimal) -> str:
    """`38.9-44.0k` where both ends share a unit, else `$950.00 to $1.20k`."""
    first, last = short(low), short(high)
    if low >= 0 and first[-1] == last[-1] and first[-1].isalpha():
        return f"{first[1:-1]}-{last[1:]}"
    return f"{first} to {last}"


def span(low: Decimal, high: Decimal) -> str:
    """A range of estimates: `$3,120 to $5,280`."""
    return f"{about(low)} to {about(high)}"


def rate(amount: Decimal) -> str:
    """Dollars per million tokens: `$2.41`; below a dollar `$0.0750`."""
    places = Decimal("0.01") if abs(amount) >= 1 else Decimal("0.0001")
    return _dollars(EXACT.quantize(amount, places), ",f")


def count(n: int) -> str:
    """`9,876`, `12.4k`, `1.24M`, `11.7B`."""
    return f"{n:,}" if abs(n) < 10_000 else f"{'-' if n < 0 else ''}{_digits(Decimal(abs(n)))}"


def count_span(low: int, high: int) -> str:
    """`1.20M to 1.61M`."""
    return f"{count(low)} to {count(high)}"


def number(value: Decimal, places: int) -> str:
    """`1,234.5`."""
    return f"{value:,.{places}f}"


def percent(share: Decimal) -> str:
    """`71.0%`; what is not all or nothing never reads so."""
    if 0 < share < Decimal("0.05"):
        return "<0.1%"
    if Decimal("99.95") <= share < 100:
        return ">99.9%"
    return f"{EXACT.quantize(share, Decimal('0.1')):f}%"


def change(points: Decimal) -> str:
    """`+12.3%`, `-4.0%`, `0.0%`."""
    rounded = EXACT.quantize(points, Decimal("0.1"))
    return f"{abs(rounded):f}%" if rounded.is_zero() else f"{rounded:+f}%"


def plural(n: int, noun: str) -> str:
    """`1 alert`, `12 alerts`, `2 days`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def day(at: date | datetime, *, year: bool = False) -> str:
    """`22 Nov`, `22 Nov 2026`."""
    return f"{at.day} {_MONTHS[at.month - 1][:3]}{f' {at.year}' if year else ''}"


def days(first: date, last: date) -> str:
    """Both included: `16 to 22 Nov 2026`."""
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {day(last, year=True)}"
    return f"{day(first, year=first.year != last.year)} to {day(last, year=True)}"


def month(key: str) -> str:
    """`2026-11` as `November`."""
    return _MONTHS[int(key[5:]) - 1]


def short_month(key: str) -> str:
    """`2026-11` as `Nov`."""
    return month(key)[:3]


def instant(at: datetime | str) -> str:
    """`2026-11-23 07:00 UTC`, from an aware instant or ISO text."""
    aware = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def name(text: str, cap: int = NAME_CAP) -> str:
    """An external name on one line, without controls, at most so long."""
    return _cut(clean_name(text, cap + 1), cap)


def fill(text: str, indent: int = 0, width: int = WIDTH) -> str:
    """A paragraph of the plain twin."""
    pad = " " * indent
    # A hyphen may be a name's or a minus, where a line must not end.
    return textwrap.fill(
        text, width, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False
    )


def row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of columns: a positive width holds words, a negative one numbers, to the right.

    Words that are too long are cut, a number never is.
    """
    shown = (
        _cut(cell, width).ljust(width) if width > 0 else cell.rjust(-width)
        for cell, width in zip(cells, widths, strict=True)
    )
    return " ".join(shown).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


def _dollars(amount: Decimal, form: str) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):{form}}"


def _digits(positive: Decimal) -> str:
    """Three digits and a unit; what rounds up to a thousand takes the next unit."""
    step = 0
    while positive >= Decimal("999.5") and step < len(_SUFFIXES) - 1:
        positive, step = positive / 1000, step + 1
    places = 2 if positive < Decimal("9.995") else 1 if positive < Decimal("99.95") else 0
    rounded = positive.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return f"{rounded:,f}{_SUFFIXES[step]}"
