"""`crossover project` as people call it: on two files, and on a database."""

import csv
import importlib.util
import io
import json
import sys
from datetime import date, timedelta
from decimal import Context, Decimal
from pathlib import Path
from time import perf_counter

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import ConfigError, InputError
from tests import needs
from tests.conftest import FULL
from tests.integration.seeded import fill


def daily(days, start="2026-01-01", value=lambda i: 100 + i % 7):
    first = date.fromisoformat(start)
    return {(first + timedelta(i)).isoformat(): value(i) for i in range(days)}


def projected(folder, series, tasks, *words, header="series,date,value"):
    """Run the command on these series (or lines) and tasks."""
    lines = (
        series
        if isinstance(series, list)
        else [
            f"{name},{day},{value}" for name, days in series.items() for day, value in days.items()
        ]
    )
    (folder / "daily.csv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "tasks.csv").write_text("\n".join(["series,asof,month,horizon", *tasks]) + "\n")
    files = ("--input", str(folder / "daily.csv"), "--tasks", str(folder / "tasks.csv"))
    return CliRunner().invoke(app, ["project", *files, *(words or ("--format", "csv"))])


def rows(result):
    assert result.exit_code == 0, result.exception
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_each_task_gets_a_row_in_its_order_with_ordered_quantiles(tmp_path):
    found = projected(
        tmp_path,
        {"b": daily(90), "a": daily(90, value=lambda i: f"{i % 5}.25")},
        ["b,2026-03-10,2026-03,d10", "a,2026-03-10,2026-04,x", "a,2026-03-31,2026-02,x"],
    )
    result = rows(found)
    assert found.stdout.startswith("series,asof,month,q10,q50,q90\n")
    assert [(r["series"], r["asof"], r["month"]) for r in result] == [
        ("b", "2026-03-10", "2026-03"),
        ("a", "2026-03-10", "2026-04"),
        ("a", "2026-03-31", "2026-02"),
    ]
    assert all(float(r["q10"]) <= float(r["q50"]) <= float(r["q90"]) for r in result)
    closed = sum(i % 5 + 0.25 for i in range(31, 59))
    assert [float(result[2][q]) for q in ("q10", "q50", "q90")] == [closed] * 3


def test_days_after_the_as_of_day_change_nothing(tmp_path):
    past = daily(70)
    future = past | daily(30, "2026-03-12", lambda i: 10**6)
    task = ["s,2026-03-11,2026-03,x"]
    assert rows(projected(tmp_path, {"s": past}, task)) == rows(
        projected(tmp_path, {"s": future}, task)
    )


def test_later_days_and_other_series_do_not_decide_the_digits(tmp_path):
    past = daily(70)
    task = ["s,2026-03-11,2026-03,x"]
    later = past | daily(30, "2026-03-12", lambda i: f"{i}.123456789")
    series = {"s": later, "t": daily(30, value=lambda i: f"{i}.5")}
    assert rows(projected(tmp_path, {"s": past}, task)) == rows(projected(tmp_path, series, task))


def test_a_closed_month_of_huge_amounts_is_exact_to_the_last_decimal(tmp_path):
    value = "999999999999999999999999.123456789"
    found = projected(tmp_path, {"s": daily(31, value=lambda i: value)}, ["s,2026-01-31,2026-01,x"])
    (row,) = rows(found)
    assert (
        row["q10"] == row["q50"] == row["q90"] == str(Context(prec=60).multiply(Decimal(value), 31))
    )


def test_decimals_beyond_the_ninth_are_rounded_off(tmp_path):
    for value in ("999999999999999999999999.1234567891", "1e-400", "0." + "1" * 99):
        found = projected(
            tmp_path, {"s": daily(31, value=lambda i, v=value: v)}, ["s,2026-01-31,2026-01,x"]
        )
        (row,) = rows(found)
        nine = Decimal(value).quantize(Decimal("1e-9"), context=Context(prec=60))
        assert Decimal(row["q50"]) == Context(prec=60).multiply(nine, 31)


def test_too_little_history_is_empty_and_said_and_two_weeks_are_flagged(tmp_path):
    found = projected(
        tmp_path,
        {"s": daily(60)},
        ["s,2026-01-13,2026-01,x", "s,2026-01-20,2026-01,x", "s,2026-02-20,2025-06,x"],
    )
    short, flagged, before = rows(found)
    assert (short["q10"], short["q50"], short["q90"]) == ("", "", "")
    assert (before["q10"], before["q90"]) == ("", "")
    assert float(flagged["q10"]) > 0
    said = found.stderr.splitlines()
    assert said[0] == "s 2026-01 as of 2026-01-13: not enough history: 13 of 14 days"
    assert "short history (20 days)" in said[1]
    assert "s 2025-06" in said[2]


@pytest.mark.parametrize(
    "value",
    [
        lambda i: 0,
        lambda i: 10**20 if i == 50 else 3,
        lambda i: 1 if i < 50 else 100,
        lambda i: 5 if i == 0 else 0,
        lambda i: "0.000000001",
    ],
    ids=["all zeros", "one giant spike", "a shift of 100x", "one use", "tiny"],
)
def test_an_odd_history_gets_finite_ordered_figures(tmp_path, value):
    tasks = [f"s,2026-03-01,2026-{m:02d},x" for m in (2, 3, 4, 6)]
    for row in rows(projected(tmp_path, {"s": daily(60, value=value)}, tasks)):
        figures = [float(row[q]) for q in ("q10", "q50", "q90")]
        assert 0 <= figures[0] <= figures[1] <= figures[2] < 10**24


def test_holes_and_an_as_of_after_the_data_are_projected_and_said(tmp_path):
    days = daily(60)
    del days["2026-02-10"]
    found = projected(tmp_path, {"s": days}, ["s,2026-02-20,2026-02,x", "s,2026-03-20,2026-03,x"])
    assert all(float(r["q50"]) > 0 for r in rows(found))
    assert found.stderr.count("days are missing") == 2
    assert found.stderr.endswith("; the newest day is 2026-03-01, 19 before the as-of\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("s,2026-01-02,7", "daily.csv line 16: s: 2026-01-02 is there twice"),
        ("s,2026-02-30,7", "daily.csv line 16: s: '2026-02-30' is not a day"),
        ("s,2026-02-03,-7", "daily.csv line 16: s: -7 is negative"),
        ("s,2026-02-03,seven", "daily.csv line 16: s: 'seven' is not a number"),
        ("s,2026-02-03,NaN", "daily.csv line 16: s: 'NaN' is not a number"),
        ("s,2026-02-03,1e400", "daily.csv line 16: s: 1e400 is too large"),
        ("s,2026-02-03", "daily.csv line 16: s: '' is not a number"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_name_and_line(tmp_path, line, said):
    lines = [f"s,{day},{value}" for day, value in daily(14).items()]
    found = projected(tmp_path, [*lines, line], ["s,2026-01-14,2026-01,x"])
    assert isinstance(found.exception, ConfigError)
    assert found.exception.exit_code == 2
    assert found.exception.problems == [said]
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("t,2026-01-14,2026-01", "tasks.csv line 2: t: no such series in the input"),
        ("s,soon,2026-01", "tasks.csv line 2: s: 'soon' is not a day"),
        ("s,2026-01-14,2026-13", "tasks.csv line 2: s: '2026-13' is not a month"),
        ("s,2026-01-20,2026-05", "2026-05 is more than 3 months after 2026-01"),
    ],
)
def test_a_task_that_cannot_be_answered_is_refused_by_line(tmp_path, task, said):
    found = projected(tmp_path, {"s": daily(20)}, [task])
    assert isinstance(found.exception, ConfigError)
    assert said in found.exception.problems[0]
    assert found.stdout == ""


def test_many_bad_rows_are_named_up_to_twenty(tmp_path):
    found = projected(tmp_path, [f"s,2026-01-01,-{i}" for i in range(1, 51)], [])
    assert len(found.exception.problems) == 21
    assert found.exception.problems[-1] == "and 30 more"


def test_unusable_files_and_options_are_refused(tmp_path):
    for words, said in [
        (["--input", "none.csv"], "--input and --tasks belong together"),
        (["--input", "none.csv", "--tasks", "none.csv"], "none.csv cannot be read"),
        (["--input", "a", "--tasks", "b", "--month", "2026-01"], "are for the database"),
    ]:
        found = CliRunner().invoke(app, ["project", *words])
        assert isinstance(found.exception, InputError)
        assert said in found.exception.message
    found = projected(tmp_path, {"s": daily(20)}, [], header="series,day,value")
    assert "has no column date" in found.exception.message


def test_json_says_method_and_flags_too(tmp_path):
    found = projected(tmp_path, {"s": daily(20)}, ["s,2026-01-20,2026-01,x"], "--format", "json")
    (row,) = json.loads(found.stdout)
    assert (row["flags"], row["history_days"]) == ("short_history", 20)


def test_the_database_is_projected_by_workload_and_in_sum(database, tmp_path):
    with database.write() as conn:
        fill(conn)
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{database.url.render_as_string(hide_password=False)}"\n')

    def asked(*words):
        words = ("--config", str(config), "project", *words, "--format", "json")
        return CliRunner().invoke(app, words)

    every = json.loads(asked().stdout)
    assert {r["unit"] for r in every} == {"tokens", "requests", "usd"}
    names = sorted({r["workload"] for r in every} - {"all workloads"})[:2]
    some = json.loads(asked("--workload", names[0], "--workload", names[-1]).stdout)
    assert len(some) == 9 if len(names) > 1 else 3
    assert len(json.loads(asked("--workload", names[0], "--workload", names[0]).stdout)) == 3
    started = perf_counter()
    late = json.loads(asked("--as-of", "9998-12-31").stdout)
    assert len(late) == len(every)
    assert perf_counter() - started < 5
    assert isinstance(asked("--workload", "nobody").exception, InputError)


def scorer():
    path = needs.shared("tools/forecast_score.py")
    spec = importlib.util.spec_from_file_location("forecast_score", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["forecast_score"] = module
    spec.loader.exec_module(module)
    return module


LIMITS = {
    "d03": 12.5,
    "d07": 11.5,
    "d10": 10.2,
    "d14": 7.7,
    "d21": 4.5,
    "next": 15.5,
    "plus3": 27.0,
}


@pytest.mark.proof
def test_public_series_are_projected_within_the_limits_and_calibrated(tmp_path):
    judge = scorer()
    series = judge.load(needs.shared("data/forecast_dev.csv"))
    most = 12 if FULL else 2
    tasks = [
        f"{name},{asof},{month}"
        for name, (start, values) in series.items()
        for asof, month, _ in judge.tasks_for(start, values, most)
    ]
    (tmp_path / "tasks.csv").write_text("\n".join(["series,asof,month", *tasks]) + "\n")
    files = ("--input", needs.shared("data/forecast_dev.csv"), "--tasks", tmp_path / "tasks.csv")
    found = CliRunner().invoke(app, ["project", *map(str, files), "--format", "csv"])
    assert len(rows(found)) == len(tasks)
    (tmp_path / "p.csv").write_text(found.stdout)
    scored = judge.score(series, judge.read_preds(Path(tmp_path / "p.csv")), most)
    assert (scored["missing"], scored["disordered"]) == (0, 0)
    horizons = scored["horizons"]
    inside = sum(h["cover"] * h["n"] for h in horizons.values())
    assert 0.75 <= inside / sum(h["n"] for h in horizons.values()) <= 0.85
    if FULL:
        worse = {h: s for h, s in horizons.items() if 100 * s["pinball"] > LIMITS[h]}
        assert not worse
