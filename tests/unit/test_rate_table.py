"""Our own rates as a document, and one model's price over time."""

import tomllib
from datetime import UTC, datetime

import pytest

from monitor import library
from monitor.domain.dated_rates import DatedRates, Window
from monitor.domain.pricing import MAX_SOURCE, RateCard, nano_per_million, usd_per_million
from monitor.domain.rate_history import history, next_change
from monitor.domain.rate_lookup import Resolver
from monitor.domain.rate_table import parse_rates
from monitor.domain.usage import DAY, HOUR

RATE = """[[calendar]]
name = "feasts"
days_off = [2026-01-05]
through = 2026-01-11
source = "notice"
checked = 2025-12-01

[[rate]]
provider = "bedrock"
model = ["Claude-X*", "claude-y"]
usd_per_million = { uncached_input = "0.25", output = "1.25" }
from = 2026-01-01
to = 2026-02-01T12:00:00Z
hours = [1, 2]
weekdays = ["mon", "sun"]
calendar = "feasts"
context = "service_tier=batch"
source = "page"
checked = 2026-11-20
certainty = "unverified"
tiers = [{ above_input_tokens = 200000, usd_per_million = { output = "2" } }]
"""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def test_a_row_is_read_with_canonical_names_and_utc_instants():
    one, two = parse_rates(tomllib.loads(RATE)).rates

    assert (one.provider, one.model, two.model) == ("aws", "claude-x*", "claude-y")
    assert one.context == "processing=batch"
    assert (one.valid_from, one.valid_until) == (at("2026-01-01T00:00"), at("2026-02-01T12:00"))
    day_off = at("2026-01-05T00:00")
    assert one.window == Window(
        frozenset({1, 2}), frozenset({0, 6}), frozenset({day_off}), day_off + 7 * DAY
    )
    assert [one.holds(day_off + HOUR), one.holds(day_off + 7 * DAY + HOUR)] == [False, True]
    assert (one.verified, one.tiers[0].rates.output) == (False, nano_per_million(2))


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('source = "page"\n', "", "'source' is missing"),
        ('source = "page"', f'source = "{"x" * (MAX_SOURCE + 1)}"', "source: 1 to"),
        ("to = 2026-02-01T12:00:00Z", "to = 2025-12-31", "to is not after from"),
        ("2026-02-01T12:00:00Z", "2026-02-01T12:00:00", "has no zone"),
        ("[1, 2]", "[24]", "hours: whole hours"),
        ('"mon"', '"monday"', "not in tuple"),
        ('"unverified"', '"sure"', "certainty is not one of"),
        ('output = "1.25"', 'outptu = "1"', "outptu: not one of"),
        ("0.25", "-1", "-1 is no rate"),
        ("checked = 2026-11-20", 'checked = "yesterday"', "rate 1"),
        ('calendar = "feasts"', 'calendar = "fasts"', "calendar: 'fasts' is none of feasts"),
        ('context = "service_tier=batch"', 'content = "x"', "content: not one of"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(old, new, cause):
    assert old in RATE
    with pytest.raises(ValueError, match=cause) as refused:
        parse_rates(tomllib.loads(RATE.replace(old, new)))
    assert str(refused.value).startswith("rate 1 (")


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("through = 2026-01-11", "through = 2026-01-04", "none after through"),
        ("days_off = [2026-01-05]", "days_off = []", "days_off: at least one"),
        ('source = "notice"\n', "", "'source' is missing"),
        ("through = 2026-01-11\n", "", "'through' is missing"),
        ("checked = 2025-12-01\n", "", "'checked' is missing"),
        ('name = "feasts"\n', "", "'name' is missing"),
    ],
)
def test_a_calendar_that_cannot_be_read_is_named(old, new, cause):
    assert old in RATE
    with pytest.raises(ValueError, match=cause) as refused:
        parse_rates(tomllib.loads(RATE.replace(old, new)))
    assert str(refused.value).startswith("calendar 1 (")


def test_hours_of_days_that_nobody_has_announced_are_marked_and_no_others():
    table = RATE.replace('certainty = "unverified"\n', "").replace(
        'context = "service_tier=batch"\n', ""
    )
    rows = parse_rates(tomllib.loads(table)).rates
    resolver = Resolver(Nothing(), (), rows)
    sunday, monday = at("2026-01-11T01:00"), at("2026-01-12T01:00")
    known, unknown = (resolver.card("aws", "claude-y", t) for t in (sunday, monday))

    assert (known.rates, known.marks) == (unknown.rates, ())
    assert unknown.marks == ("rate_unverified",)
    assert resolver.card("aws", "claude-y", at("2026-01-05T01:00")) is None


def test_the_holidays_that_ship_are_weekdays_and_their_row_says_until_when():
    windows = {row.window for row in library.rates().rates if row.window and row.window.days_off}

    assert {w.known_until for w in windows} == {at("2027-01-02T00:00")}
    for day in {day for w in windows for day in w.days_off}:
        assert datetime.fromtimestamp(day, UTC).weekday() < 5


def test_a_table_of_another_name_is_refused():
    with pytest.raises(ValueError, match="rates: not one of rate, factor, alias"):
        parse_rates({"rates": []})


def test_a_factor_of_nothing_is_refused():
    row = {"provider": "p", "model": "m", "context": "a=b", "source": "s", "factor": "0"}
    with pytest.raises(ValueError, match="0 is no factor"):
        parse_rates({"factor": [row | {"checked": datetime(2026, 1, 1)}]})


def test_no_two_rows_of_ours_hold_for_one_model_at_one_time():
    """Else the order in the file would decide."""
    for rows in (library.rates().factors, library.rates().aliases):
        for n, row in enumerate(rows):
            for other in rows[n + 1 :]:
                if row.provider != other.provider or getattr(row, "context", "") != getattr(
                    other, "context", ""
                ):
                    continue
                assert not any(other.concerns(row.provider, name) for name in row.models), row


# History.


class Nothing:
    """A price list of nothing."""

    name = "nothing"

    def lookup(self, provider: str, model: str, at: int, context: str = "") -> RateCard | None:
        return None


def rates(usd: str):
    return usd_per_million(output=usd)


PEAK = Window(frozenset({1, 2, 6}), frozenset(range(5)))
START, CHANGE, END = at("2026-08-16T16:00"), at("2026-10-01T00:00"), at("2026-12-01T00:00")
ROWS = (
    DatedRates("p", "m", rates("1"), "page", END, valid_until=START),
    DatedRates("p", "m", rates("2"), "page", END, START, CHANGE),
    DatedRates("p", "m", rates("4"), "page", END, START, CHANGE, PEAK),
    DatedRates("p", "m", rates("3"), "page", END, CHANGE),
)


def test_a_history_has_every_change_once_and_hours_beside_their_rates():
    spans = history(Resolver(Nothing(), (), ROWS), "p", "m", START - DAY, END)

    assert [(s.card.rates, s.begin, s.end, s.hours) for s in spans] == [
        (rates("1"), 0, START, ""),
        (rates("2"), START, CHANGE, "mon-fri 00-01 03-06 07-24; sat,sun 00-24"),
        (rates("4"), START, CHANGE, "mon-fri 01-03 06-07"),
        (rates("3"), CHANGE, END + 365 * DAY, ""),
    ]


def test_a_time_without_a_rate_is_a_hole():
    rows = (
        DatedRates("p", "m", rates("1"), "page", END, valid_until=START),
        DatedRates("p", "m", rates("2"), "page", END, CHANGE, END),
    )
    spans = history(Resolver(Nothing(), (), rows), "p", "m", START - DAY, END + DAY)

    assert [(s.begin, s.end) for s in spans] == [(0, START), (CHANGE, END)]
    assert history(Resolver(Nothing()), "p", "m", START, END) == []


def test_growing_stale_is_no_change_of_a_price():
    rows = (DatedRates("p", "m", rates("1"), "page", START - 400 * DAY),)
    resolver = Resolver(Nothing(), (), rows, stale_after=390 * DAY)
    (span,) = history(resolver, "p", "m", START - 20 * DAY, END)

    assert (span.end, span.card.marks) == (None, ())
    assert next_change(resolver, resolver.card("p", "m", START - 20 * DAY)) is None


def test_the_next_change_is_the_next_other_rate():
    resolver = Resolver(Nothing(), (), ROWS)
    found = next_change(resolver, resolver.card("p", "m", at("2026-09-07T03:00")))
    until, after = found

    assert (until, after.rates) == (at("2026-09-07T06:00"), rates("4"))
    assert next_change(resolver, resolver.card("p", "m", START - HOUR))[0] == START
