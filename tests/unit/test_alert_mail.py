"""The alert: the fact and its amount in the subject, every number and assumption in the body."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from reports import alert, formats
from reports.model import AlertFacts
from tests.weekly_facts import breakeven, judged, numbers, visible

KINDS = ("crossed_up", "crossed_down", "about_to_cross", "return_to_api", "unstable")
SAVES = (Decimal("1392.64"), Decimal("2750.25"), Decimal("4409.08"))
COSTS = tuple(-amount for amount in SAVES)


def facts(**changes):
    base = AlertFacts(
        kind="crossed_up",
        organisation="Acme",
        workload="support-bot",
        deployment="own-h100",
        as_of=datetime(2026, 11, 23, tzinfo=UTC),
        due_at=datetime(2026, 11, 23, 6, tzinfo=UTC),
        advice="self_host",
        reason="Savings of 24 months reach what moving costs.",
        month="2026-11",
        requests=(7_348_836, 7_733_974, 8_204_563),
        crossing_requests=6_953_759,
        api_usd=(Decimal("25904.64"), Decimal("27262.25"), Decimal("28921.08")),
        self_host_usd=(Decimal(24512), Decimal(24512), Decimal(24512)),
        savings_usd=SAVES,
        ahead_month="2027-01",
        assumptions=["spare_replicas = 1"],
        zero_lines=["energy above idle"],
        demo=False,
    )
    return base._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({}, "Move support-bot: saves $2,750 a month"),
        ({"advice": "pilot"}, "Pilot support-bot: saves $2,750 a month"),
        ({"savings_usd": COSTS}, "Move support-bot: costs $2,750 a month more"),
        (
            {"kind": "crossed_down", "savings_usd": COSTS, "advice": "stay"},
            "Stay after all: moving support-bot costs $2,750 a month more",
        ),
        (
            {"kind": "about_to_cross", "savings_usd": COSTS, "advice": "stay"},
            "support-bot is about to cross by January 2027: today moving it costs $2,750 a month more",
        ),
        (
            {"kind": "return_to_api", "savings_usd": COSTS, "advice": "return_to_api"},
            "Return support-bot to the API: own GPUs cost $2,750 a month more",
        ),
        (
            {"kind": "unstable", "advice": "stay"},
            "support-bot keeps crossing back and forth: moving it saves $2,750 a month",
        ),
        ({"demo": True}, "Demonstration: Move support-bot: saves $2,750 a month"),
    ],
)
def test_the_subject_states_the_fact_and_the_amount(changes, subject):
    assert alert.build(facts(**changes)).subject == subject


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_why_what_it_costs_what_to_do_and_what_it_rests_on(kind):
    text = " ".join(alert.build(facts(kind=kind)).text.split())
    for part in (
        "Savings of 24 months reach what moving costs.",
        "low (q10) 7.35M $25,905 $24,512 $1,393",
        "From 6.95M requests a month own GPUs stay cheaper; 7.73M are projected.",
        "Assumed, since nobody set it: spare_replicas = 1.",
        "Taken as zero: energy above idle.",
        "What to do next 1.",
        "Dated 2026-11-23 06:00 UTC",
    ):
        assert part in text


def test_nothing_assumed_and_nothing_zero_is_said_too():
    text = alert.build(facts(assumptions=[], zero_lines=[])).text
    assert "Nothing was assumed" in text
    assert "No cost line is taken as zero." in text


def test_a_crossing_that_does_not_exist_or_is_everywhere_is_said_in_words():
    assert "There is no volume" in alert.build(facts(crossing_requests=None)).text
    assert "cheaper at any volume" in alert.build(facts(crossing_requests=0)).text


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_the_html_is_in_the_twin(kind):
    built = alert.build(facts(kind=kind, row=breakeven(**judged())))
    assert numbers(visible(built.html)) <= numbers(built.text)
    assert max(map(len, built.text.splitlines())) <= formats.WIDTH


def test_it_says_how_sure_it_is_what_would_flip_it_and_what_comes_next():
    text = " ".join(alert.build(facts(advice="pilot", row=breakeven(**judged()))).text.split())
    for part in (
        "Drawn savings: $1,311 to $7,420 a month in four of five draws.",
        "How sure: Own GPUs are cheaper in 93.4% of 2,000 draws",
        "Would flip it: Own service stops being cheaper when the GPU price rises to $4.103",
        "On condition: The BAA is missing.",
        "Taken as zero: second region, on call.",
    ):
        assert part in text


def test_a_pilot_moves_nothing_and_a_share_leaves_the_rest():
    pilot = " ".join(alert.build(facts(advice="pilot")).text.split())
    assert "it should be tried on both sides before anything moves" in pilot
    assert "Move it" not in pilot
    share = " ".join(alert.build(facts(advice="hybrid")).text.split())
    assert "a share of it should leave the API" in share
    assert "leave the rest on the API" in share


def test_a_saving_that_is_no_reason_to_move_does_not_read_like_one():
    subject = alert.build(facts(kind="crossed_down", advice="stay")).subject
    assert subject.endswith("moving support-bot would save $2,750 a month, not yet dependably")
    held = breakeven(**judged(constraint_usd=Decimal(2750)))
    subject = alert.build(facts(kind="crossed_down", advice="stay", row=held)).subject
    assert subject.endswith("would save $2,750 a month, but more than money holds it")


def test_the_same_facts_give_the_same_bytes():
    assert alert.build(facts()) == alert.build(facts())


def test_a_name_can_neither_break_the_page_nor_the_lines():
    evil = "<script>alert(1)</script>\r\nBcc: x@y\u202e"
    built = alert.build(facts(workload=evil, deployment=evil, reason=evil, organisation=evil))
    assert "<script" not in built.html
    assert "\n" not in built.subject
    assert "\u202e" not in built.html + built.text + built.subject
    assert "Bcc:" not in [line[:4] for line in built.text.splitlines()]
