"""The chances that are told, against what happened on public daily series."""

import pytest

from benchmarks import calibration, forecast_fit
from monitor.domain.forecast_bands import TABLE
from tests.conftest import FULL
from tests.needs import shared

MONTHS = 12 if FULL else 2


@pytest.mark.proof
def test_months_told_70_to_90_percent_likely_above_a_crossing_were_above_it_as_often():
    series = forecast_fit.load(shared("data/forecast_dev.csv"))
    horizons = list(calibration.AS_OF) if FULL else ["d07", "next"]
    # Proven on series that the table was not fitted on; with the shipped one in a shorter run.
    tables = calibration.unseen_tables(series) if FULL else dict.fromkeys(series, TABLE)
    told = [
        chance
        for name, daily in series.items()
        for chance in calibration.tell(daily, horizons, MONTHS, tables[name])
    ]
    (row,) = (row for row in calibration.table(told) if row.low == 70)
    assert row.count >= 100
    assert 70 <= row.observed <= 90


def test_a_table_counts_each_chance_once_and_shows_what_happened():
    told = [
        calibration.Told("d07", chance, above)
        for chance, above in [(0, False), (0.1, False), (0.8, True), (0.7, False), (1.0, True)]
    ]
    rows = {row.low: row for row in calibration.table(told)}
    assert [row.count for row in rows.values()] == [1, 1, 0, 0, 2, 1]
    assert (rows[70].told, rows[70].observed) == (pytest.approx(75), 50)
    assert rows[30].told is None
