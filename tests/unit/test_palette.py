"""The colours of pictures: apart for colour-blind readers, and strong enough on their background."""

import pytest

from reports.themes import LIGHT, MAIL, THEMES
from tests.colours import contrast, difference, nearest

APART = 12
"""CIEDE2000: five times what an attentive eye tells apart in bars that do not touch."""
ORDERED = 8
"""Of neighbours on a scale, which their order explains too."""

each_theme = pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)


def together(theme):
    """Picture -> the colours in it that mean different things."""
    return {
        "spend": [theme.ink, *theme.series, theme.other, theme.background],
        "cost": [theme.own, theme.api, theme.ink, theme.background],
        "unit_cost": [theme.own, theme.api, theme.background],
    }


@each_theme
@pytest.mark.parametrize("picture", ["spend", "cost", "unit_cost"])
def test_no_two_colours_of_a_picture_are_alike_for_any_eyes(theme, picture):
    apart, *whose = nearest(together(theme)[picture])
    assert apart >= APART, whose


@each_theme
def test_the_steps_of_the_heat_map_are_apart_and_lie_in_the_order_of_their_light(theme):
    apart, *whose = nearest(theme.load)
    assert apart >= ORDERED, whose
    light = [contrast(each, theme.background) for each in theme.load]
    assert light == sorted(light)


@each_theme
def test_an_hour_that_was_not_measured_has_no_colour_of_the_scale(theme):
    apart, *whose = nearest([theme.background, *theme.load])
    assert apart >= ORDERED, whose


@each_theme
def test_text_can_be_read(theme):
    for colour in (theme.ink, theme.muted, theme.own, theme.api):
        assert contrast(colour, theme.background) >= 4.5, colour


@each_theme
def test_lines_and_bars_can_be_seen(theme):
    for colour in (theme.own, theme.api, theme.faint, theme.other, *theme.series):
        assert contrast(colour, theme.background) >= 3, colour


def test_the_picture_of_a_mail_stands_out_from_a_light_and_a_dark_mail():
    # The cards and pages of reports/templates/base.html.
    for around in ("#ffffff", "#eef0f3", "#1a2027", "#11151a"):
        assert contrast(MAIL.border, around) >= 3, around
    assert contrast(MAIL.border, MAIL.background) >= 3


@each_theme
def test_every_colour_is_opaque(theme):
    flat = [each for field in theme[1:] for each in ([field] if isinstance(field, str) else field)]
    assert all(len(each) == 7 and each.startswith("#") for each in flat)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        # From Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005, table 1.
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.1848, -84.8006), (50, 0, -82.7485), 1.0000),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_the_published_one(one, other, apart):
    assert difference(one, other) == pytest.approx(apart, abs=1e-4)


def test_the_check_finds_two_colours_that_a_colour_blind_reader_mixes_up():
    apart, vision, *_ = nearest(["#c03a2b", "#6a7a1e"])
    assert apart < APART
    assert vision in ("protanopia", "deuteranopia")
    assert contrast(LIGHT.grid, LIGHT.background) < 3
