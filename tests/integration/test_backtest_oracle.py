"""`crossover backtest` against `tests.replay_oracle`, and against itself on a file cut short.

Scenarios are random; the files of days wander between volumes at which the API is cheaper and
volumes at which own service is, so that there are decisions to price.
"""

import json
from datetime import date, timedelta
from fractions import Fraction
from random import Random

import pytest

from tests import random_scenarios
from tests.cli import crossover
from tests.conftest import FULL
from tests.oracle import MONTH_DAYS, Oracle
from tests.replay_oracle import Replayed

CASES = 200 if FULL else 18
DAYS = [1, 2, 6, 7, 8, 40, 70, 120, 240]


def random_case(seed):
    """The text of a scenario, and the requests of some days."""
    rng = Random(seed)
    text = random_scenarios.few_steps(rng) if seed % 3 == 0 else _soon(rng)
    scenario = Oracle(text)
    volumes = [Fraction(10) ** k * m for k in range(13) for m in (1, 3)]
    dearer = [n for n in volumes if scenario.gap(n) > 0] or volumes
    cheaper = [n for n in volumes if scenario.gap(n) < 0] or volumes
    level, requests = rng.choice(cheaper), []
    for _ in range(DAYS[seed % len(DAYS)]):
        if rng.random() < 0.05:
            level = rng.choice(rng.choice([dearer, cheaper]))
        burst = rng.choice([0, 100]) if rng.random() < 0.02 else 1
        requests.append(int(level / MONTH_DAYS * burst * Fraction(rng.uniform(0.5, 1.5))))
    start = date(rng.choice([1, 2023, 2024]), rng.randint(1, 12), rng.randint(1, 28))
    return text, [(start + timedelta(i), count) for i, count in enumerate(requests)]


def _soon(rng):
    """A random scenario in which a decision costs little and takes effect soon."""
    text, *_ = random_scenarios.any_shape(rng).partition("[migration]")
    migration = {
        "setup_usd": rng.choice(["0", "100", "2000.5"]),
        "lead_days": rng.choice(["0", "1", "5", "12"]),
        "dual_running_months": rng.choice(["0", "0.05", "0.25", "1"]),
        "exit_usd": rng.choice(["0", "50.25", "1000"]),
        "exit_lead_days": rng.choice(["0", "1", "4", "9"]),
    }
    return text + random_scenarios.text({"migration": migration})


def replayed(folder, text, days):
    (folder / "scenario.toml").write_text(text)
    rows = "".join(f"{day.isoformat()},{count}\n" for day, count in days)
    (folder / "days.csv").write_text("date,requests\n" + rows)
    words = ("--daily", folder / "days.csv", "--scenario", folder / "scenario.toml")
    ended = crossover("backtest", *words, "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def events_of(document, days):
    place = {day.isoformat(): i for i, (day, _) in enumerate(days)}
    return [(place[event["date"]], event["advice"]) for event in document["events"]]


@pytest.mark.proof
def test_every_cost_is_that_of_a_recomputation_from_the_events(tmp_path):
    decided = []
    for seed in range(CASES):
        text, days = random_case(seed)
        document = replayed(tmp_path, text, days)
        oracle, events = Replayed(Oracle(text), days), events_of(document, days)
        expected = oracle.document(events)
        assert document["costs"] == expected["costs"], seed
        # A regret beyond what a double holds to six places is printed as a whole number.
        regret = expected["regret"]  # None: the cheapest sequence costs nothing
        told = regret if regret is None else pytest.approx(regret, rel=1e-15, abs=0)
        assert document["regret"] == told, seed
        if len(days) <= 8:
            assert oracle.hindsight() == oracle.cheapest_of_all(), seed
        decided += [advice for _, advice in events]
    assert decided.count("self_host") >= CASES / 6
    assert decided.count("api") >= CASES / 30


@pytest.mark.proof
def test_a_file_cut_short_brings_the_same_decisions_until_then(tmp_path):
    cut_short = 0
    for seed in (7, 8, 16, 17, 25, 26) if FULL else (7, 17):
        text, days = random_case(seed)
        whole = replayed(tmp_path, text, days)["events"]
        for end in {len(days) // 3, len(days) // 2, *(day + 1 for day, _ in _events(whole, days))}:
            known = [e for e in whole if e["date"] <= days[end - 1][0].isoformat()]
            assert replayed(tmp_path, text, days[:end])["events"] == known, (seed, end)
            cut_short += bool(known)
    assert cut_short


def _events(events, days):
    return events_of({"events": events}, days)
