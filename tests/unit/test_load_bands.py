"""Own measurements by load: bands, what lies between them, and what is not known."""

from fractions import Fraction
from itertools import pairwise
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import costs
from monitor.domain.load_bands import EngineHour, as_measured, measured, quantile, read_histogram
from monitor.domain.scenario import ZERO, Api, Deployment, Migration, Scenario, Workload


def hour(running=4.0, output=360_000, minutes=60, **values):
    filled = {"requests": 1_800, "prompt_tokens": 900_000, "cached_tokens": 90_000}
    filled |= {"waiting_mean": 0.0, "load_histogram": None, "latency_histogram": None} | values
    return EngineHour(
        engine_id=1, hour=0, minutes=minutes, output_tokens=output, running_mean=running, **filled
    )


def test_hours_of_like_load_make_a_band_with_its_rates_and_hours():
    found = measured([hour(4.0), hour(6.0, 720_000), hour(9.0, 900_000, minutes=30)])
    low, high = found.bands
    assert (low.least, low.below, low.load, low.hours) == (4, 8, 5, 2)
    assert (low.output_tokens_per_second, low.requests_per_second) == (150, 0.5)
    assert (low.prompt_tokens_per_second, low.cached_tokens_per_second) == (250, 25)
    # Half an hour was measured: its tokens belong to 1,800 seconds.
    assert (high.least, high.below, high.hours, high.output_tokens_per_second) == (8, 16, 0.5, 500)
    assert found.hours == 2.5


def test_an_hour_whose_requests_were_not_counted_lowers_no_rate():
    (band,) = measured([hour(4.0), hour(5.0, requests=None, prompt_tokens=None)]).bands
    assert (band.hours, band.requests_per_second, band.prompt_tokens_per_second) == (2, 0.5, 250)
    (unknown,) = measured([hour(4.0, requests=None)]).bands
    assert unknown.requests_per_second == 0


def test_between_bands_a_straight_line_holds_and_beyond_them_it_is_said():
    found = measured([hour(4.0, 360_000), hour(12.0, 1_080_000)])
    assert found.at(0).output_tokens_per_second == 0
    assert found.at(2).output_tokens_per_second == 50
    assert found.at(8).output_tokens_per_second == 200
    inside, beyond = found.at(12), found.at(40)
    assert (inside.output_tokens_per_second, inside.beyond) == (300, False)
    assert (beyond.output_tokens_per_second, beyond.beyond) == (300, True)
    assert "beyond the highest measured load, 12.0 running requests (1 hours)" in beyond.said
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="running requests"):
            found.at(wrong)


def test_missing_readings_are_not_idle_hours():
    rows = [hour(4.0), hour(None), hour(5.0, None), hour(float("nan")), hour(minutes=0)]
    found = measured(rows)
    assert (found.hours, found.hours_without_readings) == (1, 4)
    assert found.bands[0].output_tokens_per_second == 100


def test_without_any_load_there_is_no_figure():
    assert "1 hours are without readings" in measured([hour(None), hour(0.0, 0)])
    assert "No hour" in measured([])


def test_an_hour_without_a_mean_is_placed_by_its_histogram():
    (band,) = measured([hour(None, load_histogram={"4": 0, "8": 60})]).bands
    assert (band.least, band.load) == (4, 6)


def test_latencies_come_from_the_counts_of_a_whole_band():
    found = measured(
        [
            hour(4.0, latency_histogram={"1": 50, "2": 0}),
            hour(5.0, latency_histogram={"1": 0, "2": 50}),
            hour(9.0, 900_000, latency_histogram={"2": 10, "4": 90}),
            hour(20.0, 1_000_000),
        ]
    )
    first, second, third = found.bands
    assert (first.latency_p50, first.latency_p95) == (1.0, 1.9)
    assert second.latency_p95 == pytest.approx(3.889, abs=0.001)
    assert third.latency_p95 is None
    assert found.within(2) == first
    assert found.within(5) == second
    assert found.within(0.5) is None


def test_a_quantile_beyond_the_last_bound_is_that_bound():
    assert quantile({"1": 1, "+Inf": 9}, 0.95) == 1
    assert quantile({"1": 0}, 0.5) is None


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"x": 1}', '{"1": -1}', '{"1": null}', "7"])
def test_a_histogram_that_cannot_be_read_is_unknown(text):
    assert read_histogram(text) is None


def test_a_stored_histogram_is_read():
    assert read_histogram('{"0.5": 3, "+Inf": 1}') == {"0.5": 3.0, "+Inf": 1.0}


def full(hours=24, waiting=3.0):
    shape = {"requests": 7_200, "prompt_tokens": 4_000_000, "cached_tokens": 400_000}
    return [hour(30.0, 1_440_000, waiting_mean=waiting, **shape)] * hours


def test_only_a_day_of_full_engines_tells_what_they_can_do():
    assert measured(full()).saturated.requests_per_second == 2
    assert measured(full(hours=23)).saturated is None
    assert measured(full(waiting=0.5)).saturated is None
    assert measured(full(waiting=None)).saturated is None


@pytest.mark.parametrize("rates", [(7290, 7050, "1.37e-7"), (0, 0, 0)])
def test_the_formula_then_gives_the_measured_rate_at_the_measured_shape(rates):
    a, b, c = map(Fraction, rates)
    before = Deployment(
        gpus_per_replica=2,
        gpu_input_tokens_per_second=a,
        gpu_output_tokens_per_second=b,
        context_coefficient=c,
        headroom=Fraction(1),
    )
    after = as_measured(before, measured(full()).saturated)
    # 7,200 requests an hour of 500 fresh tokens in and 200 out.
    shape = Workload(requests_per_month=1, input_tokens=Fraction(500), output_tokens=Fraction(200))
    free = Api(input_usd_per_million=ZERO, output_usd_per_million=ZERO)
    scenario = Scenario(workload=shape, api=free, deployment=after, migration=Migration())
    a_month = 1 / costs.replicas_per_request(scenario)
    assert float(a_month / costs.SECONDS) == pytest.approx(2, rel=1e-5)


loads = st.floats(0, 1e6, allow_nan=False)
hours = st.builds(
    hour,
    running=st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
    output=st.one_of(st.none(), st.integers(0, 10**12)),
    minutes=st.integers(0, 60),
    latency_histogram=st.one_of(
        st.none(), st.dictionaries(st.sampled_from(["0.1", "1", "9", "+Inf"]), st.integers(0, 99))
    ),
)


@pytest.mark.proof
@given(st.lists(hours, max_size=12), loads, loads)
def test_between_two_bands_the_rate_is_monotone_and_always_a_number(rows, one, other):
    found = measured(rows)
    if isinstance(found, str):
        return
    assert found.bands == sorted(found.bands, key=lambda band: band.load)
    points = [(0.0, 0.0), *((b.load, b.output_tokens_per_second) for b in found.bands)]
    low, high = sorted((one, other))
    for (x0, y0), (x1, y1) in pairwise(points):
        a, b = (found.at(min(max(x, x0), x1)).output_tokens_per_second for x in (low, high))
        assert a <= b if y0 <= y1 else a >= b
        assert min(y0, y1) <= a <= max(y0, y1)
    for band in found.bands:
        assert all(isfinite(v) for v in vars(band).values() if v is not None)
        assert found.at(band.load).output_tokens_per_second == band.output_tokens_per_second
