"""The Bedrock source over real HTTP: a fake whose every word botocore judges, and moto."""

import sys

import pytest

from collectors import registry
from collectors.bedrock import Bedrock
from monitor.config import from_tables
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities
from monitor.wiring import usage
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.contract.kinds.bedrock import CLAUDE, MANTLE, START
from tests.fake_amazon import KEY, TOKEN
from tests.fake_cloudwatch import FakeCloudWatch

NOW = START + 2 * DAY + HOUR


@pytest.fixture
def fake():
    with FakeCloudWatch() as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=KEY, **options):
        return opened(Bedrock("aws", "acme", key, base_url=fake.url, limits=QUICK, **options))

    return make


def read(source, stream="runtime", start=START, days=1, now=NOW):
    return source.read(stream, start, start + days * DAY, now)


def test_a_class_without_a_value_is_unknown_and_both_spellings_are_one(fake, source):
    fake.put("us-east-1", "InputTokenCount", CLAUDE, START, 10)
    fake.put("us-east-1", "CacheReadInputTokens", CLAUDE, START, 90)
    fake.put("us-east-1", "CacheReadInputTokenCount", CLAUDE, START, 90)
    fake.put("us-east-1", "CacheWriteInputTokenCount", CLAUDE, START, 5)
    (row,) = read(source()).rows
    assert row.quantities == Quantities(uncached_input=10, cache_read=90, cache_write=5)
    assert (row.dims.provider, row.dims.model, row.dims.region) == ("aws", CLAUDE, "us-east-1")
    assert (row.start, row.seconds) == (START, HOUR)


def test_each_region_is_asked_for_itself(fake, source):
    for region, tokens in (("us-east-1", 1), ("eu-central-1", 2), ("eu-west-1", 4)):
        fake.put(region, "InputTokenCount", CLAUDE, START, tokens)
    rows = read(source(regions=["us-east-1", "eu-central-1"])).rows
    assert {row.dims.region: row.quantities.tokens for row in rows} == {
        "us-east-1": 1,
        "eu-central-1": 2,
    }


def test_more_metrics_than_one_question_may_hold_are_asked_in_parts(fake, source):
    for number in range(501):
        fake.put("us-east-1", "Invocations", f"m{number}", START, number)
    found = read(source())
    assert sum(row.quantities.requests for row in found.rows) == sum(range(501))
    assert found.pages == 4  # two of names, two of values


def test_one_level_of_mantles_dimensions_is_counted(fake, source):
    def put(value, **dims):
        fake.put("us-east-1", "TotalInputTokens", "", START, value, namespace=MANTLE, **dims)

    put(7, Model="gpt-oss")
    put(7, Project="p1")
    assert [row.quantities.tokens for row in read(source(), "mantle").rows] == [7]
    put(3, Project="p1", Model="gpt-oss")
    put(4, Project="p2", Model="gpt-oss")
    rows = read(source(), "mantle").rows
    assert {row.dims.project: row.quantities.tokens for row in rows} == {"p1": 3, "p2": 4}


def test_days_are_one_bucket_where_they_are_asked_for(fake, source):
    for hour in range(24):
        fake.put("us-east-1", "InputTokenCount", CLAUDE, START + hour * HOUR, 1)
    (row,) = read(source(bucket="1d")).rows
    assert (row.seconds, row.quantities.tokens) == (DAY, 24)


def test_the_future_is_not_asked_for(fake, source):
    fake.put("us-east-1", "InputTokenCount", CLAUDE, START + HOUR + 60, 9)
    found = read(source(), now=START + 2 * HOUR - 1)
    assert not found.rows
    assert fake.requests[-1].document["EndTime"] == START + HOUR
    assert not read(source(), start=START + 3 * DAY, days=1).pages


def test_days_of_which_names_may_be_missing_are_read_only_with_configured_models(fake, source):
    early = START - 20 * DAY
    fake.put("us-east-1", "InputTokenCount", CLAUDE, early, 9)
    first = START + 2 * DAY - 13 * DAY
    found = read(source(), start=early, days=20)
    assert (found.start, found.end) == (first, START)
    assert "nothing before 2026-11-07" in found.notes[0]
    gone = read(source(), start=early, days=1)
    assert (gone.start, gone.pages) == (early + DAY, 0)
    fake.list_metrics = lambda region, document: {"Metrics": []}
    named = read(source(models=[CLAUDE]), start=early, days=1)
    assert (named.start, [row.quantities.tokens for row in named.rows]) == (early, [9])


def test_a_metric_that_did_not_come_to_its_end_is_no_answer(fake, source):
    fake.put("us-east-1", "InputTokenCount", CLAUDE, START, 10)

    def spoil(page):
        page["MetricDataResults"][0]["StatusCode"] = "InternalError"

    fake.faults.extend([None, fake_api.tampered(spoil)])
    with pytest.raises(SourceError, match=r"InputTokenCount of .* is InternalError, no answer"):
        read(source())
    fake.faults.extend([None, fake_api.tampered(lambda page: page["MetricDataResults"].clear())])
    with pytest.raises(SourceError, match="is missing, no answer"):
        read(source())


@pytest.mark.parametrize("fault", [{"NextToken": "0"}, {"MetricDataResults": None}])
def test_a_page_that_repeats_or_is_none_is_refused(fake, source, fault):
    fake.put("us-east-1", "InputTokenCount", CLAUDE, START, 10)
    fake.faults.extend([None, *[fake_api.tampered(lambda page: page.update(fault))] * 3])
    with pytest.raises(SourceError, match=r"came twice|followed|not a page of metric data"):
        read(source())


@pytest.mark.parametrize("value", [-1.0, 2.5, 1e30, "NaN"])
def test_a_value_that_is_no_count_is_a_problem_and_the_others_are_read(fake, source, value):
    for hour in range(2):
        fake.put("us-east-1", "InputTokenCount", CLAUDE, START + hour * HOUR, 10)

    def spoil(page):
        page["MetricDataResults"][0]["Values"][0] = value

    fake.faults.extend([None, fake_api.tampered(spoil)])
    found = read(source())
    assert [row.start for row in found.rows] == [START + HOUR]
    (problem,) = found.problems
    assert problem.place == f"page 1, InputTokenCount of {CLAUDE}, result 1"


def test_a_throttled_call_is_made_again_though_its_status_is_400(fake, source):
    fake.put("us-east-1", "InputTokenCount", CLAUDE, START, 10)
    fake.faults.append(fake_api.failing(400, "ThrottlingException: Rate exceeded"))
    assert len(read(source()).rows) == 1
    fake.faults.extend([fake_api.failing(400, "ThrottlingException: Rate exceeded")] * 2)
    with pytest.raises(SourceError, match="ThrottlingException: Rate exceeded") as refused:
        read(source())
    assert not refused.value.permanent


def test_a_key_without_the_right_is_told_which_one_is_needed(fake, source):
    fake.faults.append(
        fake_api.failing(
            400, "AccessDeniedException: User: arn:aws:iam::1:user/x is not authorized"
        )
    )
    with pytest.raises(SourceError, match="cloudwatch:ListMetrics") as refused:
        source().probe(NOW)
    assert refused.value.permanent


def test_a_sessions_token_is_signed_and_repeated_by_nobody(fake, source, caplog):
    caplog.set_level(1)
    source(f"{KEY}:{TOKEN}").probe(NOW)
    assert fake.requests[-1].headers["x-amz-security-token"] == TOKEN
    fake.faults.append(fake_api.failing(400, f"ExpiredTokenException: {TOKEN} of {KEY}"))
    with pytest.raises(SourceError) as refused:
        source(f"{KEY}:{TOKEN}").probe(NOW)
    assert "CANARY" not in str(refused.value) + caplog.text


@pytest.mark.parametrize("key", ["AKIA-without-a-secret", "a:", "a:b:c:d"])
def test_a_key_that_is_not_two_words_is_refused_without_being_shown(source, key):
    with pytest.raises(SourceError, match="ACCESS_KEY_ID:SECRET_ACCESS_KEY") as refused:
        source(key).probe(NOW)
    assert key not in str(refused.value)


def test_without_a_key_what_the_environment_holds_is_taken(fake, source, monkeypatch, tmp_path):
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match="no AWS credentials were found"):
        source("").probe(NOW)
    with pytest.raises(SourceError, match=r"no AWS credentials: .*nobody"):
        source("", profile="nobody").probe(NOW)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.partition(":")[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.partition(":")[2])
    assert source("").probe(NOW) == "0 models in us-east-1"


def test_without_the_library_the_extra_is_named(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.credentials", None)
    with pytest.raises(SourceError, match=r"crossover-monitor\[aws\]"):
        source().probe(NOW)


def test_it_needs_no_key_in_the_configuration_and_its_options_are_lists(source):
    item = {"name": "main", "kind": "bedrock", "account": "acme"}
    (found,) = usage.sources(from_tables({"source": [item]})).values()
    found.close()
    assert not registry.needs_key(Bedrock)
    for regions in ([], "us-east-1", [""]):
        with pytest.raises(InputError, match="source aws: regions is"):
            source(regions=regions)


def test_another_implementation_of_cloudwatch_is_read_alike(opened):
    """moto, fed by Amazon's own client, knows nothing of ours."""
    import botocore.session
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        client = botocore.session.Session().create_client(
            "cloudwatch",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="AKIA",
            aws_secret_access_key="secret",
        )
        for name, value in (("InputTokenCount", 70), ("OutputTokenCount", 8), ("Invocations", 2)):
            datum = {
                "MetricName": name,
                "Dimensions": [{"Name": "ModelId", "Value": CLAUDE}],
                "Timestamp": START + HOUR + 60,
                "Value": value,
            }
            client.put_metric_data(Namespace="AWS/Bedrock", MetricData=[datum, datum])
        client.close()
        source = opened(Bedrock("aws", "acme", KEY, base_url=url, limits=QUICK))
        (row,) = read(source).rows
        assert row.start == START + HOUR
        assert row.quantities == Quantities(uncached_input=140, output=16, requests=4)
        assert source.probe(NOW) == "1 models in us-east-1"
    finally:
        server.stop()
