"""Sides of the break-even and trends towards it, on volumes whose truth is known."""

import numpy as np
import pytest

from monitor.domain import nearing
from monitor.domain.nearing import outlook, side, volumes

DAY = 86_400
START = 1_735_689_600
CROSSING = 3_000_000
PER_DAY = CROSSING / (365.25 / 12)


def days(levels, noise=0.1, seed=1):
    """Day -> requests, for logs over the break-even."""
    rng = np.random.default_rng(seed)
    logs = np.asarray(levels, dtype=float) + rng.normal(0, noise, len(levels))
    return {START + n * DAY: round(PER_DAY * float(np.exp(log))) for n, log in enumerate(logs)}


def at(daily, until, crossing=CROSSING):
    return volumes(daily, START + until * DAY, crossing)


def test_a_level_beyond_its_doubt_has_a_side_and_one_in_doubt_keeps_the_old_one():
    assert side(at(days([0.3] * 60), 60), None) == "above"
    assert side(at(days([-0.3] * 60), 60), "above") == "below"
    for before in ("above", "below", None):
        assert side(at(days([0.0] * 60, noise=0.2), 60), before) is before


def test_a_jump_is_stated_after_three_closed_days():
    daily = days([-0.5] * 60 + [0.6] * 5)
    stated = [side(at(daily, n), "below") for n in (61, 62, 63)]
    assert stated == ["below", "below", "above"]


def test_one_wild_day_changes_no_side():
    daily = days([-0.3] * 60)
    daily[START + 59 * DAY] *= 8
    assert side(at(daily, 60), "below") == "below"


def test_weekdays_are_no_change_of_side():
    week = np.log([1.2, 1.2, 1.2, 1.2, 1.2, 0.5, 0.5])
    daily = days(-0.25 + np.resize(week, 84), noise=0.03)
    assert {side(at(daily, n), "below") for n in range(70, 85)} == {"below"}


def test_missing_days_are_not_quiet_ones():
    daily = days([0.3] * 60)
    gone = {d: None if d >= START + 50 * DAY else n for d, n in daily.items()}
    assert side(at(gone, 60), "above") == "above"


def test_too_little_history_and_no_crossing_say_nothing():
    assert at(days([0.3] * 13), 13) is None
    assert at(days([0.3] * 60), 60, crossing=0) is None
    assert volumes({}, START, CROSSING) is None


def test_a_cheaper_own_service_moves_the_side_at_once():
    daily = days([-0.2] * 60)
    assert side(at(daily, 60), "below") == "below"
    assert side(at(daily, 60, CROSSING // 2), "below") == "above"


@pytest.mark.parametrize(("slope", "standing"), [(0.004, "below"), (-0.004, "above")])
def test_a_trend_towards_the_break_even_is_seen_with_its_days(slope, standing):
    levels = slope * (np.arange(140) - 190)
    found = outlook(at(days(levels, noise=0.05), 140), standing, 60)
    assert found.chance > nearing.CHANCE
    assert found.days == pytest.approx(50, abs=12)


def test_a_trend_away_and_none_at_all_are_not_near():
    away = -0.004 * (np.arange(140) + 40)
    assert outlook(at(days(away), 140), "below", 60) == nearing.Outlook(0.0, None)
    flat = [outlook(at(days([-0.3] * 140, seed=s), 140), "below", 60).chance for s in range(30)]
    assert max(flat) < nearing.CHANCE


def test_a_distant_crossing_is_not_near_yet():
    levels = 0.002 * (np.arange(140) - 500)
    assert outlook(at(days(levels), 140), "below", 60).chance < 0.1


def test_the_outlook_needs_eight_weeks():
    assert outlook(at(days([-0.1] * 40), 40), "below", 60).days is None
