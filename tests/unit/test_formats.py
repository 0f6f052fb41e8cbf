"""How numbers read: rounded once, never ambiguous, never longer than they are good for."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from reports import formats


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("1234.565", "$1,234.56"),
        ("1234.575", "$1,234.58"),
        ("0", "$0.00"),
        ("-0.001", "$0.00"),
        ("-12.5", "-$12.50"),
        ("12345678.9", "$12,345,678.90"),
    ],
)
def test_a_statement_shows_cents_rounded_half_even(amount, shown):
    assert formats.usd(Decimal(amount)) == shown


def test_an_estimate_of_a_thousand_and_more_shows_no_cents():
    assert formats.about(Decimal("999.99")) == "$999.99"
    assert formats.about(Decimal("41203.18")) == "$41,203"
    assert formats.about(Decimal("-4210.5")) == "-$4,210"


def test_a_difference_always_has_its_sign():
    assert formats.signed(Decimal("1204.1")) == "+$1,204.10"
    assert formats.signed(Decimal("-1204.1")) == "-$1,204.10"
    assert formats.signed(Decimal("0.004")) == "$0.00"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("950", "$950.00"),
        ("1000", "$1.00k"),
        ("41203", "$41.2k"),
        ("999499", "$999k"),
        ("999500", "$1.00M"),
        ("1236000", "$1.24M"),
        ("9995", "$10.0k"),
        ("99950", "$100k"),
        ("-41203", "-$41.2k"),
    ],
)
def test_a_heading_shows_three_digits(amount, shown):
    assert formats.short(Decimal(amount)) == shown


def test_a_range_names_its_unit_once_where_both_ends_share_it():
    assert formats.short_range(Decimal(38900), Decimal(44000)) == "38.9-44.0k"
    assert formats.short_range(Decimal(950), Decimal(1200)) == "$950.00 to $1.20k"
    assert formats.short_range(Decimal(900), Decimal(950)) == "$900.00 to $950.00"
    assert formats.short_range(Decimal(-2000), Decimal(3000)) == "-$2.00k to $3.00k"


def test_counts_are_exact_up_to_ten_thousand():
    assert [formats.count(n) for n in (0, 9_999, 10_000, 1_236_000, 11_700_000_000, -50_000)] == [
        "0",
        "9,999",
        "10.0k",
        "1.24M",
        "11.7B",
        "-50.0k",
    ]


def test_a_share_never_reads_as_nothing_or_all_unless_it_is():
    shares = ("0", "0.04", "0.05", "71", "99.94", "99.96", "100")
    assert [formats.percent(Decimal(share)) for share in shares] == [
        "0.0%",
        "<0.1%",
        "0.0%",
        "71.0%",
        "99.9%",
        ">99.9%",
        "100.0%",
    ]


def test_a_change_has_its_sign_and_nothing_has_none():
    assert [formats.change(Decimal(points)) for points in ("12.34", "-4", "0.04", "-0.04")] == [
        "+12.3%",
        "-4.0%",
        "0.0%",
        "0.0%",
    ]


def test_a_rate_below_a_dollar_keeps_four_decimals():
    assert formats.rate(Decimal("2.41")) == "$2.41"
    assert formats.rate(Decimal("0.075")) == "$0.0750"


def test_dates_are_read_without_a_locale():
    assert formats.day(date(2026, 3, 1), year=True) == "1 Mar 2026"
    assert formats.days(date(2026, 11, 16), date(2026, 11, 22)) == "16 to 22 Nov 2026"
    assert formats.days(date(2026, 11, 30), date(2026, 12, 6)) == "30 Nov to 6 Dec 2026"
    assert formats.days(date(2026, 12, 28), date(2027, 1, 3)) == "28 Dec 2026 to 3 Jan 2027"
    assert formats.month("2026-09") == "September"
    assert formats.instant(datetime(2026, 11, 23, 7, tzinfo=UTC)) == "2026-11-23 07:00 UTC"
    assert formats.instant("2026-11-23T06:00:00Z") == "2026-11-23 06:00 UTC"


def test_a_name_loses_its_controls_and_what_is_too_long():
    assert formats.name("a\nb\u202ec") == "a b c"
    assert formats.name("x" * 300) == "x" * 45 + "..."
    assert formats.name("x" * 900, 500) == "x" * 497 + "..."


def test_a_row_cuts_words_and_never_numbers():
    assert (
        formats.row(["a long name indeed", "$1,234,567.89"], [10, -6]) == "a long...  $1,234,567.89"
    )
    assert formats.row(["name", "$1.00"], [10, -8]) == "name          $1.00"


def test_a_paragraph_breaks_no_line_at_a_minus():
    text = formats.fill("word " * 13 + "-$12,924 to -$11,983")
    assert max(map(len, text.splitlines())) <= formats.WIDTH
    assert "-$12,924" in text
