"""Ranges and what-ifs of a live workload: stored by the daily decision, printed by the command."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.breakeven import assess, to_json
from monitor.domain.errors import InputError
from monitor.domain.scenario import from_document
from monitor.storage.engine import Database
from tests import seeded
from tests.cli import crossover

GROWING = "docs/examples/f11-growing-fleet.toml"


@pytest.fixture(scope="module")
def decided(sqlite_template, tmp_path_factory):
    """A configuration whose database has one day's assessments."""
    folder = tmp_path_factory.mktemp("ranged")
    (folder / "crossover.db").write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{folder}/crossover.db"
    database = Database(url)
    with database.write() as conn:
        seeded.fill(conn, decided=False)
        seeded.decide_days(conn, 1, seeded.policy("platform@acme.example"))
    database.close()
    (folder / "crossover.toml").write_text(f'[database]\nurl = "{url}"\n')
    return folder / "crossover.toml"


def call(config, *words):
    return CliRunner().invoke(app, ["--config", str(config), "breakeven", *words])


def computed(config, *words):
    done = call(config, *words, "--format", "json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_median_assessment_stores_its_ranges_and_the_view_shows_them(database):
    with database.write() as conn:
        seeded.fill(conn, decided=False)
        seeded.decide_days(conn, 1, seeded.policy("platform@acme.example"))
    with database.read() as conn:
        rows = conn.execute(text("SELECT * FROM v_assessment")).mappings().all()
    for row in rows:
        if row["volume"] != "q50":
            assert (row["ranges"], row["probability"], row["savings_q10_usd"]) == ("", None, None)
            continue
        told = json.loads(row["ranges"])["ranges"]
        assert float(row["probability"]) == told["probability_cheaper"]
        assert Decimal(str(row["savings_q10_usd"])) == Decimal(told["savings_usd_per_month"]["q10"])
        assert row["savings_q10_usd"] <= row["savings_usd"] <= row["savings_q90_usd"]
        assert told["requests_per_month"]["q50"] == row["requests"]


def test_a_live_workload_is_computed_as_it_was_stored(decided):
    figures = computed(decided, "--workload", "support-bot")
    database = Database(f"sqlite:///{decided.parent}/crossover.db")
    with database.read() as conn:
        sql = "SELECT scenario, ranges FROM v_assessment WHERE workload = 'support-bot'"
        row = conn.execute(text(f"{sql} AND volume = 'q50'")).one()
    database.close()
    exact = to_json(assess(from_document(json.loads(row.scenario))))
    assert {name: figures[name] for name in exact} == exact
    assert {name: figures[name] for name in ("ranges", "flips")} == json.loads(row.ranges)
    assert figures["deployment"] == "own-h100"


def test_what_if_shows_before_and_after_with_their_difference(decided):
    words = ("--workload", "support-bot", "--what-if", "gpu_price=-20%", "volume=2x")
    figures = computed(decided, *words)
    told = figures["what_if"]
    assert [c["key"] for c in told["changes"]] == [
        "workload.requests_per_month",
        "deployment.usd_per_gpu_hour",
    ]
    assert told["after"]["requests_per_month"] == 2 * figures["requests_per_month"]
    for name in ("api_usd_per_month", "savings_usd_per_month"):
        before, after = Decimal(figures[name]), Decimal(told["after"][name])
        assert Decimal(told["difference"][name]) == after - before
    assert (
        told["after"]["ranges"]["probability_cheaper"] >= figures["ranges"]["probability_cheaper"]
    )
    before, after = (d["ranges"]["requests_per_month"] for d in (figures, told["after"]))
    assert after["q90"] == pytest.approx(2 * before["q90"], rel=1e-6)
    table = call(decided, *words).stdout
    assert "before" in table
    assert "chance that own service is cheaper" in table


def test_a_difference_of_huge_amounts_is_exact_to_the_cent(tmp_path):
    text = Path(GROWING).read_text().replace("input_tokens = 394.88", "input_tokens = 1e30")
    (tmp_path / "huge.toml").write_text(text)
    words = (
        "--scenario",
        str(tmp_path / "huge.toml"),
        "--what-if",
        "volume=2x",
        "--format",
        "json",
    )
    figures = json.loads(CliRunner().invoke(app, ["breakeven", *words]).stdout)
    before, after = (
        Fraction(d["api_usd_per_month"]) for d in (figures, figures["what_if"]["after"])
    )
    difference = figures["what_if"]["difference"]["api_usd_per_month"]
    assert Fraction(difference) == after - before
    assert "E" not in difference


def test_a_workload_without_an_assessment_is_refused_with_the_names_known(decided):
    done = crossover("--config", decided, "breakeven", "--workload", "chatbot")
    assert done.code == 2
    assert "chatbot has no assessment" in done.err
    assert "search" in done.err
    assert "support-bot" in done.err
    wrong = call(decided, "--workload", "search", "--deployment", "moon")
    assert "own-h100-search" in str(wrong.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "either a scenario or a workload"),
        (("--scenario", GROWING, "--workload", "x"), "either a scenario or a workload"),
        (("--scenario", GROWING, "--deployment", "x"), "belongs to --workload"),
        (("--scenario", GROWING, "volume=2x"), "--what-if before"),
        (("--scenario", GROWING, "--what-if", "gpu=1"), "unknown input"),
    ],
)
def test_contradicting_options_are_refused(words, said):
    done = CliRunner().invoke(app, ["breakeven", *words])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert done.stdout == ""


def test_without_the_new_options_a_scenario_prints_the_exact_figures_alone():
    from monitor.domain.scenario import parse_scenario

    exact = to_json(assess(parse_scenario(Path(GROWING).read_text())))
    done = CliRunner().invoke(app, ["breakeven", "--scenario", GROWING, "--format", "json"])
    assert done.stdout == json.dumps(exact, indent=2) + "\n"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_ranges_of_a_scenario_are_printed_in_every_format(form):
    words = ["--scenario", GROWING, "--ranges", "--what-if", "people=-50%", "--format", form]
    first, again = (CliRunner().invoke(app, ["breakeven", *words]) for _ in range(2))
    assert first.exit_code == 0
    assert first.stdout == again.stdout
    assert "NaN" not in first.stdout
    needed = {"table": "What changes the answer", "csv": "ranges.savings_usd_per_month.q10"}
    assert needed.get(form, '"never_pays_back"') in first.stdout
