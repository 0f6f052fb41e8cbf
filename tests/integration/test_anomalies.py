"""A day's spend out of its range: rarely told of calm series, and a leak soon."""

from statistics import mean

import pytest

from benchmarks import anomalies, calibration, forecast_fit
from monitor.domain.forecast_bands import TABLE
from monitor.domain.watch_spend import FAR
from tests.conftest import FULL
from tests.needs import shared

YEARS = range(5000, 5000 + (20 if FULL else 2))
DAYS = 730 if FULL else 120


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["slow", "hover", "away"])
def test_a_year_without_a_jump_tells_of_spend_at_most_once_a_quarter(kind, record_property):
    rates = [sum(anomalies.rate(anomalies.noisy(kind, n), FAR)) for n in YEARS]
    record_property("said", f"{kind}: {mean(rates):.2f} a year, at most {max(rates):.1f}")
    assert mean(rates) <= 1
    assert max(rates) <= 4


@pytest.mark.proof
def test_public_series_are_told_of_less_than_once_a_quarter(record_property):
    series = forecast_fit.load(shared("data/forecast_dev.csv"))
    tables = calibration.unseen_tables(series) if FULL else dict.fromkeys(series, TABLE)
    rates = []
    for name, values in list(series.items())[:: 1 if FULL else 7]:
        daily = anomalies.in_dollars(values)
        days = anomalies.judged(daily, sorted(daily)[60:][-DAYS:], tables[name])
        rates.append(sum(anomalies.rate(days, FAR)))
    record_property("said", f"{mean(rates):.2f} a year, at most {max(rates):.1f}")
    assert 0 < mean(rates) < 4
    # A share of four series says little: the claim is that of all.
    assert sum(rate > 4 for rate in rates) <= len(rates) // (10 if FULL else 3)


@pytest.mark.proof
def test_three_times_the_spend_is_told_within_three_closed_days(record_property):
    weeks = [
        week
        for kind in ("slow", "hover", "away")
        for n in YEARS
        for week in anomalies.leaks(anomalies.whole(kind, n), 3, 4, f"{kind}/{n}")
    ]
    share = anomalies.within(weeks, FAR, 3)
    record_property("said", f"{share:.0%} of {len(weeks)}")
    assert share >= 0.8


def test_unknown_days_are_not_judged():
    daily = anomalies.whole("away", 1)
    last = max(daily)
    assert anomalies.judged({**daily, last: None}, [last]) == []
    assert len(anomalies.judged(daily, [last])) == 1
