"""The Langfuse source over real HTTP: what makes an answer whole, and what its counts mean."""

import json

import pytest

from collectors import langfuse
from collectors.langfuse import Langfuse
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.fake_langfuse import DAILY, KEY, METRICS, FakeLangfuse, iso

START = 1_794_960_000  # 2026-11-18
NOW = START + 3 * DAY + 1_800


@pytest.fixture
def fake():
    with FakeLangfuse() as server:
        server.calls = [
            (START + 9 * HOUR, "gpt-5-mini", "production", 1000, 50, 1050),
            (START + 9 * HOUR + 59, "gpt-5-mini", "production", 500, 5, 505),
            (START + 9 * HOUR, "gpt-5-mini", "staging", 7, 1, 8),
            (START + DAY, "claude-sonnet-4-5", "production", 300, 30, 330),
            (START + 2 * DAY + HOUR, "our-own-70b", "production", 20, 2, 22),
        ]
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=KEY, **options):
        return opened(Langfuse("traces", "acme", key, base_url=fake.url, limits=QUICK, **options))

    return make


def read(found, days=1):
    return found.read("usage", START, START + days * DAY, NOW)


def counted(found):
    return {
        (row.start - START, row.seconds, row.dims.model, row.dims.project): row.quantities[:]
        for row in found.rows
    }


def quantities(uncached, output, requests):
    return Quantities(uncached_input=uncached, output=output, requests=requests)[:]


def test_hours_are_read_by_model_and_environment(source):
    found = read(source())
    assert counted(found) == {
        (9 * HOUR, HOUR, "gpt-5-mini", "production"): quantities(1500, 55, 2),
        (9 * HOUR, HOUR, "gpt-5-mini", "staging"): quantities(7, 1, 1),
    }
    assert (found.pages, list(found.problems), list(found.notes)) == (1, [], [])


def test_the_instant_between_two_days_is_counted_once(source):
    days = source()
    each_day = [days.read("usage", START + n * DAY, START + (n + 1) * DAY, NOW) for n in range(3)]
    assert [len(found.rows) for found in each_day] == [2, 1, 1]
    assert sum(found.rows != [] for found in each_day) == 3
    assert {row for found in each_day for row in found.rows} == set(read(days, 3).rows)


def test_an_answer_as_long_as_its_limit_is_never_taken_as_whole(fake, source, monkeypatch):
    whole = read(source(), 3)
    monkeypatch.setattr(langfuse, "_ROWS", 3)
    sliced = read(source(), 3)
    assert sliced.rows == sorted(whole.rows, key=lambda row: row.start)
    assert sliced.pages > 1
    spans = [tuple(each) for each in sliced.request["slices"]]
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]], "without a gap"


def test_an_hour_that_reaches_the_limit_is_refused(fake, source, monkeypatch):
    monkeypatch.setattr(langfuse, "_ROWS", 2)
    fake.calls = [(at + 1, *call) for at, *call in fake.calls]
    with pytest.raises(SourceError, match="the hour from 2026-11-18T09:00Z has 2 rows") as refused:
        read(source())
    assert refused.value.permanent
    assert "group_by" in refused.value.remedy


def test_a_day_is_one_bucket_where_days_are_wanted(source):
    found = read(source(bucket="1d", group_by=[]), 2)
    assert counted(found) == {
        (0, DAY, "gpt-5-mini", ""): quantities(1507, 56, 3),
        (DAY, DAY, "claude-sonnet-4-5", ""): quantities(300, 30, 1),
    }


def test_an_older_server_is_read_by_days_into_the_same_stream(fake, source):
    fake.metrics = False
    found = read(source(), 3)
    assert counted(found) == {
        (0, DAY, "gpt-5-mini", ""): quantities(1507, 56, 3),
        (DAY, DAY, "claude-sonnet-4-5", ""): quantities(300, 30, 1),
        (2 * DAY, DAY, "our-own-70b", ""): quantities(20, 2, 1),
    }
    assert found.pages == 2
    assert found.notes == ["read by days: the server has no metrics API of version 2"]
    assert {request.path for request in fake.requests} == {METRICS, DAILY}
    assert [spec.name for spec in source().streams()] == ["usage"]


def test_a_server_that_has_answered_is_not_left_for_an_error(fake, source):
    both = source()
    read(both)
    fake.metrics = False
    with pytest.raises(SourceError, match="HTTP 404"):
        read(both)
    assert DAILY not in {request.path for request in fake.requests}


@pytest.mark.parametrize("status", [400, 403, 500])
def test_another_refusal_is_no_reason_for_the_older_api(fake, source, status):
    fake.faults.extend([fake_api.failing(status, "no")] * 2)
    with pytest.raises(SourceError, match=f"HTTP {status}"):
        read(source())
    assert DAILY not in {request.path for request in fake.requests}


def test_a_named_api_is_the_only_one_asked(fake, source):
    read(source(api="daily"))
    assert {request.path for request in fake.requests} == {DAILY}
    fake.metrics = False
    with pytest.raises(SourceError, match="HTTP 404"):
        read(source(api="metrics"))


def test_days_that_were_named_and_did_not_come_are_missed(fake, source):
    fake.faults.append(fake_api.tampered(lambda page: page["data"].pop()))
    with pytest.raises(SourceError, match=r"3 days from .* were named and 2 came"):
        read(source(api="daily"), 3)


def test_rows_that_fill_gaps_and_spans_of_no_model_are_no_usage(fake, source):
    def fill(page):
        gaps = [{"time_dimension": iso(START + n * HOUR)} for n in (1, 2, 2)]
        sums = ("sum_inputTokens", "sum_outputTokens", "sum_totalTokens", "count_count")
        nothing = dict.fromkeys(sums, 0) | {"providedModelName": None, "environment": ""}
        page["data"] += [gap | nothing for gap in gaps]

    plain = read(source())
    fake.faults.append(fake_api.tampered(fill))
    assert read(source()) == plain

    def spans(page):
        span = {"model": None, "countObservations": 9, "inputUsage": 0, "outputUsage": "0"}
        page["data"][0]["usage"].append(span)

    daily = read(source(api="daily"))
    fake.faults.append(fake_api.tampered(spans))
    assert read(source(api="daily")) == daily


def test_the_day_at_which_the_question_ends_is_not_counted_with_it(fake, source):
    def more(page):
        page["data"].append(page["data"][0] | {"date": iso(START + DAY)})
        page["meta"]["totalItems"] += 1

    fake.faults.append(fake_api.tampered(more))
    assert read(source(api="daily")) == read(source(api="daily"))


@pytest.mark.parametrize(
    ("date", "said"), [(START, "came twice"), (START - 2 * DAY, "outside the window")]
)
def test_a_day_that_cannot_belong_to_the_answer_is_refused(fake, source, date, said):
    fake.faults.append(
        fake_api.tampered(lambda page: page["data"].append(page["data"][0] | {"date": iso(date)}))
    )
    with pytest.raises(SourceError, match=said):
        read(source(api="daily"))


def test_tokens_with_two_names_are_refused_and_the_other_rows_read(fake, source):
    fake.calls.append((START + 3 * HOUR, "gpt-4o", "production", 1800, 50, 1050))
    for found in (read(source()), read(source(api="daily"))):
        (problem,) = found.problems
        assert "its input (1,800) and output (50) are more than its total (1,050)" in problem.reason
        assert "gpt-5-mini" in {row.dims.model for row in found.rows}
        assert "gpt-4o" not in {row.dims.model for row in found.rows}


def test_tokens_that_are_neither_input_nor_output_are_noted(fake, source):
    fake.calls.append((START + 3 * HOUR, "gpt-4o", "production", 100, 50, 400))
    found = read(source())
    assert not found.problems
    assert ["not counted" in note for note in found.notes] == [True]


def test_a_total_that_is_not_known_judges_nothing(fake, source):
    fake.calls = [(START, "gpt-4o", "production", 100, 50, 0)]
    found = read(source())
    assert counted(found) == {(0, HOUR, "gpt-4o", "production"): quantities(100, 50, 1)}


def renamed(page):
    for row in page["data"]:
        row["timeDimension"] = row.pop("time_dimension")[:-1].replace("T", " ")
        row["inputTokens_sum"] = float(row.pop("sum_inputTokens"))
        row["outputTokens"] = row.pop("sum_outputTokens")
        row["provided_model_name"] = row.pop("providedModelName")


def test_other_writings_of_the_same_answer_are_read(fake, source):
    plain = read(source())
    fake.faults.append(fake_api.tampered(renamed))
    assert read(source()) == plain


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.pop("sum_inputTokens"), "a row has no sum_inputTokens, only"),
        (lambda row: row.pop("time_dimension"), "a row has no time_dimension"),
        (lambda row: row.update(time_dimension=7), "7 is no time"),
        (lambda row: row.update(time_dimension=iso(START - 2 * HOUR)), "outside the window"),
        (lambda row: row.update(time_dimension=iso(START + 60)), "not aligned"),
        (lambda row: row.update(environment="staging"), "came twice"),
    ],
)
def test_an_answer_of_another_shape_is_refused_as_a_whole(fake, source, change, said):
    fake.faults.append(fake_api.tampered(lambda page: change(page["data"][0])))
    with pytest.raises(SourceError, match=said):
        read(source())


@pytest.mark.parametrize("count", ["many", -1, "1.5", True, 10**16, [1], "NaN"])
def test_a_damaged_count_is_a_problem_and_the_others_are_read(fake, source, count):
    fake.faults.append(
        fake_api.tampered(lambda page: page["data"][0].update(sum_inputTokens=count))
    )
    found = read(source())
    assert len(found.rows) == 1
    assert [problem.place for problem in found.problems] == ["page 1, result 1"]
    assert "count" in found.problems[0].reason


def test_a_count_that_is_not_said_stays_unknown(fake, source):
    fake.faults.append(
        fake_api.tampered(lambda page: page["data"][0].update(sum_outputTokens=None))
    )
    row = next(row for row in read(source()).rows if row.dims.project == "production")
    assert row.quantities == Quantities(uncached_input=1500, requests=2)


def test_who_serves_a_model_is_told_from_its_name_or_by_the_configuration(fake, source):
    names = ["gpt-5-mini", "claude-sonnet-4-5", "our-own-70b", "GPT-4o", "o3-mini", "openai/gpt-5"]
    fake.calls = [(START, name, "production", 1, 1, 2) for name in names]
    told = {row.dims.model: row.dims.provider for row in read(source()).rows}
    assert told == {
        "gpt-5-mini": "openai",
        "claude-sonnet-4-5": "anthropic",
        "our-own-70b": "",
        "GPT-4o": "openai",
        "o3-mini": "openai",
        "openai/gpt-5": "openai",
    }
    ours = source(providers={"gpt-*": "azure", "Our-*": "self"})
    told = {row.dims.model: row.dims.provider for row in read(ours).rows}
    assert (told["gpt-5-mini"], told["our-own-70b"]) == ("azure", "self")
    assert told["claude-sonnet-4-5"] == "anthropic"


def test_a_trace_is_the_label_where_it_is_wanted(source):
    rows = read(source(group_by=["traceName"])).rows
    assert {(row.dims.project, row.dims.label) for row in rows} == {("", "t")}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"api": "v1"}, "api cannot be 'v1'"),
        ({"group_by": ["userId"]}, "group_by cannot be userId"),
        ({"group_by": ["tags"]}, "group_by cannot be tags"),
        ({"providers": ["openai"]}, "providers is no table"),
        ({"providers": {"gpt-*": 1}}, "providers is no table"),
    ],
)
def test_an_option_that_cannot_be_is_refused(source, option, said):
    with pytest.raises(InputError, match=said):
        source(**option)


def test_a_key_alone_is_told_that_a_pair_is_needed(source):
    with pytest.raises(SourceError, match="HTTP 401") as refused:
        source("sk-lf-CANARY000000000000").probe(NOW)
    assert refused.value.permanent
    assert "PUBLIC:SECRET" in refused.value.remedy


def test_the_probe_says_which_api_answers(fake, source):
    assert source().probe(START + DAY + HOUR) == "1,563 tokens on 2026-11-18, by the metrics API"
    fake.metrics = False
    assert source().probe(START + DAY + HOUR) == "1,563 tokens on 2026-11-18, by the daily API"


def test_the_future_is_neither_asked_for_nor_read(fake, source):
    found = source().read("usage", START, START + 2 * DAY, START + 10 * HOUR + 5)
    asked = json.loads(fake.requests[0].all("query")[0])
    assert asked["toTimestamp"] == "2026-11-18T10:00:00Z"
    assert (found.start, found.end, len(found.rows)) == (START, START + 2 * DAY, 2)
