"""The pictures as data: what is drawn is what was measured, projected and computed."""

import json
from decimal import Decimal
from fractions import Fraction

from monitor.domain import costs
from reports import charts
from tests.weekly_facts import scenario

NOW = [Decimal(100), Decimal("50.5"), Decimal(0)]
RANGE = (Decimal(900), Decimal(1000), Decimal(1200))


def spending(**changes):
    base = {"days": 30, "now": NOW, "before": [Decimal(90)] * 30, "before_name": "October"}
    return charts.Spending(**(base | {"projected": RANGE} | changes))


def marks(spec, kind):
    """The data of every layer of a kind of mark."""
    return [layer["data"]["values"] for layer in spec["layer"] if layer["mark"]["type"] == kind]


def labels(spec):
    return [values[0]["label"] for values in marks(spec, "text")]


def test_spend_is_summed_from_nothing_before_the_first():
    *_, now = marks(charts.spend(spending()), "line")
    assert now == [{"x": 0, "y": 0}, {"x": 1, "y": 100}, {"x": 2, "y": 150.5}, {"x": 3, "y": 150.5}]


def test_the_fan_opens_at_today_and_ends_at_the_projected_range():
    (band,) = marks(charts.spend(spending()), "area")
    assert band == [{"x": 3, "y": 150.5, "y2": 150.5}, {"x": 30, "y": 900.0, "y2": 1200.0}]
    assert labels(charts.spend(spending())) == ["October", "$1.00k", "$150.50"]


def test_a_month_without_projection_or_with_all_its_days_has_no_fan():
    assert not marks(charts.spend(spending(projected=None)), "area")
    assert not marks(charts.spend(spending(now=[Decimal(1)] * 30)), "area")


def test_an_unknown_month_before_is_not_drawn():
    lines = marks(charts.spend(spending(before=[], projected=None)), "line")
    assert len(lines) == 1


def test_both_lines_are_the_cost_model_at_each_volume():
    of = scenario()
    own, api = marks(charts.cost(of, volumes()), "line")
    for point in (own[0], own[100], own[-1]):
        assert point["y"] == float(costs.hybrid_bill(of, Fraction(point["x"])))
    assert api[120]["y"] == float(costs.api_bill(of, Fraction(api[120]["x"])))


def volumes(crossing=1_380_000):
    return charts.Volumes(1_260_000, 1_400_000, 1_540_000, crossing)


def test_the_projected_range_is_a_band_and_the_crossing_is_marked():
    spec = charts.cost(scenario(), volumes())
    ((band,),) = marks(spec, "rect")
    assert (band["x"], band["x2"]) == (1_260_000, 1_540_000)
    assert "crosses at 1.38M" in labels(spec)
    assert spec["encoding"]["x"]["scale"]["domain"][1] >= 1_540_000


def test_a_crossing_far_beyond_the_volume_does_not_squash_the_picture():
    spec = charts.cost(scenario(), volumes(crossing=1_400_000_000))
    assert spec["encoding"]["x"]["scale"]["domain"][1] < 3_000_000
    assert not any("crosses" in label for label in labels(spec))


def test_no_crossing_and_no_volume_are_drawn_all_the_same():
    spec = charts.cost(scenario(), charts.Volumes(0, 0, 0, None))
    assert spec["encoding"]["x"]["scale"]["domain"][1] > 0


def test_the_definitions_are_plain_json_and_load_nothing():
    text = json.dumps([charts.spend(spending()), charts.cost(scenario(), volumes())])
    assert '"url"' not in text
    assert charts.FONT in text
