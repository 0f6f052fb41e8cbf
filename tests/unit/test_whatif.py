"""What if: each way to write a change, applied exactly, and what is refused."""

from fractions import Fraction
from pathlib import Path

import pytest

from monitor.domain import whatif
from monitor.domain.errors import InputError
from monitor.domain.inputs import INPUTS, read
from monitor.domain.scenario import parse_scenario

SCENARIO = parse_scenario(Path("docs/examples/f14-both-falling.toml").read_text())


def changed(*texts):
    after = whatif.apply(SCENARIO, whatif.parse(texts))
    return {c.key.partition(".")[2]: c.after for c in whatif.differences(SCENARIO, after)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu_price=-20%", {"usd_per_gpu_hour": Fraction("3.288")}),
        ("gpu_price=1.99", {"usd_per_gpu_hour": Fraction("1.99")}),
        ("volume=2x", {"requests_per_month": 6_000_000}),
        ("volume=0.3333333x", {"requests_per_month": 1_000_000}),
        ("volume=1e6", {"requests_per_month": 1_000_000}),
        ("people=5000", {"people_usd_per_month": 5000}),
        ("people = +50%", {"people_usd_per_month": 30_000}),
        ("api_price=-30%", {"input_usd_per_million": 21, "output_usd_per_million": 21}),
        ("peak=2", {"peak_to_mean": 2}),
        ("share=0.8", {"share_moved": Fraction(4, 5)}),
        ("share=80%", {"share_moved": Fraction(4, 5)}),
        ("share=-80%", {"share_moved": Fraction(1, 5)}),
        ("api_trend=-3%", {"price_change_per_month": Fraction(-3, 100)}),
        ("migration.lead_days=30", {"lead_days": 30}),
        ("deployment.people_usd_per_month=+10%", {"people_usd_per_month": 22_000}),
    ],
)
def test_a_change_is_applied_exactly(text, expected):
    assert changed(text) == expected


def test_changes_are_applied_together_and_leave_the_rest():
    assert changed("gpu_price=-50%", "volume=2x") == {
        "usd_per_gpu_hour": Fraction("2.055"),
        "requests_per_month": 6_000_000,
    }
    assert changed() == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu_prise=3", "did you mean gpu_price"),
        ("gpu_prise=3", "Known: volume, input_tokens"),
        ("people", "is not written NAME=VALUE"),
        ("people=", "no value that can be read"),
        ("people=lots", "people=-20%"),
        ("people=nan", "no value"),
        ("people=20%", r"people=\+20% or people=-20%"),
        ("people=1e999999999", "no value"),
        ("peak=0.5", "workload.peak_to_mean = 0.5 must be at least 1"),
        ("share=1.2", "workload.share_moved"),
        ("people=-5", "people_usd_per_month = -5 must be at least 0"),
        ("setup=2x", "has no effect: migration.setup_usd is 0"),
        ("api_price=5", "api.input_usd_per_million or api.output_usd_per_million"),
        ("deployment.owned.pue=2", "gpus_per_server"),
        ("workload.name=3", "unknown input"),
        ("volume=1e14", "requests_per_month"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_with_its_cause_and_remedy(text, said):
    with pytest.raises(InputError, match=said):
        changed(text)


@pytest.mark.parametrize(
    "texts", [("people=1", "people=2"), ("api_price=-10%", "input_price=3")], ids=" ".join
)
def test_two_values_for_one_key_are_refused(texts):
    with pytest.raises(InputError, match="twice"):
        changed(*texts)


@pytest.mark.parametrize("item", INPUTS, ids=lambda item: item.name)
def test_every_input_names_keys_of_a_scenario(item):
    assert set(item.keys) <= set(whatif.KEYS)
    for key in item.keys:
        read(SCENARIO, key)
