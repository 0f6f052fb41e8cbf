"""`crossover breakeven`, from a file's text to the printed document, against an oracle.

The oracle in tests/oracle.py is written from the model's definition and imports nothing of ours.
"""

import contextlib
import io
import json
import sys
from decimal import Decimal
from random import Random
from unittest.mock import patch

import pytest

from monitor.cli import app
from tests import random_scenarios
from tests.cli import crossover
from tests.conftest import FULL
from tests.oracle import LIMIT, Oracle

SCENARIOS = 500 if FULL else 25
STEPS = 3_000


def computed(path):
    """What the command prints, as the interpreter's own process runs it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        app(["breakeven", "--scenario", str(path), "--format", "json"], standalone_mode=False)
    return out.getvalue()


def told(printed):
    """The document with its ratios as decimals of six places: a double holds no more of them."""
    document = json.loads(printed, parse_float=Decimal)
    for key in ("utilisation", "payback_months"):
        if document[key] is not None:
            document[key] = float(document[key])
    return document


def expected(oracle):
    document = oracle.document()
    for key in ("utilisation", "payback_months"):
        if document[key] is not None:
            document[key] = float(document[key])
    return document


def check(path, text, oracle):
    path.write_text(text)
    printed = told(computed(path))
    wanted = expected(oracle)
    assert {key: printed[key] for key in wanted} == wanted, text
    return wanted


@pytest.mark.proof
def test_five_hundred_random_scenarios_print_what_the_oracle_computes(tmp_path):
    found = []
    for seed in range(SCENARIOS):
        text = random_scenarios.few_steps(Random(seed))
        oracle = Oracle(text)
        assert oracle.steps() <= STEPS, text
        found.append(check(tmp_path / "random.toml", text, oracle))
    # The scenarios must not all be of one kind.
    reasons = {one["crossing"]["reason"] for one in found}
    assert reasons == {None, "nothing_moved", "marginal_cost", "fixed_cost"}
    assert {one["verdict"] for one in found} == {"api", "hybrid", "self_host"}
    assert any(one["cheaper_regions_cut"] for one in found)
    assert any(2 < len(one["cheaper_regions"]) <= 100 for one in found)
    assert any((one["crossing"]["requests_per_month"] or 0) > 0 for one in found)
    assert any(one["payback_months"] for one in found)
    assert any(one["servers"] is None for one in found)
    assert any(one["servers"] for one in found)


@pytest.mark.proof
def test_regions_and_crossing_hold_where_the_fleet_grows_in_steps_beyond_counting(tmp_path):
    path = tmp_path / "random.toml"
    many = 0
    for seed in range(SCENARIOS):
        rng = Random(-1 - seed)
        text = random_scenarios.any_shape(rng)
        oracle = Oracle(text)
        many += oracle.steps() > STEPS
        path.write_text(text)
        printed = told(computed(path))
        crossing, regions = printed["crossing"]["requests_per_month"], printed["cheaper_regions"]
        if crossing is None:
            assert oracle.gap(LIMIT) > 0, text
            assert printed["crossing"]["reason"] == oracle.reason(), text
        else:
            assert oracle.gap(crossing) <= 0, text
            assert crossing == 0 or oracle.gap(crossing - 1) > 0, text
        for start, end in regions:
            assert oracle.gap(start) < 0, text
            assert start == 0 or oracle.gap(start - 1) >= 0, text
            if end is not None:
                assert oracle.gap(end) < 0 <= oracle.gap(end + 1), text
        known = (regions[-1][1] or LIMIT) if printed["cheaper_regions_cut"] else LIMIT
        for n in sampled(rng, oracle, known):
            inside = any(start <= n <= (LIMIT if end is None else end) for start, end in regions)
            assert (oracle.gap(n) < 0) == inside, (n, text)
            if crossing is not None and n >= crossing:
                assert oracle.gap(n) <= 0, (n, text)
    assert many > SCENARIOS / 4


def sampled(rng, oracle, limit):
    """Volumes of every size up to `limit`, and those on both sides of a step."""
    volumes = {0, 1, 2, limit, *(int(10 ** rng.uniform(0, 13)) for _ in range(12))}
    step = oracle.step()
    if step is not None:
        for k in [1, 2, *(int(n / step) for n in sorted(volumes))]:
            volumes |= {int(k * step), int(k * step) + 1}
    return [n for n in volumes if 0 <= n <= limit]


ODD = """\
[workload]
requests_per_month = 30000000
input_tokens = 0
output_tokens = 1
[api]
input_usd_per_million = 0
output_usd_per_million = {price}
[deployment]
gpus_per_replica = {replica}
gpus_per_server = {server}
gpu_output_tokens_per_second = {rate}
headroom = 1
usd_per_gpu_hour = 3.6
people_usd_per_month = {people}
"""
"""Own service costs $0.001 / rate for a request, if its fleet is full."""


def odd(replica, server, *, steps, tilt, people):
    """A fleet of `steps` replicas at 10^13 requests, beside an API that costs `tilt` times it."""
    rate = Decimal(LIMIT) / (2_628_000 * steps * replica)
    price = Decimal(1000) / rate * tilt
    return ODD.format(price=price, replica=replica, server=server, rate=rate, people=people)


@pytest.mark.proof
def test_fleets_whose_replicas_do_not_fit_their_servers_are_solved_exactly(tmp_path):
    rng = Random(3)
    sizes = [(997, 1009), (1009, 997), (12, 7), (7, 12), (1, 10**9 + 7), (10**9 + 7, 998244353)]
    for _ in range(8 if FULL else 2):
        for replica, server in sizes:
            text = odd(
                replica,
                server,
                steps=rng.choice([3, 40, 400]),
                tilt=Decimal(rng.choice(["1", "1.001", "0.999", "1.1", "2"])),
                people=rng.choice([0, 10**6, 10**9 * replica]),
            )
            check(tmp_path / "odd.toml", text, Oracle(text))


def test_a_fleet_of_billions_of_odd_sizes_is_answered_at_once(tmp_path):
    text = odd(10**9 + 7, 998244353, steps=10**10, tilt=Decimal("1.3"), people=10**15)
    (tmp_path / "odd.toml").write_text(text)
    printed, oracle = told(computed(tmp_path / "odd.toml")), Oracle(text)
    crossing = printed["crossing"]["requests_per_month"]
    assert oracle.gap(crossing) <= 0 < oracle.gap(crossing - 1)


def test_bills_that_tie_for_ever_over_too_many_ways_to_fill_servers_are_refused(tmp_path):
    text = odd(10**9 + 7, 998244353, steps=10**10, tilt=Decimal(1), people=0)
    (tmp_path / "odd.toml").write_text(text)
    ended = crossover("breakeven", "--scenario", tmp_path / "odd.toml", "--format", "json")
    assert (ended.code, ended.out) == (2, "")
    assert "deployment.gpus_per_replica and deployment.gpus_per_server" in ended.err
    assert "gpus_per_server = 0" in ended.err


def test_a_process_of_its_own_prints_the_same_bytes(tmp_path):
    path = tmp_path / "random.toml"
    for seed in range(2):
        path.write_text(random_scenarios.few_steps(Random(1000 + seed)))
        ended = crossover("breakeven", "--scenario", path, "--format", "json")
        assert (ended.code, ended.err, ended.out) == (0, "", computed(path))


GOOD = """\
[workload]
name = "w"
requests_per_month = 1000
input_tokens = 350
output_tokens = 150
[api]
input_usd_per_million = 30
output_usd_per_million = 60
[deployment]
gpus_per_replica = 4
gpus_per_server = 4
[deployment.owned]
server_purchase_usd = 1
[migration]
setup_usd = 1
"""

RANGES = {
    "workload": {
        "requests_per_month": ("whole", 0, 10**13),
        "input_tokens": ("any", 0, None),
        "cached_input_tokens": ("any", 0, None),
        "output_tokens": ("any", 0, None),
        "peak_to_mean": ("any", 1, None),
        "share_moved": ("any", 0, 1),
    },
    "api": {
        "input_usd_per_million": ("any", 0, None),
        "cached_input_usd_per_million": ("any", 0, None),
        "output_usd_per_million": ("any", 0, None),
        "fixed_usd_per_month": ("any", 0, None),
        "minimum_usd_per_month": ("any", 0, None),
        "price_change_per_month": ("above", -1, None),
    },
    "deployment": {
        "gpus_per_replica": ("whole", 1, None),
        "gpu_input_tokens_per_second": ("any", 0, None),
        "gpu_output_tokens_per_second": ("any", 0, None),
        "context_coefficient": ("any", 0, None),
        "prefix_cache_hit_share": ("any", 0, 1),
        "headroom": ("above", 0, 1),
        "software_efficiency": ("above", 0, None),
        "min_replicas": ("whole", 0, None),
        "spare_replicas": ("whole", 0, None),
        "gpus_per_server": ("whole", 1, None),
        "usd_per_gpu_hour": ("any", 0, None),
        "gpu_price_change_per_month": ("above", -1, None),
        "gpu_usd_per_month": ("any", 0, None),
        "services_usd_per_month": ("any", 0, None),
        "people_usd_per_month": ("any", 0, None),
        "variable_usd_per_million_tokens": ("any", 0, None),
    },
    "deployment.owned": {
        "server_purchase_usd": ("any", 0, None),
        "life_months": ("above", 0, None),
        "residual_share": ("any", 0, 1),
        "server_kw": ("any", 0, None),
        "pue": ("any", 1, None),
        "usd_per_kwh": ("any", 0, None),
        "hosting_usd_per_server_month": ("any", 0, None),
    },
    "migration": {
        "setup_usd": ("any", 0, None),
        "lead_days": ("whole", 0, None),
        "dual_running_months": ("any", 0, None),
        "exit_usd": ("any", 0, None),
        "exit_lead_days": ("whole", 0, None),
    },
}
REQUIRED = [
    "workload.requests_per_month",
    "workload.input_tokens",
    "workload.output_tokens",
    "api.input_usd_per_million",
    "api.output_usd_per_million",
    "deployment.gpus_per_replica",
]


def changed(table, *lines, text=GOOD):
    """The good file with these lines in a table, in place of what it says of their keys."""
    keys = {line.split(" = ")[0] for line in lines}
    found, here = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            here = line.strip("[]")
        elif here == table and line.split(" = ")[0] in keys:
            continue
        found.append(line)
        if line == f"[{table}]":
            found += lines
    return "\n".join(found) + "\n"


def without(table):
    """The good file without a table."""
    parts = GOOD.split("[")
    return "[".join(part for part in parts if not part.startswith(f"{table}]"))


def bad_values(kind, least, most):
    """Values that a key of this range refuses."""
    values = ["nan", "inf", "-inf", "true", "false", '"1"', '""', "[1]", "{}", "2026-01-01"]
    values.append(str(least) if kind == "above" else str(Decimal(least) - Decimal("0.001")))
    values.append("-1e190")
    if most is not None:
        values.append(str(most + 1) if kind == "whole" else str(Decimal(most) + Decimal("0.001")))
    if kind == "whole":
        values += ["1.5", "2.0000001"]
    return values


def invalid():
    """Name of the fault -> (file, what standard error must name)."""
    cases = {}
    for table, keys in RANGES.items():
        for key, rule in keys.items():
            for value in bad_values(*rule):
                cases[f"{table}.{key} = {value}"] = (
                    changed(table, f"{key} = {value}"),
                    f"{table}.{key}",
                )
        cases[f"{table}: unknown key"] = (changed(table, "wrong = 1"), f"{table}.wrong")
        cases[f"{table}: misspelt key"] = (changed(table, f"{key}s = 1"), f"{table}.{key}s")
        cases[f"{table}: table in a table"] = (
            changed(table, "more = { a = 1 }"),
            f"{table}.more",
        )
    for name in ('""', '"  "', '"\\t\\n"', "7", "true", "['a']"):
        cases[f"workload.name = {name}"] = (changed("workload", f"name = {name}"), "workload.name")
    for key in REQUIRED:
        table, last = key.split(".")
        lines = [line for line in GOOD.splitlines() if not line.startswith(f"{last} = ")]
        cases[f"{key} missing"] = ("\n".join(lines), key)
        cases[f"{table} missing ({last})"] = (without(table), key)
    cases["nothing at all"] = ("", REQUIRED[0])
    for table in ("workload", "api", "migration"):
        rest = without(table)
        for value in ("5", '"x"', "[]", "true"):
            cases[f"{table} = {value}"] = (f"{table} = {value}\n{rest}", table)
        cases[f"[[{table}]]"] = (f"[[{table}]]\n{rest}", table)
    owned = changed("deployment", "owned = 5", text=without("deployment.owned"))
    cases["deployment.owned = 5"] = (owned, "deployment.owned")
    for size in ("0", "0.0"):
        size_text = changed("deployment", f"gpus_per_server = {size}")
        cases[f"owned, gpus_per_server = {size}"] = (size_text, "deployment.gpus_per_server")
    bare = GOOD.replace("gpus_per_server = 4\n", "").replace("server_purchase_usd = 1\n", "")
    cases["owned is empty, no gpus_per_server"] = (bare, "deployment.gpus_per_server")
    cases["unknown table"] = (GOOD + "[prices]\na = 1\n", "prices")
    cases["unknown value"] = ("prices = 1\n" + GOOD, "prices")
    for name, text in {
        "a word": "hello",
        "an open bracket": GOOD.replace("[api]", "[api"),
        "a key twice": GOOD.replace("setup_usd = 1", "setup_usd = 1\nsetup_usd = 2"),
        "a table twice": GOOD + "[api]\n",
        "a number with two points": GOOD.replace("= 350", "= 3.5.0"),
        "a comma": GOOD.replace("= 350", "= 3,5"),
        "JSON": '{"workload": {}}',
        "a value left out": GOOD.replace("= 350", "="),
    }.items():
        cases[f"not TOML: {name}"] = (text, "is not TOML")
    return cases


@pytest.mark.proof
def test_every_kind_of_invalid_scenario_is_refused_with_its_key(tmp_path):
    from monitor.cli import main

    cases = invalid()
    assert len(cases) > 60
    path = tmp_path / "bad.toml"
    command = ["crossover", "breakeven", "--scenario", str(path), "--format", "json"]
    computed_well = tmp_path / "good.toml"
    computed_well.write_text(GOOD)
    assert json.loads(computed(computed_well))["requests_per_month"] == 1000
    # The whole command line takes 20 ms; some of the values go through it, each other fault does.
    for at, (name, (text, key)) in enumerate(cases.items()):
        if at % 3 and "=" in name and not FULL:
            continue
        path.write_text(text)
        if FULL or at % 25 == 0 or "=" not in name:
            out, err = io.StringIO(), io.StringIO()
            with (
                patch.object(sys, "argv", command),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                pytest.raises(SystemExit) as ended,
            ):
                main()
            code, printed, said = ended.value.code, out.getvalue(), err.getvalue()
        else:
            code, printed, said = refused(path)
        assert (code, printed) == (2, ""), name
        assert key in said, (name, said)
        assert "Traceback" not in said


def refused(path):
    from monitor.domain.errors import CrossoverError

    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(CrossoverError) as error:
        computed(path)
    return error.value.exit_code, out.getvalue(), str(error.value)


def test_a_refusal_in_a_process_of_its_own_names_the_key_and_prints_no_figure(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(changed("deployment.owned", "pue = 0.9"))
    ended = crossover("breakeven", "--scenario", path, "--format", "json")
    assert (ended.code, ended.out) == (2, "")
    assert "deployment.owned.pue = 0.9 must be at least 1" in ended.err
