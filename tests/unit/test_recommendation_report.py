"""The recommendation's words: what is unknown is said to be so, and both twins say the same."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from monitor.domain.links import About, read_about
from monitor.domain.notices import Notice, Said
from monitor.jobs.recommendation import MOST, Enclosure, about_of, bounded, brings, first
from monitor.storage.figure_recommendation import RECOMMENDATION
from monitor.storage.figure_sql import CATALOGUE
from reports import recommendation
from reports.formats import count
from reports.model import RecommendationFacts, Standing
from reports.render import Attachment
from tests.mail_checker import problems
from tests.weekly_facts import breakeven, judged, numbers, scenario, visible, without_history

EVILS = (
    "=cmd|'/c calc'!A1<script>alert(1)</script>\r\nBcc: x@y\u202egpj",
    "\U0001f600" * 60,
    "x" * 500,
    "<b>{{ 7 * 7 }}</b> & \u05d0\u05d1 \x00\x1b[31m",
)


def option(name="prompt caching", saves="1204", assumption="cached input costs 10%"):
    usd = None if saves is None else Decimal(saves)
    return {"option_id": name, "name": name, "saves_usd": usd, "assumption": assumption} | {
        "source": "list prices"
    }


def line(name="people", state="configured", source="configuration", **amounts):
    row = dict.fromkeys(CATALOGUE["recommendation.lines"].columns)
    return row | {"line": name, "state": state, "source": source} | amounts


def facts(row=None, numbers=None, tables=None, document=None, **changes):
    row = row or breakeven(**judged())
    if document is not None:
        row = row | {"recommendation": json.dumps(document)}
    known = {
        "recommendation.setup_usd": Decimal(30_000),
        "recommendation.lead_days": 45,
        "recommendation.net_12_months_usd": Decimal(-1200),
        "recommendation.payback_months": Decimal("10.9"),
    }
    scalars = [name for name, spec in RECOMMENDATION.items() if not spec.columns]
    base = RecommendationFacts(
        organisation="Acme",
        workload=str(row["workload"]),
        deployment=str(row["deployment"]),
        as_of=datetime(2026, 11, 23, tzinfo=UTC),
        demo=False,
        row=row,
        standing=Standing(),
        numbers=dict.fromkeys(scalars) | known | (numbers or {}),
        tables={
            "costs": [{"line": "people", "usd": Decimal(4000)}],
            "lines": [line(usd_per_month=Decimal(4000))],
            "options": [option(), option("batch processing", None, "needs: batch_share")],
            "plan": [
                {"phase": 1, "step": "start", "starts": "2026-11-23", "ends": "2026-12-15"},
                {"phase": 4, "step": "stay so", "starts": "2027-04-07", "ends": None},
            ],
        }
        | (tables or {}),
        units={name: spec.unit for name, spec in CATALOGUE.items()},
    )
    return base._replace(**changes)


def text_of(**changes):
    return " ".join(recommendation.build(facts(**changes)).text.split())


def test_both_twins_have_every_number_of_the_other():
    found = recommendation.build(facts())
    told = found.text.partition("\nFIGURES\n")[0]
    assert set(numbers(told)) == set(numbers(visible(found.html)))


def test_the_head_has_verdict_probability_and_the_year():
    found = text_of()
    for said in (
        "Move support-bot: saves",
        "support-bot on own-h100. Advice: Move, since 12 Nov 2026.",
        "Own GPUs are cheaper in 93.4% of 2,000 draws; a move never pays back in 6.6%.",
        "12 months bring -$41,000 to $52,000 after the cost of moving, above zero in 61.2%",
        f"From {count(breakeven()['crossing_requests'])} requests a month own GPUs stay cheaper",
    ):
        assert said in found


def test_three_lines_stand_beside_each_other_and_unknown_options_are_named():
    found = text_of()
    assert "API as it is used: $11,200" in found or "API as it is used: $" in found
    assert "API used better: $10,846" in found
    assert "prompt caching: saves $1,204" in found
    assert "batch processing: unknown needs: batch_share (list prices)" in found
    assert "What these would save, since their facts are not given: batch processing." in found


def test_an_option_that_a_gate_bars_is_no_unknown():
    barred = option("a managed host", None, "no way out: the task needs the frontier")
    found = text_of(tables={"options": [barred]})
    assert "a managed host: no way out" in found
    assert "facts are not given" not in found


def test_a_saving_that_no_cheaper_use_brings_is_unknown_not_zero():
    row = breakeven(**judged())
    row |= {"optimised_api_usd": row["api_usd_q50"]}
    assert "API used better: unknown no cheaper use is known" in text_of(row=row)


def test_each_line_is_said_in_its_unit_with_its_source():
    lines = [
        line(
            "GPUs", "assumed", "a list", usd_per_gpu_hour=Decimal("2.405"), priced_on="2026-10-01"
        ),
        line("setup", usd_once=Decimal(30_000)),
        line("spare", "assumed", "two guides", replicas=1),
        line("on-call", "zero", "nobody wrote it", usd_per_month=Decimal(0)),
        line("strange"),
    ]
    found = text_of(tables={"lines": lines})
    assert re.search(r"GPUs: \$2\.4[01] a GPU hour assumed: a list, price of 1 Oct 2026", found)
    assert "setup: $30,000 once configured" in found
    assert "spare: 1 replica assumed: two guides" in found
    assert "on-call: $0 taken as zero: nobody wrote it" in found
    assert "strange: unknown" in found


def test_where_lines_come_from_is_unknown_where_nothing_recorded_it():
    assert "Where the amounts of the cost lines come from: it is not recorded" in text_of(
        tables={"lines": []}
    )


def test_what_switching_costs_is_said_with_what_is_not_known():
    found = text_of()
    assert "Moving, once: $30,000 Until the switch: 45 days Both sides paid: unknown" in found
    assert "Earned back after: 10.9 months drawn: 3.9 to 21.7" in found
    assert "12 months, moving included: loses $1,200 drawn: -$41,000 to $52,000" in found
    assert "Returning to the API, once: unknown" in found


def test_what_runs_in_house_has_nothing_to_move():
    found = text_of(document={"runs_on": "self_host"}, standing=Standing(runs_on="self_host"))
    assert "Keep support-bot on own GPUs" in found
    assert "The plan" not in found
    assert "Moving, once" not in found
    assert "after the cost of moving" not in found
    assert "Returning to the API, once" in found


def test_gates_show_their_evidence_and_what_nobody_answered():
    document = {
        "gates": {
            "data": {
                "answer": "contract",
                "needs": ["BAA"],
                "papers": {"BAA": {"evidence": "signed", "date": "2026-01-01"}},
            },
            "team": None,
            "control": {"needs": ["offline", "edge"], "prompting_failed": True},
            "standing": {},
        },
        "conditions": [{"id": "paper.DPA", "text": "The DPA is missing."}],
        "open_questions": [{"id": "gate.team.unanswered", "text": "team: who can run it?"}],
        "notes": [],
    }
    found = text_of(document=document)
    assert "Data: contract needs: BAA; papers: BAA evidence signed, date 2026-01-01" in found
    assert "Team: unanswered" in found
    assert "Control: stated needs: offline, edge; prompting failed: yes" in found
    assert "Standing orders" not in found
    assert "On condition: The DPA is missing." in found
    assert "Open: team: who can run it?" in found


def test_a_workload_without_history_says_so_and_guesses_nothing():
    found = text_of(
        row=without_history(),
        numbers=dict.fromkeys(RECOMMENDATION),
        tables=dict.fromkeys(recommendation.TABLES, ()),
    )
    assert "Both bills: There is not enough history to compare a month's bills." in found
    assert "Gates, options, plan and risks: no recommendation was stored for this day." in found
    assert "Nothing is compared, so that no month of it is known." in found
    assert "Which lines are zero is not known." in found
    assert "$" not in found.partition("FIGURES")[0]


def test_beside_a_decision_the_advice_stands_too():
    decided = Standing(decided="Deferred by ann: busy.", stands=True)
    found = text_of(standing=decided)
    assert "Decided: support-bot support-bot on own-h100. Advice: Move, since 12 Nov 2026." in found
    assert "Deferred by ann: busy." in found


def test_a_stay_shows_what_a_move_would_cost():
    row = breakeven(of=scenario(people=40_000), advice="stay", **judged())
    assert "costs $" in text_of(row=row)


def test_what_was_drawn_for_nothing_is_unknown():
    found = text_of(row=breakeven())
    assert "How likely it is to be cheaper: nothing was drawn for these figures." in found
    assert "No single input is known that would." in found


def test_other_deployments_and_the_demonstration_are_marked():
    other = breakeven(deployment="own-l40s", advice="stay", probability_cheaper=Decimal("12.5"))
    found = recommendation.build(facts(demo=True, others=[(other, Standing())]))
    assert found.subject.startswith("Demonstration: Move support-bot")
    assert re.search(r"own-l40s: Stay\n    saves .*cheaper in 12\.5% of draws", found.text)
    assert "DEMONSTRATION DATA" in found.html


@pytest.mark.parametrize("evil", EVILS)
def test_no_name_from_outside_becomes_markup_a_formula_or_a_line_of_its_own(evil):
    document = {
        "gates": {"data": {"answer": "open", "evidence": evil}, "standing": {"api": evil}},
        "conditions": [{"id": "x", "text": evil}],
        "risks": [{"risk": evil, "side": evil, "against": evil}],
        "comparison": [{"dimension": evil, "api": evil, "own": evil, "here": evil}],
        "bands": [{"source": evil, "written": evil, "place": evil, "why": evil}],
        "assumed_zero": [evil],
    }
    row = breakeven(workload=evil, deployment=evil, reason=evil, **judged())
    found = recommendation.build(
        facts(
            row=row,
            document=document,
            organisation=evil,
            tables={
                "costs": [{"line": evil, "usd": Decimal(4000)}],
                "lines": [line(evil, "assumed", evil, usd_once=Decimal(1))],
                "options": [option(evil, "3", evil)],
            },
            others=[(row, Standing())],
        )
    )
    assert problems(found.html) == []
    assert "<script" not in found.html
    assert "<b>{{" not in found.html
    assert "49" not in found.html.partition("<body")[2] or "7 * 7" in found.html
    assert len(found.html.encode()) < 80_000
    for text in (found.text, found.html, found.subject):
        assert not re.search("[\u202e\x00\x1b\r]", text), text
    assert "\nBcc:" not in found.text
    assert "\n" not in found.subject


def test_a_page_has_its_styles_in_its_head_alone():
    page = recommendation.page(facts())
    assert page.count("<style>") == 1
    assert "style=" not in page
    assert "<img" not in page


# --- with an alert ---------------------------------------------------------------------------


def notice(rule="move", edge="firing", n=1, **changes):
    found = Notice(
        f"{rule}/v1/bot{n} on own", edge, "warning", rule, f"bot{n} on own", Said("t", "w"),
        since=0, at=1_795_392_000, workload=f"bot{n}",
    )  # fmt: skip
    return found._replace(**changes)


def test_alerts_about_moving_bring_it_along_and_no_others():
    told = [notice(rule, n=n) for n, rule in enumerate(("crossing", "move", "return_to_api"))]
    assert first([told[0], told[0]._replace(rule="move")]) == [told[0]]
    others = [notice("about_to_cross"), notice("move", "resolved"), notice("budget", workload="")]
    assert first([*others, *told]) == told
    assert len(first([notice(n=n) for n in range(9)])) == MOST


def test_which_recommendation_an_alert_is_about_survives_any_name():
    odd = notice(workload="a on b", subject="a on b on c/d", at=1_795_392_000)
    assert about_of(odd) == About("2026-11-23", "a on b", "c/d")
    about = About("2026-11-23", *EVILS[:2])
    assert read_about(about.text) == about
    assert re.fullmatch("[0-9a-f]{24}", about.fingerprint)


def file(ending, size, n=1):
    kind = {"html": "text/html", "pdf": "application/pdf"}[ending]
    return Attachment(f"r{n}.{ending}", kind, b"x" * size)


def test_what_one_message_brings_is_bounded_and_pages_come_before_pdfs():
    found = {str(n): Enclosure([file("html", 40, n), file("pdf", 50, n)]) for n in range(3)}
    kept = bounded(found, 175)
    names = [f.filename for each in kept.values() for f in each.files]
    assert names == ["r0.html", "r0.pdf", "r1.html", "r2.html"]
    assert [bool(each.failed) for each in kept.values()] == [False, True, True]
    assert bounded(found, 10**6) == found


def test_a_message_says_what_is_attached_and_what_is_not():
    many = [notice(n=n) for n in range(MOST + 1)]
    found = {each.subject: Enclosure([file("html", 9, n)]) for n, each in enumerate(many[:MOST])}
    found[many[0].subject] = Enclosure((), "no paper")
    files, said = brings(many, found)
    assert [f.filename for f in files] == ["r1.html", "r2.html"]
    assert said == [
        "Attached: r1.html, r2.html.",
        "The recommendation for bot0 on own is not attached in full (no paper): crossover report recommendation bot0 shows it.",
        "The recommendation for bot3 on own is not attached in full (a message brings 3): crossover report recommendation bot3 shows it.",
    ]
