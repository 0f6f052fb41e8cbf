"""The workbook, read back by another program: text stays text, numbers numbers, days days."""

import io
import zipfile
from datetime import datetime
from decimal import Decimal

import openpyxl
import pytest

from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.jobs import files
from reports import workbook
from reports.workbook import Sheet
from tests.weekly_facts import breakeven, judged, workload

UNITS = {"workload": "text", "spend": "usd", "tokens": "tokens", "since": "day", "month": "month"}
UNITS |= {"at": "instant", "share": "percent"}
EVILS = (
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "https://evil.example/?x",
    "{=1+1}",
    "12",
    "a\x00b\x1bc",
    "\u202egpj\u05d0",
    "\U0001f600" * 300,
    "x" * 40_000,
)


def row(name="bot", **changes):
    return dict.fromkeys(UNITS) | {"workload": name} | changes


def read(*rows, units=UNITS):
    made = workbook.make([Sheet("workloads", units, rows)])
    return openpyxl.load_workbook(io.BytesIO(made))["workloads"]


@pytest.mark.parametrize("evil", EVILS)
def test_no_text_is_a_formula_a_link_or_a_number(evil):
    cell = read(row(evil)).cell(2, 1)
    assert cell.data_type == "s"
    assert cell.hyperlink is None
    assert cell.value == clean_name(evil, 32_000)
    assert len(cell.value) <= 32_767
    assert not set("\x00\x1b\u202e") & set(cell.value)


def test_amounts_counts_and_days_are_what_they_are():
    sheet = read(
        row(
            spend=Decimal("19785.820001"),
            tokens=7_016_250_000,
            since="2026-11-21",
            month="2026-11",
            at="2026-11-23T06:00:00Z",
            share=Decimal("-0.5"),
        )
    )
    cells = list(sheet[2])
    assert [cell.value for cell in cells[1:]] == [
        19785.820001,
        7_016_250_000,
        datetime(2026, 11, 21),
        datetime(2026, 11, 1),
        datetime(2026, 11, 23, 6),
        -0.5,
    ]
    assert [cell.data_type for cell in cells[1:]] == ["n", "n", "d", "d", "d", "n"]
    assert [cell.value for cell in sheet[1]] == list(UNITS)
    assert sheet.freeze_panes == "A2"


def test_what_is_unknown_is_empty_and_zero_is_zero():
    sheet = read(row(spend=Decimal(0), tokens=None))
    assert sheet.cell(2, 2).value == 0
    assert sheet.cell(2, 3).value is None


def test_a_number_that_a_cell_cannot_hold_is_whole_as_text():
    big = 12_345_678_901_234_567
    assert read(row(tokens=big)).cell(2, 3).value == str(big)
    assert read(row(tokens=10**18)).cell(2, 3).value == 10**18


def test_what_is_no_day_is_left_as_text():
    sheet = read(row(since="soon", at="0001-01-01T00:00:00Z", month="1899-12"))
    assert [sheet.cell(2, n).value for n in (4, 5, 6)] == [
        "soon",
        "1899-12",
        "0001-01-01T00:00:00Z",
    ]


def test_the_same_tables_give_the_same_bytes_without_a_time_or_an_author():
    sheets = [Sheet("workloads", UNITS, [row(spend=Decimal(1))])]
    made = workbook.make(sheets)
    assert made == workbook.make(sheets)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert {each.date_time[0] for each in archive.infolist()} == {1980}
        assert b"2000-01-01" in archive.read("docProps/core.xml")


def test_each_attached_table_is_a_sheet_without_its_documents():
    tables = {"workloads": [workload()], "breakevens": [breakeven(**judged())], "moves": []}
    (made,) = files.workbook_of(tables, tables, "weekly")
    assert made.filename == "weekly.xlsx"
    book = openpyxl.load_workbook(io.BytesIO(made.data))
    assert book.sheetnames == ["workloads", "breakevens"]
    head = [cell.value for cell in book["breakevens"][1]]
    assert "savings_usd_q50" in head
    assert not {"scenario", "result", "recommendation"} & set(head)
    assert files.workbook_of({"workloads": []}, ["workloads"], "weekly") == []


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setattr(workbook, "find_spec", lambda _: None)
    with pytest.raises(InputError) as refused:
        workbook.make([])
    assert str(refused.value) == (
        "a workbook needs the extra `xlsx`. Install it: pip install 'crossover-monitor[xlsx]'."
    )
