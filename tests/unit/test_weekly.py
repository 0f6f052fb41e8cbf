"""The weekly report: its verdict, its words for what is unknown, and that both twins agree."""

import json
import re
from datetime import date
from decimal import Decimal

import pytest

from monitor.domain.scenario import to_document
from reports import formats, weekly
from reports.audiences import Audience
from reports.language import Style
from reports.raster import Drawn
from tests.weekly_facts import (
    SCALARS,
    breakeven,
    facts,
    judged,
    nothing,
    numbers,
    pictured,
    scenario,
    source,
    standing,
    visible,
    without_history,
    workload,
)

PNG = b"\x89PNG\r\n\x1a\n"
EVIL = "=cmd|'/c calc'!A1<script>alert(1)</script>\r\nBcc: x@y\u202egpj"
DEAR = {"of": scenario(people=40_000), "advice": "stay"}


def draw(specs):
    return Drawn(dict.fromkeys(specs, PNG), {})


def build(**changes):
    """A report of which every section could be made."""
    built = weekly.build(facts(**changes), draw)
    assert not built.failed
    return built


def headline(*rows, **changes):
    subject = build(tables={"breakevens": list(rows)}, **changes).subject
    return subject.partition(" (Nov")[0]


def flat(text):
    return " ".join(text.split())


def test_the_subject_carries_the_verdict_and_the_projection_in_numbers():
    saved = formats.about(breakeven()["savings_usd_q50"])
    assert build().subject == (
        f"Move support-bot: saves {saved} a month (Nov projection $41.2k, 38.9-44.0k)"
    )


@pytest.mark.parametrize(
    ("advice", "begins"),
    [
        ("self_host", "Move support-bot: saves"),
        ("self_host_with_fallback", "Move support-bot with the API as fallback: saves"),
        ("hybrid", "Move a share of support-bot: saves"),
        ("pilot", "Pilot support-bot: saves"),
        ("stay", "Stay for now: moving support-bot would save"),
        ("stay_but_change", "Stay for now: moving support-bot would save"),
    ],
)
def test_each_advice_has_its_own_words(advice, begins):
    assert headline(breakeven(advice=advice)).startswith(begins)


def test_a_move_that_is_ordered_says_that_it_costs_more():
    ordered = {("support-bot", "own-h100"): standing(must_stay_in_house="the law")}
    row = breakeven(**DEAR | {"advice": "self_host"})
    assert re.fullmatch(
        r"Move support-bot: costs \$[\d,]+ a month more", headline(row, standings=ordered)
    )


def test_a_move_that_is_ordered_needs_no_history():
    row = without_history() | {"advice": "self_host", "reason": "It must stay in house: the law."}
    assert headline(row) == "Move new-bot: too little history for an amount"


def test_a_move_says_at_once_what_it_costs_and_what_a_year_brings():
    text = flat(build().text)
    payback = breakeven()["savings_usd_q50"]
    months = round(30_000 / payback, 1)
    assert f"Moving costs $30,000 once and takes 45 days, payback {months} months;" in text
    assert "over 12 months, that included, it loses $" in text


def test_what_runs_at_home_is_kept_or_returned():
    at_home = {("support-bot", "own-h100"): standing(runs_on="self_host")}
    kept = headline(breakeven(), standings=at_home)
    assert kept.startswith("Keep support-bot on own GPUs: saves")
    back = headline(breakeven(**DEAR | {"advice": "return_to_api"}), standings=at_home)
    assert back.startswith("Return support-bot to the API: saves")


def test_staying_names_the_workload_that_comes_closest():
    alone, closest = (
        breakeven(**DEAR),
        breakeven("search", "other", "stay", scenario(people=30_000)),
    )
    assert headline(alone).startswith("Stay: moving support-bot would cost $")
    assert headline(alone, closest).startswith("Stay: even moving search would cost $")


def test_the_most_pressing_comparison_comes_first_and_the_others_are_counted():
    returned = breakeven("a", "d1", **DEAR | {"advice": "return_to_api"})
    small = breakeven("b", "d2", of=scenario(people=5000))
    large, stays = breakeven("c", "d3", of=scenario(people=3000)), breakeven("d", "d4", **DEAR)
    rows = [stays, small, large, returned]
    shown = weekly.view(facts(tables={"breakevens": rows}))
    assert [each.workload for each in shown.comparisons] == ["a", "c", "b", "d"]
    assert headline(stays, small, large).endswith("; 1 more workload to move")


@pytest.mark.parametrize(
    ("rows", "standings", "said"),
    [
        ([], {}, "Spend only: no deployment is configured"),
        ([], {("support-bot", "own-h100"): standing()}, "No comparison this week"),
        ([without_history()], {}, "Stay: too little history to compare bills"),
        (
            [breakeven(advice="stay")],
            {("support-bot", "own-h100"): standing(must_stay_on_api="a contract")},
            "Stay: what is compared must stay where it is",
        ),
    ],
)
def test_no_verdict_is_a_normal_state_with_words(rows, standings, said):
    assert headline(*rows, standings=standings) == said


def test_an_installation_that_has_read_nothing_says_so_and_shows_no_zero():
    built = weekly.build(nothing(), draw)
    assert built.subject == "Nothing has been read yet (Nov: no spend yet)"
    assert not built.images
    for text in (built.text, visible(built.html)):
        assert "$0" not in text
        assert "None" not in text
        assert "No source has been read yet." in text
        assert "No GPU was measured this week." in text
        assert "no comparison" in text


def test_too_little_history_says_how_much_is_there():
    unknown = dict.fromkeys(f"projection.usd.{q}" for q in ("q10", "q50", "q90"))
    known = {"projection.history_days": 9, "projection.method": "none"}
    built = build(figures=unknown | known)
    assert "14 days of history are needed, 9 are there" in flat(built.text)
    assert built.subject.endswith("(Nov so far $28.6k)")


def test_a_part_of_the_month_before_is_no_comparison():
    names = ("previous_month_same_day", "change_same_day", "previous_month", "change_full_month")
    unknown = dict.fromkeys(f"spend.{name}" for name in names)
    built = build(figures=unknown | {"spend.first_day": "2026-10-09"})
    assert "the data begins on 9 Oct 2026" in flat(built.text)
    assert "all of October" not in flat(built.text)
    nothing_then = {"spend.previous_month_same_day": Decimal(0), "spend.change_same_day": None}
    assert "nothing was spent then" in flat(build(figures=nothing_then).text)


def test_a_finished_month_has_a_total_and_no_projection():
    total = dict.fromkeys((f"projection.usd.{q}" for q in ("q10", "q50", "q90")), Decimal(41_231))
    built = build(figures=total | {"projection.method": "actual"}, last=date(2026, 11, 30))
    assert built.subject.endswith("(Nov total $41.2k)")
    assert "November total" in built.text
    assert "heading for" not in built.text


def test_an_older_projection_and_a_doubtful_one_say_so():
    built = build(
        figures={"projection.as_of": "2026-11-21", "projection.flags": "short_history holes"}
    )
    said = "from only 64 days of history; some days are missing; as of 20 Nov"
    assert said in flat(built.text)


def test_unpriced_use_is_named_and_never_costs_nothing():
    row = workload("new-model") | dict.fromkeys(("spend", "previous", "change"))
    built = build(
        figures={"unpriced.tokens": 1_200_000, "unit_cost.api": None},
        tables={"workloads": [workload(), row]},
    )
    assert "1.20M of them without a known rate" in flat(built.text)
    assert "No rate is known for new-model." in flat(built.text)
    assert "unpriced" in built.text


def test_what_moved_is_ordered_by_amount_and_split_into_volume_and_price():
    rows = [
        workload(f"w{n}", change=str(change)) for n, change in enumerate((5, -900, 40, 0, 7, 8, 9))
    ]
    shown = weekly.view(facts(tables={"workloads": rows})).movers
    assert [mover.workload for mover in shown] == ["w1", "w2", "w6", "w5", "w4"]
    assert shown[0].change == "-$900.00"
    assert shown[0].why == "volume -$800.00, price and mix -$100.00"


def test_unassigned_traffic_and_bills_beyond_tokens_are_shown():
    text = flat(build(tables={"workloads": [workload("unassigned", "84.09", "7.29")]}).text)
    assert "$84.09 is unassigned: no workload's patterns match it." in text
    assert "$38.00 of the month to date is in no workload" in text


def test_the_comparison_names_its_assumptions_and_what_was_taken_as_zero():
    rests = standing(assumptions=["spare_replicas = 1"], zero_lines=["services", "energy"])
    text = flat(build(standings={("support-bot", "own-h100"): rests}).text)
    assert "Assumed, since nobody set it: spare_replicas = 1." in text
    assert "Taken as zero: services, energy." in text
    assert "sized for 3.0 times the mean load" in text
    assert "Moving costs $30,000 once and takes 45 days" in text


def test_gpus_are_measured_or_said_not_to_be():
    measured = {
        "gpu.count": 2,
        "gpu.hours_measured": Decimal("312.5"),
        "gpu.utilisation": Decimal("41.03"),
        "served.tokens": 280_007_000,
    }
    text = flat(build(figures=measured).text)
    assert "2 GPUs, 41.0% utilised over 312.5 GPU hours. Own engines served 280M tokens." in text
    idle = flat(build(figures=measured | {"gpu.utilisation": Decimal(0)}).text)
    assert "2 GPUs, 0.0% utilised" in idle
    blind = flat(build(figures=measured | {"gpu.utilisation": None}).text)
    assert "2 GPUs seen, without readings of utilisation." in blind


def test_each_source_says_how_far_it_was_read_and_trouble_comes_first():
    rows = [
        source(),
        source(stream="costs", feeds="bill", closed_through="2026-11-20T00:00:00Z"),
        source("proxy", failures_in_a_row=3, last_error="503\nfrom the proxy"),
        source("late", closed_through=None, last_read_at=None),
        source("other", counts="no"),
    ]
    shown = weekly.view(facts(tables={"data.sources": rows})).sources
    assert [(each.name, each.state, each.closed) for each in shown] == [
        ("proxy usage", "fails: 503 from the proxy", "through 22 Nov"),
        ("late usage", "behind", "nothing yet"),
        ("openai usage", "complete", "through 22 Nov"),
        ("openai costs", "bills follow", "through 19 Nov"),
        ("other usage", "not counted", "through 22 Nov"),
    ]


def test_an_incomplete_report_and_a_demonstration_say_so_first():
    built = build(missing=["usage of openai usage to the end of the week"], demo=True)
    assert built.subject.startswith("Demonstration: Incomplete: Move support-bot")
    assert "DEMONSTRATION DATA" in visible(built.html)
    said = "Its figures lack: usage of openai usage to the end of the week."
    assert said in flat(visible(built.html))
    assert said in flat(built.text)
    assert "DEMONSTRATION" not in build().text


def test_pictures_that_cannot_be_drawn_are_missed_and_the_report_goes_out():
    def fail(specs):
        return Drawn({}, dict.fromkeys(specs, "they took more than 60 seconds"))

    built = weekly.build(facts(), fail)
    assert not built.images
    assert "cid:" not in built.html
    assert "could not be drawn (they took more than 60 seconds)" in flat(built.text)
    assert "$28,551.79" in built.html


def test_one_picture_that_fails_is_named_and_the_others_are_shown():
    def draw_all_but_one(specs):
        drawn = dict.fromkeys(specs, PNG)
        del drawn["utilisation"]
        return Drawn(drawn, {"utilisation": "no such mark"})

    built = weekly.build(facts(tables=pictured("gpu-1")), draw_all_but_one)
    assert [image.cid for image in built.images] == ["spend", "cost", "unit-cost"]
    said = (
        "1 picture could not be drawn: GPU utilisation by hour, 16 to 22 Nov 2026 (no such mark)."
    )
    assert said in flat(built.text)
    assert said in flat(visible(built.html))
    assert "busiest Mon 16, 23:00 UTC with 92.0%" in flat(visible(built.html))


def test_every_picture_is_shown_once_and_states_its_numbers():
    built = build(tables=pictured("gpu-1", "gpu-2"))
    cids = ["spend", "cost", "unit-cost", "utilisation"]
    assert [image.cid for image in built.images] == cids
    for image in built.images:
        assert built.html.count(f'"cid:{image.cid}"') == 1
        assert numbers(image.alt) <= numbers(built.text)
    assert "$28,551.79" in built.images[0].alt


def test_every_number_of_the_html_is_in_the_twin():
    built = build(
        missing=["the prices of 3 days"],
        tables={
            "breakevens": [
                breakeven(**judged()),
                breakeven("search", "d2", **DEAR, **judged(net_contradicts=1)),
                without_history(),
            ]
        },
    )
    assert numbers(visible(built.html)) <= numbers(built.text)


def test_the_twin_lists_every_figure_by_its_id_exactly():
    text = build().text
    listed = text.partition("\nFIGURES\n")[2]
    for name in SCALARS:
        assert f"\n{name} = " in listed
    assert "\nspend.month_to_date = 28551.79025 usd\n" in listed
    assert "\nserved.tokens = unknown\n" in listed
    assert "\n--workload support-bot --deployment own-h100\n" in listed
    assert (
        f"\nbreakeven.crossing_requests = {breakeven()['crossing_requests']} requests\n" in listed
    )


def test_the_twin_keeps_to_its_columns():
    long = "x" * 300
    body = build(
        organisation=long,
        tables={
            "workloads": [workload(long, "12345678.90", "-1234567.89")],
            "breakevens": [breakeven(long, long)],
            "data.sources": [source(long)],
        },
    ).text.partition("\nFIGURES\n")[0]
    assert max(map(len, body.splitlines())) <= formats.WIDTH


def fullest():
    """A row of which every note is as long as it gets."""
    row = judged(net_contradicts=1, constraint_usd=Decimal(9999))
    document, long = json.loads(row["recommendation"]), "and what the evidence for it is, " * 3
    for key in ("open_questions", "conditions"):
        document[key] = [{"id": f"gate.{n}.x", "text": f"{n}: {long}"} for n in "abcde"]
    document["options"] = [
        {"name": f"a smaller or other priced model {n}", "saves": "1204.00", "assumption": long}
        for n in range(6)
    ]
    document["assumed_zero"] = ["a_cost_line_with_a_long_name"] * 6
    return row | {"recommendation": json.dumps(document), "flip_2": row["flip_1"]}


@pytest.mark.parametrize(("language", "most"), [("en", 78_000), ("de", 80_000)])
def test_two_hundred_workloads_stay_below_eighty_kilobytes(language, most):
    names = [f"workload-{n:03d}-of-the-platform-department" for n in range(200)]
    evil = [EVIL * 3] * 20
    row = breakeven(**fullest(), advice="pilot", reason="r" * 900)
    rows = [row | {"workload": name, "deployment": f"{name}-on-own-servers"} for name in names]
    built = build(
        tables={
            "workloads": [workload(name) for name in names],
            "breakevens": rows,
            "data.sources": [source(name) for name in [*names, *evil]],
            **pictured(*names),
        },
        standings={
            (name, f"{name}-on-own-servers"): standing(
                assumptions=["a" * 60] * 4,
                zero_lines=["b"],
                link=f"https://example.org/{'t' * 300}",
            )
            for name in names
        },
        audience=Audience(style=Style(language)),
    )
    assert len(built.html.encode()) < most
    if language == "de":
        return
    assert visible(built.html).count("How sure:") == 10
    assert visible(built.html).count("Would flip it:") == 3
    assert "and 190 more" in visible(built.html)
    assert "and 190 more" in built.text
    assert "All 200 workloads are in the attached workloads.csv." in flat(built.text)


def test_a_name_can_neither_break_the_page_nor_the_lines():
    row = breakeven(EVIL, EVIL, reason=EVIL)
    built = build(
        organisation=EVIL,
        missing=[EVIL],
        tables={
            **pictured(EVIL),
            "workloads": [workload(EVIL)],
            "breakevens": [row],
            "data.sources": [source(EVIL, last_error=EVIL, failures_in_a_row=1)],
            "alerts.week": [
                {
                    "at": "2026-11-22T00:00:00Z",
                    "rule": "crossing v1",
                    "subject": EVIL,
                    "seq": 1,
                    "became": "firing",
                    "reason": EVIL,
                }
            ],
        },
    )
    assert "<script" not in built.html
    assert "\n" not in built.subject
    assert "\u202e" not in built.subject + built.text + built.html
    assert not any(line.startswith("Bcc:") for line in built.text.splitlines())


def test_nothing_remote_is_asked_for():
    html = build().html
    assert not re.search(r"https?://|url\(|@import|<script|<link|<iframe", html)
    assert re.findall(r'src="([^"]*)"', html) == ["cid:spend", "cid:cost"]


def test_dark_mode_keeps_its_rules_and_colours_are_explicit():
    html = build().html
    assert "prefers-color-scheme: dark" in html
    assert '<meta name="color-scheme" content="light dark">' in html
    assert re.search(r"<h1 style=[^>]*color:#", html)


def test_the_same_facts_give_the_same_bytes():
    assert build() == build()


def test_the_second_picture_is_of_the_verdicts_comparison_if_there_is_one():
    shown = weekly.view(facts())
    assert "At 1.40M requests a month the API costs" in shown.pictures["cost"].alt
    assert weekly.view(facts(tables={"breakevens": [without_history()]})).pictures.keys() == {
        "spend"
    }


def test_the_report_says_how_the_crossing_moved_and_why_in_cents_that_add_up():
    before, now = scenario(requests=1_300_000), scenario(people=5000)
    row = breakeven(of=now, scenario_before=json.dumps(to_document(before)))
    text = flat(build(tables={"breakevens": [row]}).text)
    assert "A week before: crossing at 1.00M requests, saving" in text
    told = re.search(r": (\S+), of which volume (\S+), fixed lines (\S+)\.", text)
    amounts = [Decimal(re.sub(r"[$,]", "", each)) for each in told.groups()]
    total, *parts = amounts
    assert sum(parts) == total
    assert parts[1] == -1000


def test_a_week_without_one_before_says_that_nothing_is_known_of_the_move():
    assert "How the crossing moved is not known" in flat(build().text)


def test_the_record_of_closed_months_is_told():
    text = flat(
        build(
            figures={
                "record.months": 10,
                "record.inside": 8,
                "record.verdicts_told": 12,
                "record.verdicts_right": 11,
                "record.median_error": Decimal("3.25"),
            }
        ).text
    )
    assert (
        "Of the last 10 months 8 fell inside the range projected two weeks before the month's end; the median error was 3.2%. Of 12 verdicts 11 were right"
        in text
    )


def comparison_of(**changes):
    return flat(build(tables={"breakevens": [breakeven(**changes)]}).text)


def test_the_comparison_says_how_sure_it_is_and_over_which_range():
    text = comparison_of(**judged())
    for said in (
        "$1,311 to $7,420",
        "(3.9 to 21.7)",
        "How sure: Own GPUs are cheaper in 93.4% of 2,000 draws; a move never pays back in 6.6%.",
        "January 2027 is the first month more likely than not to reach it (55.5%)",
        "November 2026 does with a chance of 31.4%",
    ):
        assert said in text


def test_what_every_draw_agrees_on_is_said_in_words():
    lost = {"probability_cheaper": Decimal(0), "never_pays_back": Decimal(100)}
    said = "Own GPUs are cheaper in none of 2,000 draws; a move pays back in none."
    assert said in comparison_of(**judged(**lost))
    won = {"probability_cheaper": Decimal(100), "never_pays_back": Decimal(0)}
    assert "Own GPUs are cheaper in all of 2,000 draws" in comparison_of(**judged(**won))


def test_a_saving_that_waits_says_what_it_waits_for():
    saved = formats.about(breakeven()["savings_usd_q50"])
    stay = {"advice": "stay"}
    assert headline(breakeven(**stay, **judged())) == (
        f"Stay for now: moving support-bot would save {saved} a month, not yet dependably"
    )
    assert headline(breakeven(**stay, **judged(constraint_usd=Decimal(9)))) == (
        f"Stay: moving support-bot would save {saved} a month, but more than money holds it"
    )


def test_a_payback_that_may_never_come_says_never():
    assert "(3.9 to never)" in comparison_of(**judged(payback_months_q90=None))
    assert "payback unsure" in comparison_of(**DEAR | {"advice": "stay"}, **judged())


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, "November 2026 reaches it with a chance of 31.4%, November 2027 with one of 68.9%"),
        (None, "No month to November 2027 is more likely than not to reach it"),
    ],
)
def test_the_crossing_is_dated_or_said_not_to_be_likely(ahead, said):
    assert said in comparison_of(**judged(crossing_ahead=ahead, crossing_probability=None))


def test_the_nearest_flips_come_first_and_share_their_beginning():
    assert (
        "Own service stops being cheaper when the GPU price rises to $4.103 an hour (now $2.4 an"
        " hour, 71.0% higher), or the cost of people rises to $26,821 a month (now $16,875 a month,"
        " 58.9% higher). Moving stops paying"
    ) in comparison_of(**judged())


def test_a_pilot_lists_its_questions_conditions_and_first_step():
    text = comparison_of(advice="pilot", **judged())
    assert "To settle first: quality: is the open model good enough" in text
    assert "On condition: The BAA is missing." in text
    assert "Next: If it begins now, from 15 Dec 2026: pilot both side by side" in text
    assert "A move that begins now still forgoes $6,012" in text
    assert "Taken as zero: second region, on call." in text


def test_who_stays_is_urged_to_nothing():
    text = comparison_of(advice="stay", **judged())
    assert "To settle first: Unanswered: quality, team." in text
    assert "Next:" not in text
    assert "Waiting:" not in text
    kept = breakeven(advice="stay", **judged(constraint_usd=Decimal(0)))
    assert "To settle first" not in flat(build(tables={"breakevens": [kept]}).text)
    held = {("support-bot", "own-h100"): standing(decided="Decided: deferred.", stands=True)}
    decided = flat(build(tables={"breakevens": [breakeven(**judged())]}, standings=held).text)
    assert "Next:" not in decided


def test_a_better_api_bill_is_told_with_its_saving_and_what_a_move_saves_beside_it():
    text = comparison_of(**judged())
    assert "$2,801: prompt caching saves $1,204 a month" in text
    assert "the API costs $10,846 a month, and against that a move saves $2,801:" in text
    row = breakeven(advice="stay_but_change", **judged(optimised_api_usd=Decimal(1000)))
    saved = formats.about(row["api_usd_q50"] - 1000)
    assert headline(row) == f"Stay, but change how support-bot uses the API: saves {saved} a month"


def test_the_best_split_is_told_where_it_saves_more_than_the_move():
    assert "Best split: 2 own replicas for the base load" in comparison_of(**judged())
    small = judged(base_load_saves_usd=Decimal(1), best_share_saves_usd=Decimal(1))
    assert "Best split" not in comparison_of(**small)


def test_a_year_that_contradicts_the_month_is_said_beside_the_headline_too():
    text = flat(build(tables={"breakevens": [breakeven(**judged(net_contradicts=1))]}).text)
    said = "The year contradicts the month: with both sides' prices changing as drawn"
    assert text.count(said) == 2
    assert "Taken as zero: second region" in text.partition("WHAT MOVED")[0]


def test_what_a_constraint_costs_is_said():
    assert "The constraint: It costs $420.00 a month." in comparison_of(
        **judged(constraint_usd=Decimal(420))
    )


def test_each_section_that_fails_is_named_alone_and_the_subject_still_says_the_month():
    broken = {"breakevens": [breakeven(scenario="{")], "budgets": [{"scope": "all"}]}
    built = weekly.build(facts(tables=broken), draw)
    named = [each.partition(" (")[0] for each in built.failed]
    assert "breakeven" in named
    assert "budgets" in named
    assert not {"movers", "gpus", "sources", "record", "unit_cost"} & set(named)
    assert "PARTS ARE MISSING" in visible(built.html)
    assert visible(built.html).count("This part could not be made.") == 2
    assert "$28,551.79" in built.text
