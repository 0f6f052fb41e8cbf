"""Stored sentences in the language of a report.

Advice, flips and alerts are stored as English sentences, which the database and its readers keep.
A catalogue's messages of the context `stored` are their patterns: a sentence that one fits is told
by its translation, with the numbers, days and months inside written anew. What none fits stays
English as it is: half of a sentence is never translated.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import cache

from reports import formats
from reports.language import date_words, say, stored, style, symbols

_SENTENCE, _CLAUSE = re.compile(r"(?<=[.]) (?=[A-Z0-9$])|(?<=[?]) "), re.compile(r"(?<=;) ")
_NAMES = {"workload", "deployment", "who", "name", "budget", "source", "path"}
"""Values that stay as they are."""
_SHAPES = {
    **dict.fromkeys(("n", "m", "months", "all", "needed", "planned"), r"[\d,.]+[kMBT]?"),
    "far": r"[\d,.]+|less than [\d.]+",
    **dict.fromkeys(("input", "to", "now"), r"[^()]+?"),
    **dict.fromkeys(
        ("usd", "cost", "bill", "year", "own", "api", "over", "spent", "amount", "other"),
        r"-?\$[\d,.]+|an unknown amount|[A-Z][a-z]+ \d{4}",
    ),
    "value": r"[-+]?\$?[\d,.]+%?",
    "day": r"\d{4}-\d\d-\d\d|\d{1,2} [A-Z][a-z]{2} \d{4}",
}
"""What fits a hole; any other holds no end of a sentence."""
_ANY = r"(?:(?!\. [A-Z]).)+?"
_LISTS = {"lines", "names"}
"""Values that are lists of words which reports say by themselves too."""
_HOLE = re.compile(r"\\\{(\w+)\\\}")
_NUMBER = re.compile(r"(?<![\w.,-])([+-]?)(\$?)(\d[\d,]*(?:\.\d+)?)([kMBT%]?)(?![\w-])")
_MONTHS = re.compile(
    r"\b(January|February|March|April|May|June|July|August|September|October|November|December)\b"
)
_DAY = re.compile(r"\b(\d{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?: (\d{4}))?\b")
_SHORT = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def retell(text: str) -> str:
    """The sentences, each in the report's language as far as its pattern is known."""
    if style().language == "en" or not text:
        return text
    whole = _told(text)
    if whole is not None:
        return whole
    if _NUMBER.fullmatch(text):
        return rewritten(text)
    for end in (_SENTENCE, _CLAUSE):
        parts = end.split(text)
        if len(parts) > 1:
            return " ".join(map(retell, parts))
    return text


def _told(text: str) -> str | None:
    """By the first pattern that fits, with or without its full stop; None: none does."""
    body = text.rstrip(".;")
    for pattern, meant in _patterns(style().language):
        found = pattern.fullmatch(body)
        if found:
            values = {key: _value(key, value) for key, value in found.groupdict().items()}
            return meant.format(**values) + text[len(body) :]
    return None


def _value(key: str, value: str) -> str:
    """What stands in a hole: a name as it is, else its words and numbers anew."""
    if key in _NAMES:
        return value
    if key in _LISTS:
        return ", ".join(map(say, value.split(", ")))
    told = _told(value)
    return rewritten(value) if told is None else told


def rewritten(text: str) -> str:
    """English numbers, days and months as the report's language writes them."""
    dated = _DAY.sub(_day, text)
    return _NUMBER.sub(_number, _MONTHS.sub(_month, dated))


def _month(found: re.Match[str]) -> str:
    at = date(2000, 1 + [name[:3] for name in _SHORT].index(found[1][:3]), 1)
    return date_words(at, "LLLL", "LLLL")


def _day(found: re.Match[str]) -> str:
    at = date(int(found[3] or 2000), 1 + _SHORT.index(found[2]), int(found[1]))
    return formats.day(at, year=bool(found[3]))


def _number(found: re.Match[str]) -> str:
    before, dollar, digits, unit = found.groups()
    value = Decimal(digits.replace(",", ""))
    places = len(digits.partition(".")[2])
    grouped = "," in digits or len(digits.partition(".")[0]) < 4
    written = formats.number(value, places) if grouped else digits
    if unit == "%":
        return f"{before}{written}{symbols().percent}"
    if unit:
        written = say(f"{{n}}{unit}", n=written)
    return f"{before}{formats.money(written)}" if dollar else f"{before}{written}"


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """The patterns of a language, those with the most words first."""
    found = sorted(stored(language).items(), key=lambda pair: -len(re.sub(r"{\w+}", "", pair[0])))
    return [(re.compile(_HOLE.sub(_hole, re.escape(said))), meant) for said, meant in found]


def _hole(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{_SHAPES.get(found[1], _ANY)})"
