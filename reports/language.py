"""The door to languages: what a report says, in the language of its readers.

English stands in the code and in the templates; `reports/locales/LANGUAGE/messages.po` holds the
others. What has no translation stays English, so that nothing is ever missing. The style of a
report holds while it is made, as a language does while somebody speaks: nothing else depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from babel import Locale
from babel.dates import format_date, get_timezone_name
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from babel.numbers import (
    get_currency_precision,
    get_currency_symbol,
    get_decimal_symbol,
    get_group_symbol,
)

from reports.clothes import PLAIN, Look


class Second(NamedTuple):
    """The currency that headline figures are printed in too."""

    currency: str
    usd: Decimal | None
    """US dollars for one unit; None: no rate is known, and nothing is converted."""
    day: str
    """ISO day that the rate holds from."""


class Style(NamedTuple):
    """In which words, numbers, times and colours a report speaks."""

    language: str = "en"
    zone: str = "UTC"
    """An IANA name; instants are printed in it, sums are by UTC day in any."""
    second: Second | None = None
    look: Look = PLAIN


AS_IT_COMES = Style()
"""English, UTC, and Crossover's own look."""
_STYLE: ContextVar[Style] = ContextVar("style", default=AS_IT_COMES)


def style() -> Style:
    """That of the report that is being made; English and UTC outside of any."""
    return _STYLE.get()


@contextmanager
def use(chosen: Style) -> Iterator[None]:
    """Everything that is said inside is said so."""
    before = _STYLE.set(chosen)
    try:
        yield
    finally:
        _STYLE.reset(before)


def say(message: str, /, **values: object) -> str:
    """The message in the report's language, its `{names}` filled in."""
    found = _catalogue(style().language).get(message, message)
    text = found if isinstance(found, str) else found[0]
    return tidy(text.format(**values)) if values else text


def say_n(n: int, one: str, many: str, /, **values: object) -> str:
    """As `say`, in the form that a count asks for; `n` as it is printed is among the values."""
    language = style().language
    found = _catalogue(language).get(one, (one, many))
    text = found if isinstance(found, str) else found[_locale(language).plural_form(n) != "one"]
    return text.format(**values)


def tidy(text: str) -> str:
    """What some languages want of the whole: one full stop after a word that ends with one."""
    return text if style().language == "en" else _TWO_STOPS.sub(".", text)


_TWO_STOPS = re.compile(r"(?<=\w)\.\.(?!\.)")


def locale() -> Locale:
    """What Babel knows of the report's language."""
    return _locale(style().language)


class Symbols(NamedTuple):
    """How a language writes numbers."""

    decimal: str
    group: str
    money: tuple[str, str]
    """Around an amount: `{}` is the currency's sign."""
    percent: str
    """After a number."""


def symbols() -> Symbols:
    """Those of the report's language."""
    return _symbols(style().language)


def sign(currency: str) -> str:
    """`$`, `€`, `CHF`."""
    return get_currency_symbol(currency, locale())


def decimals(currency: str) -> int:
    """How many a currency has."""
    return int(get_currency_precision(currency))


def date_words(day: date, english: str, skeleton: str) -> str:
    """A day by a pattern of CLDR: English days stand before their months, as in `22 Nov`."""
    spoken = style().language
    pattern = english if spoken == "en" else _DATES[spoken].get(skeleton, skeleton)
    return str(format_date(day, pattern, locale=locale()))


def zone_name(at: datetime) -> str:
    """`CET`, `MEZ`; of a zone that has no name of letters its distance, `UTC-03`."""
    known = str(get_timezone_name(at, width="short", locale=locale()))
    name = known if known[:1].isalpha() and style().language != "en" else at.tzname() or ""
    return name if name[:1].isalpha() else f"UTC{name}"


_DATES = {"de": {"weekday": "ccc d.", "day": "d. MMM", "day_year": "d. MMM y", "day_alone": "d."}}


@cache
def _symbols(language: str) -> Symbols:
    of = _locale(language)
    pattern = of.currency_formats["standard"]
    around = pattern.prefix[0].replace("¤", "{}"), pattern.suffix[0].replace("¤", "{}")
    after = of.percent_formats[None].suffix[0]
    return Symbols(get_decimal_symbol(of), get_group_symbol(of), around, after)


@cache
def _locale(language: str) -> Locale:
    return Locale.parse("en_US" if language == "en" else language)


def stored(language: str) -> Mapping[str, str]:
    """Patterns of stored sentences -> what they mean: the messages of the context `stored`."""
    return {
        str(each.id): str(each.string)
        for each in _messages(language)
        if each.context == "stored" and each.string
    }


@cache
def _catalogue(language: str) -> Mapping[str, str | tuple[str, ...]]:
    """Message -> its translation, or its forms by count."""
    return {
        each.id if isinstance(each.id, str) else each.id[0]: (
            each.string if isinstance(each.string, str) else tuple(each.string)
        )
        for each in _messages(language)
        if each.id and each.string and not each.context
    }


@cache
def _messages(language: str) -> Sequence[Message]:
    if language == "en":
        return ()
    path = files("reports") / "locales" / language / "messages.po"
    with path.open("rb") as file:
        return tuple(read_po(file, locale=language))
