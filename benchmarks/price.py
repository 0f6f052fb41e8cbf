"""How fast usages are priced, beside the library that the list prices come from.

The same events go through `pricing.price`, with cards resolved once a day as the roll-up does, and
through `genai_prices.calc_price`; CPU time, the median of the rounds. The two totals must be equal
to the last digit. The target is 100 times.

    python benchmarks/price.py [--events 20000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from genai_prices import Usage, calc_price

from collectors.genai_rates import GenaiRates
from monitor.domain.pricing import RateCard, price
from monitor.domain.rate_lookup import Resolver
from monitor.domain.usage import DAY, Quantities

START = 1_793_491_200  # 2026-11-01T00:00:00Z
TARGET = 100
MODELS = [
    ("anthropic", "claude-sonnet-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-flash"),
    ("mistral", "mistral-medium-latest"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-5"),
    ("openai", "o3"),
]

Event = tuple[str, str, int, Quantities]


def events(count: int) -> list[Event]:
    """Single requests of many models over a month, with cached input."""
    draw = random.Random(1)
    return [
        (
            *draw.choice(MODELS),
            START + draw.randrange(30) * DAY,
            Quantities(
                uncached_input=draw.randrange(1, 4_000),
                cache_read=draw.randrange(20_000),
                output=draw.randrange(1, 2_000),
                requests=1,
            ),
        )
        for _ in range(count)
    ]


def ours(cards: dict[tuple[str, str, int], RateCard | None], rows: list[Event]) -> Decimal:
    """The total through our own arithmetic."""
    femto = 0
    for provider, model, at, quantities in rows:
        femto += price(quantities, cards[provider, model, at]).femto or 0
    return Decimal(femto).scaleb(-15)


def library(rows: list[Event]) -> Decimal:
    """The total through the library."""
    total = Decimal(0)
    for provider, model, at, quantities in rows:
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


def per_second(run: Callable[[list[Event]], Decimal], rows: list[Event], rounds: int) -> float:
    """Events per second of CPU time, the median of the rounds."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        run(rows)
        seconds.append(time.process_time() - began)
    return len(rows) / statistics.median(seconds)


def main() -> None:
    """Print both speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows = events(args.events)
    resolver = Resolver(GenaiRates())
    cards = {(p, m, at): resolver.card(p, m, at) for p, m, at, _ in rows}
    sample = rows[:2_000]
    if ours(cards, sample) != library(sample):
        raise SystemExit("the totals differ")
    fast = per_second(lambda chosen: ours(cards, chosen), rows, args.rounds)
    slow = per_second(library, sample, args.rounds)
    print(f"pricing.price  {fast:12,.0f} events/s")
    print(f"calc_price     {slow:12,.0f} events/s")
    print(f"ratio          {fast / slow:12.0f} x (target {TARGET} x)")


if __name__ == "__main__":
    main()
