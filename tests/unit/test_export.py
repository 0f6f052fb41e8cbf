"""Rows as CSV and JSON text."""

import csv
import io
import json
from decimal import Decimal

import pytest

from monitor.domain.errors import QueryError
from monitor.storage.export import csv_cell, number, shown, write_csv, write_json


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_text_that_a_spreadsheet_would_calculate_gets_an_apostrophe(start: str) -> None:
    assert csv_cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize("value", [-1, -0.5, Decimal(-185), -(10**18)])
def test_negative_numbers_stay_numbers(value: object) -> None:
    assert float(csv_cell(value)) == value


@pytest.mark.parametrize("text", ["gpt-5", "a=b", " =1", "", "1e5", "'quoted'"])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert csv_cell(text) == text


def test_a_name_of_a_column_is_text_too() -> None:
    out = io.StringIO()
    write_csv(out, ["=1+1"], [["=2"], [-2]])
    assert out.getvalue() == "'=1+1\r\n'=2\r\n-2\r\n"


def test_what_is_written_can_be_read_again() -> None:
    rows = [["line\nbreak", 'quote "', "comma,"], ["é", "", "carriage\rreturn"]]
    out = io.StringIO(newline="")
    write_csv(out, ["a", "b", "c"], rows)
    assert list(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [["a", "b", "c"], *rows]


@pytest.mark.parametrize(
    ("sqlite", "postgres", "text"),
    [
        (0.30000000000000004, Decimal("0.3"), "0.3"),
        (15.0002, Decimal("15.000200"), "15.0002"),
        (12.0, Decimal("12.000000"), "12"),
        (0.0, Decimal("0E-6"), "0"),
        (-0.0, Decimal("-0.000000"), "0"),
        (1e-06, Decimal("0.000001"), "0.000001"),
        (123456789.012346, Decimal("123456789.012346"), "123456789.012346"),
        (9223372036854775807, Decimal(9223372036854775807), "9223372036854775807"),
        (1e17, Decimal("1E+17"), "100000000000000000"),
    ],
)
def test_both_engines_numbers_print_the_same(sqlite: object, postgres: object, text: str) -> None:
    assert (shown(sqlite), shown(postgres)) == (text, text)


def test_what_is_no_finite_number_is_text() -> None:
    assert number("12") is None
    assert number(True) is None
    assert [shown(v) for v in (None, True, float("inf"), Decimal("NaN"))] == [
        "",
        "true",
        "inf",
        "NaN",
    ]


def test_json_prints_every_digit_of_a_decimal() -> None:
    out = io.StringIO()
    row = [Decimal("0.100"), 12345678901234567890, 'a"b\u2028é', None, True, float("nan")]
    write_json(out, list("abcdef"), [row, row])
    assert out.getvalue().splitlines()[0] == "["
    assert '"a": 0.1, "b": 12345678901234567890,' in out.getvalue()
    read = json.loads(out.getvalue(), parse_float=Decimal)
    expected = [Decimal("0.1"), 12345678901234567890, 'a"b\u2028é', None, True, "nan"]
    assert read == [dict(zip("abcdef", expected, strict=True))] * 2


def test_json_without_rows_is_an_empty_list() -> None:
    out = io.StringIO()
    write_json(out, ["a"], [])
    assert json.loads(out.getvalue()) == []


def test_json_does_not_lose_one_of_two_columns_of_the_same_name() -> None:
    with pytest.raises(QueryError, match=r"two columns have the same name\. Name them apart"):
        write_json(io.StringIO(), ["n", "n"], [[1, 2]])
