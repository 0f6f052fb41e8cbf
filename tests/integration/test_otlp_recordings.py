"""Recorded requests of real OpenTelemetry clients, posted to the real receiver."""

import gzip
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from monitor.config import Settings
from monitor.domain.intake import Sender
from monitor.domain.telemetry import COUNTERS
from monitor.jobs import telemetry
from tests.receiver import SCENARIOS, SETTLE, THEN, Receiver, expected, recorded

# Which of its views each provider of a scenario is counted by, and whether it knows all.
COUNTED = {
    "counters-delta": ["gen_ai.client.inference.usage of genai", "claude_code.token.usage of"],
    "delta-answers-lost": ["gen_ai.client.token.usage of opentelemetry.util.genai.handler"],
    "js-json-delta-gzip": ["spans of genai", "claude_code.token.usage of"],
    "openai-v2-cumulative": ["gen_ai.client.token.usage of opentelemetry.util.genai.handler"],
    "openai-v2-spans-gzip": ["spans of opentelemetry.util.genai.handler"],
    "openinference-openai-spans": ["spans of openinference.instrumentation.openai"],
    "openllmetry-anthropic-delta-gzip": ["spans of com.anthropic.sdk.python"],
}

BLIND = ("delta-answers-lost", "openai-v2-cumulative", "openai-v2-spans-gzip")
"""They see neither the cache nor calls of the Responses API."""


@contextmanager
def receiver(url, **kwargs):
    found = Receiver(url, **kwargs)
    try:
        with found.listening():
            yield found
    finally:
        found.close()


def post_all(found, scenario):
    for sent in recorded(scenario):
        status, kind, body = found.post(sent)
        assert (status, kind) == (200, sent.kind)
        assert body == (b"{}" if "json" in kind else b"")


def by_metric(streams):
    """Streams in the words of expected.json: each counter by itself, spans of the counted scope."""
    metrics = {}
    for stream, models in streams.items():
        kind = stream.split(": ")[1].partition(" of ")[0]
        if kind == COUNTERS:
            for name in ("input", "output", "cache_read", "cache_write"):
                full = f"{COUNTERS}.{name}" + ("_tokens" if "put" in name else ".input_tokens")
                metrics[full] = {
                    model: dict.fromkeys(used, 0) | {name: used[name]}
                    for model, used in models.items()
                }
        elif kind != "spans":
            metrics[kind] = models
    return metrics


def in_order(found):
    return {name: dict(sorted(models.items())) for name, models in sorted(found.items())}


def check(found, scenario):
    wanted = expected(scenario)
    streams = found.streams()
    assert in_order(by_metric(streams)) == in_order(wanted["metrics"])
    spans = {stream: models for stream, models in streams.items() if ": spans of " in stream}
    counted = [models for stream, models in spans.items() if COUNTED[scenario][0] in stream]
    assert counted == ([wanted["spans"]] if wanted["spans"] else [])
    blindly = {model: Counter() for models in spans.values() for model in models}
    for models in spans.values():
        for model, used in models.items():
            blindly[model].update(used)
    assert blindly == wanted["spans_added_up_blindly"]


def check_truth(scenario, counted):
    """What counts is what was billed; where no cache names came, gross, of what was seen."""
    run = expected(scenario)["run"]
    if scenario not in BLIND:
        truth = run["true_billed"]
        names = {"uncached_input": "uncached", "cache_read": "read", "cache_write": "write"}
        names["output"] = "output"
        assert counted.keys() == truth.keys()
        for model, used in counted.items():
            assert {to: used[name] for name, to in names.items()} == {
                to: truth[model][to] for to in names.values()
            }
            # Counters do not say how many requests there were.
            assert used["requests"] in (0, truth[model]["requests"])
        return
    seen = [run["true_by_kind"][name] for name in ("plain", "stream")]
    total = {name: sum(used[name] for used in counted.values()) for name in ("output", "requests")}
    assert total == {name: sum(kind[name] for kind in seen) for name in total}
    assert sum(used["uncached_input"] for used in counted.values()) == sum(
        kind["uncached"] + kind["read"] + kind["write"] for kind in seen
    )


def counting(found):
    return {
        row[0].split(": ")[1] for row in found.rows("SELECT DISTINCT stream FROM v_usage_daily")
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_recording_gives_what_a_careful_reader_finds_and_twice_the_same(sqlite_url, scenario):
    with receiver(sqlite_url) as found:
        post_all(found, scenario)
        check(found, scenario)
        counted = found.counted()
        check_truth(scenario, counted)
        post_all(found, scenario)
        check(found, scenario)
        assert found.counted() == counted
    assert all(
        any(stream.startswith(wanted) for wanted in COUNTED[scenario]) for stream in counting(found)
    )
    assert len(counting(found)) == len(COUNTED[scenario])


@pytest.mark.postgres
@pytest.mark.parametrize("scenario", ["openllmetry-anthropic-delta-gzip", "openai-v2-cumulative"])
def test_postgresql_gives_the_same(postgres_url, scenario):
    with receiver(postgres_url) as found:
        for _ in range(2):
            post_all(found, scenario)
            check(found, scenario)
        found.counted()
        assert {name.startswith(COUNTED[scenario][0]) for name in counting(found)} == {True}


@pytest.mark.postgres
def test_two_daemons_that_store_two_views_at_once_let_one_count(postgres_url):
    scenario = "openllmetry-anthropic-delta-gzip"
    daemons = [Receiver(postgres_url), Receiver(postgres_url)]
    parts = {"metrics": [], "traces": []}
    for sent in recorded(scenario):
        parts[sent.signal].append(daemons[0].read(sent, gzip.decompress(sent.body)))
    # Source and account are there already: nobody waits for those.
    known = recorded("js-json-delta-gzip")[1]
    daemons[0].store(daemons[0].read(known, gzip.decompress(known.body)))
    with ThreadPoolExecutor(1) as pool:
        with daemons[0].database.write() as conn:
            sender = Sender(1, "t", "otel", frozenset({"otlp"}))
            sent = [(sender, found) for found in parts["metrics"]]
            telemetry.store(conn, sent, THEN, SETTLE)
            # The other one must see what this one is about to commit, and so it has to wait.
            other = pool.submit(daemons[1].store, *parts["traces"])
            with pytest.raises(TimeoutError):
                other.result(0.2)
        other.result(20)
    daemons[0].counted()
    counts = daemons[0].rows("SELECT DISTINCT stream FROM v_usage_daily WHERE project = 'shop-bot'")
    assert counts == [("shop-bot/anthropic: spans of com.anthropic.sdk.python",)]
    for daemon in daemons:
        daemon.close()


def test_two_views_of_a_service_are_stored_and_one_counts_and_the_other_is_shown(sqlite_url):
    scenario = "js-json-delta-gzip"
    with receiver(sqlite_url) as found:
        post_all(found, scenario)
        found.counted()
    assert found.rows("SELECT day, source, stream, tokens, counted_stream FROM v_set_aside") == [
        (
            "2026-11-20",
            "otel",
            "claude-code/openai: gen_ai.client.token.usage of genai",
            14_432 + 2_154,
            "claude-code/openai: spans of genai",
        )
    ]


def test_a_configured_view_counts_and_the_choice_outlives_the_service(sqlite_url):
    scenario = "js-json-delta-gzip"
    chosen = {"service": "claude-code", "provider": "openai", "kind": "gen_ai.client.token.usage"}
    settings = Settings(otlp={"view": [chosen]})
    with receiver(sqlite_url, settings=settings) as found:
        post_all(found, scenario)
        before = found.counted()
    with receiver(sqlite_url, settings=settings) as again:
        post_all(again, scenario)
        assert again.counted() == before
    assert counting(again) == {
        "gen_ai.client.token.usage of genai",
        "claude_code.token.usage of com.anthropic.claude_code",
    }


def test_nothing_that_a_user_wrote_is_stored_or_logged(sqlite_url, caplog):
    scenarios = ["openinference-openai-spans", "openllmetry-anthropic-delta-gzip"]
    sent = [one for scenario in scenarios for one in recorded(scenario)]
    plain = [gzip.decompress(s.body) if s.encoding else s.body for s in sent]
    # What the recorded users wrote: the canary is there before it is looked for.
    assert any(b"in=1968 cached=1024" in body for body in plain)
    with receiver(sqlite_url) as found, caplog.at_level("DEBUG"):
        for scenario in scenarios:
            post_all(found, scenario)
        found.counted()
        with found.database.read() as conn:
            stored = "\n".join(conn.connection.driver_connection.iterdump())
    for canary in ("in=1968", "cached=", "input.value", "127.0.0.1", "chatcmpl-", "msg_"):
        assert canary not in stored, canary
        assert canary not in "\n".join(
            r.getMessage() for r in caplog.records if "crossover" in r.name
        )
    assert "shop-bot" in stored


def test_bad_data_is_refused_in_the_type_in_which_it_came(sqlite_url):
    sent = recorded("js-json-delta-gzip")[0]
    with receiver(sqlite_url) as found:
        for kind, body in (("application/json", b"{"), ("application/x-protobuf", b"\xff\xff")):
            status, said, answer = found.post(sent._replace(kind=kind, body=body, encoding=None))
            assert (status, said) == (400, kind)
            assert b"the body is no export of metrics" in answer
            if "json" in kind:
                assert json.loads(answer)["code"] == 3
        found.secret = "wrong"
        assert found.post(sent)[0] == 401
    assert found.rows("SELECT COUNT(*) FROM usage") == [(0,)]
