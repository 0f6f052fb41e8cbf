import csv
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.errors import InputError
from monitor.domain.forecast import (
    ACTUAL,
    METHOD,
    NotEnough,
    Projection,
    project,
    span_total,
)
from monitor.domain.periods import add_months, day_bounds, days_in, month_bounds, month_of
from monitor.domain.usage import DAY
from tests import needs

WEEK = (110, 90, 30, 20, 100, 120, 120)  # day 0 of the epoch was a Thursday


def at(day):
    return day_bounds(day)[0]


def history(first="2026-01-01", last="2026-11-30", level=1.0):
    """Daily totals with a strict weekday profile; `level` is a factor or a function of the day."""
    factor = level if callable(level) else lambda day: level
    days = range(at(first), at(last) + DAY, DAY)
    return {day: round(10_000 * WEEK[day // DAY % 7] * factor(day)) for day in days}


def noisy(seed=1, first="2026-01-01", last="2026-11-30", spread=0.2):
    noise = np.random.default_rng(seed).lognormal(0, spread, 5_000)
    return history(first, last, level=lambda day: noise[day // DAY % 5_000])


def actual(daily, month):
    start, end = month_bounds(month)
    return sum(daily[day] for day in range(start, end, DAY))


def quantiles(projection):
    return projection.q10, projection.q50, projection.q90


@pytest.mark.parametrize("as_of", ["2026-10-01", "2026-10-02", "2026-10-18", "2026-10-31"])
@pytest.mark.parametrize("month", ["2026-10", "2026-11"])
def test_a_series_that_only_knows_weekdays_is_projected_closely(as_of, month):
    daily = history()
    result = project(daily, month, at(as_of))
    # The table expects what public series did: to grow by two or three percent a month.
    assert result.q50 == pytest.approx(actual(daily, month), rel=0.04)
    assert result.q10 <= actual(daily, month) <= result.q90
    assert (result.method, result.flags) == (METHOD, ())


def test_only_days_before_the_as_of_day_are_read():
    daily = history()
    past = {day: total for day, total in daily.items() if day < at("2026-10-18")}
    future = {day: 10**9 for day in daily if day >= at("2026-10-18")}
    assert project(past, "2026-10", at("2026-10-18")) == project(
        past | future, "2026-10", at("2026-10-18")
    )


def test_the_known_part_of_the_month_is_exact_whatever_its_size():
    daily = {day: total * 10**15 + 1 for day, total in noisy().items()}
    result = project(daily, "2026-10", at("2026-10-18"))
    assert result.month_to_date == sum(daily[at("2026-10-01") + i * DAY] for i in range(17))
    assert result.month_to_date <= result.q10


@pytest.mark.parametrize("as_of", ["2026-11-01", "2026-11-20", "2027-06-01"])
def test_a_closed_month_is_its_actual_total(as_of):
    daily = noisy()
    total = actual(daily, "2026-10")
    result = project(daily, "2026-10", at(as_of))
    assert result == Projection("2026-10", at(as_of), total, total, total, total, ACTUAL, 304, ())


def test_a_short_first_month_is_still_an_actual_total_once_closed():
    daily = history("2026-11-21", "2026-11-30")
    result = project(daily, "2026-11", at("2026-12-01"))
    assert quantiles(result) == (sum(daily.values()),) * 3


def test_below_fourteen_days_there_is_no_projection():
    daily = history("2026-11-01", "2026-11-13")
    to_date = sum(daily.values())
    result = project(daily, "2026-11", at("2026-11-14"))
    assert result == NotEnough("2026-11", at("2026-11-14"), 13, 14, to_date)
    assert isinstance(project(daily, "2026-12", at("2026-11-14")), NotEnough)
    assert isinstance(project({}, "2026-12", at("2026-11-14")), NotEnough)


def test_days_before_years_of_silence_are_no_history_of_those_after():
    daily = history("2020-01-01", "2020-12-31") | history("2026-11-18", "2026-11-30")
    found = project(daily, "2026-12", at("2026-12-01"))
    assert isinstance(found, NotEnough)
    assert (found.history_days, found.needed) == (13, 14)
    daily |= history("2026-11-17", "2026-11-17")
    found = project(daily, "2026-12", at("2026-12-01"))
    assert "short_history" in found.flags


def test_a_month_that_ended_before_the_first_day_is_unknown_not_zero():
    result = project(history("2026-05-10"), "2026-04", at("2026-09-01"))
    assert isinstance(result, NotEnough)


@pytest.mark.parametrize(
    ("last", "flags"),
    [("2026-11-14", ("short_history",)), ("2026-11-27", ("short_history",)), ("2026-11-28", ())],
)
def test_two_to_four_weeks_are_projected_with_prior_bands_and_flagged(last, flags):
    daily = history("2026-11-01", last)
    result = project(daily, "2026-12", at(last) + DAY)
    assert result.flags == flags
    assert result.history_days == len(daily)
    assert result.q90 / result.q10 > 1.5


def test_days_before_the_first_use_are_no_history():
    launch = history("2026-11-10", "2026-11-20")
    daily = history("2026-06-01", "2026-11-20", level=0) | launch
    result = project(daily, "2026-11", at("2026-11-21"))
    assert result == NotEnough("2026-11", at("2026-11-21"), 11, 14, sum(launch.values()))


def test_a_workload_without_any_use_is_projected_as_nothing():
    result = project(history(level=0), "2026-11", at("2026-11-10"))
    assert quantiles(result) == (0, 0, 0)


@pytest.mark.parametrize("missing", [None, "absent"])
def test_a_hole_in_the_month_is_estimated_and_flagged(missing):
    daily = history()
    whole = project(daily, "2026-10", at("2026-10-18"))
    for day in ("2026-10-05", "2026-10-06", "2026-10-17"):
        if missing == "absent":
            del daily[at(day)]
        else:
            daily[at(day)] = None
    result = project(daily, "2026-10", at("2026-10-18"))
    assert result.flags == ("holes",)
    assert result.q50 == pytest.approx(whole.q50, rel=0.005)
    assert result.month_to_date < whole.month_to_date
    assert result.q10 >= result.month_to_date


def test_a_hole_in_a_closed_month_keeps_a_range():
    daily = history() | {at("2026-10-14"): None}
    result = project(daily, "2026-10", at("2026-11-20"))
    assert result.flags == ("holes",)
    assert result.month_to_date < result.q10 < result.q50 < result.q90
    assert result.q50 == pytest.approx(actual(history(), "2026-10"), rel=1e-6)


def test_an_old_hole_does_not_flag_the_present():
    daily = noisy() | {at("2026-03-03"): None}
    assert project(daily, "2026-11", at("2026-11-10")).flags == ()


def test_silence_at_the_end_is_projected_like_days_to_come():
    daily = {day: total for day, total in noisy().items() if day < at("2026-10-01")}
    fresh = project(daily, "2026-11", at("2026-10-01"))
    late = project(daily, "2026-11", at("2026-11-10"))
    assert quantiles(late) == quantiles(fresh)
    assert (fresh.flags, late.flags) == ((), ("holes",))


def test_a_single_zero_day_far_from_zero_is_a_missing_day():
    daily = history() | {at("2026-10-14"): 0}
    result = project(daily, "2026-10", at("2026-10-18"))
    assert result.flags == ("zero_days_as_missing",)
    assert result.q50 == pytest.approx(actual(history(), "2026-10"), rel=0.005)


@pytest.mark.parametrize(
    "zeros",
    [
        ["2026-10-13", "2026-10-14"],
        ["2026-10-02", "2026-10-06", "2026-10-09", "2026-10-14"],
        ["2026-09-16", "2026-09-23", "2026-09-30", "2026-10-07", "2026-10-14"],
    ],
    ids=["two days in a row", "a sparse series", "a weekly day off"],
)
def test_zeros_that_mean_something_stay_zeros(zeros):
    daily = history() | {at(day): 0 for day in zeros}
    assert project(daily, "2026-10", at("2026-10-18")).flags == ()


def test_a_weekly_day_off_is_seen_in_two_weeks():
    daily = history("2026-11-02", "2026-11-17") | {at("2026-11-03"): 0, at("2026-11-10"): 0}
    result = project(daily, "2026-11", at("2026-11-18"))
    assert result.flags == ("short_history",)


def test_a_zero_on_a_quiet_weekday_stays_zero():
    quiet = history(level=lambda day: 0.02 if day // DAY % 7 == 6 else 1)
    daily = quiet | {at("2026-10-14"): 0}
    assert at("2026-10-14") // DAY % 7 == 6
    assert project(daily, "2026-10", at("2026-10-18")).flags == ()


def test_a_level_shift_is_followed_within_weeks():
    shifted = history(level=lambda day: 3 if day >= at("2026-10-01") else 1)
    errors = [
        abs(project(shifted, "2026-10", at(day)).q50 / actual(shifted, "2026-10") - 1)
        for day in ("2026-10-01", "2026-10-08", "2026-10-15", "2026-10-29")
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.6
    assert errors[2] < 0.15
    assert errors[3] < 0.01


@pytest.mark.parametrize("ratio", [100, 0.01])
def test_a_shift_of_a_hundred_times_is_followed_within_days_and_said(ratio):
    shifted = history(level=lambda day: ratio if day >= at("2026-10-01") else 1)
    found = {d: project(shifted, "2026-11", at(f"2026-10-{d:02d}")) for d in (1, 5, 8, 15, 30)}
    ratios = {d: p.q50 / actual(shifted, "2026-11") for d, p in found.items()}
    assert "level_shift" not in found[1].flags
    assert all("level_shift" in found[d].flags for d in (5, 8, 15, 30))
    assert 1 / 6 < ratios[5] < 6
    assert all(0.85 < ratios[d] < 1.15 for d in (8, 15, 30))
    widths = [found[d].q90 / found[d].q10 for d in (5, 8, 15, 30)]
    assert widths == sorted(widths, reverse=True)


def test_one_giant_spike_counts_as_what_was_and_hardly_as_what_will_be():
    daily = noisy()
    spiked = daily | {at("2026-10-20"): daily[at("2026-10-20")] * 1000}
    before, after = (project(d, "2026-11", at("2026-11-01")) for d in (daily, spiked))
    assert 0.9 < after.q50 / before.q50 < 1.5
    within = project(spiked, "2026-10", at("2026-10-25"))
    assert within.q10 >= within.month_to_date > spiked[at("2026-10-20")]


def test_a_credit_counts_in_what_was_and_does_not_turn_the_rest():
    daily = noisy() | {at("2026-10-05"): -3_000_000}
    result = project(daily, "2026-10", at("2026-10-12"))
    known = sum(daily[day] for day in range(at("2026-10-01"), at("2026-10-12"), DAY))
    assert result.month_to_date == known
    assert known < result.q10 < result.q50 < result.q90 < 2 * actual(noisy(), "2026-10")


def test_one_silent_week_does_not_make_a_workload_vanish():
    paused = history(level=lambda day: 0 if day >= at("2026-10-25") else 1)
    result = project(paused, "2026-11", at("2026-11-01"))
    assert result.q50 > actual(history(), "2026-11") / 10


def test_a_noisier_past_gives_a_wider_range():
    widths = [
        (p.q90 - p.q10) / p.q50
        for p in (project(noisy(2, spread=s), "2026-11", at("2026-11-01")) for s in (0.1, 0.6, 1.2))
    ]
    assert widths == sorted(widths)


def test_the_range_narrows_as_the_month_goes_by_and_widens_with_the_horizon():
    daily = noisy(3)
    days = ("2026-11-01", "2026-11-08", "2026-11-16", "2026-11-29")
    widths = [project(daily, "2026-11", at(day)) for day in days]
    widths = [p.q90 - p.q10 for p in widths]
    assert widths == sorted(widths, reverse=True)
    ahead = [project(daily, add_months("2026-11", n), at("2026-11-20")) for n in range(4)]
    widths = [(p.q90 - p.q10) / p.q50 for p in ahead]
    assert widths == sorted(widths)


def test_more_than_three_months_ahead_is_refused():
    daily = history()
    assert isinstance(project(daily, "2027-02", at("2026-11-15")), Projection)
    with pytest.raises(InputError, match="2027-03 is more than 3 months after 2026-11"):
        project(daily, "2027-03", at("2026-11-15"))


def test_an_as_of_inside_a_day_is_refused():
    with pytest.raises(InputError, match="not a UTC midnight"):
        project(history(), "2026-11", at("2026-11-15") + 1)


totals = st.one_of(
    st.none(), st.just(0), st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 10**22)
)


@given(
    series=st.lists(totals, min_size=1, max_size=150),
    offset=st.integers(0, 40),
    ahead=st.integers(-4, 3),
)
@settings(max_examples=80, deadline=None)
def test_any_history_gives_ordered_bounded_integers(series, offset, ahead):
    start = at("2026-01-01")
    daily = {start + i * DAY: total for i, total in enumerate(series)}
    as_of = start + (len(series) + offset) * DAY
    result = project(daily, add_months(month_of(as_of), ahead), as_of)
    if isinstance(result, NotEnough):
        assert result.history_days < 14
        return
    assert all(isinstance(q, int) for q in quantiles(result))
    assert result.month_to_date <= result.q10 <= result.q50 <= result.q90
    known = [total for total in series if total is not None]
    highest = 20 * max(known) * days_in(result.month)
    assert result.q90 <= max(result.month_to_date, highest * (1 + 1e-9) + 1)


def test_nothing_exceeds_twenty_times_the_rate_of_the_last_28_days():
    spikes = history(level=lambda day: 500 if day // DAY % 40 == 0 else 0.01)
    for ahead in range(4):
        for first in range(at("2026-09-01"), at("2026-10-15"), 3 * DAY):
            result = project(spikes, add_months(month_of(first), ahead), first)
            rate = sum(spikes[first - i * DAY] for i in range(1, 29)) / 28
            cap = max(result.month_to_date, 20 * rate * days_in(result.month))
            assert result.q90 <= cap + 1


@given(scale=st.sampled_from([7, 10**6, 10**12]), day=st.integers(0, 30))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_totals_does_not_matter(scale, day):
    daily, as_of = noisy(4), at("2026-10-01") + day * DAY
    small = project(daily, "2026-11", as_of)
    large = project({d: total * scale for d, total in daily.items()}, "2026-11", as_of)
    assert [q / scale for q in quantiles(large)] == pytest.approx(quantiles(small), rel=1e-5)


@given(
    series=st.lists(st.floats(0, 1e15), min_size=14, max_size=150),
    lo=st.integers(0, 100),
    days=st.integers(1, 30),
)
@settings(max_examples=60, deadline=None)
def test_any_span_ahead_gives_ordered_finite_totals(series, lo, days):
    totals = np.array(series)
    found = span_total(totals, lo, lo + days)
    assert 0 <= found[0] <= found[1] <= found[2] < np.inf
    assert found[2] <= 20 * totals[-28:].mean() * days * (1 + 1e-9)


@pytest.mark.parametrize(("days", "lo", "hi"), [(13, 0, 5), (50, 5, 5), (50, -1, 5), (50, 0, 131)])
def test_a_span_that_cannot_be_told_is_refused(days, lo, hi):
    with pytest.raises(InputError):
        span_total(np.ones(days), lo, hi)


def test_spans_of_a_month_agree_with_the_month():
    daily = {day: total for day, total in noisy(6, "2026-06-01").items() if day < at("2026-10-01")}
    month = project(daily, "2026-10", at("2026-10-01"))
    assert span_total(np.array(list(daily.values()), float), 0, 31) == pytest.approx(
        quantiles(month), rel=1e-4
    )


def public_series():
    """Development series: name -> {day: total}."""
    series = defaultdict(dict)
    with needs.shared("data/forecast_dev.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            series[row["series"]][at(row["date"])] = int(row["value"])
    return series


def some_tasks(daily):
    """About five as-of days over the whole series, each with the present month and the next."""
    days = sorted(daily)
    for as_of in days[60 :: max(len(days) // 5, 1)]:
        for month in (month_of(as_of), add_months(month_of(as_of), 1)):
            if month_bounds(month)[1] <= days[-1]:
                yield as_of, month


def pinball(total, predicted):
    return sum(
        max(q * (total - p), (q - 1) * (total - p))
        for q, p in zip((0.1, 0.5, 0.9), predicted, strict=True)
    )


def run_rate(daily, result):
    start, end = month_bounds(result.month)
    used = range(min(start, result.as_of - 7 * DAY), result.as_of, DAY)
    rate = sum(daily[day] for day in used) / len(used)
    return result.month_to_date + rate * (end - max(start, result.as_of)) / DAY


def test_on_public_series_the_range_is_calibrated_and_beats_the_run_rate():
    ours = theirs = inside = count = 0
    for daily in public_series().values():
        for as_of, month in some_tasks(daily):
            result, total = project(daily, month, as_of), actual(daily, month)
            level = pinball(total, (run_rate(daily, result),) * 3)
            ours += pinball(total, quantiles(result)) / max(total, 1)
            theirs += level / max(total, 1)
            inside += result.q10 <= total <= result.q90
            count += 1
    assert count > 250
    assert 0.74 <= inside / count <= 0.86
    assert ours < 0.7 * theirs


def test_a_long_history_is_read_only_as_far_back_as_the_method_looks():
    long = noisy(5, first="2016-01-01")
    recent = {day: total for day, total in long.items() if day >= at("2023-06-01")}
    as_of = at("2026-11-10")
    assert quantiles(project(long, "2026-11", as_of)) == quantiles(
        project(recent, "2026-11", as_of)
    )


@pytest.mark.parametrize("month", ["2026-01", "2026-02", "2026-04"])
def test_a_series_whose_months_are_all_alike_is_projected_flat(month):
    as_of = at("2026-01-15")
    daily = {as_of - back * DAY: 1000 for back in range(1, 401)}
    found = project(daily, month, as_of)
    assert found.q50 == pytest.approx(1000 * days_in(month), rel=0.01)
