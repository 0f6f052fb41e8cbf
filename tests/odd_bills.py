"""Months of bills that differ from their tokens for known reasons: what was done is what is true."""

from collections import defaultdict
from decimal import Decimal
from random import Random
from typing import NamedTuple

from monitor.domain.periods import month_bounds
from monitor.domain.pricing import RateCard, price, usd_per_million
from monitor.domain.reconciled import Charge, Use
from monitor.domain.usage import DAY, BillRow, Dimensions, Quantities, UsageRow

MONTH = "2026-10"
START, END = month_bounds(MONTH)
DAYS = range(START, END, DAY)
PICO = 10**12
CENT = PICO // 100
NO_RATE = "nova-preview"
RATES = usd_per_million(uncached_input="1.25", cache_read="0.125", output="10")
SHARES = [Decimal(text) for text in ("0.95", "0.9", "0.85", "0.8", "0.72", "0.875")]
CAUSES = (
    *("clean", "rounded", "discount", "bill late", "tokens late", "unpriced", "tier", "credits"),
    *("double count", "tools", "unknown"),
)


def card(key, _instant=0, _seconds=0):
    """The list price: one for every model that has any."""
    if key.model.startswith(NO_RATE):
        return None
    return RateCard(key.provider, key.model, "", 0, RATES, source="genai-prices")


class Month(NamedTuple):
    """What sources report of an account, and by how much each cause parts bill and estimate."""

    usage: list[tuple[str, UsageRow]]
    """With the source that counts it."""
    bills: list[BillRow]
    truth: dict[tuple[str, str], int]
    """(provider, cause) -> pico-USD of the bill above the estimate."""

    def add(self, provider, cause, pico):
        self.truth[provider, cause] += pico


def lines(q):
    """What a bill charges for these tokens at the list price: (component, pico)."""
    return [
        ("input tokens", q.uncached_input * 1_250_000 + q.cache_read * 125_000),
        ("output tokens", q.output * 10_000_000),
    ]


def month(seed, causes=()):
    """A made-up month; `causes` by name, else as chance has it."""
    chance = Random(seed)
    made = Month([], [], defaultdict(int))
    chosen = list(causes) or chance.choices(CAUSES, k=chance.randint(2, 7))
    for number, cause in enumerate(chosen):
        provider = ("openai", "anthropic")[number % 2]
        _model(
            made, chance, provider, f"{NO_RATE if cause == 'unpriced' else 'model'}-{number}", cause
        )
    if "unit" in causes or (not causes and chance.random() < 0.5):
        _in_cents(made, chance)
    return made


def _model(made, chance, provider, model, cause):
    dims = Dimensions(account="acme", provider=provider, model=model)
    share, since = chance.choice(SHARES), chance.randrange(0, 16)
    some = set(chance.sample(range(31), chance.randint(1, 4)))
    tier, factor = chance.choice(
        [("batch", Decimal("0.5")), ("flex", Decimal("0.5")), ("priority", Decimal(2))]
    )
    for n, day in enumerate(DAYS):
        q = Quantities(
            uncached_input=chance.randrange(20_000_000, 90_000_000),
            cache_read=chance.randrange(0, 30_000_000),
            output=chance.randrange(1_000_000, 9_000_000),
            requests=chance.randrange(100, 9_000),
        )
        own = 0 if cause == "unpriced" else sum(pico for _, pico in lines(q))
        charged = lines(q)
        if cause == "rounded":
            charged = [(item, (pico + CENT // 2) // CENT * CENT) for item, pico in charged]
            made.add(provider, "rounding", sum(p for _, p in charged) - own)
        elif cause == "discount" and n >= since:
            charged = [(item, int(pico * share)) for item, pico in charged]
            made.add(provider, "discount", sum(p for _, p in charged) - own)
        elif cause == "tier" and (n in some or since < 4):
            charged = [(f"{item}, {tier}", int(pico * factor)) for item, pico in charged]
            made.add(provider, "tier", sum(p for _, p in charged) - own)
        elif cause == "unpriced":
            made.add(provider, "unpriced", sum(p for _, p in charged))
        elif cause == "bill late" and n in some:
            charged = []
            made.add(provider, "late data", -own)
        elif cause == "credits" and n in some:
            charged.append(("credit", -chance.randrange(CENT, 90 * PICO)))
            made.add(provider, "credits", charged[-1][1])
        elif cause == "tools" and n in some:
            charged.append(("web search calls", chance.randrange(CENT, 90 * PICO)))
            made.add(provider, "unpriced", charged[-1][1])
        elif cause == "unknown" and n in some:
            pico = chance.randrange(PICO, 90 * PICO)
            made.bills.append(
                BillRow(dims._replace(model=""), day, f"adjustment {model}", pico, "USD")
            )
            made.add(provider, "unexplained", pico)
        if cause == "tokens late" and n in some:
            made.add(provider, "late data", sum(p for _, p in charged))
        else:
            made.usage.append((provider, UsageRow(dims, day, DAY, q)))
        if cause == "double count":
            made.usage.append(
                ("gateway", UsageRow(dims._replace(model=f"{provider}/{model}"), day, DAY, q))
            )
            made.add(provider, "double count", -own)
        made.bills.extend(
            BillRow(dims, day, f"{model}, {item}", pico, "USD") for item, pico in charged
        )


def _in_cents(made, chance):
    """A third provider, whose bill is read in cents from a day on, or by the dollar for cents."""
    other = Month([], [], defaultdict(int))
    _model(other, chance, "mistral", "model-a", chance.choice(("clean", "discount")))
    since, up = START + chance.randrange(0, 28) * DAY, chance.random() < 0.5
    for row in other.bills:
        wrong = row.amount_pico * 100 if up else row.amount_pico // 100
        changed = row._replace(amount_pico=wrong) if row.day >= since else row
        made.bills.append(changed)
        made.add("mistral", "unit", changed.amount_pico - row.amount_pico)
    made.usage.extend(other.usage)
    for (provider, cause), pico in other.truth.items():
        made.add(provider, cause, pico)


def charges(made):
    return [
        Charge(
            row.day, row.dims.provider, row.dims.model, row.line_item, "", "costs", row.amount_pico
        )
        for row in made.bills
    ]


def uses(made):
    found = []
    for source, row in made.usage:
        priced = price(row.quantities, card(row.dims))
        found.append(
            Use(
                row[1],
                row.dims.provider,
                row.dims.model,
                "",
                f"{source} usage",
                row.quantities.tokens,
                priced.unpriced_tokens,
                priced.pico or 0,
            )
        )
    return found


def in_cents(pico):
    return round(pico / CENT)


def by_provider(compared):
    """(provider, cause) -> pico, as they were found."""
    found = defaultdict(int)
    for each in compared:
        for cause, pico in each.causes.items():
            found[each.provider, cause] += pico
    return found


def apart(made, compared):
    """What was found otherwise than it was done, in cents; a rest below a cent is none."""
    found = by_provider(compared)
    return {
        key: (in_cents(made.truth.get(key, 0)), in_cents(found.get(key, 0)))
        for key in {*made.truth, *found}
        if abs(made.truth.get(key, 0) - found.get(key, 0)) > CENT // 2
    }
