"""Why the saving moved: parts in dollars that add up, exactly and as they are shown."""

import random
from dataclasses import fields
from fractions import Fraction

import pytest

from monitor.domain.attribution import GROUPS, attribute, in_cents, saving
from monitor.domain.scenario import Api, Deployment, Migration, Owned, Scenario, Workload
from tests.conftest import FULL
from tests.weekly_facts import scenario

PAIRS = 1000 if FULL else 40


def anything(rng):
    """A week: any volume, mix, prices, fleet and lines."""

    def amount(top):
        return Fraction(rng.randint(0, top * 1000), 1000)

    owned = rng.random() < 0.3
    return Scenario(
        workload=Workload(
            requests_per_month=rng.randint(0, 10**7),
            input_tokens=amount(9000),
            cached_input_tokens=amount(500),
            output_tokens=amount(900),
            peak_to_mean=1 + amount(5),
            share_moved=Fraction(rng.randint(0, 10), 10),
        ),
        api=Api(
            input_usd_per_million=amount(5),
            cached_input_usd_per_million=rng.choice([None, amount(1)]),
            output_usd_per_million=amount(20),
            fixed_usd_per_month=amount(100),
            minimum_usd_per_month=amount(5000),
        ),
        deployment=Deployment(
            gpus_per_replica=rng.randint(1, 8),
            gpu_input_tokens_per_second=amount(9000),
            gpu_output_tokens_per_second=amount(2000),
            min_replicas=rng.randint(0, 3),
            spare_replicas=rng.randint(0, 2),
            gpus_per_server=rng.choice([4, 8]) if owned else 0,
            usd_per_gpu_hour=amount(5),
            people_usd_per_month=amount(20_000),
            owned=Owned(server_purchase_usd=amount(300_000)) if owned else None,
        ),
        migration=Migration(),
    )


@pytest.mark.proof
def test_the_parts_of_a_weeks_movement_add_up_to_the_cent_on_1000_random_pairs_of_weeks():
    rng = random.Random(47)
    for _ in range(PAIRS):
        before, after = anything(rng), anything(rng)
        found = attribute(before, after)
        total = found.after - found.before
        assert (found.before, found.after) == (saving(before), saving(after))
        assert sum(found.parts.values()) == total
        # As shown: the difference of the two savings as they are shown, each to the cent.
        shown = round(found.after * 100) - round(found.before * 100)
        cents = in_cents(found.parts, shown)
        assert sum(cents.values()) == shown
        assert all(abs(cents[name] - part * 100) < 2 for name, part in found.parts.items())


def test_every_input_of_a_saving_is_in_exactly_one_group():
    named = [(table, name) for group in GROUPS.values() for table in group for name in group[table]]
    tables = {"workload": Workload, "api": Api, "deployment": Deployment}
    wanted = {(table, field.name) for table, kind in tables.items() for field in fields(kind)}
    assert sorted(named) == sorted(wanted - {("workload", "name")})


def test_a_single_change_is_its_own_reason():
    found = attribute(scenario(), scenario(people=5000))
    assert found.parts == dict.fromkeys(GROUPS, Fraction(0)) | {"fixed lines": Fraction(-1000)}


def test_two_changes_share_what_they_do_together_evenly():
    before = scenario(requests=100_000)
    after = scenario(requests=110_000, usd_per_gpu_hour=Fraction("4.8"))
    found = attribute(before, after)
    assert found.parts["volume"] > 0 > found.parts["GPU price"]
    assert {name for name, part in found.parts.items() if part} == {"volume", "GPU price"}


def test_the_same_week_twice_moves_nothing():
    assert not any(attribute(scenario(), scenario()).parts.values())
