"""The price list as data, and published figures priced with it to the last digit."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ModelPrice, TimeOfDateConstraint

from collectors.genai_rates import _PRICE_KEYS, GenaiRates
from monitor import library
from monitor.domain.pricing import nano_per_million, price, usd_per_million
from monitor.domain.rate_lookup import Override, Resolver
from monitor.domain.usage import DAY, HOUR, Quantities

NOON = "2026-11-20T12:00:00Z"
LIST = GenaiRates()
OWN = library.rates()


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def resolver(*overrides: Override) -> Resolver:
    return Resolver(LIST, overrides, OWN.rates, OWN.factors, OWN.aliases)


# name, provider, model, at, context, counts, usd, flags
FIGURES = [
    ("article: 500M at $0.03/1K", "openai", "gpt-4", NOON, "", {"uncached_input": 500_000_000}, "15000", ""),
    ("article: 10M, 70/30", "openai", "gpt-4", NOON, "", {"uncached_input": 7_000_000, "output": 3_000_000}, "390", ""),
    ("genai-prices#602", "anthropic", "claude-sonnet-4-20250514", NOON, "", {"uncached_input": 5, "cache_write": 4_735, "output": 255}, "0.02159625", ""),
    ("at the boundary", "google", "gemini-2.5-pro", NOON, "", {"uncached_input": 200_000, "output": 1_000}, "0.26", ""),
    ("above the boundary", "gemini", "gemini-2.5-pro", NOON, "", {"uncached_input": 200_001, "output": 1_000}, "0.5150025", ""),
    ("aggregated bucket", "vertex_ai", "gemini-2.5-pro", NOON, "", {"uncached_input": 300_000, "requests": 300}, "0.375", "tier_unknown"),
    ("before the cut", "openai", "o3", "2025-06-09T12:00:00Z", "", {"uncached_input": 1_000, "output": 1_000}, "0.05", ""),
    ("after the cut", "openai", "o3", "2025-06-11T12:00:00Z", "", {"uncached_input": 1_000, "output": 1_000}, "0.01", ""),
    ("dated snapshot", "openai", "gpt-4o-2024-05-13", NOON, "", {"uncached_input": 1_000_000, "output": 1_000_000}, "20", ""),
    ("cancelled increase", "anthropic", "claude-sonnet-5", "2026-09-02T00:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "12", ""),
    ("batch begins", "openai", "o3", "2026-10-14T00:00:00Z", "processing=batch", {"uncached_input": 1_000_000, "output": 1_000_000}, "5", ""),
    ("batch before the list has it", "openai", "o3", "2026-10-13T23:59:59Z", "processing=batch", {"uncached_input": 1_000_000, "output": 1_000_000}, "5", ""),
    ("batch before anyone sold it", "openai", "gpt-4", "2024-04-14T23:59:59Z", "processing=batch", {"uncached_input": 1_000_000}, "30", "context_not_priced rate_before_history"),
    ("Saturday", "deepseek", "deepseek-flash", "2026-11-21T02:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "0.75", ""),
    ("Friday peak", "deepseek", "deepseek-flash", "2026-11-20T02:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "1.5", ""),
    ("Friday off-peak", "deepseek", "deepseek-flash", "2026-11-20T04:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "0.75", ""),
    ("before peak billing", "deepseek", "deepseek-v4-flash", "2026-07-01T02:00:00Z", "", {"uncached_input": 1_000_000}, "0.14", ""),
    ("the hours the list misses", "deepseek", "deepseek-v4-pro", "2026-08-16T17:00:00Z", "", {"uncached_input": 1_000_000}, "0.66", ""),
    ("V4 Flash at peak", "deepseek", "deepseek-v4-flash", "2026-08-18T02:00:00Z", "", {"uncached_input": 1_000_000}, "0.44", ""),
    ("a last Saturday at peak", "deepseek", "deepseek-v4-flash", "2026-08-22T02:00:00Z", "", {"uncached_input": 1_000_000}, "0.44", ""),
    ("Bedrock Claude 3 Haiku", "bedrock", "anthropic.claude-3-haiku-20240307-v1:0", NOON, "", {"cache_write": 1_000_000}, "0.3", ""),
    ("#1 litellm#9812", "anthropic", "claude-3-7-sonnet-20250219", NOON, "", {"uncached_input": 3, "cache_write": 12_304, "output": 550}, "0.054399", ""),
    ("#3 litellm#25950", "zai", "glm-5.1", NOON, "", {"uncached_input": 2_823, "cache_read": 41_518}, "0.01474688", ""),
    ("#7 litellm#11364", "bedrock", "eu.anthropic.claude-opus-4-5-20251101-v1:0", NOON, "", {"uncached_input": 10, "cache_read": 66_360, "cache_write": 32_435, "output": 5_120}, "0.400343625", ""),
    ("#9 litellm#9833", "anthropic", "claude-3-5-haiku-20241022", NOON, "", {"cache_read": 1_000_000}, "0.08", ""),
    ("#11 gpt-4o-mini", "openai", "gpt-4o-mini", NOON, "service_tier=priority", {"uncached_input": 9, "output": 2}, "0.00000425", ""),
    ("#11 gpt-4o", "openai", "gpt-4o", NOON, "service_tier=priority", {"uncached_input": 9, "output": 1}, "0.00005525", ""),
    ("#11 gpt-4.1", "openai", "gpt-4.1", NOON, "service_tier=priority", {"uncached_input": 9, "output": 1}, "0.0000455", ""),
    ("#13 GPT-5.6 input", "openai", "gpt-5.6-sol", NOON, "", {"uncached_input": 1_000}, "0.004", ""),
    ("#13 its cache write, 1.25x", "openai", "gpt-5.6-sol", NOON, "", {"cache_write": 1_000}, "0.005", ""),
    ("#15 litellm#16377", "anthropic", "claude-sonnet-4-5", NOON, "", {"cache_read": 250_000}, "0.15", ""),
    ("#17 litellm#40360", "aws", "us.anthropic.claude-3-haiku-20240307-v1:0", NOON, "", {"cache_write": 1_000_000, "cache_read": 1_000_000}, "0.33", ""),
    ("#33 pi#2148", "google", "gemini-3-flash", NOON, "", {"uncached_input": 3_914, "cache_read": 16_298, "output": 931}, "0.0055649", ""),
    ("#35 1,826 calls of 92K", "anthropic", "claude-sonnet-4-5", NOON, "", {"uncached_input": 167_992_000, "requests": 1_826}, "503.976", "tier_unknown"),
    ("#35 one call of 300K", "anthropic", "claude-sonnet-4-5", NOON, "", {"uncached_input": 300_000}, "1.8", ""),
    ("#37 claude-code#39850", "anthropic", "claude-opus-4-6", NOON, "", {"uncached_input": 22, "cache_read": 521_904, "cache_write": 11_940, "output": 5_572}, "0.474987", ""),
    ("#19 Bedrock batch is never 0", "aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", NOON, "processing=batch", {"uncached_input": 1_800, "output": 1_000}, "0.01122", ""),
    ("#23 before the name was retired", "xai", "grok-4-1-fast-reasoning", "2026-05-15T18:59:59Z", "", {"uncached_input": 2_000_000, "output": 2_000_000}, "1.4", ""),
    ("#23 billed as the new model", "xai", "grok-4-1-fast-reasoning", "2026-05-15T19:00:00Z", "", {"uncached_input": 2_000_000, "output": 2_000_000, "requests": 100}, "7.5", "tier_unknown"),
    ("gpt-4o in June 2024", "openai", "gpt-4o", "2024-06-01T00:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "20", "rate_unverified"),
    ("gpt-3.5-turbo in 2023", "openai", "gpt-3.5-turbo", "2023-07-01T00:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "3.5", "rate_unverified"),
    ("Haiku 3.5 at its launch", "anthropic", "claude-3-5-haiku-20241022", "2024-11-20T00:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "6", "rate_unverified"),
    ("free moderation", "openai", "omni-moderation-2024-09-26", NOON, "", {"uncached_input": 1_000_000}, "0", ""),
    ("audio preview", "openai", "gpt-4o-audio-preview", NOON, "", {"uncached_input": 1_000_000, "output": 1_000_000, "audio_input": 1_000_000, "audio_output": 1_000_000}, "132.5", "rate_unverified"),
    ("its dearer first snapshot", "openai", "gpt-4o-audio-preview-2024-10-01", NOON, "", {"audio_input": 1_000_000}, "", "class_unpriced unpriced"),
    ("Large 3", "mistral", "mistral-large-latest", NOON, "", {"uncached_input": 1_000_000, "output": 1_000_000}, "2", "rate_unverified"),
    ("deepseek-chat", "deepseek", "deepseek-chat", NOON, "", {"uncached_input": 1_000_000, "output": 1_000_000}, "0.7", "rate_unverified"),
    ("a second before the change", "deepseek", "deepseek-v4-pro", "2026-08-16T15:59:59Z", "", {"uncached_input": 1_000_000}, "0.435", ""),
    ("Azure batch", "azure", "azure/gpt-4o", NOON, "processing=batch", {"uncached_input": 1_000_000, "output": 1_000_000}, "6.25", ""),
    ("Azure, a router's global name", "azure", "azure/global/gpt-4o-2024-11-20", NOON, "", {"output": 1_000_000}, "10", ""),
    ("batch x cache", "anthropic", "claude-sonnet-4-5", "2025-11-20T12:00:00Z", "processing=batch", {"uncached_input": 100_000, "cache_read": 50_000, "cache_write": 10_000, "output": 1_000}, "0.18375", ""),
    ("batch x long context x cache, our factor", "google", "gemini-2.5-pro", "2026-01-05T12:00:00Z", "processing=batch", {"uncached_input": 250_000, "cache_read": 50_000, "output": 1_000}, "0.3325", ""),
    ("batch x long context x cache, the list", "google", "gemini-2.5-pro", NOON, "processing=batch", {"uncached_input": 250_000, "cache_read": 50_000, "output": 1_000}, "0.3325", ""),
    ("a bucket of long requests", "anthropic", "claude-sonnet-4-5", NOON, "context_window=200k-1M", {"uncached_input": 900_000, "requests": 3}, "5.4", ""),
    ("a bucket of short requests", "anthropic", "claude-sonnet-4-5", NOON, "context_window=0-200k;processing=batch", {"uncached_input": 900_000, "requests": 30}, "1.35", ""),
    ("the covered part of a context", "openai", "o3", NOON, "processing=batch;region=eu", {"uncached_input": 1_000_000, "output": 1_000_000}, "5", "context_not_priced"),
    ("a Chinese holiday", "deepseek", "deepseek-flash", "2026-10-01T02:00:00Z", "", {"uncached_input": 1_000_000, "output": 1_000_000}, "0.75", ""),
    ("#29 no provider is guessed", "unknown", "llama-3.3-70b-versatile", NOON, "", {"uncached_input": 1_000}, "", "unpriced"),
    ("#31 GPT-5.6 before its cut", "openai", "gpt-5.6-sol", "2026-07-15T12:00:00Z", "", {"uncached_input": 1_000, "output": 1_000}, "0.035", ""),
    ("#31 after it", "openai", "gpt-5.6-sol", "2026-08-21T00:00:00Z", "", {"uncached_input": 1_000, "output": 1_000}, "0.024", ""),
    ("#39 a pruned name costs no default", "groq", "llama-9-instant", NOON, "", {"uncached_input": 1_000}, "", "unpriced"),
    ("#39 a retired name keeps its price", "groq", "llama-3.3-70b-versatile", NOON, "", {"uncached_input": 1_000_000, "output": 1_000_000}, "1.38", ""),
    ("#21 a miss is unpriced", "openai", "gpt-5.9", NOON, "", {"uncached_input": 1_000}, "", "unpriced"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "model", "when", "context", "counts", "usd", "flags"),
    [figure[1:] for figure in FIGURES],
    ids=[figure[0] for figure in FIGURES],
)
def test_a_published_figure_is_met_to_the_last_digit(
    provider, model, when, context, counts, usd, flags
):
    card = resolver().card(provider, model, at(when), context)
    priced = price(Quantities(**{"requests": 1} | counts), card)

    assert priced.usd == (Decimal(usd) if usd else None)
    assert " ".join(priced.flags) == flags


def test_an_absurd_contract_price_is_met_to_the_last_digit():
    """litellm#14874, whose rates only an override can hold."""
    rates = usd_per_million(uncached_input="0.0001", cache_read="3000")
    own = resolver(Override(provider="xai", model="grok-*", rates=rates))
    usage = Quantities(uncached_input=105, cache_read=2_634)

    assert price(usage, own.card("x-ai", "grok-9", at(NOON))).usd == Decimal("7.9020000105")


def test_audio_of_a_model_without_an_audio_rate_is_not_charged_as_text():
    card = LIST.lookup("openai", "gpt-4o-audio-preview", at(NOON))
    priced = price(Quantities(audio_input=1_000_000, output=1_000_000), card)

    assert (priced.usd, priced.flags, priced.unpriced_tokens) == (
        10,
        ("class_unpriced",),
        1_000_000,
    )


# The library as the oracle.


def dusty(prices: ModelPrice) -> bool:
    shown = [getattr(p, "base", p) for p in vars(prices).values() if p is not None]
    shown += [t.price for p in vars(prices).values() for t in getattr(p, "tiers", ())]
    return any((p * 10**6) % 1 for p in shown)


def test_every_model_of_the_list_costs_what_the_library_says():
    """One random request for each model, short or long; ours is the library's to the last digit.

    Not compared: classes that we call unpriced where the library charges nothing, and rates with
    the dust of a float, which we read as the price that was meant.
    """
    draw = random.Random(20261120)
    compared = 0
    for model, provider in ((m, p) for p in providers for m in p.models):
        most = draw.choice([1_000, 100_000, 400_000])
        fresh, read, write, long, out = (draw.randrange(most) for _ in range(5))
        instant = draw.choice([at("2025-06-20T03:00:00Z"), at(NOON), at("2027-01-02T08:00:00Z")])
        card = LIST.lookup(provider.id, model.id, instant)
        if card is None:
            continue
        usage = Usage(
            input_tokens=fresh + read + write + long,
            cache_read_tokens=read,
            cache_write_tokens=write + long,
            cache_write_1h_tokens=long,
            output_tokens=out,
        )
        theirs = calc_price(
            usage,
            model.id,
            provider_id=provider.id,
            genai_request_timestamp=datetime.fromtimestamp(instant, UTC),
        )
        ours = price(Quantities(fresh, read, write, long, out, requests=1), card)
        if "class_unpriced" in ours.flags or dusty(theirs.model_price):
            continue
        assert ours.usd == theirs.total_price, (provider.id, model.id)
        compared += 1

    assert compared > 1_900


def test_batch_never_costs_more_than_standard():
    """All models, after the last announced change."""
    instant, found = at("2027-01-02T00:00:00Z"), 0
    for model, provider in ((m, p) for p in providers for m in p.models if m.price_variants):
        batch = LIST.lookup(provider.id, model.id, instant, "processing=batch")
        standard = LIST.lookup(provider.id, model.id, instant)
        if batch is None or standard is None or batch.marks:
            continue
        found += 1
        for low, high in zip(batch.rates, standard.rates, strict=True):
            assert low is None or high is None or low <= high, model.id

    assert found > 100


def test_every_token_price_of_the_list_is_read_or_known_to_be_left_out():
    """A price key that nobody reads would make a model look cheap."""
    left_out = {"input_video_mtok", "output_video_mtok", "output_citation_mtok"}
    rows = [
        row
        for p in providers
        for m in p.models
        for row in (m.prices if isinstance(m.prices, list) else [m])
    ]
    keys = {key for row in rows for key in vars(row.prices) if key.endswith("_mtok")}

    assert keys - left_out == {*_PRICE_KEYS.values(), "output_reasoning_mtok"}


# What the list says, and where it is silent.


@pytest.mark.parametrize(
    ("provider", "model", "name", "usd"),
    [
        ("huggingface_together", "meta-llama/Llama-3.3-70B-Instruct", "output", "1.04"),
        ("huggingface_together", "Qwen/Qwen3-VL-8B-Instruct", "uncached_input", "0.18"),
        ("openrouter", "google/gemini-2.5-flash", "cache_write", "0.083333"),
    ],
)
def test_float_dust_is_read_to_the_sixth_decimal(provider, model, name, usd):
    rates = LIST.lookup(provider, model, at(NOON)).rates

    assert getattr(rates, name) == nano_per_million(usd)


def test_tiers_carry_every_class_and_start_strictly_above():
    card = LIST.lookup("google", "gemini-2.5-pro", at(NOON))
    (tier,) = card.tiers

    assert (tier.above_input_tokens, tier.rates.output) == (200_000, nano_per_million(15))
    assert card.rates.output == nano_per_million(10)


def test_a_charge_by_request_is_read_per_million():
    assert LIST.lookup("perplexity", "sonar", at(NOON)).rates.per_request == nano_per_million(
        12_000
    )


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-9"),
        ("nobody", "gpt-4o"),
        ("custom_openai", "gpt-4o"),
        ("", "gpt-4o"),
        ("openai", ""),
    ],
)
def test_what_the_list_does_not_name_exactly_is_unknown(provider, model):
    assert LIST.lookup(provider, model, at(NOON)) is None
    assert LIST.lookup(provider, model, at(NOON)) is None  # the remembered miss


@pytest.mark.parametrize(
    ("provider", "model", "context"),
    [
        ("openai", "o3", "procesing=batch"),
        ("openai", "o3", "service_tier=prioritty"),
        ("openai", "gpt-4-turbo", "service_tier=flex"),
        ("openai", "o3", "service_tier=flex;region=eu"),
        ("azure", "gpt-4o", "processing=batch"),
        ("openai", "o3", "nonsense"),
    ],
)
def test_a_context_that_changes_nothing_is_flagged(provider, model, context):
    card = LIST.lookup(provider, model, at(NOON), context)

    assert card.marks == ("context_not_priced",)


def test_the_covered_part_of_a_context_is_applied():
    flex = LIST.lookup("openai", "o3", at(NOON), "service_tier=flex")
    both = LIST.lookup("openai", "o3", at(NOON), "region=eu;service_tier=flex")

    assert flex.marks == ()
    assert both.rates == flex.rates != LIST.lookup("openai", "o3", at(NOON)).rates


def test_a_card_says_since_when_and_until_when_it_holds():
    before = LIST.lookup("openai", "o3", at("2025-06-09T12:00:00Z"))
    after = LIST.lookup("openai", "o3", at("2025-06-10T00:00:00Z"))

    assert before.valid_until == after.valid_from == at("2025-06-10T00:00:00Z")
    assert before.rates.output == 5 * after.rates.output


def test_a_price_by_the_hour_holds_for_its_hours():
    day = at("2026-11-20T00:00:00Z")
    spans = [LIST.lookup("deepseek", "deepseek-chat", day + n * 1800) for n in range(48)]

    assert {(c.valid_from - day, c.valid_until - day, c.rates.output) for c in spans} == {
        (0, HOUR // 2, nano_per_million("0.55")),
        (HOUR // 2, 33 * HOUR // 2, nano_per_million("1.1")),
        (33 * HOUR // 2, DAY, nano_per_million("0.55")),
    }


def test_hours_of_the_list_are_utc():
    rows = (r for p in providers for m in p.models if isinstance(m.prices, list) for r in m.prices)
    hours = [r.constraint for r in rows if isinstance(r.constraint, TimeOfDateConstraint)]

    assert hours
    assert {clock.tzinfo for c in hours for clock in (c.start_time, c.end_time)} <= {UTC}


@pytest.mark.parametrize(
    ("model", "when"),
    [
        ("gpt-4o", "2024-06-01T00:00:00Z"),
        ("gpt-3.5-turbo", "2023-06-01T00:00:00Z"),
    ],
)
def test_usage_from_before_the_lists_record_is_flagged(model, when):
    assert LIST.lookup("openai", model, at(when)).marks == ("rate_before_history",)
    assert LIST.lookup("openai", model, at(NOON)).marks == ()


def test_a_list_without_changes_for_long_is_stale():
    fresh = GenaiRates(stale_after=30 * DAY)

    assert fresh.lookup("openai", "gpt-4", at("2027-01-30T00:00:00Z")).marks == ()
    assert fresh.lookup("openai", "gpt-4", at("2027-02-01T00:00:00Z")).marks == ("rate_stale",)


def test_the_answer_does_not_depend_on_what_was_asked_before():
    instants = [at(t) for t in ("2024-01-01T00:00:00Z", "2025-06-09T00:00:00Z", NOON)]
    one = GenaiRates()
    forwards = [one.lookup("openai", "o3", t, "processing=batch") for t in instants]
    backwards = [one.lookup("openai", "o3", t, "processing=batch") for t in reversed(instants)]

    assert forwards == backwards[::-1]


# Our corrections against the list.


def test_a_correction_differs_from_the_list_only_where_the_list_cannot_say_it():
    """When this fails the list has changed: end the row, and add what holds now."""
    ours = resolver()
    weekday = {"peak": "2026-11-20T02:00:00Z", "off-peak": "2026-11-20T12:00:00Z"}
    for model in ("deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"):
        for when in weekday.values():
            mine, listed = (
                ours.card("deepseek", model, at(when)),
                LIST.lookup("deepseek", model, at(when)),
            )
            assert mine.rates == listed.rates
            assert mine.source != listed.source

    haiku = "anthropic.claude-3-haiku-20240307-v1:0"
    mine, listed = (
        ours.card("aws", haiku, at(NOON)).rates,
        LIST.lookup("aws", haiku, at(NOON)).rates,
    )
    assert listed == mine._replace(cache_read=None, cache_write=None)


def test_a_batch_costs_by_our_factor_on_the_eve_what_the_list_says_on_the_day():
    """Two of them the list writes in another way: a rate rounded to cents, a tier left out."""
    ours = resolver()
    eve, day = at("2026-10-13T12:00:00Z"), at("2026-10-14T12:00:00Z")
    same, other = 0, set()
    for model, provider in ((m.id, p.id) for p in providers for m in p.models if m.price_variants):
        asked = [(t, c) for t in (eve, day) for c in ("", "processing=batch")]
        cards = [ours.card(provider, model, *a) for a in asked]
        if None in cards or cards[0].rates != cards[2].rates:
            continue
        before, after = cards[1], cards[3]
        if before.not_priced or after.not_priced or before.source == after.source:
            continue
        if (before.rates, before.tiers) == (after.rates, after.tiers):
            same += 1
        else:
            other.add(model)

    assert other == {"gpt-5.4", "gpt-5.5-pro"}
    assert same >= 70


def test_every_correction_has_a_source_and_a_day():
    assert all(row.source and row.checked_at % DAY == 0 for rows in OWN for row in rows)
