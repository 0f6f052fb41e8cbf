"""How fast usages are priced, beside the library that the list prices come from.

The same events go through `pricing_bulk.price_many` as a table, through `pricing.price` one by one,
and through `genai_prices.calc_price`; CPU time, the median of the rounds. The totals must be equal
to the last digit; the library prices the first two thousand, which is all it has time for. The
target is 100 times the library. Resolving the cards is measured apart: it happens once for each
model and day, so its share falls with the number of events.

    python benchmarks/pricing.py [--events 200000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import numpy as np
from genai_prices import Usage, calc_price

from collectors.genai_rates import GenaiRates
from monitor import library as own
from monitor.domain.pricing import RateCard, price
from monitor.domain.pricing_bulk import counts_of, price_many
from monitor.domain.rate_lookup import Resolver
from monitor.domain.usage import DAY, Quantities

START = 1_793_491_200  # 2026-11-01T00:00:00Z
TARGET = 100
SAMPLE = 2_000
"""Events that the library prices: enough for a steady speed, few enough to wait for."""

MODELS = [
    ("anthropic", "claude-sonnet-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-flash"),
    ("google", "gemini-2.5-pro"),
    ("mistral", "mistral-medium-latest"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-5"),
    ("openai", "gpt-5.4"),
    ("openai", "o3"),
]

Key = tuple[str, str, int]
Result = TypeVar("Result")


def events(count: int) -> tuple[list[Key], list[Quantities]]:
    """Single requests of many models over a month, with cached input; one in fifty is long."""
    draw = random.Random(1)
    keys, usages = [], []
    for number in range(count):
        keys.append((*draw.choice(MODELS), START + draw.randrange(30) * DAY))
        fresh = draw.randrange(1, 4_000) if number % 50 else draw.randrange(150_000, 400_000)
        usages.append(
            Quantities(
                uncached_input=fresh,
                cache_read=draw.randrange(20_000),
                output=draw.randrange(1, 2_000),
                requests=1,
            )
        )
    return keys, usages


def resolve(keys: list[Key]) -> list[RateCard]:
    """The cards of all models and days, by a resolver that has seen nothing yet."""
    rows = own.rates()
    resolver = Resolver(GenaiRates(), (), rows.rates, rows.factors, rows.aliases)
    found = (resolver.card(*key) for key in dict.fromkeys(keys))
    return [card for card in found if card is not None]


def one_by_one(cards: dict[Key, RateCard], keys: list[Key], usages: list[Quantities]) -> Decimal:
    """The total through `price`."""
    femto = sum(
        price(usage, cards[key]).femto or 0 for key, usage in zip(keys, usages, strict=True)
    )
    return Decimal(femto).scaleb(-15)


def library(keys: list[Key], usages: list[Quantities]) -> Decimal:
    """The total through the library."""
    total = Decimal(0)
    for (provider, model, at), quantities in zip(keys, usages, strict=True):
        read = quantities.cache_read or 0
        usage = Usage(
            input_tokens=(quantities.uncached_input or 0) + read,
            cache_read_tokens=read,
            output_tokens=quantities.output,
        )
        when = datetime.fromtimestamp(at, UTC)
        total += calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=when
        ).total_price
    return total


def seconds(run: Callable[[], Result], rounds: int) -> tuple[float, Result]:
    """CPU seconds, the median of the rounds, and the result."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        result = run()
        spent.append(time.process_time() - began)
    return statistics.median(spent), result


def main() -> None:
    """Print all speeds, the ratios, and the share of resolving."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    keys, usages = events(args.events)
    resolve(keys[:1])  # loads the price list
    resolving, found = seconds(lambda: resolve(keys), 3)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    cards = {key: found[number] for key, number in numbers.items()}
    card_of = np.array([numbers[key] for key in keys])

    table_time, table = seconds(lambda: counts_of(usages), args.rounds)
    many_time, many = seconds(lambda: price_many(found, card_of, table), args.rounds)
    each_time, each = seconds(lambda: one_by_one(cards, keys, usages), args.rounds)
    slow_time, slow = seconds(lambda: library(keys[:SAMPLE], usages[:SAMPLE]), 3)
    sample = price_many(found, card_of[:SAMPLE], table[:SAMPLE]).total_femto
    if Decimal(many.total_femto).scaleb(-15) != each or Decimal(sample).scaleb(-15) != slow:
        raise SystemExit("the totals differ")
    base = len(keys[:SAMPLE]) / slow_time
    both = many_time + table_time
    print(f"{len(keys):,} events, {len(found)} cards, total {each} USD")
    print(f"equal to the last digit: all of ours, and calc_price on the first {SAMPLE:,}")
    for name, spent in (
        ("price_many, from a table", many_time),
        ("price_many, from tuples", both),
        ("price_many, with resolving", both + resolving),
        ("price, one by one", each_time),
    ):
        speed = len(keys) / spent
        print(f"{name:28}{speed:14,.0f} events/s  {speed / base:7.0f} x (target {TARGET} x)")
    print(f"{'calc_price':28}{base:14,.0f} events/s        1 x")
    print(f"resolving {resolving:.3f} s: {resolving / (resolving + both):.0%} of price_many's time")


if __name__ == "__main__":
    main()
