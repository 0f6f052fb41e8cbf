"""The door to languages: what a report says, in the language of its readers.

English stands in the code and in the templates; `reports/locales/LANGUAGE/messages.po` holds the
others. What has no translation stays English, so that nothing is ever missing. The style of a
report holds while it is made, as a language does while somebody speaks: nothing else depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from babel import Locale
from babel.messages.pofile import read_po

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
    return text.format(**values) if values else text


def say_n(n: int, one: str, many: str, /, **values: object) -> str:
    """As `say`, in the form that a count asks for; `n` as it is printed is among the values."""
    language = style().language
    found = _catalogue(language).get(one, (one, many))
    text = found if isinstance(found, str) else found[_locale(language).plural_form(n) != "one"]
    return text.format(**values)


def locale() -> Locale:
    """What Babel knows of the report's language."""
    return _locale(style().language)


@cache
def _locale(language: str) -> Locale:
    return Locale.parse("en_US" if language == "en" else language)


@cache
def _catalogue(language: str) -> Mapping[str, str | tuple[str, ...]]:
    """Message -> its translation, or its forms by count."""
    if language == "en":
        return {}
    path = files("reports") / "locales" / language / "messages.po"
    with path.open("rb") as file:
        read = read_po(file, locale=language)
    return {
        each.id if isinstance(each.id, str) else each.id[0]: (
            each.string if isinstance(each.string, str) else tuple(each.string)
        )
        for each in read
        if each.id and each.string
    }
