"""German for every message, numbers as a German writes them, and stored sentences told anew."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from monitor.domain import (
    aftermath,
    attribution,
    breakeven,
    watch,
    watch_answers,
    watch_fleet,
    watch_health,
    watch_prices,
    watch_spend,
)
from monitor.domain.rulebook import LIMITS
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch import BudgetSeen, GivenUp, UnpricedSeen
from monitor.domain.watch_fleet import Reporting
from monitor.domain.watch_health import Decided, Expiring, Waiting
from reports import (
    alert,
    budgets,
    charts,
    comparison,
    formats,
    heatmap,
    language,
    weekly,
    weekly_tables,
)
from reports.language import Style, say, say_n, use
from reports.raster import Drawn
from reports.retold import retell
from reports.verdict import LABELS, MOVES
from tests import messages
from tests.mail_checker import problems
from tests.unit.test_alert_mail import KINDS, group, notice
from tests.unit.test_watch_answers import AT, answered
from tests.unit.test_watch_fleet import host
from tests.unit.test_watch_prices import models, repriced
from tests.unit.test_watch_spend import billed, spent
from tests.weekly_facts import breakeven as row_of
from tests.weekly_facts import facts, judged, numbers, pictured, visible

GERMAN = Style("de", "Europe/Berlin")
NBSP = "\u00a0"
# What the code says by a name that is not written where it is said.
NAMED = {
    *LABELS.values(),
    *MOVES.values(),
    *weekly.TITLES.values(),
    *weekly._HEAD.values(),
    *weekly._OWN_HEAD.values(),
    *("Stay", "Grow", "Return"),
    *comparison._LINES.values(),
    *breakeven.WHY_NEVER.values(),
    *heatmap._LEGEND,
    *weekly_tables._STATES,
    *budgets._SCOPES.values(),
    *attribution.GROUPS,
    *(part.replace("_", " ") for part in aftermath.PARTS),
    *formats._SUFFIXES,
    *(f"{{n}} {kind} at {{rate}}" for kind in ("input", "cached", "output")),
    *("API", "own GPUs", "energy", "began", "ended", "unstable"),
}
UNREAD = {
    "alert.py: word",
    "charts.py: name",
    "comparison.py: f'{{n}} {kind} at {{rate}}'",
    "comparison.py: line",
    "comparison.py: part",
    "comparison.py: why",
    "formats.py: last[1]",
    "formats.py: unit",
    "heatmap.py: said",
    "retold.py: f'{{n}}{unit}'",
    "weekly.py: label",
    "weekly.py: title",
    "weekly_tables.py: state",
}
"""Each is covered by NAMED, or by what reads it."""


@pytest.fixture
def german():
    with use(GERMAN):
        yield


def test_every_message_has_its_german():
    found, many, unread = messages.of_code()
    said = {each for each in found | many | messages.of_templates() | NAMED if each.strip()}
    assert len(said) > 300
    assert sorted(said - language._catalogue("de").keys()) == []
    assert {each for each in unread if not each.startswith("after_move")} <= UNREAD


def test_the_templates_that_are_translated_say_nothing_by_themselves():
    allowed = {"Crossover", "FIGURES", "crossover", "query"}
    assert set(messages.bare()) <= allowed


def test_a_translation_fills_the_same_holes():
    holes = re.compile(r"\{\w*\}")
    for message, meant in language._catalogue("de").items():
        for each in [meant] if isinstance(meant, str) else meant:
            assert set(holes.findall(message)) == set(holes.findall(each)), message
    for message, meant in language.stored("de").items():
        assert sorted(holes.findall(message)) == sorted(holes.findall(meant)), message


def test_numbers_dates_and_instants_are_german(german):
    assert formats.usd(Decimal("1234567.891")) == f"1.234.567,89{NBSP}$"
    assert formats.usd(Decimal("-0.5")) == f"-0,50{NBSP}$"
    assert formats.signed(Decimal("1204.1")) == f"+1.204,10{NBSP}$"
    assert formats.short(Decimal(41203)) == f"41,2{NBSP}Tsd.{NBSP}$"
    assert formats.short_range(Decimal(38900), Decimal(44000)) == f"38,9-44,0{NBSP}Tsd."
    assert formats.count(1_236_000) == f"1,24{NBSP}Mio."
    assert formats.count(9_876) == "9.876"
    assert formats.percent(Decimal(71)) == f"71,0{NBSP}%"
    assert formats.change(Decimal("12.34")) == f"+12,3{NBSP}%"
    assert formats.days(date(2026, 11, 16), date(2026, 11, 22)) == "16. bis 22. Nov. 2026"
    assert formats.month("2026-03") == "März"
    assert formats.instant(datetime(2026, 11, 23, 7, tzinfo=UTC)) == "2026-11-23 08:00 MEZ"
    assert formats.instant(datetime(2026, 7, 23, 7, tzinfo=UTC)) == "2026-07-23 09:00 MESZ"
    assert formats.plural(1, "day") == "1 Tag"
    assert formats.plural(2, "day") == "2 Tage"


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "2026-11-23 07:00 UTC"),
        ("Europe/Berlin", "2026-11-23 08:00 CET"),
        ("America/New_York", "2026-11-23 02:00 EST"),
        ("America/Sao_Paulo", "2026-11-23 04:00 UTC-03"),
    ],
)
def test_an_instant_is_told_in_the_zone_of_its_reader_with_its_name(zone, shown):
    with use(Style("en", zone)):
        assert formats.instant("2026-11-23T07:00:00Z") == shown


def test_what_has_no_german_stays_english(german):
    assert say("No such message in any catalogue") == "No such message in any catalogue"
    assert say_n(2, "{n} cow", "{n} cows", n=2) == "2 cows"


def test_a_style_ends_where_it_is_left():
    with use(GERMAN), pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    assert formats.usd(Decimal(1)) == "$1.00"


def build(**changes):
    audience = facts().audience._replace(style=GERMAN)
    png = b"\x89PNG\r\n\x1a\n"
    return weekly.build(
        facts(audience=audience, **changes), lambda specs: Drawn(dict.fromkeys(specs, png), {})
    )


ENGLISH = re.compile(r"\b(the|and|of|is|are|with|from|what|when|than|which|were|has)\b")


def test_the_whole_german_report_is_german_and_its_twins_agree():
    rows = {"breakevens": [row_of(**judged())], **pictured("gpu-1", "gpu-2")}
    found = build(tables=rows, missing=["the prices of 3 days"], demo=True)
    body = found.text.partition("\nFIGURES\n")[0]
    for known in ("Savings of 24 months reach what moving costs.", "The BAA is missing."):
        body = " ".join(body.split()).replace(known, "")
    assert ENGLISH.findall(body) == []
    assert numbers(visible(found.html)) <= numbers(found.text)
    assert problems(found.html) == []
    assert '<html lang="de"' in found.html


def test_a_picture_writes_its_numbers_in_german(german):
    spec = charts.unit_cost(charts.UnitCosts(date(2026, 11, 2), 2, {}, {}))
    assert spec["config"]["locale"]["number"]["decimal"] == ","


@pytest.mark.parametrize("kind", KINDS)
def test_every_alert_of_the_break_even_is_german(kind):
    told = alert.build(group(notice(kind=kind, row=row_of(**judged()))), GERMAN)
    said = told.text.partition("Nachzusehen mit")[0]
    for known in ("Savings of 24 months reach what moving costs.", "The BAA is missing."):
        said = " ".join(said.split()).replace(known, "")
    assert ENGLISH.findall(said) == [], said
    assert problems(told.html) == []


SEEN = BudgetSeen(
    "models",
    "2026-11",
    0,
    45 * 10**15,
    40 * 10**15,
    46 * 10**15,
    47 * 10**15,
    48 * 10**15,
    7,
    "mixed",
    "",
    "",
)


@pytest.mark.parametrize(
    "signal",
    [
        *watch.budget(SEEN, watch.Thresholds()),
        watch.unpriced(UnpricedSeen("bot", 0, "2026-11", 100, 7, ("m1", "m2")), 1),
        *watch.stale(["openai"], {"openai": ["usage"]}, 0),
        watch.internal(GivenUp(1, 2, "decide/x: boom", ["k left without x"]), 0),
        watch.internal(GivenUp(0, 0, "", ["k left without x"]), 0),
        watch_answers.rate_limited(answered(limited=99), LIMITS["rate_limit"]),
        watch_answers.unavailable(answered(failed=99), LIMITS["availability"]),
        watch_fleet.idle(host(), LIMITS["gpu_idle"]),
        watch_fleet.idle(host(cost=None), LIMITS["gpu_idle"]),
        watch_fleet.lost(Reporting("gpu-1", {"g": AT - 9 * HOUR, "h": AT}), AT),
        watch_fleet.lost(Reporting("gpu-1", {"g": AT}), AT),
        watch_health.stuck(Waiting(2, ["ops", "smtp"], AT - 7 * HOUR, "refused."), AT),
        watch_health.stuck(Waiting(0, [], 0, ""), AT),
        watch_health.undecided(Decided("2026-11-22", ["budget x"]), AT),
        watch_health.undecided(Decided("2026-11-22", []), AT),
        *(
            watch_health.expiry(Expiring("x", kind, AT + n * DAY), AT, LIMITS["expiry"])
            for kind in ("certificate", "contract", "price")
            for n in (-1, 1, 9)
        ),
        *(watch_prices.price_change(repriced(p), LIMITS["price_change"]) for p in ("12", "8")),
        *watch_prices.model_change(
            models([("a", 0), ("b", 9)], [("a", 9), ("b", 0)]), LIMITS["model_change"]
        ),
        *watch_spend.anomaly(spent(300), LIMITS["spend_anomaly"]),
        *watch_spend.anomaly(spent(10), LIMITS["spend_anomaly"]),
        watch_spend.unreconciled(billed(1000, 900, unpriced=7), LIMITS["unreconciled_spend"]),
        watch_spend.unreconciled(billed(900, 1000), LIMITS["unreconciled_spend"]),
    ],
)
def test_every_alert_of_spend_and_sources_is_german(signal):
    said = signal.said
    with use(GERMAN):
        told = [said.title, said.what, said.sure, said.cost, *said.actions]
        told += [part for fact in said.facts for part in fact]
        found = " | ".join(map(retell, told))
    cleared = re.sub(r"decide/x: boom|k left without x", "", found)
    assert ENGLISH.findall(cleared) == [], found


def test_numbers_inside_a_stored_sentence_are_written_anew(german):
    text = "At 6,668,698 requests a month (a careful count: the lower of projection and usual week,"
    text += " less a margin) own GPUs save $1,145 a month; 24 months of that do not repay the"
    text += " $30,000 that moving costs. It was advised before, and still saves at the higher of"
    text += " the two."
    assert retell(text) == (
        "Bei 6.668.698 Anfragen im Monat (vorsichtig gezählt: der kleinere Wert aus Prognose und"
        " üblicher Woche, abzüglich eines Abschlags) gilt für eigene GPUs: sparen"
        f" 1.145{NBSP}$ im Monat; 24 Monate davon decken die Verlagerungskosten von"
        f" 30.000{NBSP}$ nicht. Sie wurde bereits empfohlen und spart beim größeren der beiden"
        " Werte weiterhin."
    )


def test_a_number_by_itself_is_written_anew(german):
    assert retell("$45,000.00") == f"45.000,00{NBSP}$"
    assert retell("90%") == f"90{NBSP}%"
    assert retell("$1,000.00 to $2,000.50") == f"1.000,00{NBSP}$ bis 2.000,50{NBSP}$"
    assert retell("2026-11") == "2026-11"
    assert retell("gpt-4.1") == "gpt-4.1"


def test_a_sentence_that_nobody_translated_is_told_as_it_is(german):
    assert retell("Something new costs $1,234.50 a month, they say.") == (
        "Something new costs $1,234.50 a month, they say."
    )
    assert (
        retell("Move gpt-4.1: saves $4,824 a month")
        == f"gpt-4.1 verlagern: spart 4.824{NBSP}$ im Monat"
    )
