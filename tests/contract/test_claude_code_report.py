"""The Claude Code report over real HTTP: who used what the organization's usage has anyway."""

import json

import pytest

from collectors.claude_code_report import ClaudeCodeReport
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, Dimensions, Quantities
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.fake_api import FakeApi, Refusal, cursor, cursor_start

KEY = "sk-ant-admin01-CANARY0fake00000000000"
START = 1_793_491_200  # 2026-11-01
NOW = START + 20 * DAY + 1_800
BOT = {"type": "api_actor", "api_key_name": "ci-bot"}
ANA = {"type": "user_actor", "email_address": "ana@example.org"}


def record(day, actor=BOT, **changed):
    return {
        "date": f"2026-11-{day:02d}T00:00:00Z",
        "actor": actor,
        "customer_type": "api",
        "model_breakdown": [
            {
                "model": "claude-sonnet-5",
                "tokens": {"input": 10, "output": 3, "cache_read": 90, "cache_creation": 5},
                "estimated_cost": {"currency": "USD", "amount": 10},
            }
        ],
    } | changed


class FakeReport(FakeApi):
    """`records`, one day a question; `page_size` caps a page."""

    def __init__(self):
        super().__init__()
        self.records = [record(day) for day in range(1, 22)]
        self.page_size = 1000

    def page(self, request):
        if request.headers.get("x-api-key") != KEY:
            raise Refusal(403, "This endpoint requires an Admin API key")
        (day,) = request.all("starting_at")
        found = [each for each in self.records if each["date"].startswith(day)]
        first = cursor_start(request) or 0
        last = first + self.page_size
        more = last < len(found)
        following = cursor(request, last) if more else None
        return {"data": found[first:last], "has_more": more, "next_page": following}

    def error_body(self, message):
        return json.dumps({"type": "error", "error": {"type": "x", "message": message}}).encode()


@pytest.fixture
def fake():
    with FakeReport() as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=KEY, **options):
        options = {"limits": QUICK} | options
        return opened(ClaudeCodeReport("people", "acme", key, base_url=fake.url, **options))

    return make


def read(report, days=1, now=NOW):
    return report.read("claude_code", START, START + days * DAY, now)


def test_each_day_is_asked_for_and_read_over_its_pages(fake, source):
    fake.records += [record(2, ANA), record(2, ANA)]
    fake.page_size = 1
    found = read(source(), days=3)
    assert [request.all("starting_at")[0][-2:] for request in fake.requests] == [
        *("01", "02", "02", "02", "03")
    ]
    assert [(row.start, row.quantities.tokens) for row in found.rows] == [
        (START, 108),
        (START + DAY, 108),
        (START + DAY, 216),
        (START + 2 * DAY, 108),
    ]
    assert (found.start, found.end, list(found.notes)) == (START, START + 3 * DAY, [])


def test_classes_are_disjoint_and_the_estimate_is_left_out(source):
    (row,) = read(source()).rows
    assert row.quantities == Quantities(uncached_input=10, cache_read=90, cache_write=5, output=3)
    assert row.dims == Dimensions("acme", "anthropic", "claude-sonnet-5", api_key="ci-bot")


def test_addresses_of_people_are_kept_only_where_that_is_asked_for(fake, source):
    fake.records = [record(1, ANA)]
    assert [row.dims.actor for row in read(source()).rows] == [""]
    assert [row.dims.actor for row in read(source(people=True)).rows] == ["ana@example.org"]
    with pytest.raises(InputError, match="people is 'yes'"):
        source(people="yes")


def test_seats_are_no_api_spend_and_that_is_said(fake, source):
    fake.records = [record(1), record(1, ANA, customer_type="subscription")]
    found = read(source())
    assert len(found.rows) == 1
    assert found.notes == ["1 records of subscriptions are not counted: they are no API spend"]


def test_today_is_read_once_it_has_an_hour(fake, source):
    report = source()
    assert read(report, now=START + 3_000).pages == 0
    assert read(report, now=START + 7_201).pages == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"date": "2026-11-02T00:00:00Z"},
        {"actor": None},
        {"model_breakdown": 7},
        {"model_breakdown": [{"model": "m", "tokens": {"input": -1}}]},
    ],
)
def test_a_damaged_record_is_a_problem_and_the_others_are_read(fake, source, damage):
    fake.faults.append(fake_api.tampered(lambda page: page["data"].insert(0, record(1) | damage)))
    found = read(source())
    assert len(found.rows) == 1
    assert [problem.place for problem in found.problems] == ["page 1 of 2026-11-01, result 1"]


def test_a_key_without_the_right_is_told_which_one_is_needed(source):
    with pytest.raises(SourceError, match="needs an Admin key") as failed:
        source("sk-ant-api03-x").probe(NOW)
    assert failed.value.permanent


def test_the_probe_reads_yesterday(source):
    assert source().probe(NOW) == "108 tokens of Claude Code on 2026-11-20"
