"""Quiet: what a pattern takes, when it holds, and how an alert is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import alert_keys
from monitor.domain.alert_keys import Key
from monitor.domain.errors import InputError
from monitor.domain.silences import (
    Silence,
    Window,
    checked_until,
    covers,
    duration,
    exactly,
    suppressed,
)

NOW = 1_793_491_200


def silence(**changes):
    found = Silence(1, "silence", "crossing", "bot on own", NOW - 60, NOW + 60, "ann", "load test")
    return found._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "quiet"),
    [
        ({}, True),
        ({"since": NOW}, True),
        ({"since": NOW + 1}, False),
        ({"until": NOW}, False),
        ({"until": NOW + 1}, True),
        ({"ended_at": NOW}, False),
        ({"ended_at": NOW + 1}, True),
        ({"ended_at": NOW - 1}, False),
        ({"rule": "*"}, True),
        ({"rule": "cross*", "subject": "bot on *"}, True),
        ({"rule": "Crossing"}, False),
        ({"subject": "bot"}, False),
        ({"subject": "[ab]ot on own"}, True),
        ({"kind": "snooze"}, True),
    ],
)
def test_a_silence_holds_for_what_it_takes_between_its_ends(changes, quiet):
    found = suppressed("crossing", "bot on own", [silence(**changes)], [], NOW)
    assert found == ("ann: load test" if quiet else "")


def test_a_planned_window_counts_by_time_alone():
    window = Window(NOW, NOW + 10, "move of the racks", subject="bot*")
    said = "maintenance: move of the racks"
    assert suppressed("crossing", "bot on own", [], [window], NOW) == said
    assert suppressed("crossing", "bot on own", [], [window], NOW + 9) == said
    assert suppressed("crossing", "bot on own", [], [window], NOW + 10) == ""
    assert suppressed("crossing", "bot on own", [], [window], NOW - 1) == ""
    assert suppressed("crossing", "other", [], [window], NOW) == ""


def test_of_several_the_one_that_lasts_longest_is_named():
    several = [silence(why="a"), silence(why="b", until=NOW + 900), silence(why="c", until=NOW)]
    assert suppressed("crossing", "bot on own", several, [], NOW) == "ann: b"


def test_a_snooze_without_a_reason_is_named_by_its_kind():
    quiet = silence(kind="snooze", why="")
    assert suppressed("crossing", "bot on own", [quiet], [], NOW) == "ann: snooze"


names = st.text(alphabet="ab*?[]!-% /v1", min_size=1, max_size=12)


@given(names, names)
def test_an_exact_pattern_takes_its_name_and_no_other(name, other):
    assert covers("*", exactly(name), "crossing", name)
    assert covers("*", exactly(name), "crossing", other) == (name == other)


@given(names, st.integers(1, 99), names, names | st.just(""))
def test_a_key_is_read_back_from_its_text_and_from_its_row(rule, version, subject, period):
    key = Key(rule, version, subject, period)
    assert alert_keys.parse(str(key)) == key
    assert alert_keys.of_row(key.stored, subject, period) == key


@pytest.mark.parametrize("text", ["", "crossing", "a/b", "a/b/c", "a/v1", "a/v1/b/c/d", "a/vx/b"])
def test_what_is_no_key_is_none(text):
    assert alert_keys.parse(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("1h", 3600), ("2d", 172_800), ("1w", 604_800)]
)
def test_a_duration_is_a_number_with_its_unit(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1 h", "1y", "٣h", "9999999d"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="is no duration") as raised:
        duration(text)
    assert "2d" in raised.value.remedy


def test_an_end_lies_ahead_and_not_too_far():
    assert checked_until(NOW + 10, NOW, 10) == NOW + 10
    with pytest.raises(InputError, match="in the past"):
        checked_until(NOW, NOW, 10)
    with pytest.raises(InputError, match="more than"):
        checked_until(NOW + 11, NOW, 10)
