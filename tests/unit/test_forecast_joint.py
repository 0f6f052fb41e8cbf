import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.forecast import ACTUAL, NotEnough, Projection, project
from monitor.domain.forecast_joint import in_units, together
from monitor.domain.periods import day_bounds
from monitor.domain.usage import DAY
from monitor.domain.volumes import draws, of_projection

START = day_bounds("2026-06-01")[0]
AS_OF = day_bounds("2026-11-10")[1]
MONTHS = ("2026-11", "2026-12", "2027-02")


def series(seed=0, level=1_000_000, spread=0.3, days=(AS_OF - START) // DAY):
    noise = np.random.default_rng(seed).lognormal(0, spread, days)
    return {AS_OF - (days - i) * DAY: round(level * x) for i, x in enumerate(noise)}


def times(daily, ratio):
    return {day: round(total * ratio(day)) for day, total in daily.items()}


def quantiles(found):
    return found.q10, found.q50, found.q90


def test_independent_workloads_together_are_surer_than_the_sum_of_their_ranges():
    dailies = [series(seed, spread=0.8) for seed in range(6)]
    alone = [project(daily, "2026-12", AS_OF) for daily in dailies]
    found = together(dailies, "2026-12", AS_OF)
    added = [sum(column) for column in zip(*map(quantiles, alone), strict=True)]
    assert found.q90 - found.q10 < 0.75 * (added[2] - added[0])
    assert found.q50 == pytest.approx(added[1], rel=0.15)


def test_workloads_that_move_as_one_get_the_range_of_one():
    daily = series(3)
    found = together([daily] * 4, "2026-12", AS_OF)
    assert quantiles(found) == pytest.approx(
        [4 * q for q in quantiles(project(daily, "2026-12", AS_OF))], rel=1e-4
    )


def test_a_day_that_one_workload_lacks_still_counts_with_what_the_others_know():
    first, second = series(1), series(2)
    late = {day: total for day, total in second.items() if day < AS_OF - 3 * DAY}
    found = together([first, late], "2026-11", AS_OF)
    month = day_bounds("2026-11-01")[0]
    known = sum(t for d in (first, late) for day, t in d.items() if day >= month)
    assert found.month_to_date == known <= found.q10
    assert "holes" in found.flags


def test_a_workload_that_starts_later_was_nothing_before():
    new = {day: total for day, total in series(5).items() if day >= AS_OF - 20 * DAY}
    found = together([series(4), new], "2026-12", AS_OF)
    assert (found.history_days, "holes" in found.flags) == (len(series()), False)
    assert isinstance(together([], "2026-12", AS_OF), NotEnough)
    assert isinstance(together([new, {}], "2027-01", AS_OF - 10 * DAY), NotEnough)


@pytest.mark.parametrize("month", MONTHS)
def test_at_a_constant_price_dollars_are_tokens_times_the_price(month):
    tokens = series()
    found = in_units({"tokens": tokens, "usd": times(tokens, lambda _: 250)}, month, AS_OF)
    for q, p in zip(quantiles(found["usd"]), quantiles(found["tokens"]), strict=True):
        assert q == pytest.approx(250 * p, rel=1e-4)


def test_a_price_that_moves_widens_the_dollars():
    tokens = series()
    draw = np.random.default_rng(1).uniform(0.4, 2.0, 10_000)
    moving = times(tokens, lambda day: 250 * draw[day // DAY // 7 % 10_000])
    steady = times(tokens, lambda _: 250)
    widths = []
    for usd in (steady, moving):
        found = in_units({"tokens": tokens, "usd": usd}, "2026-12", AS_OF)["usd"]
        widths.append(found.q90 / found.q10)
    assert widths[0] < widths[1]


weekly = st.lists(st.floats(0.2, 5.0), min_size=30, max_size=30)


@given(seed=st.integers(0, 10**6), prices=weekly, month=st.sampled_from(MONTHS))
@settings(max_examples=40, deadline=None)
def test_no_quantile_implies_a_price_that_was_not_observed(seed, prices, month):
    tokens = series(seed)
    usd = times(tokens, lambda day: 1_000 * prices[day // DAY // 7 % 30])
    found = in_units({"tokens": tokens, "usd": usd}, month, AS_OF)
    ratios = [usd[day] / tokens[day] for day in tokens]
    for q, p in zip(quantiles(found["usd"]), quantiles(found["tokens"]), strict=True):
        assert min(ratios) * 0.999 <= q / p <= max(ratios) * 1.001
    assert found["usd"].month_to_date <= found["usd"].q10 <= found["usd"].q50 <= found["usd"].q90


def test_a_unit_that_is_not_known_takes_nothing_from_the_others():
    tokens = series()
    found = in_units({"tokens": tokens, "requests": {}, "usd": tokens}, "2026-11", AS_OF)
    assert isinstance(found["requests"], NotEnough)
    assert quantiles(found["usd"]) == pytest.approx(quantiles(found["tokens"]), rel=1e-6)


def test_days_that_only_tokens_know_are_in_the_dollars_too():
    tokens = series()
    gaps = [AS_OF - 3 * DAY, AS_OF - 5 * DAY]
    usd = {day: None if day in gaps else 2 * total for day, total in tokens.items()}
    found = in_units({"tokens": tokens, "usd": usd}, "2026-11", AS_OF)
    assert found["usd"].q50 == pytest.approx(2 * found["tokens"].q50, rel=1e-4)
    assert "holes" in found["usd"].flags


def test_a_closed_month_is_exact_in_every_unit():
    tokens = series()
    usd = times(tokens, lambda day: 3 + day % 7)
    found = in_units({"tokens": tokens, "usd": usd}, "2026-10", AS_OF)
    assert {f.method for f in found.values()} == {ACTUAL}
    assert found["usd"].q50 == found["usd"].month_to_date


totals = st.one_of(st.none(), st.just(0), st.integers(-5, 5), st.integers(0, 10**22))
hostile = st.lists(totals, min_size=1, max_size=80)


@given(a=hostile, b=hostile, gap=st.integers(0, 9), month=st.sampled_from(("2026-10", *MONTHS)))
@settings(max_examples=60, deadline=None)
def test_any_histories_give_ordered_totals_above_what_is_known(a, b, gap, month):
    first, second = (
        {AS_OF - (len(s) + g - i) * DAY: t for i, t in enumerate(s)} for s, g in ((a, 0), (b, gap))
    )
    units = in_units({"tokens": first, "usd": second}, month, AS_OF)
    for found in (*units.values(), together([first, second], month, AS_OF)):
        if isinstance(found, Projection):
            assert found.month_to_date <= found.q10 <= found.q50 <= found.q90
            drawn = draws(of_projection(found), np.array([-6.0, 0.0, 6.0]))
            assert np.isfinite(drawn).all()
