"""A scenario is read exactly, and whatever is wrong with it is named by key, value and rule."""

import json
import time
import tomllib
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction

import pytest

from monitor.domain.errors import ScenarioError
from monitor.domain.scenario import (
    Deployment,
    Migration,
    from_document,
    parse_scenario,
    parse_tables,
    read_table,
    to_document,
)

LEAST = """
[workload]
requests_per_month = 1000000
input_tokens = 350
output_tokens = 150
[api]
input_usd_per_million = 30
output_usd_per_million = 60
[deployment]
gpus_per_replica = 4
"""

DEFAULTS: dict[str, dict[str, str]] = {
    "workload": {
        "name": "workload",
        "cached_input_tokens": "0",
        "peak_to_mean": "1",
        "share_moved": "1",
    },
    "api": {
        "fixed_usd_per_month": "0",
        "minimum_usd_per_month": "0",
        "price_change_per_month": "0",
    },
    "deployment": {
        "gpu_input_tokens_per_second": "0",
        "gpu_output_tokens_per_second": "0",
        "context_coefficient": "0",
        "prefix_cache_hit_share": "0",
        "headroom": "0.7",
        "software_efficiency": "1",
        "min_replicas": "1",
        "spare_replicas": "0",
        "gpus_per_server": "0",
        "usd_per_gpu_hour": "0",
        "gpu_price_change_per_month": "0",
        "gpu_usd_per_month": "0",
        "services_usd_per_month": "0",
        "people_usd_per_month": "0",
        "variable_usd_per_million_tokens": "0",
    },
    "deployment.owned": {
        "server_purchase_usd": "0",
        "life_months": "48",
        "residual_share": "0",
        "server_kw": "0",
        "pue": "1.3",
        "usd_per_kwh": "0.12",
        "hosting_usd_per_server_month": "0",
    },
    "migration": {
        "setup_usd": "0",
        "lead_days": "0",
        "dual_running_months": "0",
        "exit_usd": "0",
        "exit_lead_days": "0",
    },
}


def with_keys(table: str, *lines: str) -> str:
    """The least scenario with these lines in a table, instead of what it says of these keys."""
    tables: dict[str, list[str]] = {}
    for line in LEAST.strip().splitlines():
        if line.startswith("["):
            here = tables.setdefault(line.strip("[]"), [])
        else:
            here.append(line)
    changed = {line.split(" = ")[0] for line in lines}
    kept = [line for line in tables.get(table, []) if line.split(" = ")[0] not in changed]
    tables[table] = [*kept, *lines]
    return "\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in tables.items())


def refusal(text: str) -> str:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text, "x.toml")
    return str(refused.value)


def test_the_defaults_are_those_of_the_model():
    owned = with_keys("deployment", "gpus_per_server = 1") + "\n[deployment.owned]"
    read = asdict(parse_scenario(LEAST))
    assert read["api"]["cached_input_usd_per_million"] is None
    assert read["deployment"]["owned"] is None
    read["deployment.owned"] = asdict(parse_scenario(owned))["deployment"]["owned"]
    for table, keys in DEFAULTS.items():
        for key, value in keys.items():
            default = value if key == "name" else Fraction(value)
            assert read[table][key] == default, (table, key)


def test_numbers_are_the_decimals_that_are_written():
    scenario = parse_scenario(with_keys("workload", "input_tokens = 0.1", "peak_to_mean = 1_0.5e0"))
    assert scenario.workload.input_tokens == Fraction(1, 10)
    assert scenario.workload.peak_to_mean == Fraction(21, 2)


@pytest.mark.parametrize("written", ["3", "3.0", "3e0", "0x3", "+3", "30e-1"])
def test_a_whole_number_may_be_written_in_any_form(written):
    scenario = parse_scenario(with_keys("deployment", f"min_replicas = {written}"))
    assert scenario.deployment.min_replicas == 3
    assert isinstance(scenario.deployment.min_replicas, int)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("workload", "requests_per_month = 1e13"),
        ("workload", "requests_per_month = 0"),
        ("workload", "peak_to_mean = 1"),
        ("workload", "share_moved = 0"),
        ("workload", "input_tokens = -0.0"),
        ("api", "cached_input_usd_per_million = 0"),
        ("api", "price_change_per_month = -0.999"),
        ("deployment", "headroom = 1"),
        ("deployment", "prefix_cache_hit_share = 1"),
        ("deployment", "min_replicas = 0"),
        ("deployment", "software_efficiency = 0.001"),
        ("migration", "lead_days = 0"),
    ],
)
def test_the_ends_of_a_range_are_allowed(table, line):
    parse_scenario(with_keys(table, line))


OWNED = "deployment.owned"

REFUSED = [
    ("workload", "requests_per_month", "10000000000001", "whole number from 0 to 10^13"),
    ("workload", "requests_per_month", "1.5", "whole number from 0 to 10^13"),
    ("workload", "requests_per_month", "-1", "whole number from 0 to 10^13"),
    ("workload", "name", '""', "not blank"),
    ("workload", "name", '" \\t"', "not blank"),
    ("workload", "name", "7", "not blank"),
    ("workload", "input_tokens", "-0.5", "at least 0"),
    ("workload", "input_tokens", "nan", "finite number"),
    ("workload", "output_tokens", "inf", "finite number"),
    ("workload", "output_tokens", "-inf", "finite number"),
    ("workload", "cached_input_tokens", "true", "a number"),
    ("workload", "peak_to_mean", "0.99", "at least 1"),
    ("workload", "share_moved", "1.01", "from 0 to 1"),
    ("workload", "share_moved", "-0.01", "from 0 to 1"),
    ("api", "input_usd_per_million", '"30"', "a number"),
    ("api", "cached_input_usd_per_million", "-1", "at least 0"),
    ("api", "minimum_usd_per_month", "2026-01-01", "a number"),
    ("api", "price_change_per_month", "-1", "above -1"),
    ("deployment", "gpus_per_replica", "0", "whole number, at least 1"),
    ("deployment", "gpus_per_replica", "2.5", "whole number, at least 1"),
    ("deployment", "gpus_per_server", "-1", "whole number, at least 0"),
    ("deployment", "min_replicas", "0.5", "whole number, at least 0"),
    ("deployment", "headroom", "0", "above 0 and at most 1"),
    ("deployment", "headroom", "1.1", "above 0 and at most 1"),
    ("deployment", "software_efficiency", "0", "above 0"),
    ("deployment", "prefix_cache_hit_share", "2", "from 0 to 1"),
    ("deployment", "gpu_price_change_per_month", "-1.5", "above -1"),
    ("deployment", "owned", "5", "a table"),
    (OWNED, "life_months", "0", "above 0"),
    (OWNED, "residual_share", "1.5", "from 0 to 1"),
    (OWNED, "pue", "0.9", "at least 1"),
    (OWNED, "server_kw", "-2", "at least 0"),
    ("migration", "lead_days", "1.5", "whole number, at least 0"),
    ("migration", "dual_running_months", "-1", "at least 0"),
]


@pytest.mark.parametrize(("table", "key", "value", "rule"), REFUSED)
def test_a_bad_value_is_refused_with_its_key_its_value_and_the_rule(table, key, value, rule):
    message = refusal(with_keys(table, f"{key} = {value}"))
    assert message.startswith("x.toml: ")
    assert f"{table}.{key} = {value} must be " in message
    assert rule in message


def test_unknown_tables_and_keys_are_refused_with_the_nearest_known_one():
    assert "extra = (a table) is an unknown key" in refusal(LEAST + "[extra]")
    assert "spare = 3 is an unknown key" in refusal("spare = 3\n" + LEAST)
    message = refusal(with_keys("deployment", "gpu_per_replica = 2"))
    assert "deployment.gpu_per_replica = 2 is an unknown key (did you mean gpus_per_replica?)" in (
        message
    )
    assert 'api."a b" = 1 is an unknown key' in refusal(with_keys("api", '"a b" = 1'))
    assert "deployment.owned.x = 1 is an unknown key" in refusal(with_keys(OWNED, "x = 1"))


def test_a_missing_key_is_named_also_where_its_whole_table_is_missing():
    required = [
        "workload.requests_per_month",
        "workload.input_tokens",
        "workload.output_tokens",
        "api.input_usd_per_million",
        "api.output_usd_per_million",
        "deployment.gpus_per_replica",
    ]
    message = refusal("")
    assert all(f"{key} is missing: it is required" in message for key in required)
    assert message.count("is missing") == len(required)


def test_every_problem_is_named_at_once():
    message = refusal(LEAST.replace("30", "-30").replace("= 4", "= 0") + "[x]\n[migration]\ny = 1")
    assert "api.input_usd_per_million = -30" in message
    assert "deployment.gpus_per_replica = 0" in message
    assert "x = (a table)" in message
    assert "migration.y = 1" in message


def test_owned_servers_need_a_server_size_even_where_their_table_is_empty():
    message = refusal(LEAST + "[deployment.owned]")
    assert "deployment.gpus_per_server = 0 must be at least 1" in message
    owned = with_keys("deployment", "gpus_per_server = 8") + "\n[deployment.owned]"
    assert parse_scenario(owned).deployment.owned is not None


@pytest.mark.parametrize("text", ["workload = 5", "workload = [1]", "[[workload]]\nname = 'a'"])
def test_a_value_where_a_table_belongs_is_refused(text):
    rest = LEAST.split("[api]")[1]
    assert "workload = " in refusal(f"{text}\n[api]{rest}")
    assert "must be a table" in refusal(f"{text}\n[api]{rest}")


@pytest.mark.parametrize("text", ["a = ", "not toml", "a=" + "[" * 5000, "a = 1\na = 2"])
def test_a_text_that_is_not_toml_is_refused(text):
    assert refusal(text).startswith("x.toml is not TOML: ")


def test_a_number_beyond_any_arithmetic_is_refused_at_once():
    began = time.process_time()
    for value in ("1e999999999", "1e-999999999", "1e99999999999999999999", "0x1" + "0" * 5000):
        assert "api.input_usd_per_million = " in refusal(
            with_keys("api", f"input_usd_per_million = {value}")
        )
    assert time.process_time() - began < 0.5


def test_a_scenario_is_stored_as_json_and_read_back_exactly():
    tables = tomllib.loads(with_keys("workload", "share_moved = 0.7"), parse_float=Decimal)
    tables["workload"]["input_tokens"] = Fraction(1, 3)
    tables["deployment"] |= {"gpus_per_server": 8, "owned": {"pue": Decimal("1.25")}}
    scenario = parse_tables(tables)
    document = json.loads(json.dumps(to_document(scenario)))
    assert document["workload"]["input_tokens"] == "1/3"
    assert document["workload"]["share_moved"] == "0.7"
    assert document["deployment"]["gpus_per_replica"] == 4
    assert "cached_input_usd_per_million" not in document["api"]
    assert from_document(document) == scenario


def test_a_name_that_looks_like_a_number_stays_a_name():
    scenario = parse_scenario(with_keys("workload", 'name = "1/3"'))
    assert from_document(to_document(scenario)).workload.name == "1/3"


def test_a_binary_float_is_refused_because_it_is_not_the_number_that_was_written():
    tables = tomllib.loads(LEAST)
    tables["api"]["input_usd_per_million"] = 0.1
    with pytest.raises(ScenarioError, match=r"api\.input_usd_per_million = 0\.1 must be a number"):
        parse_tables(tables)


def test_one_table_can_be_read_alone_with_its_problems_as_values():
    good, none = read_table(Migration, {"setup_usd": 5, "lead_days": Decimal(60)}, "migration")
    assert (good, none) == (Migration(setup_usd=Fraction(5), lead_days=60), [])
    bad, problems = read_table(Deployment, {"headroom": Decimal(2)}, "deployments.a")
    assert bad is None
    assert [p.split(" ")[0] for p in problems] == [
        "deployments.a.gpus_per_replica",
        "deployments.a.headroom",
    ]
