"""Pages of OpenAI's usage and costs become disjoint rows; what contradicts itself becomes a problem."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.openai_rows import parse
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR, MAX_COUNT, Dimensions, Quantities
from tests.fake_openai import counts

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai"
START = 1_793_491_200
TOTALS = {"input_tokens": 100, "output_tokens": 10, "num_model_requests": 1}


def fixture(name):
    return (FIXTURES / f"{name}.json").read_bytes()


def page(*results):
    bucket = {"start_time": START, "end_time": START + HOUR, "results": list(results)}
    return json.dumps({"data": [bucket], "has_more": False, "next_page": None}).encode()


def completions(**fields):
    """The one row of a page with one result, or the reason why there is none."""
    rows, problems = parse("usage/completions", page(TOTALS | fields), HOUR)
    return rows[0].quantities if rows else problems[0].reason


def cost(amount):
    """The pico-dollars of an amount written as JSON, or the reason why there are none."""
    text = page({"amount": "AMOUNT"}).replace(b'"AMOUNT"', amount.encode())
    rows, problems = parse("costs", text, DAY)
    return rows[0].amount_pico if rows else problems[0].reason


def test_a_full_result_becomes_disjoint_classes():
    rows, problems = parse("usage/completions", fixture("completions"), HOUR, account="acme")
    assert problems == []
    assert rows[0].quantities == Quantities(
        uncached_input=68_000,
        cache_read=43_000,
        cache_write=5_000,
        cache_write_long=1_000,
        output=17_000,
        audio_input=1_500,
        audio_cache_read=700,
        audio_output=900,
        image_input=500,
        image_cache_read=300,
        image_output=100,
        reasoning=None,
        requests=310,
    )
    assert rows[0].quantities.tokens == 120_000 + 18_000
    assert rows[0].dims == Dimensions(
        account="acme",
        provider="openai",
        model="gpt-5-mini-2025-08-07",
        project="proj_a1",
        api_key="key_9",
        actor="user-7",
        tier="default",
        batch="false",
    )
    assert (rows[0].start, rows[0].seconds) == (START, HOUR)


def test_null_dimensions_are_empty_and_values_of_next_year_pass_through():
    rows, _ = parse("usage/completions", fixture("completions"), HOUR, account="acme")
    assert len(rows) == 2, "the empty bucket adds no row"
    assert rows[1].dims == Dimensions(
        account="acme", provider="openai", tier="tier-of-next-year", batch="true"
    )


def test_older_results_with_totals_only_keep_unknown_apart_from_zero():
    rows, problems = parse("usage/completions", fixture("completions_older"), DAY)
    assert problems == []
    assert rows[0].quantities == Quantities(
        uncached_input=200,
        cache_read=800,
        output=480,
        audio_input=0,
        audio_output=20,
        requests=5,
    )
    assert rows[1].quantities == Quantities(uncached_input=30, output=4, requests=1)
    assert rows[0].seconds == DAY


def test_embeddings_are_uncached_input():
    rows, problems = parse("usage/embeddings", fixture("embeddings"), DAY, account="acme")
    assert problems == []
    assert rows[0].quantities == Quantities(uncached_input=160_000, requests=24)
    assert rows[0].dims.model == "text-embedding-3-large"


def test_costs_are_exact_to_the_pico_dollar_and_name_the_model_before_the_comma():
    rows, problems = parse("costs", fixture("costs"), DAY, account="acme")
    assert problems == []
    assert [(row.amount_pico, row.line_item, row.dims.model) for row in rows] == [
        (17_500_000_000, "gpt-5-mini-2025-08-07, input_tokens", "gpt-5-mini-2025-08-07"),
        (150 * PICO, "web search tool calls", ""),
        (-12 * PICO, "", ""),
    ]
    assert {(row.day, row.currency) for row in rows} == {(START, "USD")}
    assert rows[0].dims.api_key == "key_9"


def test_one_damaged_result_spoils_neither_its_neighbours_nor_its_place():
    rows, problems = parse("usage/completions", fixture("damaged"), HOUR, place="page 3")
    assert [row.dims.model for row in rows] == ["good-1"]
    assert [problem.place for problem in problems] == [
        f"page 3, bucket 2026-11-01T00:00Z, result {number}" for number in (1, 3, 4, 5)
    ]
    assert "input_tokens" in problems[0].reason
    assert '"input_tokens": -1' in problems[0].payload


@pytest.mark.parametrize(
    ("fields", "short", "long"),
    [
        ({}, None, None),
        ({"input_cache_write_tokens": 9}, 9, None),
        ({"input_cache_write_tokens": 9, "input_cache_write_12h_tokens": 4}, 5, 4),
        ({"input_cache_write_tokens": 9, "input_cache_write_30m_tokens": 4}, 4, 5),
        ({"input_cache_write_30m_tokens": 4, "input_cache_write_12h_tokens": 0}, 4, 0),
    ],
)
def test_cache_writes_are_split_as_far_as_the_answer_splits_them(fields, short, long):
    found = completions(**fields)
    assert (found.cache_write, found.cache_write_long) == (short, long)
    assert found.tokens == 110


def test_a_cached_total_that_is_missing_is_the_sum_of_its_parts():
    found = completions(input_cached_text_tokens=30, input_cached_audio_tokens=5)
    assert (found.uncached_input, found.cache_read, found.audio_cache_read) == (65, 30, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"input_cached_tokens": 101},
        {"input_cached_tokens": 60, "input_cache_write_tokens": 60},
        {"input_uncached_tokens": 99},
        {"input_uncached_tokens": 70, "input_cached_tokens": 40},
        {"input_text_tokens": 99},
        {"input_audio_tokens": 60, "input_image_tokens": 60},
        {"input_cached_tokens": 10, "input_cached_text_tokens": 9},
        {"input_cached_tokens": 0, "input_cached_audio_tokens": 9},
        {"output_text_tokens": 11},
        {"output_audio_tokens": 11},
        {"input_cache_write_tokens": 5, "input_cache_write_30m_tokens": 6},
        {"input_cache_write_tokens": 5, "input_cache_write_12h_tokens": 6},
        {
            "input_cache_write_tokens": 5,
            "input_cache_write_30m_tokens": 1,
            "input_cache_write_12h_tokens": 1,
        },
    ],
)
def test_numbers_that_contradict_each_other_are_a_problem_and_not_a_guess(fields):
    assert "add up" in completions(**fields)


@pytest.mark.parametrize("count", [-1, MAX_COUNT + 1, 10**30, 1.5, True, "seven", "", None, [1]])
def test_a_count_that_cannot_be_is_a_problem_that_names_its_field(count):
    assert "$.output_tokens" in completions(output_tokens=count)


@pytest.mark.parametrize("count", [7, "7", 7.0, "7.0"])
def test_a_count_in_quotes_or_with_a_point_is_that_count(count):
    assert completions(output_tokens=count).output == 7


def test_the_largest_count_is_still_read():
    assert completions(output_tokens=MAX_COUNT).output == MAX_COUNT


def test_names_are_cleaned_of_what_would_break_a_mail_header_or_turn_text_around():
    evil = "gpt\r\nBcc: all@x.test \u202egnp.exe\ud800 <b>&amp;</b>" + "x" * 500
    rows, _ = parse("usage/completions", page(TOTALS | {"model": evil}), HOUR)
    assert rows[0].dims.model.startswith("gpt Bcc: all@x.test gnp.exe <b>&amp;</b>xxx")
    assert len(rows[0].dims.model) == 200


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ('{"value": 1, "currency": "eur"}', "'eur'"),
        ('{"value": 1}', "currency"),
        ('{"value": 1, "currency": null}', "currency"),
        ('{"currency": "usd"}', "value"),
        ('{"value": null, "currency": "usd"}', "value"),
        ('{"value": NaN, "currency": "usd"}', "NaN"),
        ('{"value": -Infinity, "currency": "usd"}', "-Infinity"),
        ('{"value": "nan", "currency": "usd"}', "NaN"),
        ('{"value": 1e400, "currency": "usd"}', "1E+400"),
        ('{"value": -1e9999999, "currency": "usd"}', "-1E+9999999"),
        ('{"value": 9223373, "currency": "usd"}', "9223373"),
        ("null", "amount"),
        ("5", "amount"),
    ],
)
def test_an_amount_that_cannot_be_is_a_problem(amount, reason):
    assert reason in cost(amount)


def test_an_amount_keeps_digits_that_a_float_would_lose():
    assert cost('{"value": 1234567.123456789012, "currency": "USD"}') == 1234567123456789012


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>login</html>",
        b"\xff\xfe",
        b'{"has_more": false}',
        b'{"data": []}',
        b'{"data": null, "has_more": false}',
        b'{"data": [], "has_more": "no"}',
        b'{"data": [{"start_time": 1, "results": []}], "has_more": false}',
        b'{"data": [{"start_time": 1.5, "end_time": 2, "results": []}], "has_more": false}',
        b'{"data": [], "has_more": false, "next_page": 7}',
        b"[" * 100_000,
        b"9" * 5_000,
        b'{"data": [], "has_more": ' + b"9" * 5_000 + b"}",
        b"1e9999999999999999999999",
    ],
)
def test_what_is_no_page_is_refused_whole(body):
    with pytest.raises(ValueError, match="not a page of usage or costs"):
        parse("usage/completions", body, HOUR)


def test_a_result_nested_as_deeply_as_a_page_can_be_is_a_problem():
    depths = range(900, 1_100)
    outcomes = set()
    for depth in depths:
        body = page("DEEP").replace(b'"DEEP"', b"[" * depth + b"]" * depth)
        try:
            outcomes.add(len(parse("costs", body, DAY)[1]))
        except ValueError:
            outcomes.add("no page")
    assert outcomes <= {1, "no page"}


tokens = st.integers(min_value=0, max_value=10**12)
whole_results = st.builds(counts, **dict.fromkeys(counts.__kwdefaults__, tokens))
# Answers of different ages lack different fields; a group of parts is present whole or not at all.
droppable = st.sets(
    st.sampled_from(
        [
            ("input_uncached_tokens",),
            ("input_text_tokens",),
            ("input_cached_text_tokens",),
            ("input_cache_write_tokens",),
            ("input_cache_write_30m_tokens", "input_cache_write_12h_tokens"),
            ("output_text_tokens", "output_audio_tokens", "output_image_tokens"),
        ]
    )
)


@settings(deadline=None)
@given(st.lists(st.tuples(whole_results, droppable), max_size=5))
def test_disjoint_classes_add_up_to_input_plus_output_whatever_an_answer_lacks(truth):
    results = []
    for result, dropped in truth:
        groups = set(dropped)
        if ("input_cache_write_tokens",) in groups:  # one of the two must stay to be counted
            groups.discard(("input_cache_write_30m_tokens", "input_cache_write_12h_tokens"))
        lacking = {name for group in groups for name in group}
        results.append({k: v for k, v in result.items() if k not in lacking})
    rows, problems = parse("usage/completions", page(*results), HOUR)
    assert problems == []
    assert [row.quantities.tokens for row in rows] == [
        result["input_tokens"] + result["output_tokens"] for result, _ in truth
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
fields = st.sampled_from([*counts(), "model", "batch", "amount", "line_item", "project_id"])


@settings(deadline=None)
@given(
    st.sampled_from(["usage/completions", "usage/embeddings", "usage/moderations", "costs"]),
    st.data(),
)
def test_every_result_is_a_row_or_a_problem_whatever_it_holds(stream, data):
    results = data.draw(st.lists(st.dictionaries(fields, json_values) | json_values, max_size=4))
    rows, problems = parse(stream, page(*results), HOUR)
    assert len(rows) + len(problems) == len(results)


@settings(deadline=None)
@given(st.decimals(min_value=-9_000_000, max_value=9_000_000, allow_nan=False))
def test_an_amount_is_never_off_by_more_than_half_a_pico_dollar(value):
    found = cost(f'{{"value": {value:f}, "currency": "usd"}}')
    assert abs(Decimal(found) - value * PICO) <= Decimal("0.5") + abs(value) * Decimal("1e-12")


@pytest.mark.parametrize(
    ("fields", "read", "written"),
    [
        ({"input_cached_tokens": 30, "input_cache_write_tokens": None}, 30, 10),
        ({"input_cached_tokens": None, "input_cache_write_tokens": 10}, 30, 10),
    ],
)
def test_one_part_of_the_input_that_is_null_is_what_the_others_leave(fields, read, written):
    found = completions(input_uncached_tokens=60, num_model_requests=None, **fields)
    assert (found.uncached_input, found.cache_read, found.cache_write) == (60, read, written)
    assert found.requests is None
