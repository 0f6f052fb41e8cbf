"""Which pictures a report has, and what they say to who cannot see them."""

from datetime import date
from decimal import Decimal

import pytest

from reports import pictures, themes
from reports.verdict import verdict
from tests.unit.test_charts import EVIL, labels
from tests.weekly_facts import (
    breakeven,
    by_workload,
    facts,
    gpu_hosts,
    gpu_hourly,
    nothing,
    pictured,
    unit_weeks,
)


def of(theme=themes.MAIL, **changes):
    found = facts(**changes)
    return pictures.of_week(found, verdict(found).lead, theme)


def test_a_new_installation_has_no_picture():
    assert pictures.of_week(nothing(), None) == {}


def test_each_picture_is_there_where_its_data_is():
    assert list(of()) == ["spend", "cost"]
    assert list(of(tables=pictured("gpu-1"))) == ["spend", "cost", "unit-cost", "utilisation"]


def test_every_number_of_spend_is_said():
    alt = of(tables={"spend.by_workload": by_workload("search", "support-bot")})["spend"].alt
    assert alt == (
        "November to the 22nd: $28,551.79; projected for the month: $41,231, 80% range $38,900 to"
        " $44,012; all of October, dotted: $37,088.72; of it, estimated: search $13,200.00,"
        " support-bot $6,600.00, outside workloads $38.00."
    )


def test_the_months_of_the_picture_are_those_of_the_text():
    rows = [
        {"day": f"2026-{month}-{n:02d}", "usd": Decimal(usd)}
        for month, last, usd in ((10, 31, 1000), (11, 22, 900))
        for n in range(1, last + 1)
    ]
    shown = of(tables={"spend.daily": rows}, figures={"spend.previous_month": Decimal(31_000)})
    assert "all of October, dotted: $31,000.00" in shown["spend"].alt
    assert "October $31.0k" in labels(shown["spend"].spec)


def test_five_workloads_are_named_and_the_others_are_one():
    names = [f"w{n}" for n in range(8)]
    shown = of(tables={"spend.by_workload": by_workload(*names)})["spend"]
    assert "w4 $2,640.00, all other $5,735.71" in shown.alt
    assert "all other" in labels(shown.spec)
    assert "w5" not in shown.alt


def test_a_day_without_a_known_rate_is_unknown_and_no_bar():
    rows = by_workload("search", "new-model")
    for row in rows:
        row["usd"] = None if row["workload"] == "new-model" else row["usd"]
    shown = of(tables={"spend.by_workload": rows}, figures={"unpriced.tokens": 12_400})["spend"]
    assert shown.alt.endswith("; 12.4k tokens without a known rate are in no bar.")
    assert "new-model" not in labels(shown.spec)
    assert "new-model $" not in shown.alt


def test_the_first_day_of_a_month_is_drawn():
    shown = of(
        last=date(2026, 11, 1),
        figures={"spend.previous_month": None, "projection.usd.q10": None},
        tables={
            "spend.daily": [{"day": "2026-11-01", "usd": Decimal("0.04")}],
            "spend.by_workload": by_workload("a", last=1),
        },
    )["spend"]
    assert "November to the 1st: $28,551.79" in labels(shown.spec)


def test_both_sides_of_the_unit_cost_are_said_and_an_unknown_one_is_no_zero():
    both = of(tables=pictured("gpu-1"))["unit-cost"].alt
    assert both == (
        "API, estimated: $2.68 in the week of 16 Nov, $3.10 in that of 26 Oct; between $2.68 and"
        " $3.10 since. Own GPUs, by their cost lines: $1.90 in October."
    )
    api = of(tables={"unit_cost.weeks": unit_weeks("3.1", "2.68")})["unit-cost"]
    assert "Own GPUs: unknown; no closed month" in api.alt
    assert "own GPUs" not in labels(api.spec)
    months = [{"month": "2026-10", "tokens": 5, "usd_per_million": Decimal("1.9")}]
    own = of(tables={"unit_cost.own_months": months})["unit-cost"]
    assert own.alt.startswith("API: no priced tokens in these weeks.")


def test_a_single_week_is_no_line_over_time():
    assert "unit-cost" not in of(tables={"unit_cost.weeks": unit_weeks("2.68")})
    assert "unit-cost" not in of(tables={"unit_cost.weeks": unit_weeks(None, "2.68")})


def test_one_server_is_shown_by_day_and_its_idle_and_unknown_hours_are_counted():
    shown = of(
        figures={"gpu.utilisation": Decimal("46.0")},
        tables={"gpu.hourly": gpu_hourly("gpu-1", hours=160), "gpu.hosts": gpu_hosts("gpu-1")},
    )["utilisation"]
    assert shown.alt == (
        "On average 46.0%; busiest Mon 16, 23:00 UTC with 92.0%; of 168 server hours 7 idle (below"
        " 1%) and 8 not measured."
    )
    assert {"Mon 16", "Sun 22", "18:00"} <= set(labels(shown.spec))


def test_an_hour_whose_readings_lack_is_not_measured_and_all_of_them_are_no_picture():
    rows = gpu_hourly("gpu-1")
    for row in rows:
        row["utilisation"] = None
    assert "utilisation" not in of(tables={"gpu.hourly": rows})


def test_many_servers_are_cut_and_the_text_says_how_many():
    names = [f"gpu-{n:02d}.dc1.example.org" for n in range(15)]
    shown = of(tables={"gpu.hourly": gpu_hourly(*names), "gpu.hosts": gpu_hosts(*names)})
    assert "shown are the 12 most measured of 15 servers" in shown["utilisation"].alt
    said = labels(shown["utilisation"].spec)
    assert "gpu-00" in said
    assert "gpu-14" not in said
    assert "46.0%" in said


def test_addresses_keep_their_numbers():
    assert pictures._short(["10.0.0.1", "11.0.0.1"]) == ["10.0.0.1", "11.0.0.1"]
    assert pictures._short(["a.x.org", "a.y.org"]) == ["a.x.org", "a.y.org"]


@pytest.mark.parametrize("theme", themes.THEMES.values(), ids=themes.THEMES)
def test_every_theme_makes_the_same_pictures_with_the_same_words(theme):
    found, mail = (of(each, tables=pictured("a", "b")) for each in (theme, themes.MAIL))
    assert [each.alt for each in found.values()] == [each.alt for each in mail.values()]
    assert {each.spec["background"] for each in found.values()} == {theme.background}


@pytest.mark.parametrize("name", EVIL)
def test_a_name_from_outside_breaks_no_words(name):
    row = breakeven(name.encode(errors="ignore").decode() or "x")
    shown = of(tables={**pictured(name, "other"), "breakevens": [row]})
    for each in shown.values():
        said = f"{each.title} {each.alt}"
        assert "<" not in said
        assert "\n" not in said
        assert len(said) < 900
        assert each.spec["description"] == f"{each.title}. {each.alt}"


def test_what_could_not_be_drawn_is_named():
    shown = of(tables=pictured("gpu-1"))
    assert pictures.missed(shown, {}) == ""
    every = pictures.missed(shown, dict.fromkeys(shown, "they took more than 60 seconds"))
    assert every == "The pictures could not be drawn (they took more than 60 seconds)."
    two = pictures.missed(shown, {"spend": "a", "cost": "b"})
    assert two == (
        "2 pictures could not be drawn: Spend since 1 November; support-bot: cost of a month by"
        " requests (a; b)."
    )
