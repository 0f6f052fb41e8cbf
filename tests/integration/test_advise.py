"""`crossover advise` as people call it: the committed cases, wrong ones, and stored advice."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import InputError, ScenarioError
from tests import seeded

CASES = Path(__file__).parents[2] / "docs" / "examples" / "cases"


def crossover(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def advised(case):
    return json.loads(crossover("advise", "--case", case, "--format", "json").stdout)


def ids(reasons):
    return [reason["id"] for reason in reasons]


@pytest.mark.proof
def test_the_hospital_self_hosts_with_its_reasons_and_the_monthly_price_of_the_constraint():
    found = advised(CASES / "hospital.toml")
    assert (found["kind"], found["share"]) == ("self_host", "1")
    assert ids(found["reasons"]) == [
        "gate.data.closed",
        "control.needs_weights",
        "constraint.cost",
    ]
    assert found["figures"]["constraint_usd_per_month"] == "24240.00"
    assert found["open_questions"] == found["conditions"] == []


@pytest.mark.proof
def test_the_first_product_stays_on_the_api():
    found = advised(CASES / "mvp.toml")
    assert (found["kind"], found["share"]) == ("stay", "0")
    assert ids(found["reasons"]) == ["capability.frontier", "gate.team.none", "time.too_soon"]
    assert found["orders"]["b"]["reason"] == "money.below_crossing"


@pytest.mark.proof
def test_the_mixed_workload_is_a_hybrid_whose_api_bill_falls_by_the_share_and_total_by_less():
    found = advised(CASES / "mixed.toml")
    assert (found["kind"], found["share"]) == ("hybrid", "0.7")
    assert found["tasks"] == ["routing", "fields"]
    shares = {row["share"]: row for row in found["hybrid"]["shares"]}
    assert [shares[s]["api_falls"] for s in ("0.6", "0.7", "0.8")] == ["0.6", "0.7", "0.8"]
    assert [shares[s]["saves_usd_per_month"] for s in ("0.6", "0.7", "0.8")] == [
        "1320.00",
        "6180.00",
        "11040.00",
    ]
    shown = crossover("advise", "--case", CASES / "mixed.toml").stdout
    assert "share 0.7 moved" in shown
    assert "API bill falls 70%" in shown


def test_a_scenario_without_gates_is_a_case_with_four_open_questions():
    found = advised(CASES.parent / "f14-flat.toml")
    assert found["kind"] == "pilot"
    assert found["would_be"]["kind"] == "self_host"
    assert len(found["open_questions"]) == 4


def test_csv_has_a_row_for_each_value():
    shown = crossover("advise", "--case", CASES / "mvp.toml", "--format", "csv").stdout
    rows = dict(line.split(",", 1) for line in shown.splitlines()[:6])
    assert (rows["key"], rows["workload"], rows["kind"]) == ("value", "mvp", "stay")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("requests_per_month = 50000", "requests_per_month = -1"), "workload.requests_per_month"),
        (('team = "none"', 'team = "few"'), "gates.team.answer"),
        (("as_of = 2026-11-24", "as_of = 5"), "facts.as_of"),
    ],
)
def test_a_wrong_case_is_refused_by_its_key_and_prints_nothing(tmp_path, change, problem):
    path = tmp_path / "case.toml"
    path.write_text((CASES / "mvp.toml").read_text().replace(*change))
    with pytest.raises(ScenarioError, match=problem) as refused:
        crossover("advise", "--case", path)
    assert refused.value.exit_code == 2


def test_a_file_or_a_workload_is_needed_and_not_both():
    for words in ((), ("--case", "x.toml", "--workload", "y")):
        with pytest.raises(InputError, match="either --case or --workload"):
            crossover("advise", *words)


@pytest.fixture
def filled(database, tmp_path):
    with database.write() as conn:
        seeded.fill(conn, decided=False)
        conn.execute(text("UPDATE workload SET gates = '{}' WHERE name = 'search'"))
        seeded.decide_days(conn, 4)
    url = database.url.render_as_string(hide_password=False)
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{url}"\n')
    return config


def test_stored_advice_is_the_whole_recommendation_of_the_newest_day(filled):
    words = ("--config", filled, "advise", "--workload", "support-bot", "--format")
    (found,) = json.loads(crossover(*words, "json").stdout)
    assert (found["deployment"], found["kind"]) == ("own-h100", "self_host")
    assert found["reason"] == "money.above_crossing"
    assert {"people", "services"}.isdisjoint(found["assumed_zero"])
    assert "It was advised before, and still saves" in found["text"]
    assert re.fullmatch(r"2026-11-\d\d", found["since"])
    shown = crossover(*words, "table").stdout
    assert f"support-bot: self host, on own-h100, since {found['since']}" in shown
    assert "do not repay" in " ".join(shown.split())
    with pytest.raises(InputError, match="no advice on a workload 'nobody'"):
        crossover("--config", filled, "advise", "--workload", "nobody")


def test_unanswered_gates_make_the_daily_advice_a_pilot_at_most(filled):
    (found,) = json.loads(
        crossover("--config", filled, "advise", "--workload", "search", "--format", "json").stdout
    )
    assert found["kind"] in {"pilot", "stay"}
    assert len(found["open_questions"]) == 4
