"""Lines that nobody wrote: filled from published figures, named, and never a silent zero."""

import json
import tomllib
from decimal import Decimal
from fractions import Fraction

import pytest

from monitor import library
from monitor.config import from_tables
from monitor.domain.cost_lines import parse_defaults
from monitor.domain.errors import ConfigError, InputError
from monitor.domain.scenario import from_document
from monitor.wiring import rows

HEAD = '[[workload]]\nname = "w"\n[[deployment]]\nname = "d"\nworkload = "w"\n'


def document(text):
    settings = from_tables(tomllib.loads(HEAD + text, parse_float=Decimal))
    return json.loads(rows.document(settings.deployment[0]))


def lines(found):
    return {line["name"]: line for line in found["lines"]}


def test_a_silent_deployment_starts_from_published_figures():
    found = document("cost = { gpus_per_replica = 1, usd_per_gpu_hour = 2 }")
    scenario = from_document(found["scenario"])
    # Two engineers, and four updates a year of 1 to 2 engineer-weeks at $2,500 to $5,000.
    assert scenario.deployment.people_usd_per_month == 20_000 + 1_875
    assert scenario.deployment.services_usd_per_month == 2_000
    assert scenario.deployment.spare_replicas == 1
    # 2 to 4 engineer-weeks to deploy, 2 to 6 to leave the API; 2 to 4 to return.
    assert scenario.migration.setup_usd == 11_250 + 15_000
    assert scenario.migration.exit_usd == 11_250
    assert [text.split(" (")[0] for text in found["assumed"]] == [
        "people_usd_per_month = 20,000",
        "services_usd_per_month = 2,000",
        "model_updates_usd_per_month = 1,875",
        "spare_replicas = 1",
        "setup_usd = 26,250",
        "exit_usd = 11,250",
    ]


def test_every_line_has_its_amount_its_source_and_its_state():
    found = lines(document("cost = { gpus_per_replica = 1, usd_per_gpu_hour = 2 }"))
    assert found["people"]["usd_per_month"] == "20000"
    assert found["leaving the API"]["usd_once"] == "15000"
    assert found["spare replica"]["count"] == 1
    assert found["GPUs"] == {
        "name": "GPUs",
        "usd_per_gpu_hour": "2",
        "source": "configuration",
        "state": "configured",
    }
    assert {line["state"] for line in found.values()} == {"assumed", "configured", "zero"}
    assert all(line["source"] for line in found.values())
    assert [name for name, line in found.items() if line["state"] == "zero"] == [
        "energy above idle",
        "second region, on-call, security patches",
    ]


def test_a_written_zero_is_taken_at_its_word_and_named():
    found = document(
        "model_updates_usd_per_month = 0\n"
        "cost = { gpus_per_replica = 1, people_usd_per_month = 0, services_usd_per_month = 0,"
        " spare_replicas = 0 }\nmigration = { setup_usd = 0, exit_usd = 0 }"
    )
    assert found["assumed"] == []
    scenario = from_document(found["scenario"])
    assert (scenario.deployment.people_usd_per_month, scenario.migration.setup_usd) == (0, 0)
    assert {line["state"] for line in found["lines"]} == {"zero"}
    assert lines(found)["first deployment and leaving the API"]["source"] == "configuration"


def test_written_lines_are_kept_to_the_cent():
    found = document(
        "model_updates_usd_per_month = 100.25\n"
        "cost = { gpus_per_replica = 1, people_usd_per_month = 15000.5, gpu_usd_per_month = 7 }\n"
        "migration = { setup_usd = 30000 }"
    )
    assert from_document(found["scenario"]).deployment.people_usd_per_month == Fraction("15100.75")
    shown = lines(found)
    assert shown["people"]["usd_per_month"] == "15000.5"
    assert shown["GPUs, a fixed sum"]["usd_per_month"] == "7"
    assert shown["first deployment and leaving the API"]["usd_once"] == "30000"


def test_a_model_and_a_gpu_fill_in_what_the_fleet_is_sized_on():
    found = document('model = "llama 3.3 70b"\ngpu = "h100"')
    deployment = from_document(found["scenario"]).deployment
    assert deployment.gpus_per_replica == 2
    assert deployment.gpu_input_tokens_per_second == 7290
    assert deployment.context_coefficient == Fraction("1.37e-7")
    assert deployment.software_efficiency == Fraction("0.7")
    assert deployment.usd_per_gpu_hour == Fraction("3.13")
    texts = " ".join(found["assumed"])
    assert "context_coefficient = 0.000000137 (fitted on" in texts
    assert "usd_per_gpu_hour = 3.13 (on_demand H100, mean of 47 providers" in texts
    assert (lines(found)["GPUs"]["state"], lines(found)["GPUs"]["as_of"]) == (
        "assumed",
        "2026-06-28",
    )


def test_what_is_written_beside_a_model_wins_and_is_not_assumed():
    found = document(
        'model = "Llama 3.3 70B"\ngpu = "A100"\nprecision = "int4"\n'
        "cost = { gpus_per_replica = 2, gpu_output_tokens_per_second = 500,"
        " usd_per_gpu_hour = 0.68 }"
    )
    deployment = from_document(found["scenario"]).deployment
    assert (deployment.gpu_output_tokens_per_second, deployment.gpu_input_tokens_per_second) == (
        500,
        0,
    )
    assert deployment.software_efficiency == 1
    assert not any(text.startswith("gpu") for text in found["assumed"])
    (said,) = found["remarks"]
    assert said.startswith("$0.68 an hour for A100 lies below the published ranges")


def test_a_bought_server_has_no_rent():
    found = document(
        'model = "Llama 3.3 70B"\ngpu = "H100"\ncost = { gpus_per_server = 8 }\n'
        "owned = { server_purchase_usd = 250000 }"
    )
    assert from_document(found["scenario"]).deployment.usd_per_gpu_hour == 0
    assert "GPUs" not in lines(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('model = "Llama 3.3 70B"', "model and gpu belong together"),
        ('gpu = "H100"', "model and gpu belong together"),
        ('precision = "fp8"\ncost = { gpus_per_replica = 1 }', "precision belongs to model"),
        ("", "gpus_per_replica is missing"),
        ('model = "Llama 3.3 70B"\ngpu = "H1000"', "deployment d: no GPU 'H1000' is known"),
        ('model = "Lama"\ngpu = "H100"', "deployment d: no model 'Lama' is known"),
        (
            'model = "70B"\ngpu = "A100"\nprecision = "fp16"\ncost = { gpus_per_replica = 2 }',
            "2 x A100 give 144.0 GB",
        ),
        ('model = "70B"\ngpu = "A100"\ncommitment = "owned"', "no owned price of A100"),
        ('model = "70B"\ngpu = "A100"\ncommitment = "gift"', "commitment"),
        ("model_updates_usd_per_month = -1\ncost = { gpus_per_replica = 1 }", "model_updates"),
    ],
)
def test_a_deployment_that_cannot_be_filled_in_is_refused(text, said):
    with pytest.raises(ConfigError) as refused:
        document(text)
    assert said in "\n".join(refused.value.problems)


COSTS = {
    "engineer_week": {"least_usd": 2, "most_usd": 4, "source": "s"},
    "line": [{"name": "x", "key": "k", "source": "s", "count": 1}],
    "unasked": [{"name": "u", "source": "s"}],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engineer_week": {}}, "engineer_week: least_usd is missing"),
        ({"line": []}, r"there is no \[\[line\]\]"),
        ({"line": [{"name": "x", "key": "k", "source": "s"}]}, "line 'x': engineer-weeks must be"),
        ({"line": [COSTS["line"][0] | {"count": -1}]}, "count = -1 must be a whole number"),
    ],
)
def test_a_bad_table_of_costs_is_refused(change, said):
    assert parse_defaults(COSTS).amounts() == {"k": 1}
    with pytest.raises(InputError, match=said):
        parse_defaults(COSTS | change)


def test_the_shipped_amounts_are_those_of_the_published_comparisons():
    assert library.costs().amounts() == {
        "people_usd_per_month": 20_000,
        "services_usd_per_month": 2_000,
        "model_updates_usd_per_month": 1_875,
        "spare_replicas": 1,
        "setup_usd": 26_250,
        "exit_usd": 11_250,
    }
