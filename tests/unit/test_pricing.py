"""Rate cards, prices, overrides, dated rows, aliases and quotes: all without a price list."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.aliases import canonical_context, provider_id
from monitor.domain.dated_rates import DatedAlias, DatedFactor, DatedRates, Window
from monitor.domain.model_names import ModelNames
from monitor.domain.pricing import (
    FALLBACKS,
    FLAGS,
    RateCard,
    Rates,
    Tier,
    nano_per_million,
    price,
    tier_excess,
    usd_per_million,
)
from monitor.domain.pricing_quote import COLUMNS, quote_rows
from monitor.domain.rate_lookup import Override, Resolver
from monitor.domain.usage import DAY, HOUR, TOKEN_CLASSES, Quantities, add


def at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


NOON = at("2026-11-20T12:00")
FLAT = usd_per_million(
    uncached_input="3", cache_read="0.3", cache_write="3.75", cache_write_long="6", output="15"
)
LONG = usd_per_million(uncached_input="6", cache_read="0.6", cache_write="7.5", output="22.5")


def card(rates: Rates = FLAT, **changes) -> RateCard:
    return RateCard("p", "m", "", 0, rates, **changes)


@dataclass
class Shelf:
    """A price list of a few cards."""

    cards: dict[tuple[str, str, str], RateCard] = field(default_factory=dict)
    name: str = "shelf"

    def lookup(self, provider: str, model: str, at: int, context: str = "") -> RateCard | None:
        standard = self.cards.get((provider, model, ""))
        found = self.cards.get((provider, model, context))
        return found or (standard and standard.flagged("context_not_priced"))


def shelf(**changes) -> Shelf:
    return Shelf({("p", "m", ""): card(source="shelf", **changes)})


counts = st.none() | st.integers(0, 10**12)
text_usages = st.tuples(*[counts] * 5).map(lambda five: Quantities(*five))
rates = st.integers(0, 10**12)
flat_cards = st.tuples(*[rates] * 5).map(lambda five: card(Rates(*five)))


# Arithmetic.


@given(text_usages, text_usages, flat_cards)
def test_the_parts_of_a_flat_price_add_up_to_the_whole(a, b, flat):
    whole = price(add(a, b), flat)
    parts = [price(a, flat).femto, price(b, flat).femto]

    assert (whole.femto or 0) == sum(part or 0 for part in parts)


@given(text_usages, flat_cards)
def test_the_integer_and_the_decimal_are_one_amount(usage, flat):
    priced = price(usage, flat)
    if priced.femto is None:
        assert priced.usd is None
    else:
        per_class = zip(usage[:5], flat.rates[:5], strict=True)
        exact = sum(Decimal(n or 0) * Decimal(rate) for n, rate in per_class)
        assert priced.usd * 10**15 == exact


@given(st.integers(0, 10**9), st.integers(0, 10**9), rates, rates)
def test_reading_from_the_cache_never_costs_more_than_sending_again(fresh, cached, a, b):
    low, high = sorted((a, b))
    cached_card = card(Rates(uncached_input=high, cache_read=low))
    split = price(Quantities(uncached_input=fresh, cache_read=cached), cached_card)
    together = price(Quantities(uncached_input=fresh + cached), cached_card)

    assert split.femto <= together.femto


@pytest.mark.parametrize(
    ("femto", "pico"), [(499, 0), (500, 0), (501, 1), (1500, 2), (2500, 2), (10**21 + 1, 10**18)]
)
def test_pico_is_rounded_half_even_and_once(femto, pico):
    priced = price(Quantities(output=femto), card(Rates(output=1)))

    assert (priced.pico, priced.usd) == (pico, Decimal(femto).scaleb(-15))


def test_a_usage_without_a_card_is_unpriced_and_its_tokens_are_counted():
    priced = price(Quantities(uncached_input=7, output=3), None)

    assert (priced.usd, priced.pico, priced.unpriced_tokens) == (None, None, 10)
    assert priced.flags == ("unpriced",)


def test_a_usage_without_any_token_count_is_unknown_and_zero_counts_are_free():
    assert price(Quantities(requests=5), card()).usd is None
    assert price(Quantities(requests=5, output=0), card()).usd == 0


def test_a_free_model_costs_nothing_and_is_priced():
    assert price(Quantities(output=5), card(Rates(output=0)))[1:] == ("", (), 0)


# Tiers.


TIERED = card(tiers=(Tier(200_000, LONG), Tier(500_000, FLAT.scaled(Decimal(4)))))


@pytest.mark.parametrize(
    ("tokens", "usd"), [(200_000, "0.6"), (200_001, "1.200006"), (500_001, "6.000012")]
)
def test_a_tier_is_the_rate_of_the_whole_request_strictly_above_its_threshold(tokens, usd):
    assert price(Quantities(uncached_input=tokens, requests=1), TIERED).usd == Decimal(usd)


def test_all_input_counts_towards_a_tier_and_output_does_not():
    usage = Quantities(cache_read=150_000, cache_write=50_001, output=10, requests=1)

    assert price(usage, TIERED).usd == Decimal("0.4652325")
    assert price(Quantities(uncached_input=9, output=900_000), TIERED, True).flags == ()


def test_a_bucket_of_requests_stays_at_the_base_rate_and_says_so():
    usage = Quantities(uncached_input=300_000, requests=300)

    assert price(usage, TIERED)[:3] == (9 * 10**14, "", ("tier_unknown",))
    assert price(usage._replace(requests=None), TIERED).flags == ("tier_unknown",)
    assert price(usage._replace(uncached_input=200_000), TIERED).flags == ()


# Classes without a rate.


def test_audio_on_a_card_without_audio_rates_is_counted_and_not_charged_as_text():
    priced = price(Quantities(uncached_input=1_000_000, audio_input=5), card())

    assert (priced.usd, priced.flags, priced.unpriced_tokens) == (3, ("class_unpriced",), 5)
    assert priced.reason == "no rate for audio_input"


def test_a_usage_of_nothing_but_unrated_classes_is_unpriced_not_free():
    priced = price(Quantities(uncached_input=0, audio_input=5, requests=1), card())

    assert (priced.usd, priced.flags) == (None, ("class_unpriced", "unpriced"))


@pytest.mark.parametrize(("name", "parents"), FALLBACKS.items())
def test_a_class_without_a_rate_is_charged_as_its_parent_with_a_flag(name, parents):
    for n, parent in enumerate(parents):
        known = Rates(**{other: 1000 + i for i, other in enumerate(parents) if i >= n})
        priced = price(Quantities(**{name: 7}), card(known))
        assert (priced.femto, priced.flags) == (7 * getattr(known, parent), ("class_fallback",))


def test_a_class_with_its_own_rate_never_falls_back():
    every = Rates(*range(1, len(TOKEN_CLASSES) + 1))
    for n, name in enumerate(TOKEN_CLASSES, start=1):
        assert price(Quantities(**{name: 10}), card(every))[:3] == (10 * n, "", ())


def test_requests_and_reasoning_are_charged_where_the_card_prices_them():
    perplexity = card(Rates(uncached_input=1000, output=1000, per_request=12_000))
    deep = card(Rates(output=8000, reasoning=-5000))

    assert price(Quantities(output=1, requests=3), perplexity).femto == 37_000
    assert price(Quantities(output=100, reasoning=60), deep).femto == 40 * 8000 + 60 * 3000


def test_uncounted_requests_that_cost_something_are_flagged():
    priced = price(Quantities(output=1), card(Rates(output=1000, per_request=12_000)))

    assert (priced.reason, priced.flags) == ("no rate for requests", ("class_unpriced",))


# Rates as text.


def test_rates_are_exact_to_nine_decimals_of_a_dollar_per_million():
    assert nano_per_million("0.15") == 150_000_000
    assert usd_per_million(output="0.000000001").output == 1


@pytest.mark.parametrize("bad", ["-1", "0.0000000001", "cheap", "NaN"])
def test_what_is_no_rate_is_refused(bad):
    with pytest.raises(ValueError):
        nano_per_million(bad)


def test_a_misspelt_class_is_refused():
    with pytest.raises(ValueError, match="outptu: not one of uncached_input"):
        usd_per_million(outptu="1")


# Overrides.


def test_the_most_specific_override_wins_then_the_latest():
    overrides = [
        Override(multiplier=Decimal("0.9")),
        Override(provider="p", multiplier=Decimal("0.8")),
        Override(model="m*", provider="p", multiplier=Decimal("0.7")),
        Override(model="M", provider="p", multiplier=Decimal("0.6")),
        Override(account="acme", multiplier=Decimal("0.5")),
        Override(account="acme", multiplier=Decimal("0.4"), valid_from=NOON),
    ]
    factors = [Decimal("0.9"), Decimal("0.8"), Decimal("0.7"), Decimal("0.6")]
    for n, factor in enumerate(factors, start=1):
        found = Resolver(shelf(), overrides[:n], ()).card("p", "m", NOON)
        assert found.rates == FLAT.scaled(factor)

    everything = Resolver(shelf(), overrides, ())
    assert everything.card("p", "m", NOON - 1, account="acme").rates == FLAT.scaled(Decimal("0.5"))
    assert everything.card("p", "m", NOON, account="acme").rates == FLAT.scaled(Decimal("0.4"))
    assert everything.card("p", "m", NOON).account == ""
    assert everything.card("p", "m", NOON, account="acme").account == "acme"


def test_an_override_holds_from_its_beginning_until_before_its_end():
    own = Override(rates=LONG, valid_from=NOON, valid_to=NOON + DAY)
    resolver = Resolver(shelf(), [own], ())
    found = [
        resolver.card("p", "m", t).source for t in (NOON - 1, NOON, NOON + DAY - 1, NOON + DAY)
    ]

    assert found == ["shelf", "override", "override", "shelf"]


def test_a_multiplier_scales_tiers_and_says_of_what():
    resolver = Resolver(shelf(tiers=TIERED.tiers), [Override(multiplier=Decimal("0.5"))], ())
    found = resolver.card("p", "m", NOON)

    assert found.tiers[0] == Tier(200_000, LONG.scaled(Decimal("0.5")))
    assert found.source == "override 0.5 x shelf"


def test_an_override_of_a_context_prices_it_from_the_standard_rate():
    batch = Override(context="batch=true", multiplier=Decimal("0.5"))
    found = Resolver(shelf(), [batch], ()).card("p", "m", NOON, "processing=batch")

    assert (found.rates, found.marks, found.context) == (
        FLAT.scaled(Decimal("0.5")),
        (),
        "processing=batch",
    )


def test_an_override_without_a_context_leaves_the_context_unpriced():
    for own in (Override(rates=LONG), Override(multiplier=Decimal("0.5"))):
        found = Resolver(shelf(), [own], ()).card("p", "m", NOON, "processing=batch")
        assert found.marks == ("context_not_priced",)


def test_a_private_model_has_the_fixed_rates_and_an_unknown_one_has_none():
    resolver = Resolver(Shelf(), [Override(model="ft:mine", rates=LONG)], ())

    assert resolver.card("openai", "ft:mine", NOON).rates == LONG
    assert resolver.card("openai", "ft:other", NOON) is None
    assert Resolver(Shelf(), [Override(multiplier=Decimal(1))], ()).card("p", "m", NOON) is None


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"multiplier": Decimal(1), "rates": FLAT},
        {"multiplier": Decimal(-1)},
        {"rates": FLAT, "context": "batch"},
    ],
)
def test_an_override_that_says_nothing_clear_is_refused(kind):
    with pytest.raises(ValueError):
        Override(**kind)


# Dated rows.


NIGHT = Window(frozenset({1, 2, 6}), frozenset(range(5)))
ROWS = (
    DatedRates("p", "m*", FLAT, "page", NOON, valid_until=at("2026-11-18T16:00")),
    DatedRates("p", "m*", LONG, "page", NOON, valid_from=at("2026-11-18T16:00")),
    DatedRates(
        "p", "m*", FLAT.scaled(Decimal(2)), "page", NOON, at("2026-11-18T16:00"), window=NIGHT
    ),
)


@pytest.mark.parametrize(
    ("when", "rates_then", "until"),
    [
        ("2026-11-18T02:00", FLAT, "2026-11-18T16:00"),
        ("2026-11-18T16:00", LONG, "2026-11-19T00:00"),
        ("2026-11-19T00:59", LONG, "2026-11-19T01:00"),
        ("2026-11-19T01:00", FLAT.scaled(Decimal(2)), "2026-11-19T03:00"),
        ("2026-11-19T03:00", LONG, "2026-11-19T06:00"),
        ("2026-11-21T01:00", LONG, "2026-11-22T00:00"),
    ],
)
def test_a_dated_row_holds_within_its_dates_and_hours(when, rates_then, until):
    found = Resolver(Shelf(), (), ROWS).card("p", "M-001", at(when))

    assert (found.rates, found.valid_until) == (rates_then, at(until))


def test_a_bucket_wider_than_its_price_is_flagged():
    resolver = Resolver(Shelf(), (), ROWS)

    for when, seconds, flags in [
        ("2026-11-19T01:00", HOUR, ()),
        ("2026-11-19T00:00", DAY, ("rate_changes_in_bucket",)),
        ("2026-11-21T00:00", DAY, ()),
        ("2026-11-18T15:00", 2 * HOUR, ("rate_changes_in_bucket",)),
    ]:
        assert resolver.card("p", "m", at(when), seconds=seconds).marks == flags


def test_our_rows_outrank_the_list_and_bound_how_long_the_list_holds():
    later = DatedRates("p", "m", LONG, "page", NOON, valid_from=NOON)
    resolver = Resolver(shelf(), (), [later])

    assert resolver.card("p", "m", NOON - 1).valid_until == NOON
    assert [resolver.card("p", "m", NOON + n).source for n in (-1, 0)] == ["shelf", "page"]


def test_a_later_override_of_the_literal_name_is_not_missed():
    later = Override(model="p/m", rates=LONG, valid_from=NOON)
    resolver = Resolver(shelf(), [later], ())

    assert [resolver.card("p", "p/m", NOON + n).rates for n in (-1, 0)] == [FLAT, LONG]


def test_our_standard_row_stands_in_for_an_unpriced_context():
    found = Resolver(shelf(), (), ROWS).card("p", "m", NOON, "processing=batch")

    assert (found.rates, found.marks) == (LONG, ("context_not_priced",))


def test_a_row_that_nobody_checked_again_is_flagged():
    resolver = Resolver(Shelf(), (), ROWS, stale_after=30 * DAY)

    assert resolver.card("p", "m", NOON + 30 * DAY - 1).marks == ()
    assert resolver.card("p", "m", NOON + 30 * DAY).marks == ("rate_stale",)


def test_a_factor_and_an_alias_that_nobody_checked_again_are_flagged():
    moved = DatedAlias("p", ("old",), "m", "notice", NOON - 10 * DAY)
    half = HALF._replace(checked_at=NOON, valid_until=None)
    resolver = Resolver(shelf(), (), (), [half], [moved], stale_after=30 * DAY)

    def marks(model, days, context=""):
        found = resolver.card("p", model, NOON + days * DAY, context)
        return [mark for mark in found.marks if mark == "rate_stale"]

    assert [marks("old", days) for days in (19, 20)] == [[], ["rate_stale"]]
    assert [marks("m", days, "processing=batch") for days in (29, 30)] == [[], ["rate_stale"]]
    assert marks("m", 400) == []
    assert resolver.card("p", "old", NOON).valid_until == NOON + 20 * DAY


def test_of_a_row_and_its_factor_the_older_check_counts():
    later = HALF._replace(checked_at=NOON, valid_until=None)
    rows = [row._replace(checked_at=NOON - DAY, valid_until=None) for row in ROWS[:1]]
    found = Resolver(Shelf(), (), rows, [later]).card("p", "m", NOON, "processing=batch")

    assert (found.checked_at, found.not_priced) == (NOON - DAY, ())


def test_a_card_is_found_the_same_whatever_was_asked_before():
    instants = [at("2026-11-18T00:00") + n * 1800 for n in range(4 * 48)]
    warm = Resolver(Shelf(), (), ROWS)
    forwards = [warm.card("p", "m", t) for t in instants]
    backwards = [warm.card("p", "m", t) for t in reversed(instants)]

    assert forwards == list(reversed(backwards))
    assert forwards == [Resolver(Shelf(), (), ROWS).card("p", "m", t) for t in instants]


# Factors of a context, and names billed as another's.


HALF = DatedFactor(
    *("p", ("m*",), "processing=batch", Decimal("0.5"), "page", NOON),
    excluded=("m-live*",),
    classes=("uncached_input", "output"),
    valid_from=NOON,
    valid_until=NOON + DAY,
)
TIERS = (Tier(200_000, LONG),)


def test_a_factor_changes_its_classes_in_every_tier():
    found = Resolver(shelf(tiers=TIERS), (), (), [HALF]).card("p", "m", NOON, "processing=batch")

    assert found.rates == FLAT._replace(
        uncached_input=nano_per_million("1.5"), output=nano_per_million("7.5")
    )
    assert found.tiers[0].rates == LONG._replace(
        uncached_input=nano_per_million("3"), output=nano_per_million("11.25")
    )
    assert (found.marks, found.not_priced) == ((), ())
    assert found.source == "shelf x 0.5 page"


@pytest.mark.parametrize(
    ("model", "when", "context", "lacking"),
    [
        ("m", NOON - 1, "processing=batch", ("processing=batch",)),
        ("m", NOON + DAY, "processing=batch", ("processing=batch",)),
        ("m-live", NOON, "processing=batch", ("processing=batch",)),
        ("m", NOON, "processing=batch;region=eu", ("region=eu",)),
        ("m", NOON, "region=eu", ("region=eu",)),
    ],
)
def test_what_no_factor_covers_is_named(model, when, context, lacking):
    everything = Shelf({("p", name, ""): card(source="shelf") for name in ("m", "m-live")})
    everything.lookup = lambda p, m, at, context="": everything.cards[p, m, ""].lacking(
        context.split(";")
    )
    found = Resolver(everything, (), (), [HALF]).card("p", model, when, context)

    assert (found.not_priced, found.marks) == (lacking, ("context_not_priced",))


def test_a_factor_bounds_the_card_on_both_sides():
    resolver = Resolver(shelf(), (), ROWS[:0], [HALF])
    before = resolver.card("p", "m", NOON - 1, "processing=batch")
    during = resolver.card("p", "m", NOON, "processing=batch")

    assert (before.valid_until, during.valid_from, during.valid_until) == (NOON, NOON, NOON + DAY)


def test_an_override_multiplies_the_composed_price():
    own = Override(multiplier=Decimal("0.8"))
    found = Resolver(shelf(tiers=TIERS), [own], (), [HALF]).card("p", "m", NOON, "processing=batch")

    assert found.rates.output == nano_per_million("6")
    assert found.tiers[0].rates.cache_read == nano_per_million("0.48")
    assert found.marks == ()


def test_a_name_is_billed_as_another_while_the_alias_holds():
    both = Shelf({("p", "old", ""): card(), ("p", "new", ""): card(LONG)})
    moved = DatedAlias("p", ("old*",), "new", "notice", NOON, NOON, NOON + DAY, verified=False)
    resolver = Resolver(both, (), (), (), [moved])
    found = [resolver.card("p", "old", t) for t in (NOON - 1, NOON, NOON + DAY)]

    assert [c.rates for c in found] == [FLAT, LONG, FLAT]
    assert found[1].model == "old"
    assert (found[1].marks, found[0].valid_until) == (("rate_unverified",), NOON)
    assert resolver.card("p", "old-latest", NOON - 1) is None
    assert resolver.card("p", "old-latest", NOON).rates == LONG


def test_an_override_of_the_old_name_outranks_its_alias():
    moved = DatedAlias("p", ("m",), "new", "notice", NOON)
    own = Override(model="m", rates=LONG)

    assert Resolver(shelf(), [own], (), (), [moved]).card("p", "m", NOON).source == "override"


@pytest.mark.parametrize(
    ("band", "rates_then", "lacking"),
    [
        ("0-200k", FLAT, ()),
        ("200k-1M", LONG, ()),
        ("200000+", LONG, ()),
        ("0-1m", FLAT, ("context_window=0-1m",)),
        ("long", FLAT, ("context_window=long",)),
    ],
)
def test_a_bucket_of_one_length_band_has_the_rates_of_its_tier(band, rates_then, lacking):
    context = f"context_window={band}"
    tiered = shelf(tiers=TIERS)
    tiered.lookup = lambda p, m, at, context="": tiered.cards["p", "m", ""].lacking(
        filter(None, context.split(";"))
    )
    found = Resolver(tiered, (), ()).card("p", "m", NOON, context)

    assert (found.rates, found.not_priced) == (rates_then, lacking)


@given(text_usages, flat_cards, st.decimals("0.1", "1", places=2))
def test_a_batch_never_costs_more_than_the_standard_price(usage, flat, factor):
    batch = flat.changed(HALF._replace(factor=factor, classes=()).applied)
    standard, discounted = price(usage, flat).femto, price(usage, batch).femto
    counted = sum(n or 0 for n in usage)

    # A rate is rounded to a whole nano-USD per million: at most half of one for each token.
    assert (discounted or 0) <= (standard or 0) + counted


@given(st.lists(st.integers(0, 400_000), min_size=2, max_size=20))
def test_a_bucket_never_takes_a_tier_and_its_requests_cost_at_most_what_it_says_more(requests):
    bucket = Quantities(uncached_input=sum(requests), requests=len(requests))
    tiered = card(tiers=TIERS)
    base = price(bucket, tiered)
    each = sum(price(Quantities(uncached_input=n, requests=1), tiered).femto for n in requests)

    assert base.femto == sum(requests) * FLAT.uncached_input
    assert base.femto <= each <= base.femto + tier_excess(bucket, tiered)
    assert ("tier_unknown" in base.flags) == (sum(requests) > 200_000)


# Names.


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("azure-openai", "azure"),
        ("az.ai.openai", "azure"),
        ("azure_ai", "azure"),
        ("togetherai", "together"),
        ("fireworks_ai", "fireworks"),
        ("Vertex_AI", "google"),
        ("gcp.gen_ai", "google"),
        ("aws.bedrock", "aws"),
        ("bedrock_converse", "aws"),
        ("x_ai", "x-ai"),
        ("openai", "openai"),
        ("custom_openai", "custom_openai"),
    ],
)
def test_a_provider_has_one_name(name, canonical):
    assert provider_id(name) == canonical


@pytest.mark.parametrize(
    ("provider", "model", "names"),
    [
        ("azure", "azure/gpt-4o", [("azure", "azure/gpt-4o"), ("azure", "gpt-4o")]),
        ("litellm", "bedrock/nova", [("litellm", "bedrock/nova"), ("aws", "nova")]),
        ("groq", "openai/gpt-oss-20b", [("groq", "openai/gpt-oss-20b")]),
        ("openrouter", "openai/gpt-4o", [("openrouter", "openai/gpt-4o")]),
        ("gemini", "models/g-2", [("google", "models/g-2"), ("google", "g-2")]),
        ("meta", "supermodels/x", [("meta", "supermodels/x")]),
        ("azure", "global/gpt-4o", [("azure", "global/gpt-4o"), ("azure", "gpt-4o")]),
        ("azure", "eu/gpt-4o", [("azure", "eu/gpt-4o")]),
    ],
)
def test_a_prefix_is_dropped_only_where_it_names_the_biller(provider, model, names):
    assert list(ModelNames().readings(provider, model)) == names


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("service_tier=default", ""),
        ("service_tier=auto", ""),
        ("Service_Tier=Flex", "service_tier=flex"),
        (" speed=fast ; processing=batch;", "processing=batch;speed=fast"),
        ("service_tier=batch", "processing=batch"),
        ("batch=true;processing=batch", "processing=batch"),
    ],
)
def test_a_context_has_one_spelling(text, canonical):
    assert canonical_context(text) == canonical


@pytest.mark.parametrize("text", ["batch", "=x", "x=", "speed=fast;speed=slow"])
def test_what_is_no_context_is_refused(text):
    with pytest.raises(ValueError):
        canonical_context(text)


# Quotes.


def row(**cells: str) -> dict[str, str]:
    standard = {"id": "1", "provider": "p", "model": "m", "at": "2026-11-20T12:00:00Z"}
    return dict.fromkeys(COLUMNS, "") | standard | cells


def quotes(*rows, resolver=None):
    return list(
        quote_rows(
            ((f"line {n}", r) for n, r in enumerate(rows, 2)), resolver or Resolver(shelf(), (), ())
        )
    )


def test_a_row_is_priced_as_one_request_unless_it_counts_more():
    tiered = Resolver(shelf(tiers=TIERED.tiers), (), ())
    one, many = quotes(
        row(uncached_input="300000"), row(uncached_input="300000", requests="2"), resolver=tiered
    )

    assert (one.usd, one.priced.flags) == ("1.8", ())
    assert (many.usd, many.priced.flags) == ("0.9", ("tier_unknown",))


def test_an_unknown_model_is_an_answer_that_names_it():
    (found,) = quotes(row(model="m-9", output="5"))

    assert (found.usd, found.priced.flags, found.priced.unpriced_tokens) == ("", ("unpriced",), 5)
    assert found.priced.reason == "no rate for p m-9 on 2026-11-20"


@pytest.mark.parametrize(
    ("cells", "cause"),
    [
        ({"at": "2026-11-20T12:00:00"}, "at: '2026-11-20T12:00:00' is not a UTC time"),
        ({"at": "2026-11-20T12:00:00+01:00"}, "is not a UTC time"),
        ({"at": "yesterday"}, "is not a UTC time"),
        ({"output": "-1"}, "output: '-1' is no whole number"),
        ({"output": "1.5"}, "output: '1.5' is no whole number"),
        ({"output": "1000000000000001"}, "at most 10^15"),
        ({"output": "9" * 5000}, ""),
        ({"requests": "many"}, "requests: 'many'"),
        ({"context": "batch"}, "'batch' is not key=value"),
        ({"model": " "}, "provider and model must both be given"),
    ],
)
def test_a_bad_row_names_its_cause_and_stops_no_other(cells, cause):
    bad, good = quotes(row(id="bad", **cells), row(output="1"))

    assert (bad.id, bad.place, bad.usd, bad.priced.flags) == ("bad", "line 2", "", ("bad_row",))
    assert cause in bad.priced.reason
    assert good.usd == "0.000015"


def test_a_row_with_more_or_fewer_cells_than_the_header_is_bad():
    longer, shorter = row() | {None: ["x"]}, row() | {"context": None}

    assert [q.priced.flags for q in quotes(longer, shorter)] == [("bad_row",)] * 2


def test_other_classes_the_account_and_the_width_may_be_given():
    own = Resolver(shelf(), [Override(account="acme", multiplier=Decimal(2))], ROWS[1:])
    (found,) = quotes(
        row(
            at="2026-11-19T00:00:00Z", output="2", audio_input="5", account="acme", seconds="86400"
        ),
        resolver=own,
    )

    assert (found.usd, found.priced.flags) == (
        "0.00009",
        ("rate_changes_in_bucket", "class_unpriced"),
    )


def test_every_flag_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "prices.md").read_text("utf-8")

    assert [flag for flag in FLAGS if f"`{flag}`" not in page] == []
