"""The LiteLLM source over real HTTP; a recording of a real proxy says what is true."""

import json
from collections import Counter
from datetime import datetime

import pytest

from collectors.litellm import LiteLLM
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities, add
from tests import fake_api, needs
from tests.contract.conftest import QUICK
from tests.fake_litellm import KEY, FakeProxy, call, iso

DAY0 = 1_795_132_800  # 2026-11-20
NOW = DAY0 + 2 * DAY


@pytest.fixture
def fake():
    with FakeProxy() as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=KEY, **options):
        return opened(LiteLLM("proxy", "acme", key, base_url=fake.url, limits=QUICK, **options))

    return make


def read(litellm, days=1, now=NOW):
    return litellm.read("spend/logs/v2", DAY0, DAY0 + days * DAY, now)


def total(rows):
    sums = Quantities()
    for row in rows:
        sums = add(sums, row.quantities)
    return sums


# --- Against a real proxy ---


def test_the_recorded_proxy_gives_its_true_totals(fake, source):
    folder = needs.shared("data/payloads/litellm")
    lines = (folder / "table_spendlogs.jsonl").read_text().splitlines()
    # The proxy made up the counts of its own mock answers, so that no truth is known of them.
    calls = map(json.loads, lines)
    fake.calls = [each for each in calls if each["model_group"] != "mock-hello"]
    for each in fake.calls:
        each["startTime"] = iso(datetime.fromisoformat(each["startTime"] + "+00:00").timestamp())
    truth = json.loads((folder / "truth.json").read_text())["by_model"]
    found = read(source())
    assert not found.problems
    groups = {"our-own-70b": "unpriced-own", "claude-sonnet-4-5": "claude-main"}
    groups |= {"text-embedding-3-small": "embed", "gpt-5-mini": "gpt-fast"}
    groups |= {"gpt-4o-mini": "gpt-fast"}
    sums = {}
    for row in found.rows:
        if row.dims.model in groups:
            group = groups[row.dims.model]
            sums[group] = add(sums.get(group, Quantities()), row.quantities)
    assert {
        group: (q.uncached_input, q.cache_read or 0, (q.cache_write or 0), q.output, q.requests)
        for group, q in sums.items()
    } == {
        group: (t["uncached"], t["read"], t["write"], t["out"], t["requests"] - t["failed"])
        for group, t in truth.items()
        if group != "mock-hello"
    }


# --- Reading ---


def test_a_request_is_taken_apart_into_disjoint_classes(fake, source):
    fake.calls = [call(DAY0 + 5, "a")]
    (row,) = read(source()).rows
    assert row.quantities == Quantities(
        uncached_input=600,
        cache_read=300,
        cache_write=60,
        cache_write_long=40,
        output=50,
        reasoning=7,
        requests=1,
    )
    assert (row.dims.provider, row.dims.model) == ("anthropic", "claude-sonnet-4-5")
    assert (row.dims.project, row.dims.api_key, row.dims.actor) == ("team-shop", "hash-1", "")
    assert (row.dims.tier, row.start, row.seconds) == ("standard", DAY0, HOUR)


def test_requests_are_summed_by_hour_or_day(fake, source):
    fake.calls = [call(DAY0 + n * HOUR // 2, f"r{n}") for n in range(48)]
    hours, days = read(source()), read(source(bucket="1d"))
    assert (len(hours.rows), len(days.rows)) == (24, 1)
    assert total(hours.rows) == total(days.rows)
    assert total(days.rows).requests == 48


def test_what_failed_and_what_came_from_a_cache_is_not_counted_and_said(fake, source):
    fake.calls = [
        call(DAY0, "a"),
        call(DAY0, "b", status="failure"),
        call(DAY0, "c_cache_hit1", cache_hit="True"),
    ]
    found = read(source())
    assert total(found.rows).requests == 1
    assert found.notes == ["2 failed or cached requests are not counted"]


def test_several_pages_are_followed_and_a_row_that_comes_twice_counts_once(fake, source):
    fake.calls = [call(DAY0 + n, f"r{n}") for n in range(2_500)]

    def shifted(page):
        page["data"].insert(0, fake.calls[0])

    fake.faults += [None, fake_api.tampered(shifted)]
    found = read(source())
    assert found.pages == 3
    assert total(found.rows).requests == 2_500


def test_a_time_without_a_zone_and_metadata_as_text_are_read_as_the_table_has_them(fake, source):
    as_sent = call(DAY0 + 5, "a")
    fake.calls = [as_sent]
    (sent,) = read(source()).rows
    stored = {
        "startTime": "2026-11-20 00:00:05.000000",
        "metadata": json.dumps(as_sent["metadata"]),
    }
    fake.calls = [as_sent | stored]
    assert list(read(source()).rows) == [sent]


def test_a_failure_that_only_the_metadata_tells_is_not_counted(fake, source):
    fake.calls = [call(DAY0, "a"), call(DAY0, "b", status=None, metadata={"status": "failure"})]
    assert total(read(source()).rows).requests == 1


@pytest.mark.parametrize("late", [0, 1_500, 3_000])
def test_a_row_that_is_added_while_pages_are_read_is_found(fake, source, late):
    fake.calls = [call(DAY0 + n, f"r{n}") for n in range(2_500)]
    fake.faults += [
        None,
        fake_api.before(lambda: fake.calls.append(call(DAY0 + late + 0.5, "late"))),
    ]
    assert total(read(source()).rows).requests == 2_501


def test_rows_that_are_deleted_while_pages_are_read_hide_no_other(fake, source):
    fake.calls = [call(DAY0 + n, f"r{n}") for n in range(2_500)]
    fake.faults += [None, fake_api.before(lambda: fake.calls.__delitem__(slice(0, 10)))]
    assert total(read(source()).rows).requests == 2_490


def test_rows_of_one_instant_are_all_found_in_whatever_order_pages_have_them(fake, source):
    fake.calls = [call(DAY0 + n // 450 * 2 * HOUR, f"r{n}") for n in range(2_700)]
    fake.unordered = True
    assert total(read(source()).rows).requests == 2_700


def test_a_proxy_that_does_not_say_that_it_stopped_counting_is_read_in_slices(fake, source):
    fake.calls = [call(DAY0 + 8 * n, f"r{n}") for n in range(10_010)]

    def silent(page):
        del page["total_is_capped"]

    fake.faults += [fake_api.tampered(silent)] * 40
    found = read(source(group_by=[]))
    assert total(found.rows).requests == 10_010
    assert len(found.request["slices"]) > 1


@pytest.mark.parametrize("cap", [1, 7, 100])
def test_a_window_above_the_cap_is_read_in_slices_without_a_gap(fake, source, cap):
    fake.calls = [call(DAY0 + n * DAY / 300, f"r{n}") for n in range(300)]
    fake.cap = cap
    found = read(source())
    assert total(found.rows).requests == 300
    bounds = [piece[0] for piece in found.request["slices"]]
    assert bounds == sorted(bounds)


def test_a_row_between_two_slices_belongs_to_one_of_them(fake, source):
    noon = DAY0 + DAY // 2
    fake.calls = [call(noon - 0.001, "a"), call(noon, "b"), call(noon + 0.001, "c")]
    fake.cap = 2
    assert total(read(source()).rows).requests == 3


def test_the_last_second_of_a_day_is_read_and_the_next_day_is_not(fake, source):
    fake.calls = [call(DAY0 + DAY - 0.001, "a"), call(DAY0 + DAY, "b")]
    found = read(source())
    assert total(found.rows).requests == 1
    assert not found.problems


def test_a_second_above_the_cap_is_an_error_with_a_way_out(fake, source):
    fake.calls = [call(DAY0, f"r{n}") for n in range(5)]
    fake.cap = 3
    with pytest.raises(SourceError, match="has more requests than the proxy counts") as refused:
        read(source())
    assert refused.value.permanent


def test_fewer_rows_than_were_named_are_refused(fake, source):
    fake.calls = [call(DAY0, "a"), call(DAY0, "b")]
    fake.faults += [fake_api.tampered(lambda page: page["data"].pop())] * 3
    with pytest.raises(SourceError, match=r"2 requests from .* were named and 1 came"):
        read(source())


@pytest.mark.parametrize(
    "body", [b"[]", b'{"data": []}', b"not json", b'{"data": {}, "total": 1, "page": 1}']
)
def test_an_answer_that_is_no_log_is_refused(fake, source, body):
    fake.faults += [fake_api.answering(200, body)] * 2
    with pytest.raises(SourceError, match="not a page of the request log"):
        read(source())


@pytest.mark.parametrize(
    "damage",
    [
        {"prompt_tokens": 5},
        {"prompt_tokens": -1},
        {"completion_tokens": None},
        {"startTime": "yesterday"},
        {"startTime": "2026-11-19T23:59:59+00:00"},
    ],
)
def test_a_damaged_row_is_a_problem_and_the_others_are_read(fake, source, damage):
    fake.calls = [call(DAY0 + 1, "a"), call(DAY0 + 2, "b")]
    fake.faults.append(fake_api.tampered(lambda page: page["data"][0].update(damage)))
    found = read(source())
    assert total(found.rows).requests == 1
    assert [problem.place for problem in found.problems] == ["page 1, result 1"]


def test_dimensions_are_those_that_were_chosen(fake, source):
    fake.calls = [call(DAY0, "a"), call(DAY0, "b", user="u-ben", team_id=None)]
    rows = read(source(group_by=["user"])).rows
    assert Counter((r.dims.project, r.dims.api_key, r.dims.actor) for r in rows) == {
        ("", "", "u-ana"): 1,
        ("", "", "u-ben"): 1,
    }
    with pytest.raises(InputError, match="group_by cannot be model"):
        source(group_by=["model"])


def test_a_key_without_the_right_is_told_which_one_is_needed(source):
    with pytest.raises(SourceError, match="needs the proxy's master key"):
        source("sk-user").probe(NOW)


def test_the_probe_counts_the_last_hour(fake, source):
    fake.calls = [call(NOW - 60 * n, f"r{n}") for n in range(30)]
    assert source().probe(NOW) == "30 requests in the last hour"
    fake.cap = 20
    assert source().probe(NOW) == "at least 20 requests in the last hour"


# --- Rows as LiteLLM 1.108.7 wrote them over a model endpoint whose usage was chosen ---

BROKEN_OFF = {
    "call_type": "acompletion",
    "status": "failure",
    "prompt_tokens": 934,
    "completion_tokens": 3,
    "spend": 0.003747,
    "metadata": {
        "usage_object": {
            "prompt_tokens": 934,
            "completion_tokens": 3,
            "prompt_tokens_details": {
                "text_tokens": 634,
                "cached_tokens": 0,
                "cache_write_tokens": 300,
                "cache_creation_tokens": 300,
                "cache_creation_token_details": {
                    "ephemeral_1h_input_tokens": 300,
                    "ephemeral_5m_input_tokens": 0,
                },
            },
            "completion_tokens_details": {"text_tokens": 3, "reasoning_tokens": 0},
            "cache_creation_input_tokens": 300,
        }
    },
}
GUESSED = {
    "status": "failure",
    "prompt_tokens": 21,
    "completion_tokens": 0,
    "metadata": {"usage_object": {}},
}
PRIORITY = {
    "metadata": {
        "usage_object": {"prompt_tokens": 1000, "completion_tokens": 50},
        "cost_breakdown": {"service_tier": "priority", "total_cost": 0.0026},
    },
}
BATCH = {
    "call_type": "aretrieve_batch",
    "metadata": {
        "usage_object": {"prompt_tokens": 1000, "completion_tokens": 50},
        "cost_breakdown": {"service_tier": None},
        "batch_successful_requests": 40,
        "batch_failed_requests": 2,
    },
}


def test_an_answer_that_broke_off_counts_as_far_as_it_came(fake, source):
    fake.calls = [call(DAY0, "a", **BROKEN_OFF), call(DAY0, "b", **GUESSED)]
    found = read(source())
    assert total(found.rows) == Quantities(
        uncached_input=634,
        cache_read=0,
        cache_write=0,
        cache_write_long=300,
        output=3,
        reasoning=0,
        requests=1,
    )
    assert found.notes == ["1 failed or cached requests are not counted"]


def test_the_tier_that_was_charged_is_the_tier(fake, source):
    fake.calls = [call(DAY0, "a", **PRIORITY), call(DAY0, "b")]
    assert {row.dims.tier for row in read(source()).rows} == {"priority", "standard"}


def test_a_finished_batch_has_its_own_price_and_its_number_of_requests(fake, source):
    fake.calls = [call(DAY0, "a", **BATCH)]
    (row,) = read(source()).rows
    assert (row.dims.batch, row.quantities.requests) == ("true", 40)
    assert row.quantities.tokens == 1050


def test_a_request_that_is_not_billed_by_token_is_told_of_and_not_counted(fake, source):
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "metadata": {"usage_object": {}}}
    spoken = {"model": "openai/whisper-1", "call_type": "atranscription"}
    fake.calls = [call(DAY0, "a"), call(DAY0, "b", **nothing, **spoken), call(DAY0, "c", **nothing)]
    found = read(source())
    # A chat whose answer was empty is a request all the same.
    assert total(found.rows).requests == 2
    assert found.notes[0].startswith("1 requests that used no tokens are not counted")


def media(prompt, cached, inside, **more):
    details = {"cached_tokens": cached, **inside}
    usage = {"prompt_tokens_details": details, "completion_tokens_details": None}
    usage["completion_tokens_details"] = more.pop("answered", None)
    return call(DAY0, "a", prompt_tokens=prompt, metadata={"usage_object": usage}, **more)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        pytest.param(
            media(1000, 0, {"image_tokens": 258, "audio_tokens": 50}),
            {"uncached_input": 692, "image_input": 258, "audio_input": 50},
            id="none cached",
        ),
        pytest.param(
            media(
                1000,
                900,
                {
                    "image_tokens": 258,
                    "audio_tokens": 600,
                    "cached_tokens_details": {
                        "text_tokens": 142,
                        "audio_tokens": 600,
                        "image_tokens": 158,
                    },
                },
            ),
            {"image_input": 100, "cache_read": 142, "audio_cache_read": 600}
            | {"image_cache_read": 158},
            id="told what was cached",
        ),
        pytest.param(
            media(1000, 900, {"image_tokens": 800}),
            {"image_input": 100, "cache_read": 900},
            id="not told what was cached",
        ),
        pytest.param(
            media(60, 0, {"text_tokens": 50, "image_tokens": 10}, call_type="aimage_generation"),
            {"uncached_input": 50, "image_input": 10, "image_output": 50, "output": 0},
            id="an image is the answer",
        ),
        pytest.param(
            media(60, 0, {}, answered={"text_tokens": 20, "image_tokens": 30}),
            {"uncached_input": 60, "image_output": 30, "output": 20},
            id="text and an image are the answer",
        ),
    ],
)
def test_audio_and_images_are_classes_of_their_own_and_counted_once(fake, source, call, parts):
    fake.calls = [call]
    found = read(source())
    assert not found.problems
    used = total(found.rows)
    known = {name: n for name, n in used._asdict().items() if n and name != "requests"}
    assert known == {name: n for name, n in ({"output": 50} | parts).items() if n}
    assert used.tokens == call["prompt_tokens"] + call["completion_tokens"]


# --- Calls that were logged twice ---


def twins(**second):
    """A Responses call and the completion that carried it, as LiteLLM 1.77.1 to 1.80 logged both."""
    outer = call(DAY0 + 1, "resp_1", call_type="aresponses", litellm_call_id="c-1")
    inner = call(DAY0 + 1.2, "chatcmpl-1", call_type="acompletion", litellm_call_id="c-1")
    return [outer, inner | {"metadata": {}} | second]


def test_a_responses_call_that_was_logged_twice_under_one_id_counts_once(fake, source):
    fake.calls = twins()
    found = read(source())
    assert total(found.rows).requests == 1
    assert total(found.rows).cache_read == 300
    assert found.notes == ["1 Responses calls were logged twice under one id and count once"]


def test_the_id_of_a_call_is_found_in_older_rows_too(fake, source):
    fake.calls = twins(litellm_call_id=None, metadata={"litellm_call_id": "c-1"})
    assert total(read(source()).rows).requests == 1


def test_rows_that_only_look_like_one_call_both_count_and_are_told_of(fake, source):
    fake.calls = twins(litellm_call_id="c-2")
    found = read(source())
    assert total(found.rows).requests == 2
    assert found.notes[0].startswith("1 Responses calls look as if they were logged twice")


@pytest.mark.parametrize(
    "second",
    [
        {"prompt_tokens": 900, "litellm_call_id": "c-1"},
        {"call_type": "aresponses", "litellm_call_id": "c-1"},
        {"startTime": iso(DAY0 + 60), "litellm_call_id": "c-2"},
        {"api_key": "hash-2", "litellm_call_id": "c-2"},
    ],
)
def test_two_calls_are_two(fake, source, second):
    fake.calls = twins(**second)
    found = read(source())
    assert (total(found.rows).requests, found.notes) == (2, [])


def test_an_answer_that_was_fetched_again_is_told_of(fake, source):
    fake.calls = [call(DAY0, "a", call_type="aget_responses")]
    assert "stored answers that were fetched again" in read(source()).notes[0]


# --- Daily sums ---


class Recording(fake_api.FakeApi):
    """Real answers of a real proxy, by path and parameters."""

    def __init__(self, folder):
        super().__init__()
        found = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
        self.answers = {f["path"]: f for f in found if "path" in f}

    def page(self, request):
        query = "&".join(f"{name}={value}" for name, value in request.query)
        found = self.answers[f"{request.path}?{query}"]
        if found["status"] != 200:
            raise fake_api.Refusal(found["status"], json.dumps(found["body"]))
        return found["body"]

    def error_body(self, message):
        return message.encode()


def test_the_recorded_daily_sums_are_the_truth_and_the_guesses_for_failed_requests(opened):
    folder = needs.shared("data/payloads/litellm")
    rows = [json.loads(x) for x in (folder / "table_spendlogs.jsonl").read_text().splitlines()]
    guessed = sum(r["prompt_tokens"] for r in rows if r["status"] == "failure")
    truth = json.loads((folder / "truth.json").read_text())
    with Recording(folder) as recording:
        proxy = opened(LiteLLM("p", "acme", KEY, base_url=recording.url, limits=QUICK, api="daily"))
        found = read(proxy, now=DAY0 + DAY // 2)
    assert found.notes == [
        "9 failed requests are in the sums, with the prompt tokens that the proxy guessed"
    ]
    assert {r.dims.provider for r in found.rows} == {"openai", "anthropic"}
    assert {(r.start, r.seconds) for r in found.rows} == {(DAY0, DAY)}
    groups = {"our-own-70b": "unpriced-own", "claude-sonnet-4-5": "claude-main"}
    groups |= {"text-embedding-3-small": "embed", "gpt-5-mini": "gpt-fast"}
    for model, group in groups.items():
        q, t = total([r for r in found.rows if r.dims.model == model]), truth["by_model"][group]
        extra = guessed if group == "gpt-fast" else 0
        assert (q.uncached_input, q.cache_read, q.cache_write, q.output, q.requests) == (
            t["uncached"] + extra,
            t["read"],
            t["write"],
            t["out"],
            t["requests"] - t["failed"],
        )
    assert {r.dims.api_key for r in found.rows} == set(truth["by_key"])
    teams = Counter()
    for r in found.rows:
        teams[r.dims.project] += r.quantities.requests
    assert teams == {"team-shop": 67, "team-lab": 24, "team-search": 35, "": 15}


@pytest.fixture
def days(opened):
    """The daily sums of a proxy with one model and two keys, changed by `change`."""
    served = []

    def make(change):
        metrics = {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "successful_requests": 4,
            "cache_read_input_tokens": 30,
        }
        part = {name: value // 2 for name, value in metrics.items()}
        keys = {"k1": {"metrics": dict(part)}, "k2": {"metrics": dict(part)}}
        model = {"metrics": dict(metrics), "api_key_breakdown": keys}
        breakdown = {"models": {"openai/gpt-5-mini": model}, "providers": {"openai": {}}}
        day = {"date": "2026-11-20", "metrics": metrics, "breakdown": breakdown}
        page = {"results": [day], "metadata": {"total_pages": 1, "has_more": False}}
        change(page)
        fake = FakeProxy().__enter__()
        served.append(fake)
        fake.page = lambda _: page
        return opened(LiteLLM("p", "acme", KEY, base_url=fake.url, limits=QUICK, api="daily"))

    yield make
    for fake in served:
        fake.__exit__()


def test_keys_beyond_the_hundred_that_are_listed_are_one_row_without_a_key(days):
    proxy = days(
        lambda p: p["results"][0]["breakdown"]["models"]["openai/gpt-5-mini"][
            "api_key_breakdown"
        ].pop("k2")
    )
    found = read(proxy)
    assert {r.dims.api_key: r.quantities.tokens for r in found.rows} == {"k1": 55, "": 55}


def test_models_that_used_no_tokens_are_told_of_and_not_counted(days):
    def change(page):
        found = page["results"][0]
        none = {"prompt_tokens": 0, "completion_tokens": 0, "successful_requests": 3}
        found["breakdown"]["models"]["openai/whisper-1"] = {"metrics": none}
        found["metrics"]["successful_requests"] += 3

    found = read(days(change))
    assert {row.dims.model for row in found.rows} == {"gpt-5-mini"}
    assert total(found.rows).requests == 4
    assert found.notes[0].startswith("3 requests that used no tokens are not counted")


def test_a_sum_that_no_model_explains_is_a_row_without_a_model(days):
    def more(page):
        page["results"][0]["metrics"]["prompt_tokens"] += 7

    assert {r.dims.model: r.quantities.tokens for r in read(days(more)).rows}[""] == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["metadata"].update(has_more=True), "one page of several"),
        (lambda p: p["results"][0].update(date="2026-11-22"), "outside the days"),
        (lambda p: p["results"][0]["metrics"].update(prompt_tokens=1), "more than their sum"),
        (lambda p: p.pop("results"), "not a page of daily activity"),
    ],
)
def test_daily_sums_that_cannot_be_whole_are_refused(days, change, said):
    with pytest.raises(SourceError, match=said):
        read(days(change))


def test_the_probe_of_daily_sums_reads_today(days):
    proxy = days(lambda page: None)
    assert proxy.probe(DAY0 + HOUR) == "2 daily sums of today"
    with pytest.raises(InputError, match="api cannot be 'weekly'"):
        LiteLLM("p", "acme", KEY, api="weekly")


def test_recorded_pages_give_the_rows_that_the_recorded_table_has(fake, source):
    folder = needs.shared("data/payloads/litellm")
    pages = [json.loads((folder / f"spend_logs_v2_p{n}.json").read_text())["body"] for n in (1, 2)]
    table = [json.loads(x) for x in (folder / "table_spendlogs.jsonl").read_text().splitlines()]
    recorded = {c["request_id"] for page in pages for c in page["data"]}

    def served(request):
        page = pages[int(dict(request.query)["page"]) - 1]
        return page | {"total": 40, "total_pages": 2}

    fake.page = served
    over_pages = read(source())
    del fake.page
    fake.calls = [c | {"startTime": c["startTime"] + "+00:00"} for c in table]
    fake.calls = [c for c in fake.calls if c["request_id"] in recorded]
    assert over_pages.rows == read(source()).rows
    failed = [c for page in pages for c in page["data"] if c["status"] == "failure"]
    assert (over_pages.pages, total(over_pages.rows).requests) == (2, 40 - len(failed))


def test_the_recorded_refusals_say_what_to_do(fake, source):
    folder = needs.shared("data/payloads/litellm")
    for name, said in (
        ("bad_key", "needs the proxy's master key"),
        ("spend_logs_v2_no_dates", "HTTP 400"),
        ("spend_logs_v2_size_2000", "HTTP 422"),
    ):
        found = json.loads((folder / f"{name}.json").read_text())
        body = json.dumps(found["body"]).encode()
        fake.faults.append(fake_api.answering(found["status"], body))
        with pytest.raises(SourceError, match=said) as refused:
            read(source())
        assert refused.value.permanent
