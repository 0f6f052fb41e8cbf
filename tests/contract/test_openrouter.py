"""The OpenRouter source over real HTTP; its fake's answers are judged by the vendor's client."""

from decimal import Decimal

import pytest

from collectors.openrouter import OpenRouter
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, Quantities
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.fake_openrouter import KEY, FakeOpenRouter, item

START = 1_793_491_200  # 2026-11-01
NOW = START + 20 * DAY + 1_800


@pytest.fixture
def fake():
    with FakeOpenRouter(item(day) for day in range(1, 21)) as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=KEY, **options):
        return opened(OpenRouter("router", "acme", key, base_url=fake.url, limits=QUICK, **options))

    return make


def test_each_day_is_a_question_of_its_own(fake, source):
    found = source().read("activity", START, START + 3 * DAY, NOW)
    asked = [request.query for request in fake.requests]
    assert asked == [(("date", f"2026-11-0{n}"), ("group_by", "workspace")) for n in (1, 2, 3)]
    assert [row.start for row in found.rows] == [START, START + DAY, START + 2 * DAY]
    assert found.rows[1].quantities == Quantities(
        uncached_input=1800, cache_read=200, output=20, reasoning=2, requests=2
    )
    assert found.rows[1].dims.project == "ws_1"
    assert (found.pages, list(found.problems), list(found.notes)) == (3, [], [])


def test_charged_credits_are_the_bill_and_what_others_bill_is_not(source):
    found = source().read("charges", START, START + 3 * DAY, NOW)
    amounts = [Decimal(row.amount_pico) / PICO for row in found.rows]
    assert amounts == [Decimal("0.001"), Decimal("0.002"), Decimal("0.003")]
    assert {(row.currency, row.line_item) for row in found.rows} == {("USD", "credits")}


def test_today_is_neither_asked_for_nor_covered(fake, source):
    today = START + 20 * DAY
    found = source().read("activity", today - DAY, today + DAY, NOW)
    assert [request.all("date") for request in fake.requests] == [["2026-11-20"]]
    assert (found.start, found.end) == (today - DAY, today)
    none = source().read("activity", today, today + DAY, NOW)
    assert (none.start, none.end, none.pages) == (today, today, 0)


def test_days_that_the_api_has_no_longer_are_not_covered_and_said(fake, source):
    found = source().read("activity", START - 15 * DAY, START - 5 * DAY, NOW)
    assert fake.requests[0].all("date") == ["2026-10-22"]
    assert found.start == START - 10 * DAY
    assert found.notes == ["the API keeps 30 days: nothing before 2026-10-22 can be read"]
    gone = source().read("activity", START - 40 * DAY, START - 30 * DAY, NOW)
    assert (gone.start, gone.end) == (START - 30 * DAY, START - 30 * DAY)


def test_endpoints_of_one_model_are_one_series(fake, source):
    fake.items = [item(1), item(1, endpoint_id="other", provider_name="Azure")]
    (row,) = source().read("activity", START, START + DAY, NOW).rows
    assert row.quantities.requests == 2


def test_a_row_that_comes_twice_counts_once(fake, source):
    fake.items = [item(1), item(1), item(1, requests=3)]
    (row,) = source().read("activity", START, START + DAY, NOW).rows
    assert row.quantities.requests == 4


def test_a_replayed_answer_never_makes_input_negative(fake, source):
    fake.items = [item(1, prompt_tokens=5, cached_tokens=90)]
    (row,) = source().read("activity", START, START + DAY, NOW).rows
    assert (row.quantities.uncached_input, row.quantities.cache_read) == (0, 90)


def test_what_is_not_told_is_unknown_and_not_zero(fake, source):
    fake.items = [item(1, model=None, cached_tokens=None, reasoning_tokens=None, requests=None)]
    (row,) = source().read("activity", START, START + DAY, NOW).rows
    assert row.quantities == Quantities(uncached_input=1000, output=10)
    assert row.dims.model == ""


def test_amounts_keep_every_digit_however_they_are_written(fake, source):
    fake.items = [item(1, usage="0.1"), item(1, usage=1e-7), item(1, usage="1e-7")]
    (row,) = source().read("charges", START, START + DAY, NOW).rows
    assert Decimal(row.amount_pico) / PICO == Decimal("0.1000002")


def test_workspaces_are_asked_for_only_where_they_are_wanted(fake, source):
    (row,) = source(by_workspace=False).read("activity", START, START + DAY, NOW).rows
    assert row.dims.project == ""
    with pytest.raises(InputError, match="by_workspace is 'no'"):
        source(by_workspace="no")


@pytest.mark.parametrize(
    "damage", [{"date": "2026-11-02"}, {"usage": "five"}, {"prompt_tokens": -1}, {"usage": 1e300}]
)
def test_a_damaged_row_is_a_problem_and_the_others_are_read(fake, source, damage):
    def spoil(page):
        page["data"].insert(0, item(1) | damage)

    fake.faults.append(fake_api.tampered(spoil))
    found = source().read("charges", START, START + DAY, NOW)
    assert len(found.rows) == 1
    assert [problem.place for problem in found.problems] == ["page 1 of 2026-11-01, result 1"]


@pytest.mark.parametrize("body", [b"{}", b'{"data": {}}', b"<p>Hello</p>"])
def test_an_answer_that_is_no_activity_is_refused(fake, source, body):
    fake.faults += [fake_api.answering(200, body)] * 2
    with pytest.raises(SourceError, match="activity, page 1: not a page of activity"):
        source().read("activity", START, START + DAY, NOW)


def test_a_key_without_the_right_is_told_which_one_is_needed(source):
    with pytest.raises(SourceError, match="needs a management key") as failed:
        source("sk-or-v1-ordinary").probe(NOW)
    assert failed.value.permanent


def test_the_probe_reads_yesterday(source):
    assert source().probe(NOW) == "20,200 tokens on 2026-11-20"


def test_the_fakes_answers_are_read_by_the_vendors_client(fake):
    from openrouter import OpenRouter as Client

    with Client(api_key=KEY, server_url=fake.url) as client:
        found = client.analytics.get_user_activity(request={"date_": "2026-11-02"})
    (ours,) = (each for each in fake.items if each["date"] == "2026-11-02")
    (theirs,) = found.data
    shared = theirs.model_dump()
    assert shared["prompt_tokens"] == ours["prompt_tokens"]
    assert shared["usage"] == ours["usage"]
    assert set(shared) - {"workspace_id"} <= set(ours)
