"""The table of models' names: whole names and forms, never parts; what is unknown stays itself."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.genai_rates import GenaiRates
from monitor import library
from monitor.domain.model_names import Known, ModelNames, bare, is_named, parse_names
from monitor.domain.rate_lookup import Resolver
from tests.factories import DAY0

LIST = GenaiRates()
SHIPPED = ModelNames(library.names())
OWN = library.rates()
PRICES = Resolver(LIST, (), OWN.rates, OWN.factors, OWN.aliases, names=SHIPPED)
LISTED = sorted(LIST.models())
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-5",
        "Claude-Sonnet-5",
        "anthropic/claude-sonnet-5",
        "bedrock/us.anthropic.claude-sonnet-5-v1:0",
        "bedrock/converse/anthropic.claude-sonnet-5-v1:0",
        "anthropic.claude-sonnet-5-v1:0:200k",
        "us-gov.anthropic.claude-sonnet-5-20261001-v1:0",
        f"{ARN}global.anthropic.claude-sonnet-5-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-sonnet-5-v1:0",
        "claude-sonnet-5@20261001",
        "claude-sonnet-5-2026-10-01",
        "projects/p/locations/global/publishers/anthropic/models/claude-sonnet-5@default",
        "vertex_ai/claude-sonnet-5",
    ],
)
def test_a_model_is_one_behind_every_form_of_its_name(name):
    assert bare(name) == "claude-sonnet-5"


@pytest.mark.parametrize(
    "name",
    [
        "my-gpt-4",
        "gpt-4o-mini-foo",
        "claude-sonnet-5-2026",
        "xus.anthropic.claude-sonnet-5-v1:0",
        "acme/claude-sonnet-5",
        "claude-sonnet-5@acme",
        f"{ARN}a/b",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
        "supermodels/x",
        "us-gov-west-1/anthropic.claude-sonnet-5-v1:0",
    ],
)
def test_what_only_looks_like_a_form_is_a_name_of_its_own(name):
    assert bare(name) == name.lower()


@pytest.mark.parametrize(
    ("provider", "name", "same"),
    [
        ("openai", "openai/gpt-5-mini", "gpt-5-mini"),
        ("aws", "bedrock/anthropic.claude-sonnet-5-v1:0", "anthropic.claude-sonnet-5-v1:0"),
        (
            "aws",
            "bedrock/converse/anthropic.claude-sonnet-5-v1:0",
            "anthropic.claude-sonnet-5-v1:0",
        ),
        (
            "aws",
            f"{ARN}us.anthropic.claude-sonnet-5-v1:0",
            "us.anthropic.claude-sonnet-5-v1:0",
        ),
        (
            "aws",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-5-v1:0",
            "anthropic.claude-sonnet-5-v1:0",
        ),
        ("google", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("google", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
        ("azure", "gpt-35-turbo-1106", "gpt-3.5-turbo-1106"),
    ],
)
def test_a_form_has_the_price_of_its_model(provider, name, same):
    found, plain = (PRICES.card(provider, each, DAY0) for each in (name, same))
    assert plain is not None
    assert found.rates == plain.rates


def test_a_region_keeps_the_price_of_its_own():
    here, everywhere = (
        PRICES.card("aws", f"{place}.anthropic.claude-sonnet-5-v1:0", DAY0)
        for place in ("us", "global")
    )
    assert here.rates.output > everywhere.rates.output


letters = st.text(string.ascii_lowercase + string.digits + "-_.", min_size=1, max_size=8)


@given(st.sampled_from(LISTED), letters, st.sampled_from(["before", "after"]))
def test_a_name_that_merely_contains_a_known_one_has_no_price(listed, more, side):
    provider, model = listed
    name = f"my{more}{model}" if side == "before" else f"{model}-x{more}"
    assert PRICES.card(provider, name, DAY0) is None


@pytest.mark.parametrize("name", ["gpt-4o-mini-foo", "my-gpt-4", "gpt-4o-realtime-x", "ft:other"])
@pytest.mark.parametrize("provider", ["openai", "azure", "litellm", "openrouter"])
def test_these_names_have_no_price(provider, name):
    assert PRICES.card(provider, name, DAY0) is None


def test_no_name_of_the_list_itself_lost_its_price():
    from genai_prices import Usage, calc_price

    def answered(provider, model):
        try:
            return calc_price(Usage(), model, provider_id=provider).provider.id == provider
        except LookupError:
            return False

    lost = [name for name in LISTED if LIST.lookup(*name, DAY0) is None]
    assert [name for name in lost if answered(*name)] == []


forms = st.sampled_from(
    [
        "{}",
        "openai/{}",
        "us.anthropic.{}-v1:0",
        "{}@20250929",
        "models/{}",
        "{}-2025-08-07",
        ARN + "{}",
    ]
)
names = st.one_of(st.sampled_from([model for _, model in LISTED]), letters, st.text(max_size=20))


@given(st.lists(forms, max_size=3), names)
def test_a_bare_name_is_its_own_bare_name(around, name):
    for form in around:
        name = form.replace("{}", name)
    assert bare(bare(name)) == bare(name)


@given(st.sampled_from(LISTED), forms)
def test_what_priced_a_name_is_priced_by_itself(listed, form):
    provider, model = listed
    found = PRICES.card(provider, form.replace("{}", model), DAY0)
    if found is not None:
        again = PRICES.card(found.provider, found.model, DAY0)
        assert (again.model, again.rates) == (found.model, found.rates)


rows = st.lists(
    st.builds(Known, st.sampled_from(["", "azure"]), letters, letters, st.booleans()), max_size=6
)


@given(rows, st.lists(forms, max_size=2), letters)
def test_resolving_ends_and_what_it_found_resolves_to_itself(known, around, name):
    for form in around:
        name = form.replace("{}", name)
    table = ModelNames(known)
    found = list(table.readings("azure", name))
    assert len(found) == len(set(found))
    for reading in found:
        assert reading in list(table.readings(*reading))
    assert table.bare("azure", table.bare("azure", name)) == table.bare("azure", name)


def test_what_is_configured_stands_in_place_of_a_name_however_it_looks():
    table = ModelNames([Known("azure", "gpt-4", "gpt-5-mini", instead=True)])
    assert list(table.readings("azure_openai", "GPT-4")) == [("azure", "gpt-5-mini")]
    assert list(table.readings("azure", "azure/gpt-4")) == [
        ("azure", "azure/gpt-4"),
        ("azure", "gpt-5-mini"),
    ]
    assert list(table.readings("openai", "gpt-4")) == [("openai", "gpt-4")]
    assert table.bare("azure", "gpt-4") == "gpt-5-mini"


def test_a_deployment_of_an_unknown_model_has_no_price():
    table = ModelNames([Known("azure", "gpt-4o", "our-tuned", instead=True)])
    assert Resolver(LIST, names=table).card("azure", "gpt-4o", DAY0) is None


@pytest.mark.parametrize(
    ("name", "written", "whole"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", True),
        ("gemini-2.5-pro-001", "gemini-2.5-pro", True),
        ("claude-opus-4-7", "claude-opus-4", False),
        ("gpt-4o-mini", "gpt-4o", False),
        ("claude-sonnet-5-5@20261001", "claude-sonnet-5-5@", True),
        ("x", "", False),
    ],
)
def test_a_version_behind_a_name_is_no_other_model(name, written, whole):
    assert is_named(name, [written]) is whole


def test_one_name_cannot_stand_for_two_models():
    row = {"provider": "azure", "model": "a", "also": ["x"]}
    with pytest.raises(ValueError, match="'X' is said to be a and b"):
        parse_names({"name": [row, row | {"model": "b", "also": ["X"]}]})
