"""The Vertex AI source over real HTTP, with tokens that google-auth fetches by a signed assertion."""

import json
import sys

import pytest

from collectors.vertex import Vertex
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.contract.kinds.vertex import GEMINI, START
from tests.fake_google import TOKEN, keys
from tests.fake_monitoring import FakeMonitoring

NOW = START + 2 * DAY + HOUR


@pytest.fixture
def fake():
    with FakeMonitoring() as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(key=None, **options):
        chosen = {"projects": ["acme"], **options}
        key = fake.service_account() if key is None else key
        return opened(
            Vertex("vertex", "acme", key, base_url=f"{fake.url}/v3", limits=QUICK, **chosen)
        )

    return make


def read(source, start=START, days=1, now=NOW):
    return source.read("tokens", start, start + days * DAY, now)


def test_both_metrics_are_one_row_and_what_no_series_says_is_unknown(fake, source):
    fake.put("acme", "token_count", GEMINI, START, 100, type="input")
    fake.put("acme", "model_invocation_count", GEMINI, START, 3, response_code="200")
    (row,) = read(source()).rows
    assert row.quantities == Quantities(uncached_input=100, requests=3)
    assert (row.dims.provider, row.dims.model, row.dims.project) == ("google", GEMINI, "acme")
    assert (row.start, row.seconds, row.dims.region) == (START, HOUR, "us-central1")


def test_versions_modalities_and_provisioned_throughput_are_told_apart(fake, source):
    fake.put("acme", "token_count", "claude", START, 1, "20250929", type="input")
    fake.put("acme", "token_count", GEMINI, START, 2, type="input", modality="AUDIO")
    fake.put("acme", "token_count", GEMINI, START, 4, type="input", request_type="shared")
    fake.put("acme", "token_count", GEMINI, START, 8, type="input", request_type="dedicated")
    rows = {(r.dims.model, r.dims.tier): r.quantities for r in read(source()).rows}
    assert rows == {
        ("claude@20250929", ""): Quantities(uncached_input=1),
        (GEMINI, ""): Quantities(uncached_input=4, audio_input=2),
        (GEMINI, "dedicated"): Quantities(uncached_input=8),
    }


def test_tokens_of_an_unknown_type_are_kept_apart_and_folded_into_nothing(fake, source):
    fake.put("acme", "token_count", GEMINI, START, 100, type="input")
    fake.put("acme", "token_count", GEMINI, START, 50, type="thinking")
    found = read(source())
    assert [row.quantities.tokens for row in found.rows] == [100]
    (problem,) = found.problems
    assert "tokens of type 'thinking' are neither input nor output" in problem.reason
    assert '"50"' in problem.payload


def test_each_project_is_asked_for_itself(fake, source):
    for project, tokens in (("acme", 1), ("acme-eu", 2), ("other", 4)):
        fake.put(project, "token_count", GEMINI, START, tokens, type="output")
    rows = read(source(projects=["acme", "acme-eu", "acme"])).rows
    assert {r.dims.project: r.quantities.output for r in rows} == {"acme": 1, "acme-eu": 2}


def test_days_are_made_of_hours(fake, source):
    for hour in range(30):
        fake.put("acme", "token_count", GEMINI, START + hour * HOUR, 1, type="input")
    rows = read(source(bucket="1d"), days=2, now=START + DAY + 3 * HOUR + 5).rows
    assert [(row.start, row.seconds, row.quantities.tokens) for row in sorted(rows)] == [
        (START, DAY, 24),
        (START + DAY, DAY, 3),
    ]


def test_the_future_and_what_google_has_no_longer_are_not_asked_for(fake, source):
    found = read(source(), now=START + 2 * HOUR - 1)
    assert dict(fake.requests[-1].query)["interval.endTime"] == "2026-11-18T01:00:00Z"
    assert found.pages == 2
    early = read(source(), start=START - 60 * DAY, days=60)
    assert early.start == START + 2 * DAY - 41 * DAY
    assert list(early.notes) == [
        "Google keeps its metrics for six weeks: nothing before 2026-10-10"
    ]
    gone = read(source(), start=START - 60 * DAY, days=7)
    assert (gone.start, gone.pages) == (gone.end, 0)


@pytest.mark.parametrize(
    "damage",
    [
        {"value": {}},
        {"value": {"int64Value": "-5"}},
        {"value": {"int64Value": "many"}},
        {"interval": {}},
    ],
)
def test_a_damaged_point_is_a_problem_and_the_others_are_read(fake, source, damage):
    for hour in range(2):
        fake.put("acme", "token_count", GEMINI, START + hour * HOUR, 10, type="input")

    def spoil(page):
        page["timeSeries"][0]["points"][0].update(damage)

    client = source()
    client.probe(NOW)
    fake.faults.append(fake_api.tampered(spoil))
    found = read(client)
    assert [row.start for row in found.rows] == [START]
    assert [problem.place for problem in found.problems] == ["page 1, series 1, result 1"]


def test_a_series_that_comes_twice_is_no_answer(fake, source):
    fake.put("acme", "token_count", GEMINI, START, 10, type="input")
    client = source()
    client.probe(NOW)
    fake.faults.append(fake_api.tampered(lambda p: p["timeSeries"].extend(p["timeSeries"])))
    with pytest.raises(SourceError, match="came twice"):
        read(client)
    fake.faults.extend(
        [fake_api.tampered(lambda p: p.update(timeSeries=[], nextPageToken="0"))] * 2
    )
    with pytest.raises(SourceError, match="already followed"):
        read(client)


def test_a_token_is_fetched_once_and_again_when_it_has_expired(fake, source):
    client = source()
    for _ in range(2):
        read(client)
    assert fake.tokens == 1
    fake.give = lambda form: {"access_token": TOKEN, "expires_in": -1}
    other = source()
    for _ in range(2):
        other.probe(NOW)
    assert [r.path for r in fake.requests].count("/token") == 3


def test_a_quota_that_is_used_up_passes_and_a_missing_role_does_not(fake, source):
    client = source()
    client.probe(NOW)
    body = json.dumps({"error": {"message": "Quota", "errors": [{"reason": "rateLimitExceeded"}]}})
    fake.faults.extend([fake_api.answering(403, body.encode())] * 2)
    with pytest.raises(SourceError, match=r"403.*Quota") as refused:
        read(client)
    assert not refused.value.permanent
    fake.faults.append(fake_api.failing(403, "Permission monitoring.timeSeries.list denied"))
    with pytest.raises(SourceError, match=r"roles/monitoring\.viewer") as refused:
        read(client)
    assert refused.value.permanent


def test_a_refused_service_account_is_told_without_its_key(fake, source, caplog):
    caplog.set_level(1)
    fake.known = False
    with pytest.raises(SourceError, match="Google gave no token") as refused:
        source().probe(NOW)
    assert refused.value.permanent
    secret = keys()[0].splitlines()[1]
    assert secret not in str(refused.value) + caplog.text


@pytest.mark.parametrize("key", ["sk-CANARY", "{}", "[1]", '{"type": "service_account"}'])
def test_a_key_that_is_no_service_account_is_refused_without_being_shown(source, key):
    with pytest.raises(SourceError, match="not the JSON of a service account") as refused:
        source(key).probe(NOW)
    assert key not in str(refused.value)


def test_without_a_key_the_machines_credentials_are_taken(fake, source, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(SourceError, match="no Google credentials were found"):
        source("").probe(NOW)
    file = tmp_path / "key.json"
    file.write_text(fake.service_account())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert source("").probe(NOW).startswith("0 tokens in the hour before 2026-11-20T01:00Z")


def test_without_the_library_the_extra_is_named(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.oauth2.service_account", None)
    with pytest.raises(SourceError, match=r"crossover-monitor\[google\]"):
        source().probe(NOW)


def test_projects_are_asked_for_by_name(source):
    for projects in ([], "acme", [1]):
        with pytest.raises(InputError, match="projects is"):
            source(projects=projects)
