"""Prices and models: what a new card does to the month, and a snapshot that took over."""

from dataclasses import replace
from decimal import Decimal

import pytest

from monitor.domain import watch_prices
from monitor.domain.pricing import RateCard, Rates, usd_per_million
from monitor.domain.rulebook import LIMITS
from monitor.domain.usage import DAY, Quantities
from monitor.domain.watch_prices import ModelsSeen, Repriced

AT = 1_795_392_000
USUAL = LIMITS["price_change"]
OLD = RateCard("openai", "gpt-5", "", 0, usd_per_million(uncached_input="1", output="10"))


def repriced(output="12", used=100_000_000, **changes):
    rates = usd_per_million(uncached_input="1", output=output)
    new = replace(OLD, rates=rates, valid_from=AT - DAY, source="genai-prices")
    base = Repriced("acme", OLD, new, AT, Quantities(output=used), 28)
    return base._replace(**changes)


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        (repriced(), True),
        (repriced("8"), True),
        (repriced("10"), False),
        (repriced("10.09", used=10**10), False),
        (repriced("10.10", used=10**10), True),
        (repriced("12", used=20_000_000), False),
        (repriced("12", used=24_000_000), True),
    ],
)
def test_a_new_price_is_told_by_what_it_does_to_the_month(seen, holds):
    assert watch_prices.price_change(seen, USUAL).holds is holds


def test_dearer_warns_and_cheaper_is_a_notice_with_dollars_of_their_sign():
    up, down = (watch_prices.price_change(repriced(p), USUAL) for p in ("12", "8"))
    assert up.said.title == "gpt-5 is $217.26 a month dearer (20.0%) from 2026-11-22"
    assert (up.severity, down.severity) == (None, "notice")
    assert (up.said.usd_per_month, down.said.usd_per_month) == (
        Decimal("217.26"),
        Decimal("-217.26"),
    )
    assert up.said.facts == (("output", "$10 to $12"),)
    assert (up.period, up.subject) == ("2026-11-22", "acme openai/gpt-5")


def test_where_a_price_is_not_known_nothing_is_compared():
    unknown = replace(OLD, rates=Rates())
    assert watch_prices.price_change(repriced(old=unknown), USUAL) is None
    assert watch_prices.price_change(repriced(new=unknown), USUAL) is None


def test_a_model_that_was_free_has_a_change_without_a_share():
    free = replace(OLD, rates=usd_per_million(uncached_input="0", output="0"))
    found = watch_prices.price_change(repriced(old=free), USUAL)
    assert found.holds
    assert "%" not in found.said.title


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("gemini-2.5-flash-002", "gemini-2.5-flash"),
        ("gpt-4-0613", "gpt-4"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet"),
        ("mistral-large-latest", "mistral-large"),
        ("gpt-5", "gpt-5"),
        ("llama-3.3-70b", "llama-3.3-70b"),
        ("", ""),
    ],
)
def test_snapshots_of_one_model_are_a_family(model, family):
    assert watch_prices.family(model) == family


def models(day, before, workload="bot"):
    return ModelsSeen(workload, AT, "gpt-5", day, before)


@pytest.mark.parametrize(
    ("day", "before", "told"),
    [
        ([("a", 0), ("b", 9)], [("a", 9), ("b", 0)], ["b"]),
        ([("a", 5), ("b", 5)], [("a", 9), ("b", 0)], ["b"]),
        ([("a", 6), ("b", 5)], [("a", 9), ("b", 0)], []),
        ([("a", 0), ("b", 9)], [("a", 9), ("b", 1)], []),
        ([("b", 9)], [("b", 0)], []),
        ([("a", 0)], [("a", 9)], []),
        ([], [], []),
    ],
)
def test_a_snapshot_that_takes_over_is_told_where_something_was_before(day, before, told):
    found = watch_prices.model_change(models(day, before), LIMITS["model_change"])
    assert [s.subject for s in found] == [f"bot: {model}" for model in told]
    assert all(s.holds for s in found)


def test_a_quote_in_a_name_ends_no_statement():
    (found,) = watch_prices.model_change(
        models([("b", 1)], [("a", 1)], "o'bot"), LIMITS["model_change"]
    )
    assert "'o''bot'" in found.said.query
    priced = watch_prices.price_change(repriced(new=replace(repriced().new, model="o'gpt")), USUAL)
    assert "'o''gpt'" in priced.said.query
