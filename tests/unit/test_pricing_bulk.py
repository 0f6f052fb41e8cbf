"""Many usages priced at once: equal to one at a time, to the last digit, whatever they hold."""

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.pricing import RateCard, Rates, Tier, price, usd_per_million
from monitor.domain.pricing_bulk import NO_CARD, UNKNOWN, counts_of, price_many
from monitor.domain.usage import MAX_COUNT, QUANTITY_FIELDS, Quantities

FLAT = usd_per_million(uncached_input="3", cache_read="0.3", output="15")
LONG = usd_per_million(uncached_input="6", cache_read="0.6", output="22.5")

counts = st.none() | st.integers(0, 300_000) | st.integers(0, MAX_COUNT)
usages = st.tuples(*[counts] * len(QUANTITY_FIELDS)).map(Quantities._make)
texts = st.tuples(counts, counts, counts, counts, counts, st.sampled_from([None, 1, 7])).map(
    lambda n: Quantities(*n[:5], requests=n[5])
)
rates = st.none() | st.integers(0, 10**12)
tables = st.tuples(
    *[rates] * (len(Rates._fields) - 2),
    st.sampled_from([0, 0, -700]),
    st.sampled_from([0, 0, 9000]),
)
cards = st.tuples(tables, st.none() | tables).map(
    lambda two: RateCard(
        *("p", "m", "", 0, Rates(*two[0])),
        tiers=(Tier(200_000, Rates(*two[1])),) if two[1] else (),
    )
)


@given(st.lists(texts | usages, max_size=12), st.lists(cards, min_size=1, max_size=3), st.data())
def test_many_at_once_cost_what_each_costs_alone(rows, shelf, data):
    which = data.draw(
        st.lists(st.integers(NO_CARD, len(shelf) - 1), min_size=len(rows), max_size=len(rows))
    )
    alone = data.draw(st.booleans())
    many = price_many(shelf, np.array(which, np.intp), counts_of(rows), per_request=alone)
    total = 0
    for number, (usage, card) in enumerate(zip(rows, which, strict=True)):
        one = price(usage, None if card == NO_CARD else shelf[card], alone)
        if number in many.others:
            assert many.others[number] == one
        else:
            assert (int(many.femto[number]), (), 0) == (one.femto, one.flags, one.unpriced_tokens)
        total += one.femto or 0

    assert many.total_femto == total


def test_an_amount_beyond_64_bits_is_exact():
    huge = RateCard("p", "m", "", 0, Rates(output=10**12))
    rows = [Quantities(output=MAX_COUNT, requests=1), Quantities(output=3, requests=1)]
    many = price_many([huge], np.zeros(2, np.intp), counts_of(rows))

    assert many.total_femto == (MAX_COUNT + 3) * 10**12
    assert list(many.others) == [0]


def test_a_sum_beyond_64_bits_is_exact():
    card = RateCard("p", "m", "", 0, Rates(output=10**9))
    rows = [Quantities(output=4 * 10**9)] * 10
    many = price_many([card], np.zeros(10, np.intp), counts_of(rows))

    assert (many.total_femto, many.others) == (4 * 10**19, {})


def test_requests_above_a_threshold_take_their_tier_in_bulk_and_buckets_go_one_by_one():
    card = RateCard("p", "m", "", 0, FLAT, tiers=(Tier(200_000, LONG),))
    rows = [
        Quantities(uncached_input=200_001, requests=1),
        Quantities(uncached_input=200_001, requests=2),
        Quantities(uncached_input=200_000, requests=2),
    ]
    many = price_many([card], np.zeros(3, np.intp), counts_of(rows))

    assert list(many.others) == [1]
    assert many.others[1].flags == ("tier_unknown",)
    assert [int(n) for n in many.femto] == [200_001 * LONG[0], 0, 200_000 * FLAT[0]]


def test_the_integer_total_is_the_decimal_total():
    card = RateCard("p", "m", "", 0, FLAT)
    rows = [Quantities(n, n * 7, output=n // 3, requests=1) for n in range(1, 500)]
    many = price_many([card], np.zeros(len(rows), np.intp), counts_of(rows))
    exact = sum(price(usage, card).usd for usage in rows)

    assert Decimal(many.total_femto).scaleb(-15) == exact


def test_unknown_counts_are_kept_apart_from_zero():
    table = counts_of([Quantities(output=0), Quantities(uncached_input=5, output=None)])

    assert table[:, :5].tolist() == [
        [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, 0],
        [5, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN],
    ]
    assert counts_of([]).shape == (0, len(QUANTITY_FIELDS))
    assert price_many([], np.empty(0, np.intp), counts_of([])).total_femto == 0
