"""The rules about spend and sources: boundaries, and that unknown is never an alarm nor an all-clear."""

import pytest

from monitor.domain import rulebook, watch
from monitor.domain.money import PICO
from monitor.domain.rulebook import Chosen
from monitor.domain.watch import BudgetSeen, GivenUp, Thresholds, UnpricedSeen

AT = 1_795_392_000


def seen(spent=30_000, q=(38_000, 41_000, 45_000), **changes):
    low, middle, high = (None if v is None else v * PICO for v in q)
    base = BudgetSeen(
        *("support", "2026-11", AT, 40_000 * PICO),
        None if spent is None else spent * PICO,
        *(low, middle, high, 0, "mixed", "", "ann", "support-bot"),
    )
    return base._replace(**changes)


USUAL = Thresholds()


def budget(thresholds=USUAL, **changes):
    return watch.budget(seen(**changes), thresholds)


@pytest.mark.parametrize(
    ("spent", "holds", "threshold", "rank"),
    [
        (19_999, False, "", -1),
        (20_000, True, "50%", 0),
        (31_999, True, "50%", 0),
        (32_000, True, "80%", 1),
        (40_000, True, "100%", 2),
        (90_000, True, "100%", 2),
        (None, None, "", -1),
    ],
)
def test_of_several_thresholds_the_highest_counts(spent, holds, threshold, rank):
    actual, _ = budget(spent=spent)
    assert (actual.holds, actual.threshold, actual.rank) == (holds, threshold, rank)
    assert (actual.period, actual.workload, actual.owner) == ("2026-11", "support-bot", "ann")


def test_a_projection_is_told_only_where_its_low_end_passes_and_lets_go_below_nine_tenths():
    _, inside = budget(q=(38_000, 41_000, 45_000))
    assert (inside.holds, inside.released) == (False, False)
    _, beyond = budget(q=(40_000, 42_000, 45_000))
    assert beyond.holds
    assert "heading for $42,000.00, $2,000.00 over $40,000.00" in beyond.said.title
    _, below = budget(q=(30_000, 35_999, 45_000))
    assert (below.holds, below.released) == (False, True)
    _, unknown = budget(q=(None, None, None))
    assert unknown.holds is None
    assert "unknown" in unknown.said.title


def test_a_budget_without_thresholds_is_not_watched():
    assert budget(Thresholds((), ())) == []


def test_what_is_in_no_amount_is_said():
    actual, _ = budget(unpriced_tokens=1_234_567, remark="3 of its 20 days so far are not known")
    assert "1,234,567 tokens have no known rate" in actual.said.sure
    assert "3 of its 20 days" in actual.said.sure


@pytest.mark.parametrize(
    ("tokens", "without", "holds"),
    [(1000, 10, True), (1000, 9, False), (1000, 0, False), (0, 0, False)],
)
def test_tokens_without_a_price_from_a_share_on(tokens, without, holds):
    found = watch.unpriced(UnpricedSeen("bot", AT, "2026-11", tokens, without, ["m"]), 1)
    assert found.holds is holds


def test_a_quote_in_a_name_ends_no_statement():
    found = watch.unpriced(UnpricedSeen("o'bot", AT, "2026-11", 10, 10, ["m"]), 1)
    assert "workload = 'o''bot'" in found.said.query


def test_each_source_is_watched_and_named_with_its_streams():
    behind, well = watch.stale(["openai", "other"], {"openai": ["openai usage"]}, AT)
    assert (behind.subject, behind.holds) == ("openai", True)
    assert "openai usage did not close" in behind.said.what
    assert (well.subject, well.holds) == ("other", False)


def test_work_that_was_given_up_is_told_with_the_oldest():
    found = watch.internal(GivenUp(1, 2, "report/x: boom"), AT)
    assert found.holds
    assert found.said.title == "1 run and 2 messages were given up"
    assert "report/x: boom" in found.said.what
    assert not watch.internal(GivenUp(0, 0, ""), AT).holds


def test_an_edited_rule_begins_afresh_and_one_that_is_off_is_gone():
    book = rulebook.chosen(
        {
            "budget": Chosen(enabled=False),
            "unpriced_spend": Chosen(percent=5),
            "internal": Chosen(severity="critical", owner="ops", runbook="https://wiki/x"),
        }
    )
    assert "budget" not in book
    assert book["unpriced_spend"].version != rulebook.BOOK["unpriced_spend"].version
    assert book["internal"].version == rulebook.BOOK["internal"].version
    assert (book["internal"].severity, book["internal"].owner) == ("critical", "ops")
    assert book["move"] == rulebook.BOOK["move"]
