"""`crossover backtest` on files and on the database, and the regret it shows on real series."""

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
import time_machine
from click.testing import Result
from typer.testing import CliRunner

from benchmarks import backtest as bench
from monitor.cli import app, main
from monitor.domain import backtest
from monitor.domain.errors import InputError
from monitor.domain.scenario import parse_scenario
from monitor.domain.switching import Move
from monitor.jobs.backtest import past
from tests import needs, seeded
from tests.conftest import FULL

SCENARIO = """[workload]
name = "bot"
requests_per_month = 1
input_tokens = 350
output_tokens = 150
[api]
input_usd_per_million = 30
output_usd_per_million = 30
[deployment]
gpus_per_replica = 4
gpu_usd_per_month = 34000
[migration]
setup_usd = 40000
lead_days = 10
dual_running_months = 1
exit_usd = 15000
exit_lead_days = 7
"""


@pytest.fixture
def crossover(capsys, monkeypatch):
    """The command in this process: exit code, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["crossover", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def files(tmp_path):
    """Half a year far above the crossing, then half a year of nearly nothing."""
    loads = np.concatenate([np.full(180, 150_000), np.full(180, 4_000)])
    rows = [f"{date(2025, 1, 1) + timedelta(i)},{load:.0f}\n" for i, load in enumerate(loads)]
    (tmp_path / "days.csv").write_text("date,requests\n" + "".join(rows))
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    return tmp_path


def words(files):
    return "backtest", "--daily", files / "days.csv", "--scenario", files / "scenario.toml"


def test_a_file_is_replayed_and_its_costs_add_up(crossover, files):
    code, out, err = crossover(*words(files), "--format", "json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert list(figures) == ["events", "costs", "regret"]
    assert [event["advice"] for event in figures["events"]] == ["self_host", "api"]
    daily = backtest.read_daily((files / "days.csv").read_text())
    moves = [
        Move((date.fromisoformat(event["date"]) - daily.start).days, event["advice"])
        for event in figures["events"]
    ]
    days = backtest.price_days(daily, parse_scenario(SCENARIO))
    followed = Fraction(backtest.cost(days, moves), days.scale)
    assert figures["costs"]["followed_usd"] == f"{float(followed):.2f}"
    least = Fraction(backtest.cheapest(days), days.scale)
    assert figures["regret"] == float(round(followed / least - 1, 6))


def test_the_three_forms_tell_the_same(crossover, files):
    figures = json.loads(crossover(*words(files), "--format", "json")[1])
    rows = csv.DictReader(io.StringIO(crossover(*words(files), "--format", "csv")[1]))
    cells = {row["figure"]: row["value"] for row in rows}
    for i, event in enumerate(figures["events"]):
        assert cells[f"events.{i}"] == f"{event['date']} {event['advice']}"
    assert cells["costs.hindsight_usd"] == figures["costs"]["hindsight_usd"]
    assert cells["regret"] == str(figures["regret"])
    table = crossover(*words(files))[1]
    assert f"{float(figures['costs']['followed_usd']):,.2f}" in table
    assert "move to own service" in table
    assert f"regret {figures['regret']:.2%}" in table


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("scenario.toml", "= 34000", "= -1", "deployment.gpu_usd_per_month = -1 must be at least"),
        ("scenario.toml", "lead_days = 10", "lead = 10", "migration.lead = 10 is an unknown key"),
        ("days.csv", "2025-01-05,", "2025-01-06,", "line 6: 2025-01-06 does not follow"),
        ("days.csv", "2025-01-05,150000", "2025-01-05,many", "line 6: 'many' is not a whole"),
    ],
)
def test_a_refusal_names_the_key_or_the_line(crossover, files, name, old, new, said):
    path = files / name
    path.write_text(path.read_text().replace(old, new, 1))
    for form in ("json", "csv", "table"):
        code, out, err = crossover(*words(files), "--format", form)
        assert (code, out) == (2, "")
        assert said in err
        assert str(path) in err


def test_files_that_cannot_be_read_and_options_that_do_not_fit_are_refused(crossover, files):
    (files / "days.csv").write_bytes(b"date,requests\n\xff")
    assert crossover(*words(files))[0] == 2
    (files / "days.csv").unlink()
    code, out, err = crossover(*words(files))
    assert (code, out) == (2, "")
    assert "days.csv cannot be read: No such file or directory" in err
    for options in ((), words(files)[1:3], (*words(files)[1:], "--workload", "bot")):
        code, out, err = crossover("backtest", *options)
        assert (code, out) == (2, "")
        assert "--workload" in err


def on_database(database, tmp_path, *options) -> Result:
    url = database.url.render_as_string(hide_password=False)
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{url}"\n')
    with time_machine.travel(datetime.fromtimestamp(seeded.DUE, UTC), tick=False):
        return CliRunner().invoke(app, ["--config", str(config), "backtest", *options])


def test_a_workload_of_the_database_is_replayed_on_its_deployment(database, tmp_path):
    with database.write() as conn:
        seeded.fill(conn, decided=False)
    with database.read() as conn:
        found = past(conn, "support-bot", "", ["openai"], seeded.DUE)
        with pytest.raises(InputError, match="no workload named 'bot'"):
            past(conn, "bot", "", ["openai"], seeded.DUE)
        with pytest.raises(InputError, match="no deployment of support-bot named 'x'"):
            past(conn, "support-bot", "x", ["openai"], seeded.DUE)
        with pytest.raises(InputError, match=r"none is named. Name one of: none is configured"):
            past(conn, "code-review", "", ["openai"], seeded.DUE)
    assert (found.deployment, found.left_out) == ("own-h100", 0)
    days = (seeded.END - seeded.FIRST) // 86_400
    assert found.daily.date_of(0) == date(2026, 9, 20)
    assert len(found.daily.requests) == days
    assert min(found.daily.requests) > 0
    moves = backtest.advised(found.daily, found.scenario)
    result = backtest.replay(backtest.price_days(found.daily, found.scenario), moves)
    shown = on_database(database, tmp_path, "--workload", "support-bot", "--format", "json")
    assert json.loads(shown.stdout) == backtest.to_json(found.daily, moves, result)
    assert "support-bot on own-h100" in shown.stderr


def test_the_fast_cost_of_the_benchmark_is_the_exact_one():
    daily = backtest.Daily(date(2025, 1, 20), [60_000 + 997 * i % 50_000 for i in range(150)])
    days = backtest.price_days(daily, parse_scenario(SCENARIO))
    fast = bench.Fast(days)
    for moves in ([], [(0, 1)], [(3, 1), (20, 0)], [(3, 1), (90, 0), (98, 1)], [(149, 1)]):
        decided = [Move(day, ("api", "self_host")[to]) for day, to in moves]
        exact = backtest.cost(days, decided) / days.scale
        assert fast.cost(decided) == pytest.approx(exact, rel=1e-12)


@pytest.mark.proof
def test_advice_on_real_series_regrets_less_than_the_rules_people_use():
    script = bench.load(needs.shared("tools/decision_cases.py"))
    data = needs.shared("data/forecast_dev.csv")
    cases = bench.make_cases(script, data, 1 if FULL else 50)
    rules, ms = bench.run(cases, script.SCENARIOS, 2 if FULL else 1)
    scores = {name: bench.score(found, cases) for name, found in rules.items()}
    ours = scores["crossover"]
    assert ms < 3
    assert ours.worst <= 120
    for rule in ("never switch", "switch on day 1, never return", "run-rate of the month, daily"):
        assert ours.mean < scores[rule].mean
    if FULL:
        for rule in ("last 30 days over / under", "payback under 6 months"):
            assert ours.mean < scores[rule].mean
        assert ours.median <= 3.5
        assert ours.mean <= 7.0
        assert ours.p90 <= 18.5
        assert ours.false_share <= 0.05
        assert ours.moves_below <= 0.1
        assert ours.switches_a_year <= 0.5
        most = dict(zip(bench.SHAPES, (8, 13, 11, 8, 2.5, 3.5), strict=True))
        assert [s for s in bench.SHAPES if ours.by_shape[s] > most[s]] == []
