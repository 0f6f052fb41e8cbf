"""The alert: the fact and its amount in the subject, every number and assumption in the body."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from monitor.domain.notices import Group, Notice
from reports import alert, crossing, formats
from reports.model import AlertFacts
from tests.weekly_facts import breakeven, judged, numbers, visible

KINDS = (
    "crossed_up",
    "crossed_down",
    "above",
    "below",
    "about_to_cross",
    "return_to_api",
    "stays_home",
)
SAVES = (Decimal("1392.64"), Decimal("2750.25"), Decimal("4409.08"))
COSTS = tuple(-amount for amount in SAVES)


def facts(**changes):
    base = AlertFacts(
        kind="crossed_up",
        organisation="Acme",
        workload="support-bot",
        deployment="own-h100",
        as_of=datetime(2026, 11, 23, tzinfo=UTC),
        advice="self_host",
        reason="Savings of 24 months reach what moving costs.",
        month="2026-11",
        requests=(7_348_836, 7_733_974, 8_204_563),
        crossing_requests=6_953_759,
        api_usd=(Decimal("25904.64"), Decimal("27262.25"), Decimal("28921.08")),
        self_host_usd=(Decimal(24512), Decimal(24512), Decimal(24512)),
        savings_usd=SAVES,
        assumptions=["spare_replicas = 1"],
        zero_lines=["energy above idle"],
    )
    return base._replace(**changes)


DAY0 = 1_795_392_000  # 2026-11-23


def notice(edge="firing", severity="warning", **changes):
    of = facts(**changes)
    return Notice(
        f"move/v1/{of.workload} on {of.deployment}",
        edge,
        severity,
        "move",
        f"{of.workload} on {of.deployment}",
        crossing.said(of),
        since=DAY0,
        at=DAY0,
        workload=of.workload,
    )


def group(*notices, **changes):
    """Of the notices; without any, of one about the facts that `changes` give."""
    demo = changes.pop("demo", False)
    organisation = changes.get("organisation", "Acme")
    found = notices or (notice(**changes),)
    return Group("alert/abc", organisation, found, DAY0 + 6 * 3600, demo=demo)


def built(*notices, **changes):
    return alert.build(group(*notices, **changes))


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
            "support-bot is about to cross its break-even: today moving it costs $2,750 a month more",
        ),
        (
            {"kind": "return_to_api", "savings_usd": COSTS, "advice": "return_to_api"},
            "Return support-bot to the API: own GPUs cost $2,750 a month more",
        ),
        (
            {"kind": "above", "advice": "stay"},
            "support-bot is above its break-even: moving it saves $2,750 a month",
        ),
        ({"edge": "resolved"}, "Resolved: Move support-bot: saves $2,750 a month"),
        ({"edge": "unstable"}, "Unstable: Move support-bot: saves $2,750 a month"),
        ({"demo": True}, "Demonstration: Move support-bot: saves $2,750 a month"),
    ],
)
def test_the_subject_states_the_fact_and_the_amount(changes, subject):
    assert built(**changes).subject == subject


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_why_what_it_costs_what_to_do_and_what_it_rests_on(kind):
    text = " ".join(built(kind=kind).text.split())
    for part in (
        "Savings of 24 months reach what moving costs.",
        "low (q10): 7.35M requests: API $25,905, own GPUs $24,512, saves $1,393",
        "From 6.95M requests a month own GPUs stay cheaper; 7.73M are projected.",
        "Assumed, since nobody set it: spare_replicas = 1.",
        "Taken as zero: energy above idle.",
        "What to do next 1.",
        "It is shown by crossover query",
        "crossover alerts silence move",
        "Dated 2026-11-23 06:00 UTC",
    ):
        assert part in text


def test_nothing_assumed_and_nothing_zero_is_said_too():
    text = built(assumptions=[], zero_lines=[]).text
    assert "Nothing was assumed" in text
    assert "No cost line is taken as zero." in text


def test_a_crossing_that_does_not_exist_or_is_everywhere_is_said_in_words():
    assert "There is no volume" in built(crossing_requests=None).text
    assert "cheaper at any volume" in built(crossing_requests=0).text


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_the_html_is_in_the_twin(kind):
    mail = built(kind=kind, row=breakeven(**judged()))
    assert numbers(visible(mail.html)) <= numbers(mail.text)
    # A command is copied as a whole.
    lines = [line for line in mail.text.splitlines() if not line.startswith("crossover ")]
    assert max(map(len, lines)) <= formats.WIDTH


def test_it_says_how_sure_it_is_what_would_flip_it_and_what_comes_next():
    text = " ".join(built(advice="pilot", row=breakeven(**judged())).text.split())
    for part in (
        "Drawn savings: $1,311 to $7,420 a month in four of five draws.",
        "How sure: Own GPUs are cheaper in 93.4% of 2,000 draws",
        "Would flip it: Own service stops being cheaper when the GPU price rises to $4.103",
        "On condition: The BAA is missing.",
        "Taken as zero: second region, on call.",
    ):
        assert part in text


def test_a_pilot_moves_nothing_and_a_share_leaves_the_rest():
    pilot = " ".join(built(advice="pilot").text.split())
    assert "it should be tried on both sides before anything moves" in pilot
    assert "Move it" not in pilot
    share = " ".join(built(advice="hybrid").text.split())
    assert "a share of it should leave the API" in share
    assert "leave the rest on the API" in share


def test_a_saving_that_is_no_reason_to_move_does_not_read_like_one():
    subject = built(kind="crossed_down", advice="stay").subject
    assert subject.endswith("moving support-bot would save $2,750 a month, not yet dependably")
    held = breakeven(**judged(constraint_usd=Decimal(2750)))
    subject = built(kind="crossed_down", advice="stay", row=held).subject
    assert subject.endswith("would save $2,750 a month, but more than money holds it")


def test_the_same_facts_give_the_same_bytes():
    assert built() == built()


def test_a_name_can_neither_break_the_page_nor_the_lines():
    evil = "<script>alert(1)</script>\r\nBcc: x@y\u202e"
    mail = built(workload=evil, deployment=evil, reason=evil, organisation=evil)
    assert "<script" not in mail.html
    assert "\n" not in mail.subject
    assert "\u202e" not in mail.html + mail.text + mail.subject
    assert "Bcc:" not in [line[:4] for line in mail.text.splitlines()]


def test_several_alerts_are_one_mail_with_the_worst_first():
    bad = notice(severity="critical", kind="return_to_api", workload="search")
    over = notice("resolved", kind="crossed_down", workload="old-bot")
    mail = alert.build(group(over, notice(), bad))
    assert mail.subject == ("Return search to the API: that costs $2,750 a month more (and 2 more)")
    text = " ".join(mail.text.split())
    assert "3 alerts: 2 began, 1 ended. The worst first." in text
    assert text.index("Return search") < text.index("Move support-bot") < text.index("old-bot")
    assert numbers(visible(mail.html)) <= numbers(mail.text)


def test_two_hundred_alerts_stay_a_mail_that_arrives():
    row = breakeven(**judged())
    mail = alert.build(group(*[notice(row=row, workload=f"w{n}") for n in range(200)]))
    assert "and 188 more: crossover alerts list" in mail.text
    assert len(mail.html.encode()) < 80_000


def test_a_digest_says_that_it_is_one():
    mail = alert.build(group(notice(), notice("resolved"))._replace(digest=True))
    assert mail.subject == "Digest: 2 changes of unstable alerts"
    assert "Sent as a digest" in mail.text


def test_links_are_offered_where_there_are_any():
    linked = notice()._replace(links={"acknowledge": "https://crossover.example.org/act/abc"})
    mail = alert.build(group(linked))
    assert 'href="https://crossover.example.org/act/abc"' in mail.html
    assert "Acknowledge: https://crossover.example.org/act/abc" in mail.text
    assert "href" not in built().html
