"""The weekly report's section on what moved: absent where nothing did, and in exact cents."""

import re
from decimal import Decimal

import pytest

from monitor.storage.figure_sql import CATALOGUE
from reports import after_move, weekly
from reports.raster import Drawn
from tests.weekly_facts import breakeven, facts, visible


def row(**changes):
    base = dict.fromkeys(CATALOGUE["moves"].columns) | {
        "workload": "support-bot",
        "deployment": "own-h100",
        "since": "2026-08-20",
        "month": "2026-10",
        "status": "measured",
        "reason": "",
        "promised": Decimal("5000.005"),
        "counterfactual": Decimal("20000.004"),
        "actual": Decimal("16000.001"),
        "saved": Decimal("4000.003"),
        "by_volume": Decimal("-700.334"),
        "by_mix": Decimal("0.334"),
        "by_price": Decimal("-299.998"),
        "by_own_cost": Decimal("-0.004"),
        "moving": Decimal(30_000),
        "cumulated": Decimal("9000.5"),
        "months_known": 2,
        "direction": "stay",
        "outlook": "Own service saves $4,000 a month at this load.",
    }
    return base | changes


def said(**changes):
    (told,) = after_move.moves(facts(tables={"moves": [row(**changes)]}))
    return told.title, " ".join(told.texts)


def test_without_a_move_there_is_no_section():
    built = weekly.build(facts(), lambda specs: Drawn(dict.fromkeys(specs, b""), {}))
    assert "fter the move" not in built.html
    assert "AFTER THE MOVE" not in built.text


def test_the_parts_add_up_to_the_cents_that_are_shown():
    title, text = said()
    assert title == "support-bot on own-h100, October 2026"
    assert "It saved $4,000.00; $5,000.00 was promised." in text
    assert "The API alone would have cost $20,000.00; own engines" in text
    assert "on the API cost $16,000.00." in text
    parts = re.search(r"Against the promise: (.*?)\. Since", text)[1]
    amounts = [Decimal(part.replace("$", "")) for part in re.findall(r"[+-]?\$[\d.]+", parts)]
    assert len(amounts) == 4
    assert sum(amounts) == Decimal("-1000.00")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "Since 20 Aug 2026 $9,000.50 in 2 months, for a move that cost $30,000.00: about 5"),
        ({"cumulated": Decimal(-9)}, "not in sight at this pace."),
        ({"paid_back_in": "2026-09"}, "$30,000.00: paid back in September 2026."),
        ({"saved": Decimal(-5)}, "It lost $5.00; "),
        ({"promised": None}, "nothing was promised."),
        ({"status": "partial", "reason": "It ran on 7 of 30 days."}, "on 7 of 30 days."),
    ],
)
def test_what_was_paid_back_or_lost_or_is_partial_is_said(changes, says):
    assert says in said(**changes)[1]


@pytest.mark.parametrize(
    ("direction", "advice", "shown"),
    [
        ("stay", "self_host", True),
        ("grow", "hybrid", True),
        ("return", "return_to_api", True),
        ("return", "self_host", False),
        ("grow", "return_to_api", False),
    ],
)
def test_an_outlook_that_the_advice_contradicts_by_now_is_not_told(direction, advice, shown):
    told = facts(
        tables={"moves": [row(direction=direction)], "breakevens": [breakeven(advice=advice)]}
    )
    ((_, texts, _),) = after_move.moves(told)
    assert any(text.startswith(f"{direction.capitalize()}: ") for text in texts) is shown


def test_an_unknown_month_says_why_and_shows_no_amount():
    money = [name for name, unit in CATALOGUE["moves"].columns.items() if unit == "usd"]
    _, text = said(**dict.fromkeys(money), status="unknown", reason="Nothing was measured.")
    assert text == "What it saved is unknown. Nothing was measured."


def test_both_twins_say_it_and_every_figure_is_listed():
    built = weekly.build(
        facts(tables={"moves": [row(workload=f"bot-{n}") for n in range(7)]}),
        lambda specs: Drawn(dict.fromkeys(specs, b""), {}),
    )
    plain, page = " ".join(built.text.split()), " ".join(visible(built.html).split())
    for text in (plain, page):
        assert text.count("Own service saves $4,000 a month at this load.") >= after_move.SHOWN
        assert "bot-4 on own-h100, October 2026" in text
    assert "moved.saved = 4000.003 usd" in built.text
    assert len(built.html.encode()) < 80_000
