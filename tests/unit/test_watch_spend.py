"""Amounts out of range: boundaries, both ways, and that what is unknown is never an alarm."""

from decimal import Decimal

import pytest

from monitor.domain import watch_spend
from monitor.domain.alerts import Notify, step
from monitor.domain.money import PICO
from monitor.domain.rulebook import BOOK, LIMITS, Limits
from monitor.domain.usage import DAY
from monitor.domain.watch_spend import BilledSeen, SpendSeen

AT = 1_795_392_000
USUAL = LIMITS["spend_anomaly"]


def spent(*last, days=60, workload="bot", unpriced=0, usd=100):
    """A quiet history with weekly rhythm, and the last days as given, in dollars."""
    first = AT - (days + len(last)) * DAY
    before = [usd + (n % 7) + (n * 37 % 5) for n in range(days)]
    amounts = [*before, *last]
    daily = {first + n * DAY: None if v is None else int(v * PICO) for n, v in enumerate(amounts)}
    return SpendSeen(workload, AT, daily, unpriced)


def held(*last, limits=USUAL, **changes):
    return [s.holds for s in watch_spend.anomaly(spent(*last, **changes), limits)]


@pytest.mark.parametrize(
    ("last", "holds"),
    [(104, [False, False]), (300, [True, False]), (10, [False, True]), (0, [False, True])],
)
def test_a_day_is_judged_by_its_own_range_each_way(last, holds):
    assert held(last) == holds


def test_a_day_that_is_unknown_or_a_history_too_short_says_nothing():
    assert held(None) == []
    assert held(300, days=10) == []
    assert watch_spend.anomaly(SpendSeen("bot", AT, {}, 0), USUAL) == []


def test_tokens_without_a_price_make_no_fall_but_may_hide_in_a_rise():
    up = watch_spend.anomaly(spent(10, unpriced=5), USUAL)
    assert [(s.subject, s.holds) for s in up] == [("bot above its range", False)]
    assert held(300, unpriced=5) == [True]


def test_share_and_dollars_at_stake_keep_small_moves_quiet():
    assert held(300, limits=Limits(percent=30, least_usd=Decimal(100_000))) == [False, False]
    assert held(300, limits=Limits(percent=300, least_usd=Decimal(0))) == [False, False]
    assert held(300, limits=Limits(percent=0, least_usd=Decimal(0))) == [True, False]


def test_what_is_at_stake_is_told_as_dollars_a_month_with_its_sign():
    up, down = watch_spend.anomaly(spent(300), USUAL)
    assert 5_500 < up.said.usd_per_month < 6_500
    assert "a month more, if it stays" in up.said.cost
    assert up.said.title.startswith("bot spent $300.00 on ")
    (_, fell) = watch_spend.anomaly(spent(1), USUAL)
    assert fell.said.usd_per_month < 0
    assert fell.severity == "notice"
    assert (down.said.usd_per_month, down.said.cost[:7]) == (None, "Nothing")
    assert down.said.title.endswith("as its days before led to expect")


def edges(amounts):
    state, found = None, []
    for n in range(1, len(amounts) + 1):
        seen = spent(*amounts[:n])
        seen = seen._replace(
            as_of=AT + n * DAY, daily={at + n * DAY: v for at, v in seen.daily.items()}
        )
        for signal in watch_spend.anomaly(seen, USUAL)[:1]:
            state, effects = step(state, signal, BOOK["spend_anomaly"], AT + 90 * DAY)
            found += [(n, e.edge) for e in effects if isinstance(e, Notify)]
    return found


def test_one_odd_day_is_told_to_nobody_and_a_lasting_rise_once():
    assert edges([300, 104, 104, 104, 104]) == []
    found = edges([250] * 30)
    assert found[0] == (2, "firing")
    assert [edge for _, edge in found] == ["firing", "resolved"]


@pytest.mark.parametrize("name", ["o'bot", "x'; DROP TABLE usage; --", "bot\n*", ""])
def test_a_quote_in_a_name_ends_no_statement(name):
    up = watch_spend.anomaly(spent(300, workload=name), USUAL)[0]
    assert f"workload = '{name.replace(chr(39), chr(39) * 2)}'" in up.said.query


def billed(paid, own, days=28, unpriced=0):
    return BilledSeen("acme", AT, days, Decimal(paid), Decimal(own), unpriced)


@pytest.mark.parametrize(
    ("paid", "own", "days", "holds"),
    [
        (1000, 900, 28, True),
        (1000, 901, 28, False),
        (1000, 1100, 28, True),
        (500, 400, 28, True),
        (90, 10, 28, False),
        (1000, 10, 6, None),
        (0, 0, 28, False),
        (0, 500, 28, True),
    ],
)
def test_a_bill_is_told_once_it_lies_apart_by_share_and_by_dollars(paid, own, days, holds):
    found = watch_spend.unreconciled(billed(paid, own, days), LIMITS["unreconciled_spend"])
    assert found.holds is holds


def test_a_bill_a_hundred_times_the_estimate_is_called_what_it_looks_like():
    found = watch_spend.unreconciled(billed(50_000, 500, unpriced=7), LIMITS["unreconciled_spend"])
    assert "cents where dollars are expected" in found.said.what
    assert "7 tokens of these days have no known price" in found.said.sure
