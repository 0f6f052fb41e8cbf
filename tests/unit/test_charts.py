"""The pictures as data: what is drawn is what was measured, projected and computed."""

import json
import struct
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from monitor.domain import costs
from reports import charts, heatmap, marks
from reports.themes import DARK, LIGHT
from tests.weekly_facts import scenario

NOW = [Decimal(100), Decimal("50.5"), Decimal(0)]
RANGE = (Decimal(900), Decimal(1000), Decimal(1200))
FONTS = Path(marks.__file__).with_name("fonts")
EVIL = [
    "a\r\nb",
    "\U0001f600 emoji",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd",
    "x" * 500,
    "\"quoted\" 'twice' `and` \\",
    "datum.value ? 1 : 0",
    "{{ 7 * 7 }}</svg><script>alert(1)</script>",
    "Z\u0351a\u0351l\u0351g\u0351o",
    "\ud800\ufffe\u2028",
]


def stack(name, *usd):
    return charts.Stack(name, [None if each is None else Decimal(each) for each in usd])


def spending(**changes):
    base = {
        "title": "November to the 3rd: $150.50",
        "days": 30,
        "now": NOW,
        "before": [Decimal(90)] * 30,
        "before_name": "October",
        "projected": RANGE,
        "stacks": [stack("search", 70, "30.5", None), stack("support-bot", 20, 20, None)],
        "rest": [Decimal(4), Decimal(0), Decimal(0)],
    }
    return charts.Spending(**(base | changes))


def volumes(crossing=1_380_000):
    return charts.Volumes(1_260_000, 1_400_000, 1_540_000, crossing)


MONDAY = date(2026, 10, 5)


def unit_costs(api=("3.1", None, "2.7", "2.6"), own=()):
    weeks = {
        MONDAY + timedelta(7 * n): Decimal(usd) for n, usd in enumerate(api) if usd is not None
    }
    return charts.UnitCosts(MONDAY, len(api) or 4, weeks, {m: Decimal(usd) for m, usd in own})


def load(*lines):
    of = [
        heatmap.Line(name, [None if h is None else Decimal(h) for h in hours], "41.0%")
        for name, hours in lines
    ]
    return heatmap.Load(of, [(0, "Mon 16")], [24])


PICTURES = {
    "spend": charts.spend(spending()),
    "cost": charts.cost(scenario(), volumes(), "support-bot"),
    "unit-cost": charts.unit_cost(unit_costs(own=[(date(2026, 10, 1), "1.9")])),
    "utilisation": heatmap.utilisation(load(("gpu-1", [0, 10, None, 99]), ("gpu-2", [None] * 4))),
}


def layers(spec):
    for each in spec["layer"]:
        yield from layers(each) if "layer" in each else [each]


def found(spec, kind, colour=None):
    """The data of every layer of a kind of mark."""
    return [
        each["data"]["values"]
        for each in layers(spec)
        if each["mark"]["type"] == kind and colour in (None, each["mark"].get("color"))
    ]


def labels(spec):
    return [point["label"] for values in found(spec, "text") for point in values]


def test_spend_is_summed_from_nothing_before_the_first():
    *_, now = found(charts.spend(spending()), "line")
    assert now == [{"x": 0, "y": 0}, {"x": 1, "y": 100}, {"x": 2, "y": 150.5}, {"x": 3, "y": 150.5}]


def test_the_fan_opens_at_today_and_ends_at_the_projected_range():
    spec = charts.spend(spending())
    ((start, end),) = found(spec, "area")
    assert start == {"x": 3, "y": 150.5, "y2": 150.5}
    assert end == {"x": 30, "y": 900.0, "y2": 1200.0}
    assert {"$1.00k", "$900.00 to $1.20k", "October $2.70k"} <= set(labels(spec))


def test_the_total_that_the_text_says_stands_in_the_picture():
    assert "November to the 3rd: $150.50" in labels(charts.spend(spending()))


def test_a_month_without_projection_or_with_all_its_days_has_no_fan():
    assert not found(charts.spend(spending(projected=None)), "area")
    complete = charts.spend(spending(now=[Decimal(1)] * 30))
    assert not found(complete, "area")
    assert "$30.00" in labels(complete)


def test_an_unknown_month_before_is_not_drawn():
    assert len(found(charts.spend(spending(before=[], projected=None)), "line")) == 1


def test_a_longer_month_before_is_drawn_to_its_end_and_named_with_its_whole_total():
    spec = charts.spend(spending(before=[Decimal(100)] * 31))
    before, *_ = found(spec, "line")
    assert before[-1] == {"x": 31, "y": 3100}
    assert "October $3.10k" in labels(spec)
    assert spec["encoding"]["x"]["scale"]["domain"] == [0, 31]


def test_last_month_differs_from_this_one_by_more_than_its_colour():
    dashes = [
        each["mark"].get("strokeDash")
        for each in layers(charts.spend(spending()))
        if each["mark"]["type"] == "line"
    ]
    assert dashes == [list(marks.DOTTED), list(marks.DASHED), None]


def test_the_bars_of_a_day_lie_on_each_other_largest_workload_first():
    spec = charts.spend(spending())
    first, second = (found(spec, "rect", colour)[0] for colour in LIGHT.series[:2])
    (rest,) = found(spec, "rect", LIGHT.other)
    assert [(bar["y"], bar["y2"]) for bar in first] == [(0, 70), (0, 30.5)]
    assert [(bar["y"], bar["y2"]) for bar in second] == [(70, 90), (30.5, 50.5)]
    assert [(bar["y"], bar["y2"]) for bar in rest] == [(90, 94)]


def test_what_no_workload_holds_fills_the_day_up_to_its_total():
    spec = charts.spend(spending())
    (outside,) = found(spec, "rect", LIGHT.background)
    assert [(bar["y"], bar["y2"]) for bar in outside] == [(94, 100)]
    totals = found(spec, "rule", LIGHT.ink)
    assert [point["y"] for point in totals[0]] == [100, 50.5, 0]
    assert "outside workloads" in labels(spec)


def test_a_bill_below_the_estimates_leaves_the_total_within_the_bars():
    spec = charts.spend(spending(stacks=[stack("search", 170, 30, 0)], rest=[]))
    assert [(b["y"], b["y2"]) for b in found(spec, "rect", LIGHT.background)[0]] == [(30, 50.5)]
    assert found(spec, "rule", LIGHT.ink)[0][0]["y"] == 100


def test_the_legend_names_the_bars_from_the_top_down():
    said = labels(charts.spend(spending()))
    at = said.index("outside workloads")
    assert said[at : at + 4] == ["outside workloads", "all other", "support-bot", "search"]


@pytest.mark.parametrize(
    "changes",
    [
        {"now": [], "before": [], "projected": None, "stacks": [], "rest": []},
        {"now": [Decimal(0)], "before": [], "projected": None, "stacks": [], "rest": []},
        {"now": [Decimal("0.000001")], "stacks": [stack("a", "0.000001")], "rest": [Decimal(0)]},
        {"now": [Decimal(-5)], "projected": None, "stacks": [], "rest": []},
        {"now": [Decimal(10**12)] * 3, "projected": (Decimal(10**13),) * 3},
    ],
)
def test_a_month_of_nothing_of_a_day_of_credits_and_of_trillions_has_a_scale(changes):
    spec = charts.spend(spending(**changes))
    for panel in spec["layer"]:
        low, high = panel["encoding"]["y"]["scale"]["domain"]
        assert low <= 0 < high or low < 0 <= high


def test_both_lines_are_the_cost_model_at_each_volume():
    of = scenario()
    own, api = found(charts.cost(of, volumes()), "line")
    for point in (own[0], own[100], own[-1]):
        assert point["y"] == float(costs.hybrid_bill(of, Fraction(point["x"])))
    assert api[120]["y"] == float(costs.api_bill(of, Fraction(api[120]["x"])))


def test_the_projected_range_is_a_band_and_the_crossing_is_marked():
    spec = charts.cost(scenario(), volumes())
    ((band,),) = found(spec, "rect")
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


def test_an_unknown_week_breaks_the_line_and_is_not_zero():
    spec = charts.unit_cost(unit_costs())
    assert found(spec, "line") == [[{"x": 17.5, "y": 2.7}, {"x": 24.5, "y": 2.6}]]
    (dots,) = found(spec, "point")
    assert dots == [{"x": 3.5, "y": 3.1}, {"x": 17.5, "y": 2.7}, {"x": 24.5, "y": 2.6}]


def test_own_cost_holds_over_its_month_and_without_it_the_side_is_absent():
    spec = charts.unit_cost(unit_costs(own=[(date(2026, 10, 1), "1.9")]))
    assert found(spec, "rule", LIGHT.own) == [[{"x": 0, "x2": 27, "y": 1.9}]]
    assert "own GPUs" in labels(spec)
    assert "own GPUs" not in labels(charts.unit_cost(unit_costs()))


def test_own_cost_alone_is_drawn_too():
    said = labels(charts.unit_cost(unit_costs(api=(), own=[(date(2026, 10, 1), "1.9")])))
    assert "own GPUs" in said
    assert "API" not in said


def test_weeks_are_named_where_they_are_few_and_months_where_they_are_many():
    assert "5 Oct" in labels(charts.unit_cost(unit_costs()))
    many = labels(charts.unit_cost(unit_costs(api=["2.5"] * 26)))
    assert many[:6] == ["API", "Nov", "Dec", "Jan", "Feb", "Mar"]


@pytest.mark.parametrize(
    ("percent", "step"),
    [("0", 0), ("0.99", 0), ("1", 1), ("25", 1), ("25.01", 2), ("50", 2), ("75", 3), ("100", 4)],
)
def test_an_hour_has_the_colour_of_its_load(percent, step):
    assert heatmap.step(Decimal(percent)) == step


def test_hours_that_were_not_measured_are_a_line_and_never_idle():
    spec = heatmap.utilisation(load(("a", [0, 0, None, None, 0, 99])))
    (idle,) = found(spec, "rect", LIGHT.load[0])
    assert [(run["x"], run["x2"]) for run in idle] == [(0, 2), (4, 5)]
    assert found(spec, "rule", LIGHT.faint)[0] == [{"x": 2, "x2": 4, "y": 0.5}]


def test_more_servers_than_fit_are_cut():
    spec = heatmap.utilisation(load(*((f"gpu-{n:03d}", [n % 90]) for n in range(40))))
    assert spec["height"] == 12 * 20
    assert sum(label.startswith("gpu-") for label in labels(spec)) == heatmap.ROWS


def test_no_server_is_no_error():
    assert heatmap.utilisation(heatmap.Load([], [], []))["layer"]


def test_both_themes_say_the_same_and_share_no_colour_but_the_border():
    light, dark = (charts.spend(spending(), theme) for theme in (LIGHT, DARK))
    assert labels(light) == labels(dark)
    assert LIGHT.background in json.dumps(light)
    assert LIGHT.background not in json.dumps(dark)


@pytest.mark.parametrize("name", PICTURES)
def test_a_definition_is_plain_json_and_loads_nothing(name):
    text = json.dumps(PICTURES[name])
    assert '"url"' not in text
    assert '"href"' not in text
    assert marks.FONT in text


def used(spec):
    """Every field and expression of a definition: what the renderer looks up or computes."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key == "values" and isinstance(value, list):
                continue
            if key in ("field", "expr", "labelExpr", "signal", "calculate", "filter"):
                yield value
            yield from used(value)
    elif isinstance(spec, list):
        for each in spec:
            yield from used(each)


@pytest.mark.parametrize("name", EVIL)
def test_a_name_from_outside_is_only_ever_a_value(name):
    plain = [
        charts.spend(spending(stacks=[stack("ok", 1)])),
        charts.cost(scenario(), volumes(), "ok"),
        heatmap.utilisation(load(("ok", [1]))),
    ]
    evil = [
        charts.spend(spending(stacks=[stack(name, 1)])),
        charts.cost(scenario(), volumes(), name),
        heatmap.utilisation(load((name, [1]))),
    ]
    assert [sorted(used(each)) for each in evil] == [sorted(used(each)) for each in plain]
    for spec in evil:
        for label in labels(spec):
            assert len(label) <= 80
            assert label.isprintable()


def test_a_name_is_cut_in_its_middle_so_that_both_ends_tell_it_apart():
    assert marks.label("gpu-node-of-the-cluster-07") == "gpu-node...er-07"
    assert marks.label("support-bot") == "support-bot"


def test_what_the_font_lacks_is_a_question_mark():
    assert marks.label("\u5ba2\u670d-bot \U0001f600") == "?-bot ?"
    assert marks.label("\u202eabc\u0351") == "abc"
    assert marks.label("Grüße, Ελλάδα, Привет", 40) == "Grüße, Ελλάδα, Привет"


@pytest.mark.parametrize("weight", ["Regular", "Bold"])
def test_the_font_has_every_character_that_a_label_may_show(weight):
    held = characters((FONTS / f"OpenSans-{weight}.ttf").read_bytes())
    shown = {code for first, last in marks._SHOWN for code in range(first, last + 1)}
    assert shown - held == set()


def characters(font):
    """The code points of a TrueType font's map (cmap, format 4)."""
    tables = struct.unpack_from(">H", font, 4)[0]
    at = next(
        offset
        for tag, _, offset, _ in (
            struct.unpack_from(">4sIII", font, 12 + 16 * n) for n in range(tables)
        )
        if tag == b"cmap"
    )
    at += struct.unpack_from(">I", font, at + 8)[0]
    kind, _, _, double = struct.unpack_from(">HHHH", font, at)
    assert kind == 4
    ends = struct.unpack_from(f">{double // 2}H", font, at + 14)
    starts = struct.unpack_from(f">{double // 2}H", font, at + 16 + double)
    return {code for a, b in zip(starts, ends, strict=True) for code in range(a, b + 1)}


def test_labels_keep_apart_and_within_the_plot():
    assert marks.apart([10, 12, 80], 100, 15) == [10, 25, 80]
    assert marks.apart([95, 99], 100, 15) == [85, 100]
    assert marks.apart([], 100) == []


@pytest.mark.parametrize(
    ("high", "form"), [(0.01, ",.6~f"), (700, ",.2~f"), (5e9, "~s")], ids=["cents", "hundreds", "B"]
)
def test_ticks_never_call_a_thousandth_m(high, form):
    assert f"${form}" in marks.short(high, "$")
