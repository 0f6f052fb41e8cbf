"""Which words of a bill's line name a tier."""

from typing import NamedTuple

import pytest

from monitor.domain.tiers_named import seen


class Charge(NamedTuple):
    model: str
    item: str
    tier: str
    pico: int


@pytest.mark.parametrize(
    ("item", "tier"),
    [
        ("gpt 5 mini inp glbl 1M Tokens", False),
        ("gpt 5 mini inp 1M context 1M Tokens", True),
        ("gpt 5 mini inp Batch 1M Tokens", True),
        ("claude input over 200k tokens", True),
    ],
)
def test_the_unit_of_a_price_is_no_tier(item, tier):
    assert seen([Charge("", item, "", 10**12)], []) is tier
