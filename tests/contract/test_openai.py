"""The OpenAI source over real HTTP, and the fake it is tested with against the vendor's own definitions."""

import json
import logging
import re
import resource
import time
from decimal import Decimal

import jsonschema
import pytest

from collectors.http import HttpError, Limits
from collectors.openai import COSTS_BY_KEY_FROM, OpenAI
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR, Quantities, add
from monitor.ports import Pull
from tests import fake_api, fake_openai, needs
from tests.fake_openai import ADMIN_KEY, PROJECT_KEY, Cost, FakeOpenAI, Use, counts

START = 1_793_491_200  # 2026-11-01
NOW = START + 20 * DAY + 1_800
COMPLETIONS = "usage/completions"


def uses(days=2, **kwargs):
    """One lump in each second hour, each of another size."""
    return [
        Use(START + HOUR * i, counts(text=100 + i, cached_text=7, out_text=3, **kwargs))
        for i in range(0, 24 * days, 2)
    ]


@pytest.fixture
def fake():
    with FakeOpenAI(uses()) as server:
        yield server


@pytest.fixture
def source(fake):
    made = []

    def make(key=ADMIN_KEY, **kwargs) -> Pull:
        waits = []
        quick = {"backoff_s": 0.0, "attempts": 3, "pace": lambda wait: waits.append(wait) or 0.0}
        openai = OpenAI(
            "openai-main",
            "acme",
            key,
            base_url=kwargs.pop("base_url", fake.url),
            limits=Limits(**quick | kwargs.pop("limits", {})),
            **kwargs,
        )
        openai.waits = waits
        made.append(openai)
        return openai

    yield make
    for openai in made:
        openai.close()


def read(openai, stream=COMPLETIONS, days=2, now=NOW):
    return openai.read(stream, START, START + days * DAY, now)


def total(found):
    quantities = Quantities()
    for row in found.rows:
        quantities = add(quantities, row.quantities)
    return quantities


def true_tokens(fake):
    uses = [use.counts for use in fake.truth if use.endpoint == "completions"]
    return sum(count["input_tokens"] + count["output_tokens"] for count in uses)


# --- Reading ---


def test_a_window_over_three_pages_is_read_whole(fake, source):
    fake.page_buckets = 20
    found = read(source())
    assert found.pages == 3
    assert len(found.rows) == len(fake.truth)
    assert total(found).tokens == true_tokens(fake)
    assert total(found).requests == len(fake.truth)
    assert (found.start, found.end) == (START, START + 2 * DAY)
    assert (list(found.problems), list(found.notes)) == ([], [])


def test_all_pages_are_asked_with_the_same_parameters(fake, source):
    fake.page_buckets = 20
    read(source())
    asked = [{pair for pair in r.query if pair[0] != "page"} for r in fake.requests]
    assert asked[0] == asked[1] == asked[2]
    assert ("limit", "168") in asked[0]
    assert [len(request.all("page")) for request in fake.requests] == [0, 1, 1]


@pytest.mark.parametrize(("style", "name"), [("brackets", "group_by[]"), ("repeated", "group_by")])
def test_arrays_are_sent_in_either_style(fake, source, style, name):
    read(source(array_style=style, group_by=["user_id"]))
    assert fake.requests[0].all(name) == ["model", "user_id"]


def test_hours_and_days_of_one_stream_have_equal_totals(fake, source):
    hours, days = read(source()), read(source(bucket="1d"))
    assert {row.seconds for row in hours.rows} == {HOUR}
    assert {row.seconds for row in days.rows} == {DAY}
    assert len(days.rows) == 2
    assert total(hours) == total(days)


def test_a_restated_bucket_and_a_vanished_group_are_read_as_they_are_now(fake, source):
    openai = source()
    before = read(openai)
    fake.truth[0] = fake.truth[0]._replace(counts=counts(text=5))
    gone = fake.truth.pop()
    after = read(openai)
    assert len(after.rows) == len(before.rows) - 1
    assert total(after).tokens == true_tokens(fake)
    assert gone.at not in {row.start for row in after.rows}


def test_an_organization_without_usage_is_read_and_empty(fake, source):
    fake.truth.clear()
    found = read(source())
    assert (list(found.rows), found.pages, list(found.notes)) == ([], 1, [])


def test_buckets_that_do_not_come_are_noted(fake, source):
    fake.faults.append(fake_api.tampered(lambda page: page["data"].pop()))
    assert read(source()).notes == ["1 buckets were asked for and did not come"]


def test_embeddings_are_grouped_by_what_their_endpoint_knows(fake, source):
    fake.truth.append(
        Use(START, {"input_tokens": 50, "num_model_requests": 2}, endpoint="embeddings")
    )
    found = read(source(), "usage/embeddings")
    assert [row.quantities for row in found.rows] == [Quantities(uncached_input=50, requests=2)]
    assert fake.requests[0].all("group_by[]") == ["model", "project_id", "api_key_id"]


def test_decisions_are_read_like_completions_and_moderations_like_embeddings(fake, source):
    few = {"input_tokens": 50, "num_model_requests": 2}
    fake.truth = [
        Use(START, counts(text=9, cached_text=3, out_text=2), endpoint="decisions", batch=True),
        Use(START, few, endpoint="moderations"),
    ]
    openai = source()
    (decided,) = read(openai, "usage/decisions").rows
    assert (decided.quantities.tokens, decided.quantities.cache_read) == (14, 3)
    assert decided.dims.batch == "true"
    (moderated,) = read(openai, "usage/moderations").rows
    assert moderated.quantities == Quantities(uncached_input=50, requests=2)
    assert not read(openai).rows


@pytest.mark.parametrize("stream", ["usage/decisions", "usage/embeddings", "usage/moderations"])
@pytest.mark.parametrize("status", [403, 404])
def test_an_endpoint_that_an_organization_lacks_is_empty_and_said(fake, source, stream, status):
    fake.lacking = {stream: status}
    openai = source()
    read(openai)
    found = read(openai, stream)
    assert (found.start, found.end, found.rows) == (START, START + 2 * DAY, [])
    (note,) = found.notes
    assert note.startswith(f"the provider has no {stream}: Invalid URL")


@pytest.mark.parametrize("stream", ["usage/decisions", "usage/moderations"])
def test_results_of_another_endpoint_are_not_counted_once_more(fake, source, stream):
    openai = source()
    completions = fake_api.dumps(page_of_completions(fake, openai))
    fake.faults.append(fake_api.answering(200, completions))
    found = read(openai, stream)
    assert (list(found.rows), list(found.problems)) == ([], [])
    said = f"the provider has no {stream}: it answers with organization.usage.completions.result"
    assert found.notes == [said]


def page_of_completions(fake, openai):
    read(openai)
    return fake.pages[-1]


def test_an_endpoint_that_answered_is_not_taken_for_one_that_is_lacking(fake, source):
    openai = source()
    read(openai, "usage/embeddings")
    fake.lacking = {"usage/embeddings": 404, "costs": 404, COMPLETIONS: 404}
    for stream in fake.lacking:
        with pytest.raises(HttpError, match="HTTP 404"):
            read(openai, stream)


def test_a_refused_key_is_not_taken_for_a_lacking_endpoint(source):
    with pytest.raises(SourceError, match="needs an Admin key"):
        read(source(PROJECT_KEY), "usage/moderations")


def test_the_future_is_never_asked_for(fake, source):
    found = source().read(COMPLETIONS, START, START + DAY, START + 5 * HOUR + 1_799)
    assert fake.requests[0].all("end_time") == [str(START + 5 * HOUR)]
    assert [row.start for row in found.rows] == [START, START + 2 * HOUR, START + 4 * HOUR]
    assert found.end == START + DAY


@pytest.mark.parametrize("bucket", ["1h", "1d"])
def test_the_current_day_is_read_as_far_as_it_has_gone(fake, source, bucket):
    found = source(bucket=bucket).read(COMPLETIONS, START, START + DAY, START + 3 * HOUR)
    assert total(found).requests == 2


def test_a_day_without_a_full_hour_is_not_asked_for_and_not_covered(fake, source):
    found = source().read(COMPLETIONS, START, START + DAY, START + 1_800)
    assert fake.requests == []
    assert (found.start, found.end, list(found.rows)) == (START + DAY, START + DAY, [])


def test_only_whole_days_can_be_read(source):
    with pytest.raises(ValueError, match="whole UTC days"):
        source().read(COMPLETIONS, START + HOUR, START + DAY, NOW)


def test_names_that_are_equal_when_cleaned_are_added_up(fake, source):
    fake.truth = [
        Use(START, counts(text=1), model=f"m{evil}x", project_id="<b>p</b>")
        for evil in ("\n", "\r", "\u202e", " ")
    ]
    found = read(source())
    assert [(row.dims.model, row.dims.project) for row in found.rows] == [("m x", "<b>p</b>")]
    assert found.rows[0].quantities.uncached_input == 4
    fake.costs = [Cost(START, Decimal("0.25"), line_item=f"m{evil}x") for evil in "\n\r"]
    assert [row.amount_pico for row in read(source(), "costs").rows] == [PICO // 2]


def test_a_damaged_result_is_a_problem_that_names_its_page(fake, source):
    fake.page_buckets = 24
    fake.truth[-1] = fake.truth[-1]._replace(counts=counts(text=1) | {"input_cached_tokens": 9})
    found = read(source())
    assert len(found.rows) == len(fake.truth) - 1
    assert [p.place for p in found.problems] == ["page 2, bucket 2026-11-02T22:00Z, result 1"]


# --- Costs ---


def test_costs_are_exact_and_grouped_by_line_item_project_and_key(fake, source):
    fake.costs = [
        Cost(START, Decimal("0.000000000001")),
        Cost(START, Decimal("1234567.123456789012"), line_item="files, storage"),
        Cost(START + DAY, Decimal("-3.5"), api_key_id=None),
    ]
    found = read(source(), "costs")
    assert fake.requests[0].all("group_by[]") == ["project_id", "line_item", "api_key_id"]
    assert [(row.day, row.amount_pico) for row in found.rows] == [
        (START, 1),
        (START, 1234567123456789012),
        (START + DAY, -3_500_000_000_000),
    ]
    assert {row.dims.api_key for row in found.rows} == {"key_9", ""}


def test_costs_before_the_epoch_of_keys_are_read_without_the_key(fake, source):
    fake.costs = [Cost(COSTS_BY_KEY_FROM + DAY * i, Decimal(i + 3)) for i in (-2, -1, 0, 1)]
    found = source().read("costs", COSTS_BY_KEY_FROM - 2 * DAY, COSTS_BY_KEY_FROM + 2 * DAY, NOW)
    assert [(r.amount_pico // PICO, r.dims.api_key) for r in found.rows] == [
        (1, ""),
        (2, ""),
        (3, "key_9"),
        (4, "key_9"),
    ]
    assert found.start == COSTS_BY_KEY_FROM - 2 * DAY
    assert found.notes == ["the provider has no costs by api_key_id before 2025-12-06T00:00Z"]
    assert len(fake.requests) == 2, "no request was refused"


def test_a_later_epoch_of_keys_is_learned_from_the_refusal(fake, source):
    fake.costs = [Cost(START, Decimal(1)), Cost(START + DAY, Decimal(2))]
    message = f"group_by=api_key_id needs a start_time of {START + DAY} or later."
    fake.faults.append(fake_api.failing(400, message))
    found = read(source(), "costs")
    assert [(r.amount_pico // PICO, r.dims.api_key) for r in found.rows] == [(1, ""), (2, "key_9")]
    assert len(fake.requests) == 3


def test_days_older_than_the_provider_keeps_are_left_out_and_noted(fake, source):
    fake.earliest = START + DAY - 60
    found = read(source())
    assert (found.start, found.end) == (START + DAY, START + 2 * DAY)
    assert found.notes == ["the provider has no usage/completions before 2026-11-02T00:00Z"]
    assert {row.start // DAY for row in found.rows} == {START // DAY + 1}
    assert len(fake.requests) == 2


def test_a_window_wholly_older_than_the_provider_keeps_covers_nothing(fake, source):
    fake.earliest = START + 9 * DAY
    found = read(source())
    assert (found.start, found.end, found.pages) == (START + 2 * DAY, START + 2 * DAY, 0)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "message",
    ["Invalid bucket.", f"end_time must be before {START + DAY}.", f"bad start_time {START}."],
)
def test_a_400_about_anything_else_is_permanent(fake, source, message):
    fake.faults.append(fake_api.failing(400, message))
    with pytest.raises(SourceError, match=message.rstrip(".")) as failed:
        read(source())
    assert failed.value.permanent
    assert len(fake.requests) == 1


def test_a_provider_that_keeps_naming_later_days_is_asked_twice_only(fake, source):
    fake.faults += [
        fake_api.failing(400, f"start_time {START + n} is too early.") for n in (1, DAY + 1)
    ]
    with pytest.raises(SourceError, match="too early"):
        read(source())
    assert len(fake.requests) == 2


# --- Answers that may be a part ---


def set_last(**fields):
    return lambda page: page.update(fields)


def set_bucket(**shift):
    def change(page):
        for name, seconds in shift.items():
            page["data"][0][name] += seconds

    return change


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (set_last(has_more=True), "more follows and gives no cursor"),
        (set_last(has_more=True, next_page=""), "more follows and gives no cursor"),
        (lambda page: page.pop("has_more"), "has_more"),
        (lambda page: page.pop("data"), "data"),
        (set_bucket(start_time=-DAY, end_time=-DAY), "outside the window"),
        (set_bucket(start_time=3 * DAY, end_time=3 * DAY), "outside the window"),
        (set_bucket(start_time=60, end_time=60), "not aligned to 1h"),
        (set_bucket(end_time=HOUR), "not aligned to 1h"),
        (set_bucket(end_time=-HOUR), "not aligned to 1h"),
        (set_bucket(start_time=HOUR, end_time=HOUR), "came twice"),
        (lambda page: page.update(data=[7]), "Expected `object`"),
    ],
)
def test_an_answer_that_may_be_a_part_is_an_error(fake, source, change, cause):
    fake.faults.append(fake_api.tampered(change))
    with pytest.raises(SourceError, match=re.escape(cause)) as failed:
        read(source())
    assert "usage/completions, page 1: " in str(failed.value)
    assert not failed.value.permanent


def test_a_cursor_that_comes_back_is_an_error(fake, source):
    fake.faults += [fake_api.tampered(set_last(has_more=True, next_page="page_x"))]
    empty = {"data": [], "has_more": True, "next_page": "page_x"}
    fake.faults += [fake_api.answering(200, json.dumps(empty).encode())]
    with pytest.raises(SourceError, match="page 2: its cursor was already"):
        read(source())


def test_the_same_page_under_a_new_cursor_is_an_error(fake, source):
    fake.page_buckets = 20
    first = fake.page(
        fake_openai.Request(
            f"/v1/organization/{COMPLETIONS}",
            (("start_time", str(START)), ("end_time", str(START + DAY)), ("bucket_width", "1h")),
            {"authorization": f"Bearer {ADMIN_KEY}"},
        )
    )
    fake.faults += [None, fake_api.answering(200, json.dumps(first).encode())]
    with pytest.raises(SourceError, match="page 2: bucket 2026-11-01T00:00Z came twice"):
        read(source())


def endless(buckets):
    """A page of which there is always a next one."""
    return [
        fake_api.answering(
            200, json.dumps({"data": buckets, "has_more": True, "next_page": f"page_{n}"}).encode()
        )
        for n in range(60)
    ]


def test_a_provider_without_a_last_page_is_an_error(fake, source):
    fake.faults += endless([])
    with pytest.raises(SourceError, match="page 20: 20 pages in a row are empty"):
        read(source())
    assert len(fake.requests) == 20


def test_empty_pages_between_others_are_followed(fake, source):
    fake.page_buckets = 1
    empty = {"data": [], "has_more": True, "next_page": None}

    def first_empty(page):
        # The same cursor once more would be a circle; the one after it is as good.
        page.update(empty, next_page=fake_api.cursor(fake.requests[-1], START))

    fake.faults.append(fake_api.tampered(first_empty))
    found = read(source())
    assert (found.pages, total(found).tokens) == (49, true_tokens(fake))


def test_a_bucket_beside_the_window_is_left_to_its_own_question(fake, source):
    def with_neighbours(page):
        first, last = page["data"][0], page["data"][-1]
        before = dict(last, start_time=START - HOUR, end_time=START)
        after = dict(first, start_time=last["end_time"], end_time=last["end_time"] + HOUR)
        page["data"] = [before, *page["data"], after]

    fake.faults.append(fake_api.tampered(with_neighbours))
    found = read(source())
    assert total(found).tokens == true_tokens(fake)
    assert not found.notes


def cut_in_a_bucket(fake, change):
    """The first bucket has two groups, and the second of them is `change`d on a page of its own."""
    fake.truth.append(Use(START, counts(text=5), model="other"))
    whole = fake.page(
        fake_openai.Request(
            f"/v1/organization/{COMPLETIONS}",
            (
                ("start_time", str(START)),
                ("end_time", str(START + 2 * DAY)),
                ("bucket_width", "1h"),
                ("limit", "168"),
                ("group_by[]", "model"),
            ),
            {"authorization": f"Bearer {ADMIN_KEY}"},
        )
    )
    first, rest = whole["data"][0], whole["data"][1:]
    one, other = first["results"]
    pages = [
        {"data": [first | {"results": [one]}], "has_more": True, "next_page": "b"},
        {"data": [first | {"results": [change(one, other)]}, *rest], "has_more": False},
    ]
    fake.faults += [fake_api.answering(200, json.dumps(page).encode()) for page in pages]


def test_a_bucket_that_is_cut_by_a_page_is_put_together(fake, source):
    cut_in_a_bucket(fake, lambda one, other: other)
    assert total(read(source())).tokens == true_tokens(fake)


def test_a_group_that_comes_again_with_other_counts_is_an_error(fake, source):
    cut_in_a_bucket(fake, lambda one, other: one | {"input_tokens": 1})
    with pytest.raises(SourceError, match="page 2: bucket 2026-11-01T00:00Z came twice"):
        read(source())


def test_buckets_that_two_pages_share_count_once(fake, source):
    fake.page_buckets = 20

    def overlapping(page):
        page["data"] = fake.pages[-1]["data"][-3:] + page["data"]

    fake.faults += [None, fake_api.tampered(overlapping), fake_api.tampered(overlapping)]
    found = read(source())
    assert (found.pages, total(found).tokens) == (3, true_tokens(fake))


@pytest.mark.parametrize("body", [b"{", b"<html>", b"", b'{"data": [}'])
def test_an_answer_that_is_no_json_is_an_error_that_names_its_page(fake, source, body):
    fake.page_buckets = 20
    fake.faults += [None, *[fake_api.answering(200, body)] * 2]
    with pytest.raises(SourceError, match="page 2: not a page of usage or costs"):
        read(source())


def test_an_answer_that_was_cut_on_the_way_is_asked_for_once_more(fake, source):
    fake.page_buckets = 20
    fake.faults += [None, fake_api.answering(200, b'{"data": [{"start_time": 1')]
    found = read(source())
    assert (found.pages, total(found).tokens) == (3, true_tokens(fake))
    assert fake.requests[1].query == fake.requests[2].query


# --- Refusals, waits and limits of the exchange ---


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry-After": "7"}, [7.0, 7.0]),
        ({"retry-after-ms": "250", "Retry-After": "7"}, [0.25, 0.25]),
        ({}, []),
    ],
)
def test_a_429_is_tried_again_after_the_wait_it_asks_for(fake, source, headers, waits):
    fake.faults += [fake_api.failing(429, "Rate limit reached", headers)] * 2
    openai = source()
    assert total(read(openai)).tokens == true_tokens(fake)
    assert openai.waits == waits
    assert len(fake.requests) == 3


def test_an_asked_wait_is_really_waited(fake):
    fake.faults.append(fake_api.failing(429, "Slow down", {"retry-after-ms": "50"}))
    openai = OpenAI("openai-main", "acme", ADMIN_KEY, base_url=fake.url)
    began = time.monotonic()
    read(openai)
    openai.close()
    assert time.monotonic() - began >= 0.05


def test_a_429_with_a_date_is_tried_again_at_that_date(fake, source):
    fake.faults.append(fake_api.rate_limited_until(time.time() + 25))
    openai = source()
    read(openai)
    assert len(openai.waits) == 1
    assert 0 < openai.waits[0] <= 25


@pytest.mark.parametrize(("asked", "reported"), [("31", 31.0), ("86400", 900.0)])
def test_a_long_wait_is_left_to_the_schedule(fake, source, asked, reported):
    fake.faults.append(fake_api.failing(429, "Slow down.", {"Retry-After": asked}))
    openai = source()
    with pytest.raises(HttpError, match=f"Slow down .it asks to wait {reported:g} s") as failed:
        read(openai)
    assert (failed.value.retry_after, failed.value.permanent) == (reported, False)
    assert (openai.waits, len(fake.requests)) == ([], 1)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_attempts_end(fake, source, status):
    fake.faults += [fake_api.failing(status, "Overloaded")] * 9
    with pytest.raises(
        HttpError, match=f"HTTP {status} from organization/.*: Overloaded"
    ) as failed:
        read(source())
    assert (failed.value.status, failed.value.permanent) == (status, False)
    assert len(fake.requests) == 3


@pytest.mark.parametrize(("status", "word", "requests"), [(429, "false", 1), (409, "true", 2)])
def test_the_servers_word_on_trying_again_counts(fake, source, status, word, requests):
    fake.faults.append(fake_api.failing(status, "Hm", {"x-should-retry": word}))
    openai = source()
    if word == "true":
        read(openai)
    else:
        with pytest.raises(HttpError, match="Hm"):
            read(openai)
    assert len(fake.requests) == requests


@pytest.mark.parametrize(("key", "status"), [("sk-admin-wrong", 401), (PROJECT_KEY, 403)])
def test_a_key_that_is_refused_is_permanent_and_says_which_key_is_needed(fake, source, key, status):
    for ask in (read, lambda openai: openai.probe(NOW)):
        fake.requests.clear()
        with pytest.raises(SourceError, match="needs an Admin key") as failed:
            ask(source(key))
        assert (failed.value.status, failed.value.permanent) == (status, True)
        assert len(fake.requests) == 1


def test_a_broken_connection_is_tried_again(fake, source):
    fake.faults += [fake_api.hanging_up, None]
    assert total(read(source())).tokens == true_tokens(fake)


def test_a_server_that_is_not_there_is_an_error_with_its_address(fake, source):
    with pytest.raises(
        HttpError, match=r"no answer from .* at http://127.0.0.1:9/v1: ConnectE"
    ) as f:
        read(source(base_url="http://127.0.0.1:9/v1"))
    assert (f.value.status, f.value.permanent) == (None, False)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_error_and_not_followed(fake, source, status):
    there = {"Location": "http://127.0.0.1:9/elsewhere"}
    fake.faults.append(fake_api.answering(status, b"", there))
    with pytest.raises(
        HttpError, match=r"it redirects to http://127\.0\.0\.1:9/elsewhere"
    ) as failed:
        read(source())
    assert "set base_url" in failed.value.remedy
    assert failed.value.permanent


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b" "),
    ],
    ids=["head", "body", "chunk size", "endless"],
)
def test_a_server_that_drips_meets_the_deadline_wherever_it_drips(fake, source, head, drop):
    fake.faults.append(fake_api.dripping(head, drop))
    began = time.monotonic()
    with pytest.raises(HttpError, match=r"no complete answer from .* within 0.2 s") as failed:
        read(source(limits={"total_s": 0.2, "read_s": 60.0}))
    assert time.monotonic() - began < 10
    assert (failed.value.permanent, len(fake.requests)) == (False, 1)


@pytest.mark.parametrize(
    "fault",
    [
        fake_api.answering(200, b" " * 5_000_000),
        fake_api.dripping(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"ffff\r\n" + b" " * 65535 + b"\r\n",
        ),
    ],
    ids=["declared", "endless"],
)
def test_an_oversized_answer_is_not_read_to_its_end(fake, source, fault):
    fake.faults.append(fault)
    with pytest.raises(HttpError, match="larger than 100000 bytes") as failed:
        read(source(limits={"body_bytes": 100_000}))
    assert failed.value.permanent


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_is_compressed_unasked_is_read(fake, source, encoding):
    fake.faults.append(fake_api.compressed(encoding))
    assert total(read(source())).tokens == true_tokens(fake)
    assert fake.requests[0].headers["accept-encoding"] == "identity"


def test_a_compressed_answer_is_inflated_to_the_cap_and_no_further(fake, source):
    fake.faults.append(fake_api.answering(200, fake_api.bomb(), {"Content-Encoding": "gzip"}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HttpError, match="larger than 1000000 bytes") as failed:
        read(source(limits={"body_bytes": 1_000_000}))
    assert failed.value.permanent
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


def test_an_encoding_that_cannot_be_bounded_is_refused(fake, source):
    fake.faults.append(fake_api.answering(200, b"{}", {"Content-Encoding": "br"}))
    with pytest.raises(HttpError, match=r"compressed \(br\)"):
        read(source())


def test_what_is_compressed_badly_is_tried_again(fake, source):
    fake.faults.append(fake_api.answering(200, b"{}", {"Content-Encoding": "gzip"}))
    assert total(read(source())).tokens == true_tokens(fake)


def test_a_providers_long_and_evil_words_are_capped_and_cleaned(fake, source):
    fake.faults.append(fake_api.failing(404, "no\r\n\u202esuch" + "x" * 9_000))
    with pytest.raises(HttpError) as failed:
        read(source())
    assert failed.value.detail.startswith("no such")
    assert len(failed.value.detail) == 300
    assert "\n" not in str(failed.value)


# --- The probe and the settings ---


def test_the_probe_reads_one_small_bucket(fake, source):
    assert source().probe(START + DAY + 60) == "1,452 tokens of completions on 2026-11-01"
    assert fake.requests[0].all("limit") == ["1"]
    assert fake.requests[0].all("end_time") == [str(START + DAY)]


def test_streams_say_what_they_feed_and_how_many_days_a_page_holds(source):
    assert [spec[:3] for spec in source().streams()] == [
        ("usage/completions", "usage", 7),
        ("usage/decisions", "usage", 7),
        ("usage/embeddings", "usage", 7),
        ("usage/moderations", "usage", 7),
        ("costs", "bill", 180),
    ]
    assert [spec.chunk_days for spec in source(bucket="1d").streams()] == [31, 31, 31, 31, 180]


def test_an_unknown_dimension_is_refused_with_the_known_ones(source):
    with pytest.raises(InputError, match="group_by cannot be modle") as refused:
        source(group_by=["project_id", "modle"])
    assert "api_key_id, batch, project_id, service_tier, user_id" in refused.value.remedy


# --- The key ---


def test_the_key_is_in_no_log_no_error_no_row_and_no_record(fake, source, caplog):
    caplog.set_level(logging.DEBUG)
    openai = source(limits={"total_s": 0.3})
    echo = {"X-Echo": f"Bearer {ADMIN_KEY}", "Location": f"/?key={ADMIN_KEY}"}
    fake.truth.append(Use(START, counts(text=1), model=f"m {ADMIN_KEY}"))
    shown = [repr(read(openai)), repr(openai), repr(openai.__dict__)]
    for fault in (
        fake_api.failing(401, f"Incorrect API key provided: {ADMIN_KEY}", echo),
        fake_api.failing(400, f"Bad {ADMIN_KEY}", echo),
        fake_api.answering(418, f"<p>{'x' * 280}{ADMIN_KEY}</p>".encode(), echo),
        fake_api.answering(302, b"", echo),
        fake_api.answering(200, ADMIN_KEY.encode(), echo),
        fake_api.answering(200, b"{}", echo | {"Content-Encoding": ADMIN_KEY}),
        fake_api.dripping(f"HTTP/1.1 {ADMIN_KEY}\r\n\r\n".encode(), b"x"),
        fake_api.dripping(f"HTTP/1.1 200 OK\r\nX-Key: {ADMIN_KEY}\r\n\r\n".encode(), b"x"),
    ):
        fake.faults = type(fake.faults)([fault] * 3)
        with pytest.raises(SourceError) as failed:
            read(openai)
        error = failed.value
        while error is not None:
            shown += [str(error), repr(error), repr(vars(error))]
            error = error.__cause__ or error.__context__
    assert fake.requests[0].headers["authorization"] == f"Bearer {ADMIN_KEY}", "it was sent"
    assert "httpcore.http11" in {record.name for record in caplog.records}
    shown += [caplog.text] + [repr(vars(record)) for record in caplog.records]
    leaks = [text for text in shown if "CANARY" in text]
    assert leaks == []


# --- The fake is what the vendor says it is ---


@pytest.fixture(scope="module")
def openapi():
    return json.loads(needs.shared("reference/openai-usage.openapi.json").read_text())


def test_the_fake_knows_the_parameters_of_the_openapi_file(openapi):
    # Decisions are newer than the file; the vendor's models know them.
    known = {path: of for path, of in fake_openai.ENDPOINTS.items() if "decisions" not in path}
    assert set(known) <= set(openapi["paths"])
    for path, endpoint in known.items():
        parameters = {p["name"]: p for p in openapi["paths"][path]["get"]["parameters"]}
        assert endpoint.parameters == set(parameters)
        assert endpoint.groups == set(parameters["group_by"]["schema"]["items"]["enum"])
        widths = parameters["bucket_width"]["schema"]["enum"]
        assert list(endpoint.default_and_largest_limit) == widths
        said = [int(n) for n in re.findall(r"\b\d+\b", parameters["limit"]["description"])]
        limits = endpoint.default_and_largest_limit.values()
        for default, largest in limits:
            assert {default, largest} <= set(said)


def every_stream(fake, openai):
    """Read all that the fake has, grouped and not, so that its pages cover all shapes."""
    fake.truth += uses(audio=3, cached_image=2, written_12h=1)
    few = {"input_tokens": 50, "num_model_requests": 2}
    fake.truth += [Use(START, few, endpoint=name) for name in ("embeddings", "moderations")]
    fake.truth.append(Use(START, counts(text=9, out_text=2), endpoint="decisions"))
    fake.costs = [Cost(START, Decimal("0.0175")), Cost(START + DAY, Decimal(3), api_key_id=None)]
    openai.probe(START + DAY)
    return {spec.name: read(openai, spec.name) for spec in openai.streams()}


def test_the_fakes_pages_and_errors_satisfy_the_openapi_file(fake, source, openapi):
    every_stream(fake, source())
    of_pages = {"$ref": "#/components/schemas/UsageResponse", "components": openapi["components"]}
    of_errors = {"$ref": "#/components/schemas/ErrorResponse", "components": openapi["components"]}
    assert len(fake.pages) == 6
    for page in fake.pages:
        if "decisions" in str(page):
            continue  # newer than the file
        document = json.loads(fake_api.dumps(page))
        jsonschema.validate(document, of_pages, jsonschema.Draft202012Validator)
    error = json.loads(fake_openai.error_body("Invalid 'limit'"))
    jsonschema.validate(error, of_errors, jsonschema.Draft202012Validator)


def test_the_fakes_pages_are_read_without_leftovers_by_the_vendors_models(fake, source):
    from openai.types.admin.organization import UsageCompletionsResponse, UsageDecisionsResponse

    every_stream(fake, source())
    for page in fake.pages:
        kind = UsageDecisionsResponse if "decisions" in str(page) else UsageCompletionsResponse
        found = kind.model_validate_json(fake_api.dumps(page))
        for bucket in found.data:
            for result in bucket.results:
                assert not result.model_extra
        assert not found.model_extra


def test_the_vendors_client_drives_the_fake_and_adds_up_to_our_sums(fake, source):
    import openai

    ours = every_stream(fake, source())
    fake.requests.clear()
    window = {"start_time": START, "end_time": START + 2 * DAY}
    with openai.OpenAI(admin_api_key=ADMIN_KEY, api_key="", base_url=fake.url) as client:
        usage = client.admin.organization.usage
        completions = usage.completions(
            **window, bucket_width="1h", limit=168, group_by=["model", "project_id"]
        )
        costs = usage.costs(**window, limit=180, group_by=["line_item", "api_key_id"])
    results = [result for bucket in completions.data for result in bucket.results]
    tokens = sum(result.input_tokens + result.output_tokens for result in results)
    assert tokens == total(ours[COMPLETIONS]).tokens == true_tokens(fake)
    dollars = sum(result.amount.value for bucket in costs.data for result in bucket.results)
    assert round(dollars * PICO) == sum(row.amount_pico for row in ours["costs"].rows)
    assert fake.requests[0].all("group_by[]") == ["model", "project_id"]
