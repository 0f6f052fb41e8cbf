"""Figures: both engines, one statement, one value; unknown stays unknown."""

import re
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text

from monitor.domain.errors import InputError
from monitor.domain.usage import DAY
from monitor.storage import figures, rollup, views
from monitor.storage.figure_sql import CATALOGUE, FINANCE_CELLS
from tests import seeded

PARAMS = figures.period(seeded.END)
NAMED = {"workload": "support-bot", "deployment": "own-h100", "account": "acme"}
NAMED |= {"budget": "models", "cost_centre": "no cost centre", "label": "untagged"}
NAMED |= {"owner": "ann@acme.example", "currency": "EUR", "cause": "unexplained"}
SCALARS = [name for name, spec in CATALOGUE.items() if not spec.columns]
TABLES = [name for name, spec in CATALOGUE.items() if spec.columns]


@pytest.fixture
def filled(database):
    with database.write() as conn:
        seeded.fill(conn)
    with database.read() as conn:
        yield conn


def test_a_period_is_a_week_its_month_and_the_same_days_of_the_month_before():
    assert PARAMS == {
        "month": "2026-11",
        "as_of": "2026-11-23",
        "week_first": "2026-11-16",
        "week_before": "2026-11-09",
        "weeks_first": "2026-05-25",
        "month_first": "2026-11-01",
        "year_first": "2026-01-01",
        "before_first": "2026-10-01",
        "before_same_day": "2026-10-23",
        "told_from": "2026-11-17",
        "told_until": "2026-11-24",
    }


def test_a_longer_month_is_compared_with_the_whole_of_a_shorter_one():
    march_31 = figures.period(seeded.END + 129 * DAY)
    assert march_31["as_of"] == "2027-04-01"
    assert march_31["before_first"] == "2027-02-01"
    assert march_31["before_same_day"] == "2027-03-01"


def test_every_statement_reads_public_views_alone():
    for name, spec in CATALOGUE.items():
        words = spec.sql.replace("(", " ").replace(")", " ").split()
        read = {words[n + 1] for n, word in enumerate(words) if word in ("FROM", "JOIN")}
        named = set(re.findall(r"(\w+) AS (?:MATERIALIZED )?\(\s*SELECT", spec.sql))
        assert not named & set(views.public_names()), name
        assert read - named - {"SELECT", "WITH"} <= set(views.public_names()), name


@pytest.mark.parametrize("name", SCALARS)
def test_every_figure_can_be_read_while_there_is_nothing(name, sqlite_empty):
    found = figures.read(sqlite_empty, name, **PARAMS, **NAMED)
    assert found.value in (None, 0)
    assert found.value is None or CATALOGUE[name].unit == "count"


@pytest.fixture(scope="module")
def sqlite_empty(sqlite_template):
    from monitor.storage.engine import Database

    opened = Database(f"sqlite:///{sqlite_template}")
    with opened.read() as conn:
        yield conn
    opened.close()


def test_every_table_is_empty_while_there_is_nothing(sqlite_empty):
    for name in TABLES:
        assert figures.rows(sqlite_empty, name, **PARAMS, **NAMED).rows == []


def test_the_figures_are_those_of_the_seeded_weeks(filled):
    """Counted anew from the usage that was written, without SQL."""
    spent = sum(
        seeded._bill(day).amount_pico
        for day in range(seeded.END - 22 * DAY, seeded.END - 3 * DAY, DAY)
    )
    estimated = sum(
        seeded._bill(day).amount_pico - 2 * 10**12
        for day in range(seeded.END - 3 * DAY, seeded.END, DAY)
    )
    value = read(filled, "spend.month_to_date")
    assert value == Decimal(spent + estimated).scaleb(-12)
    assert read(filled, "spend.month_to_date.billed_share") == round(
        Decimal(100 * spent) / (spent + estimated), 2
    )
    assert read(filled, "spend.outside_workloads") == 38
    assert read(filled, "unpriced.tokens") == 1100
    assert read(filled, "gpu.utilisation") == 41
    assert read(filled, "gpu.count") == 2
    assert read(filled, "served.tokens") == 7 * 40_000_000 + 7 * 1000
    assert read(filled, "data.quarantined_rows") == 0
    before = read(filled, "spend.previous_month_same_day")
    assert read(filled, "spend.change_same_day") == round(100 * (value - before) / before, 2)


def read(conn, name):
    return figures.read(conn, name, **PARAMS).value


def test_the_days_after_the_week_change_nothing(filled, database):
    before = {name: figures.read(filled, name, **PARAMS, **NAMED).value for name in SCALARS}
    filled.rollback()
    with database.write() as conn:
        seeded.put_traffic(conn, seeded.END, seeded.END + 9 * DAY, seeded.END - 3 * DAY)
        seeded.refresh(conn)
    with database.read() as conn:
        after = {name: figures.read(conn, name, **PARAMS, **NAMED).value for name in SCALARS}
    # The bills that came in later settle days that were estimated until then.
    settled = {name for name in SCALARS if before[name] != after[name]}
    by_bill = ("spend.", "closing.", "bill.", "showback.year_to_date")
    assert all(name.startswith(by_bill) for name in settled)
    assert after["spend.month_to_date.billed_share"] == 100


def test_each_cell_is_the_figure_of_its_table(filled):
    pairs = {"workloads": "workload", "breakevens": "breakeven", **FINANCE_CELLS}
    for table, cell in pairs.items():
        keys = CATALOGUE[table].keys
        for row in figures.rows(filled, table, **PARAMS).rows:
            named = {key: str(row[key]) for key in keys}
            for column in set(row) - set(keys):
                found = figures.read(filled, f"{cell}.{column}", **PARAMS, **named)
                assert (found.value, found.unit) == (row[column], CATALOGUE[table].columns[column])


def test_both_engines_give_the_same_values(sqlite_url, postgres_url):
    assert everything(sqlite_url) == everything(postgres_url)


def everything(url):
    from monitor.storage.engine import Database

    opened = Database(url)
    with opened.write() as conn:
        seeded.fill(conn)
        scalars = {name: figures.read(conn, name, **PARAMS, **NAMED) for name in SCALARS}
        tables = {name: figures.rows(conn, name, **PARAMS, **NAMED) for name in TABLES}
    opened.close()
    return scalars, tables


def test_many_figures_at_once_are_what_each_is_alone(filled):
    many = figures.several(filled, SCALARS, **PARAMS, **NAMED)
    assert many == [figures.read(filled, name, **PARAMS, **NAMED) for name in SCALARS]
    assert figures.several(filled, []) == []
    with pytest.raises(InputError):
        figures.several(filled, ["spend.week", "spend.daily"], **PARAMS)


def test_a_figure_that_is_left_out_takes_no_other_along(filled, monkeypatch):
    real = figures._exact

    def but_days(value, unit):
        if unit == "day":
            raise ValueError("no day")
        return real(value, unit)

    def leniently(name, ask):
        try:
            return ask()
        except ValueError:
            return None

    monkeypatch.setattr(figures, "_exact", but_days)
    asked = ["spend.week", "spend.first_day", "projection.as_of", "spend.month_to_date"]
    found = figures.several(filled, asked, leniently, **PARAMS)
    assert [each.id for each in found] == ["spend.week", "spend.month_to_date"]


def test_the_days_of_workloads_add_up_to_their_month(filled):
    days = figures.rows(filled, "spend.by_workload", **PARAMS).rows
    assert {row["day"] for row in days} == {f"2026-11-{n:02d}" for n in range(1, 23)}
    for month in figures.rows(filled, "workloads", **PARAMS).rows:
        of = [row["usd"] for row in days if row["workload"] == month["workload"]]
        assert sum(of) == month["spend"]


def test_a_day_whose_tokens_all_lack_a_rate_has_no_amount(database):
    with database.write() as conn:
        seeded.apply_setup(conn)
        seeded.put_traffic(conn)
        rollup.refresh(conn, rollup.waiting(conn), lambda *_: None, seeded.RULES, seeded.END)
        rows = figures.rows(conn, "spend.by_workload", **PARAMS).rows
        weeks = figures.rows(conn, "unit_cost.weeks", **PARAMS).rows
    assert {row["usd"] for row in rows} == {None}
    assert all(row["unpriced_tokens"] for row in rows)
    assert {row["usd_per_million"] for row in weeks} == {None}


def test_a_week_runs_from_monday_to_sunday_and_its_cost_is_that_of_its_days(filled):
    rows = figures.rows(filled, "unit_cost.weeks", **PARAMS).rows
    mondays = [date.fromisoformat(str(row["week"])) for row in rows]
    assert [day.weekday() for day in mondays] == [0] * 10
    assert (mondays[0], mondays[-1]) == (date(2026, 9, 14), date(2026, 11, 16))
    usd, priced = filled.execute(
        text(
            "SELECT SUM(estimated_usd), SUM(tokens - unpriced_tokens) FROM v_workload_daily"
            " WHERE day >= '2026-11-16' AND day < '2026-11-23'"
        )
    ).one()
    assert rows[-1]["priced_tokens"] == priced
    found = Decimal(str(usd)) * 10**6 / Decimal(int(priced))
    assert abs(rows[-1]["usd_per_million"] - found) < Decimal("0.000002")


def test_own_engines_cost_what_the_closed_months_of_moved_workloads_say(filled, database):
    filled.rollback()
    with database.write() as conn:
        for workload, pico, tokens in ((1, 3 * 10**12, 10**6), (2, 10**12, 10**6), (3, None, None)):
            conn.execute(
                text(
                    "INSERT INTO after_move (workload_id, month, since, status, reason, days,"
                    " known_days, own_tokens, own_pico, api_requests, api_pico, unpriced_tokens,"
                    " direction, outlook, scenario, settled_at) VALUES (:w, '2026-10', :at,"
                    " 'measured', '', 31, 31, :tokens, :pico, 0, 0, 0, '', '', '', :at)"
                ),
                {"w": workload, "at": seeded.END - 10 * DAY, "pico": pico, "tokens": tokens},
            )
        (row,) = figures.rows(conn, "unit_cost.own_months", **PARAMS).rows
        early = figures.period(seeded.END - 14 * DAY)
        assert figures.rows(conn, "unit_cost.own_months", **early).rows == []
    assert row == {"month": "2026-10", "tokens": 2 * 10**6, "usd_per_million": Decimal(2)}


def test_an_hour_is_the_mean_of_its_servers_measured_minutes(filled):
    rows = figures.rows(filled, "gpu.hourly", **PARAMS).rows
    assert len(rows) == 168
    assert {(row["host"], row["utilisation"]) for row in rows} == {("gpu-1", Decimal(41))}
    assert rows[0]["hour"] == "2026-11-16T00:00:00Z"


def test_a_month_that_was_not_read_from_its_first_day_is_no_comparison(database):
    with database.write() as conn:
        seeded.apply_setup(conn)
        seeded.put_traffic(conn, seeded.END - 50 * DAY)
        seeded.refresh(conn)
        assert read(conn, "spend.first_day") == "2026-10-04"
        for name in ("previous_month_same_day", "change_same_day", "previous_month"):
            assert read(conn, f"spend.{name}") is None
        rows = figures.rows(conn, "workloads", **PARAMS).rows
        assert [row["change"] for row in rows] == [None] * 4


def test_an_unknown_id_names_the_nearest_and_a_missing_parameter_its_option(sqlite_empty):
    with pytest.raises(InputError, match=r"Did you mean spend\.month_to_date\?"):
        figures.read(sqlite_empty, "spend.month_to_dat", **PARAMS)
    with pytest.raises(InputError, match=r"needs workload.*Add --workload"):
        figures.read(sqlite_empty, "workload.spend", **PARAMS)
    with pytest.raises(InputError, match="is a table"):
        figures.read(sqlite_empty, "workloads", **PARAMS)
    with pytest.raises(InputError, match="is one value"):
        figures.rows(sqlite_empty, "spend.week", **PARAMS)


def test_the_unit_cost_divides_by_every_priced_token_cached_ones_too(filled):
    """Dividing by uncached input alone once showed a thousand dollars per million."""
    spent, tokens = filled.execute(
        text(
            "SELECT SUM(d.estimated_pico / 1000000), SUM(COALESCE(d.uncached_input, 0)"
            " + COALESCE(d.cache_read, 0) + COALESCE(d.output, 0)) FROM usage_day d"
            " WHERE d.rate_id <> 0 AND d.day >= :first AND d.day < :end"
        ),
        {"first": seeded.day_bounds("2026-11-01")[0], "end": seeded.END},
    ).one()
    found = figures.read(filled, "unit_cost.api", **PARAMS).value

    assert abs(found - Decimal(int(spent)) / Decimal(int(tokens))) < Decimal("0.000002")
