"""A notice survives being stored."""

from decimal import Decimal

from monitor.domain.notices import Notice, Said, from_json, to_json

SAID = Said(
    "Budget support reached 80%",
    "$32,000 of $40,000 are spent.",
    "Billed to the 20th, estimated since.",
    "$8,000 a month are left.",
    Decimal("8000.000001"),
    ("Raise the budget, or slow the workload down.",),
    "SELECT * FROM v_budget",
    (("Spent", "$32,000"), ("Name", 'ü "quoted"\n\u202e')),
    ("Everything is measured.",),
)


def test_a_notice_is_read_as_it_was_written():
    notice = Notice(
        "budget/v1/support/2026-11", "firing", "warning", "budget", "support", SAID, 5, 7
    )
    assert from_json(to_json(notice)) == notice
    unknown = notice._replace(said=Said("t", "w"), links={"silence": "https://x/1"}, owner="ann")
    assert from_json(to_json(unknown)) == unknown
