"""The Azure source over real HTTP, with tokens that the real azure-identity fetches."""

import sys

import pytest

from collectors.azure import Azure
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.contract.kinds.azure import START
from tests.fake_azure import LOGIN, RESOURCE, SECRET, FakeMonitor, redirect

NOW = START + 2 * DAY + HOUR
PROMPT, CALLS = "ProcessedPromptTokens", "AzureOpenAIRequests"


@pytest.fixture
def fake(monkeypatch):
    with FakeMonitor() as server:
        redirect(monkeypatch, server)
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=SECRET, **options):
        chosen = {"resources": [RESOURCE], **LOGIN, **options}
        return opened(Azure("az", "acme", key, base_url=fake.url, limits=QUICK, **chosen))

    return make


@pytest.fixture
def ready(fake, source):
    """A source that has its token, so that the next fault meets a question of its own."""

    def make(**options):
        made = source(**options)
        made.probe(NOW)
        return made

    return make


def read(source, start=START, days=1, now=NOW):
    return source.read("tokens", start, start + days * DAY, now)


def test_a_deployment_is_the_project_and_the_model_unless_one_is_named(fake, source):
    fake.put(PROMPT, "chat-prod", START, 10)
    fake.put(CALLS, "chat-prod", START, 2, status="200")
    (row,) = read(source()).rows
    assert row.quantities == Quantities(uncached_input=10, output=None, requests=2)
    assert (row.dims.provider, row.dims.region) == ("azure", "swedencentral")
    assert (row.dims.model, row.dims.project) == ("chat-prod", "acme-openai/chat-prod")
    (named,) = read(source(deployments={"chat-prod": "gpt-5-mini"})).rows
    assert (named.dims.model, named.dims.project) == ("gpt-5-mini", "acme-openai/chat-prod")


def test_hours_without_a_call_are_no_rows_and_a_class_that_is_0_beside_others_is_0(fake, source):
    fake.put(PROMPT, "embed", START + 5 * HOUR, 10)
    fake.put("GeneratedTokens", "embed", START + DAY, 1)
    (row,) = read(source()).rows
    assert (row.start, row.seconds) == (START + 5 * HOUR, HOUR)
    assert row.quantities == Quantities(uncached_input=10, output=0)


def test_refused_requests_do_not_count(fake, source):
    for status, count in (("200", 3), ("201", 1), ("429", 50), ("500", 7)):
        fake.put(CALLS, "chat", START, count, status=status)
    assert [row.quantities.requests for row in read(source()).rows] == [4]


def test_one_of_two_names_of_the_same_traffic_is_read(fake, source):
    fake.put(PROMPT, "chat", START, 10)
    fake.put("InputTokens", "chat", START, 10)
    assert [row.quantities.tokens for row in read(source()).rows] == [10]
    assert [row.quantities.tokens for row in read(source(names="foundry")).rows] == [10]


def test_more_series_than_azure_gives_unasked_are_read_and_too_many_are_no_answer(
    fake, source, monkeypatch
):
    for number in range(30):
        fake.put(PROMPT, f"d{number}", START, 1)
    assert len(read(source()).rows) == 30
    monkeypatch.setattr("collectors.azure._MOST_SERIES", 30)
    with pytest.raises(SourceError, match="has 30 series and may have more"):
        read(source())


def test_days_are_made_of_hours_and_the_future_is_not_asked_for(fake, source):
    for hour in range(30):
        fake.put(PROMPT, "chat", START + hour * HOUR, 1)
    rows = read(source(bucket="1d"), days=2, now=START + DAY + 3 * HOUR + 5).rows
    assert [(row.start, row.seconds, row.quantities.tokens) for row in rows] == [
        (START, DAY, 24),
        (START + DAY, DAY, 3),
    ]
    span = dict(fake.requests[-1].query)["timespan"]
    assert span == "2026-11-18T00:00:00Z/2026-11-19T03:00:00Z"


def test_days_that_azure_has_no_longer_are_not_covered(fake, source):
    found = read(source(), start=START - 100 * DAY, days=100)
    assert found.start == START + 2 * DAY - 92 * DAY
    assert "Azure keeps its metrics for 93 days" in found.notes[0]
    gone = read(source(), start=START - 100 * DAY, days=1)
    assert (gone.start, gone.pages) == (gone.end, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"errorCode": "InternalError"}, "is InternalError, no answer"),
        ({"name": {"value": "Other"}}, "it holds Other, GeneratedTokens"),
    ],
)
def test_a_metric_that_did_not_come_is_no_answer(fake, ready, change, said):
    client = ready()
    fake.faults.append(fake_api.tampered(lambda page: page["value"][0].update(change)))
    with pytest.raises(SourceError, match=said):
        read(client)


def test_an_hour_that_comes_twice_is_no_answer(fake, ready):
    fake.put(PROMPT, "chat", START, 1)
    client = ready()

    def spoil(page):
        page["value"][0]["timeseries"] *= 2

    fake.faults.append(fake_api.tampered(spoil))
    with pytest.raises(SourceError, match="came twice"):
        read(client)


@pytest.mark.parametrize(
    "damage", [{"total": -1}, {"total": 1.5}, {"total": "many"}, {"timeStamp": "soon"}]
)
def test_a_damaged_point_is_a_problem_and_the_others_are_read(fake, ready, damage):
    for hour in range(2):
        fake.put(PROMPT, "chat", START + hour * HOUR, 10)
    client = ready()

    def spoil(page):
        page["value"][0]["timeseries"][0]["data"][0].update(damage)

    fake.faults.append(fake_api.tampered(spoil))
    found = read(client)
    assert [row.start for row in found.rows] == [START + HOUR]
    (problem,) = found.problems
    assert problem.place == f"page 1, {PROMPT}, series 1, result 1"


def test_a_total_that_is_absent_is_unknown(fake, ready):
    for name in (PROMPT, "GeneratedTokens"):
        fake.put(name, "chat", START, 10)
    client = ready()

    def spoil(page):
        del page["value"][1]["timeseries"][0]["data"][0]["total"]

    fake.faults.append(fake_api.tampered(spoil))
    (row,) = read(client).rows
    assert row.quantities == Quantities(uncached_input=10)


def test_a_token_is_fetched_once(fake, source):
    client = source()
    for _ in range(3):
        read(client)
    assert fake.tokens == 1


def test_a_refused_secret_is_told_without_it(fake, source, caplog):
    caplog.set_level(1)
    fake.secret = "another"
    with pytest.raises(SourceError, match=r"no token: .*AADSTS7000215") as refused:
        source().probe(NOW)
    assert refused.value.permanent
    assert "CANARY" not in str(refused.value) + caplog.text


def test_a_secret_without_its_application_is_told(source):
    with pytest.raises(SourceError, match="the application is not named") as refused:
        source(tenant="", client_id="").probe(NOW)
    assert refused.value.permanent
    with pytest.raises(InputError, match="one is missing"):
        source(client_id="")
    with pytest.raises(InputError, match="tenant is 5"):
        source(tenant=5)


def test_a_missing_role_is_told(fake, ready):
    client = ready()
    fake.faults.append(fake_api.failing(403, "The client does not have authorization"))
    with pytest.raises(SourceError, match="role Monitoring Reader") as refused:
        read(client)
    assert refused.value.permanent


def test_without_a_key_the_machines_identity_is_asked_for(fake, source, monkeypatch):
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Nobody)
    with pytest.raises(SourceError, match="Azure gave no token: nobody is here"):
        source("").probe(NOW)


class Nobody:
    """A machine without an identity; the real one would ask the network."""

    def __init__(self, **named):
        assert named["authority"] == "login.microsoftonline.com"

    def get_token(self, scope):
        from azure.identity import CredentialUnavailableError

        raise CredentialUnavailableError("nobody is here\nand more")

    def close(self):
        pass


def test_without_the_library_the_extra_is_named(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(SourceError, match=r"crossover-monitor\[azure\]"):
        source().probe(NOW)


@pytest.mark.parametrize(
    "options",
    [
        {"resources": []},
        {"resources": ["acme-openai"]},
        {"resources": [f"{RESOURCE}/../x"]},
        {"deployments": ["chat"]},
        {"deployments": {"chat": 5}},
        {"names": "both"},
    ],
)
def test_options_that_cannot_be_used_are_refused(source, options):
    with pytest.raises(InputError, match=next(iter(options))):
        source(**options)
