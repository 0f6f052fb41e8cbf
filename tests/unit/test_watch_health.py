"""The daemon's own work, and what expires: boundaries, and that unknown is never an alarm."""

import pytest

from monitor.domain import watch_health
from monitor.domain.rulebook import LIMITS
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch_health import Decided, Expiring, Incomplete, Unread, Waiting

AT = 1_795_392_000
LIMIT = LIMITS["expiry"]


def test_messages_that_wait_are_counted_with_their_channels():
    found = watch_health.stuck(Waiting(2, ["ops", "smtp"], AT - 7 * HOUR, "refused."), AT)
    assert found.holds
    assert found.said.title == "2 messages cannot leave by ops, smtp"
    assert found.said.what == "The oldest waits for 7 hours: refused."
    assert not watch_health.stuck(Waiting(0, [], 0, ""), AT).holds


def test_a_report_with_holes_is_over_once_it_is_corrected():
    seen = Incomplete("finance/weekly/2026-W47/1", ["usage of openai usage"], mended=False)
    found = watch_health.incomplete(seen, AT)
    assert found.holds
    assert "1 part of its data" in found.said.title
    assert not watch_health.incomplete(seen._replace(mended=True), AT).holds


def test_what_failed_in_a_decision_is_listed():
    found = watch_health.undecided(Decided("2026-11-22", ["budget x was not computed: y"]), AT)
    assert found.holds
    assert "budget x was not computed: y" in found.said.what
    assert not watch_health.undecided(Decided("2026-11-22", []), AT).holds


@pytest.mark.parametrize(("problems", "holds"), [(0, False), (10, False), (11, True)])
def test_more_than_a_row_of_a_thousand_is_too_many_to_be_left_unread(problems, holds):
    found = watch_health.unread([Unread("openai", "costs", problems, 10_000)], AT)
    assert found.holds is holds
    assert ("openai costs: 11 of 10,000" in found.said.what) is holds
    assert not watch_health.unread([], AT).holds


@pytest.mark.parametrize(
    ("left", "holds", "severity"),
    [
        (21 * DAY, True, None),
        (21 * DAY + 1, False, None),
        (3 * DAY, True, "critical"),
        (3 * DAY + 1, True, None),
        (0, True, "critical"),
        (-9 * DAY, True, "critical"),
    ],
)
@pytest.mark.parametrize("kind", ["certificate", "contract", "price"])
def test_what_ends_within_the_days_ahead_is_told(kind, left, holds, severity):
    found = watch_health.expiry(Expiring("x", kind, AT + left), AT, LIMIT)
    assert (found.holds, found.severity) == (holds, severity)
    assert ("has ended" in found.said.title) is (left <= 0)


def test_what_cannot_be_read_is_unknown_and_loud_to_nobody():
    found = watch_health.expiry(Expiring("x", "certificate", None, "no answer"), AT, LIMIT)
    assert found.holds is None
    assert "no answer" in found.said.what


def test_what_was_renewed_is_another_alert():
    periods = {
        watch_health.expiry(Expiring("x", "certificate", AT + n * DAY), AT, LIMIT).period
        for n in (1, 90)
    }
    assert len(periods) == 2
