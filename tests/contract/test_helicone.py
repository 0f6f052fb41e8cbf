"""The Helicone source over real HTTP: no request lost or doubled, and what counts as used."""

import pytest

from collectors import helicone
from collectors.helicone import Helicone
from collectors.http import Limits
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities
from tests import fake_api, fake_helicone
from tests.contract.conftest import QUICK
from tests.fake_helicone import KEY, FakeHelicone

START = 1_794_960_000  # 2026-11-18
NOW = START + 3 * DAY + 1_800


def call(name, at, **changed):
    """A request so many seconds after the start."""
    return fake_helicone.call(name, START + at, **changed)


@pytest.fixture
def fake():
    with FakeHelicone() as server:
        server.calls = [call("r1", 9 * HOUR), call("r2", 9 * HOUR + 5), call("r3", 10 * HOUR)]
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=KEY, limits=QUICK, **options):
        return opened(Helicone("log", "acme", key, base_url=fake.url, limits=limits, **options))

    return make


def read(found, now=NOW):
    return found.read("requests", START, START + DAY, now)


def requests(found):
    return sum(row.quantities.requests for row in found.rows)


ONE = Quantities(uncached_input=700, cache_read=300, cache_write=0, output=50, requests=1)


def test_requests_are_summed_by_the_hour(source):
    found = read(source())
    assert {(row.start - START, row.seconds): row.quantities for row in found.rows} == {
        (9 * HOUR, HOUR): Quantities(*(n and 2 * n for n in ONE)),
        (10 * HOUR, HOUR): ONE,
    }
    assert (found.pages, list(found.problems), list(found.notes)) == (2, [], [])
    (row,) = read(source(bucket="1d")).rows
    assert (row.start, row.seconds, row.quantities.requests) == (START, DAY, 3)


# --- The whole log, once ---


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_pages_lose_nothing_and_double_nothing(fake, source, monkeypatch, rows):
    monkeypatch.setattr(helicone, "_PAGE_ROWS", rows)
    fake.calls = [call(f"r{n}", 60 * (n // 2)) for n in range(20)]
    assert requests(read(source())) == 20


def test_a_server_that_sends_less_than_was_asked_for_is_asked_on(fake, source):
    fake.cap = 3
    fake.calls = [call(f"r{n}", 60 * (n // 2)) for n in range(20)]
    assert requests(read(source())) == 20


def test_more_requests_of_one_instant_than_a_page_holds_are_read_or_refused(
    fake, source, monkeypatch
):
    """They can only be passed by their number, which is true while they keep their order."""
    monkeypatch.setattr(helicone, "_PAGE_ROWS", 2)
    fake.calls = [call(f"r{n}", 60) for n in range(5)]
    with pytest.raises(SourceError, match="rows of one instant change places"):
        read(source())
    fake.in_order = True
    assert requests(read(source())) == 5


def test_times_finer_than_can_be_asked_for_are_read(fake, source, monkeypatch):
    monkeypatch.setattr(helicone, "_PAGE_ROWS", 2)
    times = ("2026-11-18 09:00:00.123401", "2026-11-18 09:00:00.123502", "2026-11-18 09:00:01")
    fake.calls = [
        call(f"r{n}", 0, request_created_at=f"{time}+00:00") for n, time in enumerate(times)
    ]

    def page(request):
        left = request.document["filter"]["left"]["request_response_rmt"]
        since = left["request_created_at"]["gte"][11:23]
        found = [each for each in fake.calls if each["request_created_at"][11:23] >= since]
        return {"data": found[request.document["offset"] :][:2]}

    fake.page = page
    assert requests(read(source())) == 3


def test_a_refused_key_is_not_tried_with_smaller_pages(fake, source):
    with pytest.raises(SourceError, match="HTTP 401"):
        read(source("sk-helicone-wrong"))
    assert len(fake.requests) == 1


def test_a_row_that_vanishes_between_two_pages_moves_no_other(fake, source, monkeypatch):
    """A log that stores a request twice until it is merged: an offset would skip a row."""
    monkeypatch.setattr(helicone, "_PAGE_ROWS", 4)
    fake.calls = [call("r0", 0), *(call(f"r{n}", n) for n in range(10))]

    def then_merged(page):
        fake.calls = [call(f"r{n}", n) for n in range(10)]

    fake.faults.append(fake_api.tampered(then_merged))
    assert requests(read(source())) == 10


def test_a_request_that_is_stored_twice_counts_as_its_fuller_row(fake, source):
    early = call("r1", 9 * HOUR, response_status=None, prompt_tokens=0, prompt_cache_read_tokens=0)
    for calls in ([early, call("r1", 9 * HOUR)], [call("r1", 9 * HOUR), early]):
        fake.calls = calls
        found = read(source())
        assert [row.quantities for row in found.rows] == [ONE]
        assert found.notes == []


def test_a_request_at_another_time_with_a_known_id_is_the_same(fake, source):
    fake.calls.append(call("r1", 11 * HOUR))
    assert requests(read(source())) == 3


def test_an_answer_that_is_too_large_is_asked_for_in_smaller_pages(fake, source, monkeypatch):
    monkeypatch.setattr(helicone, "_PAGE_ROWS", 8)
    fake.calls = [call(f"r{n}", n, request_body="x" * 1000) for n in range(8)]
    small = Limits(backoff_s=0.0, attempts=2, body_bytes=6_000)
    assert requests(read(source(limits=small))) == 8
    assert {request.document["limit"] for request in fake.requests} == {8, 2}
    fake.calls = [call("r1", 1, request_body="x" * 9000)]
    with pytest.raises(SourceError, match="larger than 6000 bytes"):
        read(source(limits=small))


def outside(page):
    page["data"].append(call("r9", DAY))


def backwards(page):
    page["data"].reverse()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (outside, "result 4 lies outside the time that was asked for"),
        (backwards, "result 2 is not in the order of time"),
        (lambda page: page["data"][0].pop("request_id"), "result 1 has no request_id"),
        (lambda page: page["data"][0].pop("request_created_at"), "None is no time"),
        (lambda page: page.update(data=None, error="no such table"), "error: no such table"),
        (lambda page: page.update(data={}), "not a page of the request log"),
    ],
)
def test_an_answer_that_cannot_be_the_log_is_refused_as_a_whole(fake, source, change, said):
    fake.faults.append(fake_api.tampered(change))
    with pytest.raises(SourceError, match=said):
        read(source())


# --- What counts ---


def test_what_cost_nobody_anything_is_left_out_and_told(fake, source):
    fake.calls += [
        call("f1", 11 * HOUR, response_status=429),
        call("f2", 11 * HOUR, response_status=-3),
        call("c1", 11 * HOUR, cache_reference_id="6a1f0000-0000-4000-8000-000000000001"),
        call("p1", 11 * HOUR, response_status=None),
        call("ok", 11 * HOUR, response_status=201, cache_reference_id=None),
    ]
    found = read(source())
    assert requests(found) == 4
    assert sorted(found.notes) == [
        "1 answers out of Helicone's cache are not counted",
        "1 requests without an answer yet are not counted",
        "2 failed requests are not counted",
    ]


@pytest.mark.parametrize(
    ("provider", "model", "option", "uncached"),
    [
        ("OPENAI", "gpt-5-mini", "auto", 690),
        ("ANTHROPIC", "claude-sonnet-4-5", "auto", 1000),
        ("BEDROCK", "anthropic.claude-sonnet-4-5-v1:0", "auto", 1000),
        ("GOOGLE", "gemini-3-flash", "auto", 690),
        ("X", "grok-4", "auto", 690),
        ("OPENAI", "gpt-5-mini", "beside", 1000),
        ("ANTHROPIC", "claude-sonnet-4-5", "inside", 690),
    ],
)
def test_cached_tokens_are_inside_or_beside(fake, source, provider, model, option, uncached):
    fake.calls = [call("r1", 0, provider=provider, model=model, prompt_cache_write_tokens=10)]
    (row,) = read(source(cache_tokens=option)).rows
    assert row.quantities[:3] == (uncached, 300, 10)
    assert row.dims.provider in {"openai", "anthropic", "aws", "google", "x-ai"}


def test_cached_tokens_that_do_not_fit_are_a_problem_that_names_the_setting(fake, source):
    fake.calls.append(call("r9", 12 * HOUR, prompt_tokens=100))
    found = read(source())
    assert requests(found) == 3
    (problem,) = found.problems
    assert 'cache_tokens = "beside"' in problem.reason
    assert problem.place == "page 1, result 4"
    assert requests(read(source(cache_tokens="beside"))) == 4


def test_audio_is_a_class_of_its_own(fake, source):
    fake.calls = [call("r1", 0, prompt_audio_tokens=200, completion_audio_tokens=20)]
    (row,) = read(source()).rows
    assert row.quantities == ONE._replace(
        uncached_input=500, output=30, audio_input=200, audio_output=20
    )


def test_counts_as_text_are_read_and_absent_ones_stay_unknown(fake, source):
    fake.calls = [call("r1", 0, prompt_tokens="1000", prompt_cache_write_tokens=None)]
    (row,) = read(source()).rows
    assert row.quantities == ONE._replace(cache_write=None)
    fake.calls = [call("r1", 0, prompt_tokens=None, prompt_cache_read_tokens=None)]
    (row,) = read(source()).rows
    assert row.quantities == ONE._replace(uncached_input=None, cache_read=None)


@pytest.mark.parametrize(
    "damage",
    [{"prompt_tokens": "many"}, {"completion_tokens": -1}, {"completion_audio_tokens": 9**9}],
)
def test_a_damaged_row_is_a_problem_and_the_others_are_read(fake, source, damage):
    fake.calls.append(call("r9", 12 * HOUR, **damage))
    found = read(source())
    assert requests(found) == 3
    assert [problem.place for problem in found.problems] == ["page 1, result 4"]


def test_no_prompt_answer_or_user_is_kept(fake, source):
    fake.calls.append(call("r9", 12 * HOUR, prompt_tokens="many"))
    found = read(source())
    assert found.problems
    assert "CANARY-PROMPT" not in repr(found)
    assert "ana@acme.test" not in repr(found)


def test_properties_and_users_are_dimensions_where_they_are_wanted(fake, source):
    dims = read(source(project="Team", label="Tier", by_user=True)).rows[0].dims
    assert (dims.provider, dims.model) == ("openai", "gpt-5-mini")
    assert (dims.project, dims.label, dims.actor) == ("shop", "gold", "ana@acme.test")
    dims = read(source()).rows[0].dims
    assert (dims.project, dims.label, dims.actor) == ("", "", "")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"cache_tokens": "both"}, "cache_tokens cannot be 'both'"),
        ({"by_user": "yes"}, "by_user is 'yes'"),
        ({"project": ["Team"]}, "project and label name a property each"),
    ],
)
def test_an_option_that_cannot_be_is_refused(source, option, said):
    with pytest.raises(InputError, match=said):
        source(**option)


def test_the_future_is_neither_asked_for_nor_read(fake, source):
    found = read(source(), now=START + 10 * HOUR + 5)
    assert requests(found) == 2
    asked = fake.requests[0].document["filter"]["right"]["request_response_rmt"]
    assert asked["request_created_at"]["lt"] == "2026-11-18T10:00:00.000Z"
    later = read(source(), now=START - HOUR)
    assert (later.start, later.pages) == (START + DAY, 0)


def test_the_probe_reads_one_row(fake, source):
    assert source().probe(START + DAY) == "requests in the last day"
    assert fake.requests[0].document["limit"] == 1
    assert source().probe(NOW) == "no request in the last day"
    with pytest.raises(SourceError, match="HTTP 401") as refused:
        source("sk-helicone-wrong").probe(NOW)
    assert refused.value.permanent
