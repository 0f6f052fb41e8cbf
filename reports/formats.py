"""Numbers, dates and names as people read them. Rounding happens here and nowhere before.

Statements show cents; estimates of $1,000 and more show whole dollars, since their cents mean
nothing; headings show three digits. Each is written as the report's language does; the examples
are English, which is ASCII, so that a number copies as it is.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from monitor.domain.money import EXACT, to_cents
from monitor.domain.names import clean_name
from reports.language import date_words, decimals, say, say_n, sign, style, symbols, zone_name

NAME_CAP = 48
REASON_CAP = 440
"""The longest reason of an advice, with what was decided about it."""
WIDTH = 72
"""Columns of the plain twin."""

_SUFFIXES = ("{n}", "{n}k", "{n}M", "{n}B", "{n}T")


def usd(amount: Decimal) -> str:
    """To the cent: `$1,234.56`, `-$0.50`."""
    return _dollars(to_cents(amount), ",.2f")


def second(amount: Decimal) -> str:
    """In the organisation's currency, `€26,277.12`; '' without one, or without its rate."""
    other = style().second
    if other is None or not other.usd:
        return ""
    places = Decimal(1).scaleb(-decimals(other.currency))
    converted = EXACT.quantize(amount / other.usd, places)
    return _signed(converted, _written(f"{abs(converted):,f}"), other.currency)


def about(amount: Decimal) -> str:
    """An estimate: `$41,203`; below a thousand to the cent."""
    if abs(amount) < 1000:
        return usd(amount)
    return _dollars(EXACT.quantize(amount, Decimal(1)), ",.0f")


def money(digits: str) -> str:
    """`$12.5k`: digits that are written already."""
    return _signed(Decimal(0), digits)


def signed(amount: Decimal) -> str:
    """A difference to the cent: `+$1,204.10`, `-$12.50`, `$0.00`."""
    return f"{'+' if to_cents(amount) > 0 else ''}{usd(amount)}"


def short(amount: Decimal) -> str:
    """For a heading: `$41.2k`, `$950.00`."""
    if abs(amount) < 1000:
        return usd(amount)
    digits, unit = _digits(abs(amount))
    return _signed(amount, say(unit, n=digits))


def short_range(low: Decimal, high: Decimal) -> str:
    """`38.9-44.0k` where both ends share a unit, else `$950.00 to $1.20k`."""
    if low >= 1000:
        first, last = _digits(low), _digits(high)
        if first[1] == last[1]:
            return f"{first[0]}-{say(last[1], n=last[0])}"
    return say("{low} to {high}", low=short(low), high=short(high))


def span(low: Decimal, high: Decimal) -> str:
    """A range of estimates: `$3,120 to $5,280`."""
    return say("{low} to {high}", low=about(low), high=about(high))


def rate(amount: Decimal) -> str:
    """Dollars per million tokens: `$2.41`; below a dollar `$0.0750`."""
    places = Decimal("0.01") if abs(amount) >= 1 else Decimal("0.0001")
    return _dollars(EXACT.quantize(amount, places), ",f")


def count(n: int) -> str:
    """`9,876`, `12.4k`, `1.24M`, `11.7B`."""
    if abs(n) < 10_000:
        return number(n)
    digits, unit = _digits(Decimal(abs(n)))
    return f"{'-' if n < 0 else ''}{say(unit, n=digits)}"


def count_span(low: int, high: int) -> str:
    """`1.20M to 1.61M`."""
    return say("{low} to {high}", low=count(low), high=count(high))


def number(value: Decimal | int, places: int = 0) -> str:
    """`1,234.5`."""
    return _written(f"{value:,.{places}f}")


def plain_number(value: Decimal) -> str:
    """With all its digits and no zeros behind them: `1.0865`."""
    return _written(f"{value.normalize():,f}")


def _written(english: str) -> str:
    """A number's separators as the language has them."""
    found = symbols()
    return english.translate({ord(","): found.group, ord("."): found.decimal})


def percent(share: Decimal) -> str:
    """`71.0%`; what is not all or nothing never reads so."""
    if 0 < share < Decimal("0.05"):
        return f"<{_percent(Decimal('0.1'))}"
    if Decimal("99.95") <= share < 100:
        return f">{_percent(Decimal('99.9'))}"
    return _percent(share)


def _percent(share: Decimal) -> str:
    rounded = EXACT.quantize(share, Decimal("0.1"))
    return f"{_written(f'{rounded:,f}')}{symbols().percent}"


def change(points: Decimal) -> str:
    """`+12.3%`, `-4.0%`, `0.0%`."""
    rounded = EXACT.quantize(points, Decimal("0.1"))
    shown = f"{abs(rounded):f}" if rounded.is_zero() else f"{rounded:+f}"
    return f"{_written(shown)}{symbols().percent}"


def plural(n: int, noun: str) -> str:
    """`1 alert`, `12 alerts`, `2 days`."""
    return say_n(n, f"{{n}} {noun}", f"{{n}} {noun}s", n=number(n))


def day(at: date | datetime, *, year: bool = False) -> str:
    """`22 Nov`, `22 Nov 2026`."""
    return date_words(at, "d MMM y" if year else "d MMM", "day_year" if year else "day")


def days(first: date, last: date) -> str:
    """Both included: `16 to 22 Nov 2026`."""
    if (first.year, first.month) == (last.year, last.month):
        begins = date_words(first, "d", "day_alone")
        return say("{first} to {last}", first=begins, last=day(last, year=True))
    begins = day(first, year=first.year != last.year)
    return say("{first} to {last}", first=begins, last=day(last, year=True))


def ordinal(n: int) -> str:
    """A day of the month: 1st, 2nd, 3rd, 22nd."""
    if style().language != "en":
        return f"{n}."
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def month(key: str) -> str:
    """`2026-11` as `November`."""
    return date_words(date.fromisoformat(f"{key}-01"), "LLLL", "LLLL")


def short_month(key: str) -> str:
    """`2026-11` as `Nov`."""
    return date_words(date.fromisoformat(f"{key}-01"), "LLL", "LLL")


def month_year(key: str) -> str:
    """`2026-11` as `November 2026`."""
    return f"{month(key)} {key[:4]}"


def weekday(at: date) -> str:
    """`Mon 23`."""
    return date_words(at, "ccc d", "weekday")


def instant(at: datetime | str) -> str:
    """`2026-11-23 07:00 UTC`, from an aware instant or ISO text, in the report's zone."""
    aware = datetime.fromisoformat(at) if isinstance(at, str) else at
    there = aware.astimezone(ZoneInfo(style().zone))
    return f"{there:%Y-%m-%d %H:%M} {zone_name(there)}"


def name(text: str, cap: int = NAME_CAP) -> str:
    """An external name on one line, without controls, at most so long."""
    cleaned = _cut(clean_name(text, cap + 1), cap)
    return cleaned if style().language == "en" else _UNIT.sub("\u00a0", cleaned)


# A number and its sign or unit stay on one line, in languages that part them.
_UNIT = re.compile(r"(?<=\d) (?=[%$€]|(?:Tsd|Mio|Mrd|Bio)\.)")


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
    return _signed(amount, _written(f"{abs(amount):{form}}"))


def _signed(amount: Decimal, digits: str, currency: str = "USD") -> str:
    before, after = (part.format(sign(currency)) for part in symbols().money)
    return f"{'-' if amount < 0 else ''}{before}{digits}{after}"


def _digits(positive: Decimal) -> tuple[str, str]:
    """Three digits and their unit; what rounds up to a thousand takes the next unit."""
    step = 0
    while positive >= Decimal("999.5") and step < len(_SUFFIXES) - 1:
        positive, step = positive / 1000, step + 1
    places = 2 if positive < Decimal("9.995") else 1 if positive < Decimal("99.95") else 0
    rounded = positive.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return _written(f"{rounded:,f}"), _SUFFIXES[step]
