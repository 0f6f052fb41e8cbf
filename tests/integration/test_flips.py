"""What changes the answer: each flip assessed again on both of its sides."""

from pathlib import Path

import pytest
from hypothesis import given

from monitor.domain.breakeven import assess, net
from monitor.domain.flips import flips, saves
from monitor.domain.inputs import BY_NAME, moved, write
from monitor.domain.ranges import Uncertainty
from monitor.domain.scenario import parse_scenario
from monitor.domain.volumes import Volume
from tests.conftest import FULL
from tests.unit.test_ranges import FEW, example, growing, scenarios

EXAMPLES = sorted(Path("docs/examples").glob("*.toml"))


def answer(scenario, flip, value):
    """The answer with one input at another value: from the exact model alone."""
    if flip.input == "horizon":
        return net(scenario, int(value)) > 0
    value = int(value) if flip.input == "volume" else value
    changed = write(scenario, moved(scenario, BY_NAME[flip.input], value))
    return saves(changed) if flip.answer == "verdict" else assess(changed).net_12_months > 0


def check_flips(scenario):
    found = assess(scenario)
    told = flips(found)
    now = {"verdict": found.savings > 0, "net": found.net_12_months > 0}
    for flip in told:
        assert flip.sentence
        if flip.value is not None:
            assert answer(scenario, flip, flip.value) != now[flip.answer], flip
            assert answer(scenario, flip, flip.holds) == now[flip.answer], flip
            assert flip.low <= flip.value <= flip.high, flip
        elif flip.input not in ("horizon", "setup"):
            assert answer(scenario, flip, flip.low) == now[flip.answer], flip
            assert answer(scenario, flip, flip.high) == now[flip.answer], flip
            assert flip.sentence.startswith("No ")
    return told


@FEW
@given(scenarios())
def test_every_flip_changes_the_answer_and_the_value_before_it_does_not(scenario):
    check_flips(scenario)


@pytest.mark.parametrize("path", EXAMPLES if FULL else EXAMPLES[::9], ids=lambda path: path.stem)
def test_every_flip_of_a_published_example_holds(path):
    check_flips(parse_scenario(path.read_text()))


def test_the_volume_flips_at_the_edge_of_a_cheaper_region():
    found = flips(assess(example("f11-growing-fleet")))
    (volume,) = (flip for flip in found if flip.input == "volume")
    # Cheaper from 9,466,667 to 10,000,000, where the scenario stands.
    assert (volume.holds, volume.value) == (10_000_000, 10_000_001)
    assert found[0] == volume


def test_a_volume_at_which_it_is_cheaper_for_a_while_says_from_where_it_is_for_good():
    low = write(example("f11-growing-fleet"), {"workload.requests_per_month": 5_000_000})
    (volume,) = (flip for flip in flips(assess(low)) if flip.input == "volume")
    assert volume.sentence == (
        "Own service becomes cheaper when the volume rises to 7,866,667 requests a month (now"
        " 5,000,000 requests a month, 57.3% higher), for good from 11,066,667."
    )


def test_flips_are_ranked_by_distance_in_deviations_and_the_absent_come_last():
    told = flips(assess(growing()))
    distances = [abs(f.deviations) for f in told if f.value and f.deviations is not None]
    assert distances == sorted(distances)
    assert [f.value is None for f in told] == sorted(f.value is None for f in told)


def test_a_projected_volume_measures_its_distance_by_its_own_range():
    found = assess(growing())
    plain, sure = (
        next(f for f in flips(found, unsure) if f.input == "volume")
        for unsure in (
            Uncertainty(),
            Uncertainty(projected=(Volume(4_490_000, 4_500_000, 4_510_000, 0),)),
        )
    )
    assert plain.value == sure.value
    assert abs(sure.deviations) > abs(plain.deviations)
