"""The Anthropic source over real HTTP, and the fake it is tested with against the vendor's client."""

import json
from decimal import Decimal

import pytest

from collectors.anthropic import ANALYTICS_FROM, Anthropic
from collectors.http import HttpError
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR, Dimensions, Quantities, add
from monitor.storage.rollup import context_of
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.fake_anthropic import ADMIN_KEY, WORKSPACE_KEY, Cost, FakeAnthropic, Use

START = 1_793_491_200  # 2026-11-01
NOW = START + 20 * DAY + 1_800


def uses(days=2):
    """One lump in each second hour, each of another size."""
    return [
        Use(START + HOUR * i, uncached=100 + i, read=7, written_5m=3, written_1h=2, output=5)
        for i in range(0, 24 * days, 2)
    ]


@pytest.fixture
def fake():
    with FakeAnthropic(uses()) as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=ADMIN_KEY, **options):
        return opened(Anthropic("claude", "acme", key, base_url=fake.url, limits=QUICK, **options))

    return make


def read(anthropic, stream="usage", start=START, days=2, now=NOW):
    return anthropic.read(stream, start, start + days * DAY, now)


def total(found):
    quantities = Quantities()
    for row in found.rows:
        quantities = add(quantities, row.quantities)
    return quantities


def paths(fake):
    return [request.path.removeprefix("/v1/organizations/") for request in fake.requests]


BOTH = pytest.mark.parametrize("api", ["analytics", "reports"])


# --- Reading ---


@BOTH
def test_a_window_over_several_pages_is_read_whole(fake, source, api):
    fake.page_size = 10
    found = read(source(api=api))
    assert found.pages == {"analytics": 3, "reports": 5}[api]
    assert total(found).tokens == sum(use.tokens for use in fake.truth)
    assert total(found).requests == {"analytics": 24, "reports": None}[api]
    assert (found.start, found.end) == (START, START + 2 * DAY)
    assert (list(found.problems), list(found.notes)) == ([], [])


def test_both_apis_say_the_same_of_a_day_but_for_its_requests(fake, source):
    fake.truth += [
        Use(START, uncached=9, service_tier="priority", context_window="200k-1M"),
        Use(START, output=8, api_key_id=None, workspace_id=None),
    ]
    by_rows, by_buckets = (read(source(api=api)) for api in ("analytics", "reports"))

    def without_requests(found):
        return {row._replace(quantities=row.quantities._replace(requests=None)) for row in found}

    assert without_requests(by_rows.rows) == set(by_buckets.rows)


def test_classes_are_disjoint_and_writes_have_their_two_lives(fake, source):
    fake.truth = [Use(START, 1, 20, 300, 4_000, 50_000, requests=6)]
    (row,) = read(source()).rows
    assert row.quantities == Quantities(
        uncached_input=1,
        cache_read=20,
        cache_write=300,
        cache_write_long=4_000,
        output=50_000,
        requests=6,
    )
    assert row.dims == Dimensions(
        "acme", "anthropic", "claude-sonnet-5", "wrkspc_01A", "apikey_01", tier="standard"
    )


@pytest.mark.parametrize(
    ("dims", "groups", "context"),
    [
        ({"service_tier": "batch"}, ("service_tier",), "service_tier=batch"),
        ({"context_window": "200k-1M"}, ("context_window",), "context_window=200k-1M"),
        ({"speed": "fast"}, ("speed",), "speed=fast"),
        ({"speed": "fast", "service_tier": None}, ("speed",), "speed=fast"),
        (
            {"service_tier": "priority", "context_window": "200k-1M", "speed": "fast"},
            ("service_tier", "context_window", "speed"),
            "service_tier=priority;context_window=200k-1M;speed=fast",
        ),
        ({}, ("service_tier", "context_window", "speed"), ""),
    ],
)
def test_what_a_price_depends_on_stands_in_the_tier(fake, source, dims, groups, context):
    fake.truth = [Use(START, output=1)._replace(**dims)]
    (row,) = read(source(group_by=groups)).rows
    assert context_of(row.dims.tier, row.dims.batch) == context


def test_a_region_is_a_dimension_where_it_is_asked_for(fake, source):
    fake.truth = [Use(START, output=1, inference_geo="us")]
    assert read(source()).rows[0].dims.region == ""
    assert read(source(group_by=["inference_geo"])).rows[0].dims.region == "us"


@BOTH
def test_money_comes_in_cents(fake, source, api):
    fake.costs = [
        Cost(START, Decimal("137.500000")),
        Cost(START, Decimal("0.000001"), token_type="uncached_input_tokens"),
        Cost(START + DAY, Decimal(-250), cost_type="web_search", token_type=None, model=None),
    ]
    found = read(source(api=api), "cost")
    assert sum(row.amount_pico for row in found.rows) == Decimal("-1.12499999") * PICO
    items = {row.line_item: Decimal(row.amount_pico) / PICO for row in found.rows}
    said = {
        "analytics": ("output_tokens", "uncached_input_tokens", "web_search"),
        "reports": (
            "claude-sonnet-5 Usage - output_tokens",
            "claude-sonnet-5 Usage - uncached_input_tokens",
            "None Usage - web_search",
        ),
    }[api]
    amounts = (Decimal("1.375"), Decimal("0.00000001"), Decimal("-2.5"))
    assert items == dict(zip(said, amounts, strict=True))
    assert {row.currency for row in found.rows} == {"USD"}
    assert {row.dims.project for row in found.rows} == {"wrkspc_01A"}


@BOTH
def test_hours_and_days_have_equal_totals(fake, source, api):
    hours, days = read(source(api=api)), read(source(api=api, bucket="1d"))
    assert {row.seconds for row in hours.rows} == {HOUR}
    assert {row.seconds for row in days.rows} == {DAY}
    assert total(hours) == total(days)


@BOTH
def test_the_future_is_never_asked_for(fake, source, api):
    found = read(source(api=api), now=START + DAY + 5 * HOUR + 60)
    (asked,) = found.request["asked"]
    assert asked["ending_at"] == "2026-11-02T05:00:00Z"
    assert read(source(api=api), now=START + 60).pages == 0


# --- Which API ---


@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_organization_without_analytics_is_read_by_the_reports(fake, source, status):
    fake.no_analytics = status
    found = read(source())
    assert total(found).tokens == sum(use.tokens for use in fake.truth)
    assert paths(fake) == ["analytics/usage", "usage_report/messages"]
    (note,) = found.notes
    assert note.startswith("read from the older reports: the analytics API says The analytics")


def test_once_it_has_answered_a_refusal_of_analytics_is_an_error(fake, source):
    anthropic = source()
    read(anthropic)
    fake.no_analytics = 403
    with pytest.raises(HttpError, match="HTTP 403 from v1/organizations/analytics/usage"):
        read(anthropic)


def test_a_busy_analytics_api_is_an_error_and_no_reason_to_leave_it(fake, source):
    fake.faults += [fake_api.failing(529, "Overloaded")] * 2
    with pytest.raises(HttpError, match="529"):
        read(source())
    assert set(paths(fake)) == {"analytics/usage"}


def test_days_before_analytics_come_from_the_reports(fake, source):
    fake.truth = [Use(ANALYTICS_FROM + n * DAY, output=10 + n) for n in (-2, -1, 0, 1)]
    found = read(source(), start=ANALYTICS_FROM - 2 * DAY, days=4, now=ANALYTICS_FROM + 9 * DAY)
    assert paths(fake) == ["usage_report/messages", "analytics/usage"]
    assert total(found).tokens == 8 + 9 + 10 + 11
    assert found.start == ANALYTICS_FROM - 2 * DAY


def test_days_that_analytics_alone_does_not_have_are_not_covered(fake, source):
    found = read(
        source(api="analytics"), start=ANALYTICS_FROM - DAY, days=3, now=ANALYTICS_FROM + 9 * DAY
    )
    assert found.start == ANALYTICS_FROM
    assert found.notes == ["the analytics API has nothing before 2026-01-01T00:00Z"]


def test_a_year_back_is_as_far_as_analytics_goes(fake, source):
    now = ANALYTICS_FROM + 500 * DAY
    old = read(source(), start=now - now % DAY - 380 * DAY, days=7, now=now)
    assert paths(fake) == ["usage_report/messages"]
    assert old.end - old.start == 7 * DAY


# --- What may be only a part ---


def test_days_that_the_provider_has_still_to_fill_are_not_covered(fake, source):
    fake.refreshed_at = "2026-11-02T10:05:00Z"
    found = read(source(), days=3)
    assert (found.start, found.end) == (START, START + DAY)
    assert {row.start // DAY for row in found.rows} == {START // DAY}
    assert found.notes == ["the provider's data is complete through 2026-11-02T10:05Z"]


def test_today_is_read_as_far_as_it_has_gone(fake, source):
    fake.refreshed_at = "2026-11-02T10:05:00Z"
    found = read(source(), now=START + DAY + 11 * HOUR)
    assert found.end == START + 2 * DAY
    assert not found.notes


def spoiled(**change):
    return fake_api.tampered(lambda page: page.update(change))


def twice(page):
    page["data"].append(page["data"][0])


def elsewhen(page):
    page["data"][0]["starting_at"] = "2025-01-01T00:00:00Z"


@BOTH
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (spoiled(has_more=True, next_page=None), "more follows and gives no cursor"),
        (spoiled(has_more=True, next_page=""), "more follows and gives no cursor"),
        (fake_api.tampered(twice), "came twice"),
        (fake_api.tampered(elsewhen), "is not aligned|outside the window"),
        (fake_api.tampered(lambda page: page.pop("has_more")), "not a page of usage"),
        (fake_api.tampered(lambda page: page.pop("data")), "not a page of usage"),
        (fake_api.answering(200, b'{"data": ['), "not a page of usage"),
        (fake_api.answering(200, b"[" * 9_000), "not a page of usage"),
    ],
)
def test_an_answer_that_may_be_a_part_is_refused(fake, source, api, fault, said):
    fake.faults += [fault] * 2  # what is no JSON is asked for once more
    with pytest.raises(SourceError, match=said) as refused:
        read(source(api=api))
    assert "Nothing of this read was kept" in refused.value.remedy


def test_a_cursor_that_goes_round_is_refused(fake, source):
    again = json.dumps({"data": [], "has_more": True, "next_page": "page_x"}).encode()
    fake.faults += [fake_api.answering(200, again)] * 2
    with pytest.raises(SourceError, match="already followed"):
        read(source(api="reports"))


@BOTH
def test_an_empty_page_with_more_behind_it_is_followed(fake, source, api):
    fake.page_size = 12

    def nothing_yet(page):
        page.update(data=[], has_more=True, next_page=fake_api.cursor(fake.requests[-1], 0))

    fake.faults.append(fake_api.tampered(nothing_yet))
    found = read(source(api=api), start=START, days=2)
    assert total(found).tokens == sum(use.tokens for use in fake.truth)


@BOTH
def test_what_two_pages_share_counts_once(fake, source, api):
    fake.page_size = 10

    def overlapping(page):
        page["data"] = fake.pages[-1]["data"][-2:] + page["data"]

    fake.faults += [None, fake_api.tampered(overlapping)]
    assert total(read(source(api=api))).tokens == sum(use.tokens for use in fake.truth)


# --- Rows that cannot be read ---


def without_writes(used):
    used["cache_creation"] = 5


def negative(used):
    used["output_tokens"] = -1


def enormous(used):
    used["output_tokens"] = 10**30


@BOTH
@pytest.mark.parametrize("damage", [without_writes, negative, enormous])
def test_a_damaged_row_is_a_problem_and_the_others_are_read(fake, source, api, damage):
    def spoil(page):
        first = next(each for each in page["data"] if each.get("results", True))
        damage(first["usage"] if api == "analytics" else first["results"][0])

    fake.faults.append(fake_api.tampered(spoil))
    found = read(source(api=api))
    (problem,) = found.problems
    assert len(found.rows) == len(fake.truth) - 1
    assert problem.place.startswith("page 1, ")
    assert json.loads(problem.payload)


def test_tokens_that_do_not_add_up_are_a_problem(fake, source):
    fake.faults.append(
        fake_api.tampered(lambda page: page["data"][0]["usage"].update(total_tokens=1))
    )
    (problem,) = read(source(api="analytics")).problems
    assert problem.reason == "its tokens add up to 117, not to total_tokens"


@BOTH
@pytest.mark.parametrize("amount", ["NaN", "1e30", "12,50", "", "Infinity", "-1e400000"])
def test_an_amount_that_is_none_is_a_problem(fake, source, api, amount):
    fake.costs = [Cost(START, Decimal(1)), Cost(START + DAY, Decimal(2))]

    def spoil(page):
        first = page["data"][0]
        (first["cost"] if api == "analytics" else first["results"][0])["amount"] = amount

    fake.faults.append(fake_api.tampered(spoil))
    found = read(source(api=api), "cost")
    assert [row.amount_pico for row in found.rows] == [2 * PICO // 100]
    assert len(found.problems) == 1


# --- Credentials and settings ---


@pytest.mark.parametrize(("key", "status"), [(WORKSPACE_KEY, 403), ("sk-ant-admin01-x", 401)])
def test_a_key_without_the_right_is_told_which_one_is_needed(fake, source, key, status):
    for api in ("auto", "analytics", "reports"):
        anthropic = source(key, api=api)
        for ask in (read, lambda each: each.probe(NOW)):
            with pytest.raises(SourceError, match="needs an Admin key") as failed:
                ask(anthropic)
            assert (failed.value.status, failed.value.permanent) == (status, True)


def test_the_probe_names_the_api_that_answered(fake, source):
    assert source().probe(START + DAY + 60) == "1,536 tokens on 2026-11-01, by the analytics API"
    fake.no_analytics = 404
    assert source().probe(START + DAY + 60) == "1,536 tokens on 2026-11-01, by the reports API"


def test_streams_say_what_they_feed_and_how_many_days_a_page_holds(source):
    assert [each[:3] for each in source().streams()] == [
        ("usage", "usage", 7),
        ("cost", "bill", 31),
    ]
    assert [each.chunk_days for each in source(bucket="1d").streams()] == [31, 31]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group_by": ["modle"]}, "group_by cannot be modle"),
        (
            {"group_by": ["workspace_id", "api_key_id", "service_tier", "speed", "inference_geo"]},
            "group_by names 5 dimensions",
        ),
        ({"api": "old"}, "api cannot be 'old'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(source, options, said):
    with pytest.raises(InputError, match=said):
        source(**options)


def test_the_reports_take_more_dimensions_than_analytics(fake, source):
    groups = ["workspace_id", "api_key_id", "service_tier", "context_window", "inference_geo"]
    assert len(read(source(api="reports", group_by=groups)).rows) == len(fake.truth)


# --- The fake is what the vendor says it is ---


def test_the_vendors_client_drives_the_fake_and_adds_up_to_our_sums(fake, source):
    import anthropic

    fake.costs = [Cost(START, Decimal("137.5")), Cost(START + DAY, Decimal("4128.25"))]
    fake.page_size = 7
    window = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-03T00:00:00Z"}
    with anthropic.Anthropic(api_key=ADMIN_KEY, base_url=fake.url) as client:
        asked = client.beta.organization.analytics
        used = list(asked.usage.list(**window, time_bucket_width="1h", group_by=["model"], limit=9))
        paid = list(asked.cost.list(**window, time_bucket_width="1d", group_by=["model"]))
    assert not any(
        item.model_extra or item.group.model_extra or item.usage.model_extra for item in used
    )
    assert not any(item.model_extra or item.cost.model_extra for item in paid)
    fake.page_size = 10_000
    assert sum(item.usage.total_tokens for item in used) == total(read(source())).tokens
    ours = sum(row.amount_pico for row in read(source(), "cost").rows)
    assert sum(Decimal(item.cost.amount) for item in paid) / 100 * PICO == ours
