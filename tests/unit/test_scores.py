"""What a projection was worth once its month is over."""

from fractions import Fraction

import pytest

from monitor.domain.scores import Score, Told, hold, record, score
from tests.weekly_facts import scenario


def test_the_score_is_the_error_the_range_and_twice_the_mean_pinball_of_what_came():
    found = score(Told(80, 110, 130), 100)
    # 0.1 * 20, 0.5 * 10 and 0.1 * 30, each twice, a third of them over 100.
    assert found == Score(Fraction(1, 10), True, Fraction(2 * (2 + 5 + 3), 300))


@pytest.mark.parametrize(("actual", "inside"), [(79, False), (80, True), (130, True), (131, False)])
def test_the_ends_of_the_range_belong_to_it(actual, inside):
    assert score(Told(80, 110, 130), actual).inside is inside


def test_nothing_came_has_no_relative_error():
    assert score(Told(0, 5, 9), 0) == Score(None, True, None)
    assert record([score(Told(0, 5, 9), 0)]).median_error is None


def test_a_record_counts_months_and_takes_the_median_error():
    scores = [
        score(Told(80, q50, 130), actual) for q50, actual in ((110, 100), (90, 100), (100, 200))
    ]
    assert record(scores) == (3, 2, Fraction(1, 10))


@pytest.mark.parametrize(("requests", "told"), [(10_000, "api"), (10_000_000, "self_host")])
def test_a_verdict_is_right_where_the_told_side_is_cheaper_at_the_volume_that_came(requests, told):
    held = hold(scenario(), told, requests)
    assert held.was_right
    assert (held.savings > 0) == (told != "api")
    other = "self_host" if told == "api" else "api"
    assert not hold(scenario(), other, requests).was_right
