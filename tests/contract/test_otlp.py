"""What the OTLP receiver understands, judged by OpenTelemetry's own Protobuf classes."""

import base64
import json
import subprocess
import sys
import time
import tracemalloc
from itertools import permutations
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collectors import otlp, otlp_protobuf, otlp_wire
from monitor.domain.errors import IntakeError
from monitor.domain.telemetry import (
    Choice,
    Level,
    Seen,
    View,
    choose,
    increments,
    set_aside,
)
from monitor.domain.usage import DAY, MAX_READING, MAX_REQUEST, QUANTITY_FIELDS
from monitor.jobs import telemetry
from monitor.storage import rollup
from tests.receiver import SETTLE, THEN, Receiver

REQUESTS = {
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}
RESPONSES = {
    "metrics": ExportMetricsServiceResponse,
    "traces": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
}
NANO = 10**9
HISTOGRAM = "gen_ai.client.token.usage"
COUNTERS = "gen_ai.client.inference.usage"


def value(said):
    if isinstance(said, bool):
        return {"boolValue": said}
    if isinstance(said, int):
        return {"intValue": str(said)}
    if isinstance(said, float):
        return {"doubleValue": said}
    if isinstance(said, list):
        return {"arrayValue": {"values": [value(one) for one in said]}}
    return {"stringValue": said}


def pairs(attributes):
    return [{"key": key, "value": value(said)} for key, said in attributes.items()]


def envelope(signal, items, service="shop-bot", scope="genai", **resource):
    inner = {"metrics": "metrics", "traces": "spans", "logs": "logRecords"}[signal]
    outer = {"metrics": "Metrics", "traces": "Spans", "logs": "Logs"}[signal]
    named = ({"service.name": service} if service else {}) | resource
    block = {"scope": {"name": scope}, inner: items}
    return {
        f"resource{outer}": [{"resource": {"attributes": pairs(named)}, f"scope{outer}": [block]}]
    }


def span(attributes=None, n=1, at=THEN - 60, **more):
    said = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    said |= {"gen_ai.response.model": "gpt-5-mini"}
    said |= {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    said |= attributes or {}
    return {
        "traceId": f"{n:032x}",
        "spanId": f"{n:016x}",
        "name": "chat",
        "startTimeUnixNano": str((at - 1) * NANO),
        "endTimeUnixNano": str(at * NANO),
        "attributes": pairs({key: one for key, one in said.items() if one is not None}),
    } | more


def point(tokens, attributes=None, start=THEN - 60, at=THEN, **more):
    said = {"gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-5-mini"}
    times = {"startTimeUnixNano": str(start * NANO), "timeUnixNano": str(at * NANO)}
    return times | {"asInt": str(tokens), "attributes": pairs(said | (attributes or {}))} | more


def counter(name, *points, temporality=1, **more):
    said = {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": list(points)}
    return {"name": name, "sum": said | more}


def histogram(sort, total, count, temporality=1, start=THEN - 60, at=THEN, kind="histogram"):
    said = point(0, {"gen_ai.token.type": sort}, start, at)
    del said["asInt"]
    said |= {"sum": total, "count": str(count)}
    return {
        "name": HISTOGRAM,
        kind: {"aggregationTemporality": temporality, "dataPoints": [said]},
    }


def record(attributes=None, at=THEN - 60, **more):
    said = {"event.name": "api_request", "model": "claude-opus-5-5", "session.id": "s1"}
    said |= {"input_tokens": "120", "output_tokens": 30, "cache_read_tokens": "7"}
    said |= {"cache_creation_tokens": 0, "prompt": "a secret"}
    return {
        "timeUnixNano": str(at * NANO),
        "body": value("claude_code.api_request"),
        "attributes": pairs(said | (attributes or {})),
    } | more


def protobuf(signal, document):
    """The same request in Protobuf, made by OpenTelemetry's own classes."""
    document = json.loads(json.dumps(document))
    # The standard mapping of Protobuf has ids in base64, OTLP has them in hex.
    for resource in document.get("resourceSpans", ()):
        for scope in resource["scopeSpans"]:
            for one in scope["spans"]:
                for name in {"traceId", "spanId", "parentSpanId"} & one.keys():
                    one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
    return json_format.ParseDict(document, REQUESTS[signal]()).SerializeToString()


def read(signal, document, label="", now=THEN):
    """Both encodings, which must say the same."""
    reader = otlp.Reader(signal, label)
    found = reader.read(json.dumps(document).encode(), otlp.JSON, now)
    assert reader.read(protobuf(signal, document), otlp.PROTOBUF, now) == found
    return found


def one(signal, item, **kwargs):
    (found,) = read(signal, envelope(signal, [item], **kwargs)).sightings
    return found


def used(found):
    """The known quantities."""
    return {k: v for k, v in found.event.quantities._asdict().items() if v is not None}


# --- Encodings ---

words = st.text(max_size=8)
scalars = st.one_of(
    words,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(words, max_size=2),
)
names = st.sampled_from(
    ["gen_ai.token.type", "gen_ai.usage.input_tokens", "gen_ai.response.id", "model", "type", "x"]
)
attributes = st.dictionaries(names, scalars, max_size=5)


@given(attributes, attributes, st.integers(0, 10**16), st.sampled_from([0, 1, 2]))
def test_json_and_protobuf_say_the_same(first, second, tokens, temporality):
    sums = [
        counter(f"{COUNTERS}.input_tokens", point(tokens, first), temporality=temporality),
        counter("claude_code.token.usage", point(tokens, second), temporality=temporality),
        histogram("input", float(tokens), 3, temporality),
        histogram("output", float(tokens), 3, temporality, kind="exponentialHistogram"),
        {"name": HISTOGRAM, "gauge": {"dataPoints": [point(tokens)]}},
    ]
    read("metrics", envelope("metrics", sums, **{"host.id": "h"}))
    read("traces", envelope("traces", [span(first, 1), span(second, 2)]))
    read("logs", envelope("logs", [record(first), record(second)]))


def test_64_bits_come_as_text_or_number_unknown_fields_are_ignored_and_null_is_absent():
    said = envelope("traces", [span({"gen_ai.usage.input_tokens": 1})])
    text = json.dumps(said).replace('"intValue": "1"', '"intValue": 1, "new": {"field": []}')
    text = text.replace('"name": "chat"', '"name": "chat", "events": null, "flags": 257')
    found = otlp.Reader("traces").read(text.encode(), otlp.JSON, THEN)
    assert used(found.sightings[0])["uncached_input"] == 1
    assert otlp.Reader("metrics").read(b'{"resourceMetrics": null}', otlp.JSON, THEN) == (
        otlp.Reader("metrics").read(b"", otlp.PROTOBUF, THEN)
    )


@pytest.mark.parametrize("signal", REQUESTS)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (otlp.JSON, b""),
        (otlp.JSON, b"[]"),
        (otlp.JSON, b'{"resourceMetrics": 1, "resourceSpans": 1, "resourceLogs": 1}'),
        (otlp.JSON, b"\xff\xfe"),
        (otlp.PROTOBUF, b"\x0a\xff"),
        (otlp.PROTOBUF, b"{}"),
    ],
)
def test_what_is_no_export_is_bad_data(signal, kind, body):
    with pytest.raises(IntakeError) as error:
        otlp.Reader(signal).read(body, kind, THEN)
    assert error.value.status == 400


def test_what_is_nested_without_end_is_bad_data():
    inner = '{"arrayValue":{"values":[' * 5_000 + "]}}" * 5_000
    said = json.dumps(envelope("metrics", [counter("claude_code.token.usage", point(1, {"a": 1}))]))
    body = said.replace('{"intValue": "1"}', inner, 1).encode()
    with pytest.raises(IntakeError, match="nested"):
        otlp.Reader("metrics").read(body, otlp.JSON, THEN)


def test_a_value_nested_in_others_costs_no_more_than_it_is_long():
    metric = counter(f"{COUNTERS}.input_tokens", point(5), temporality=2)
    digests = set()
    for depth in (4, 5, 25):
        deep = {"stringValue": "'\"x"}
        for _ in range(depth):
            deep = {"kvlistValue": {"values": [{"key": "k", "value": deep}]}}
        document = envelope("metrics", [metric])
        resource = document["resourceMetrics"][0]["resource"]["attributes"]
        resource.append({"key": "deep", "value": deep})
        tracemalloc.start()
        found = otlp.Reader("metrics").read(json.dumps(document).encode(), otlp.JSON, THEN)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
        if depth < 10:
            assert read("metrics", document) == found
        digests.add(found.points[0].series)
    assert len(digests) == 3


@pytest.mark.parametrize(
    "items",
    [
        [span({}, n) for n in range(5)],
        [span({"gen_ai.operation.name": "invoke_agent"}, n) for n in range(62)],
    ],
)
def test_a_body_that_holds_too_much_is_not_read_to_its_end(items):
    reader = otlp.Reader("traces", most=3)
    document = envelope("traces", items)
    for kind, body in (
        (otlp.PROTOBUF, protobuf("traces", document)),
        (otlp.JSON, json.dumps(document).encode()),
    ):
        with pytest.raises(IntakeError, match="at most 3 events") as error:
            reader.read(body, kind, THEN)
        assert error.value.status == 413
    assert len(reader.read(json.dumps(envelope("traces", [span()])).encode(), otlp.JSON, THEN)[0])


def test_json_of_too_many_objects_is_not_parsed():
    body = b'{"resourceSpans":[{"resource":{"attributes":[' + b"{}," * 300_000 + b"{}]}}]}"
    tracemalloc.start()
    with pytest.raises(IntakeError) as error:
        otlp.Reader("traces", most=1_000).read(body, otlp.JSON, THEN)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert error.value.status == 413


def field(number, inner):
    """A field with a length, in Protobuf."""
    size, left = bytearray(), len(inner)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([number << 3 | 2, *size, left]) + inner


def nested(numbers, inner=b""):
    for number in reversed(numbers):
        inner = field(number, inner)
    return inner


SPAN = [1, 2, 2]
ATTRIBUTE = [*SPAN, 9]
REFUSED_IN_A_PROCESS = """
import resource, sys
from collectors import otlp
from monitor.domain.errors import IntakeError

body = sys.stdin.buffer.read()
reader = otlp.Reader("traces", most=10_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    reader.read(body, otlp.PROTOBUF, 0)
except IntakeError as error:
    print(error.status, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    "body",
    [
        nested(SPAN, field(9, b"") * 3_000_000),
        nested(SPAN[:2], field(2, b"") * 3_000_000),
        nested([1, 1, 3], field(3, b"") * 3_000_000),
    ],
    ids=["attributes", "spans", "texts"],
)
def test_protobuf_of_too_many_objects_is_not_parsed(body):
    done = subprocess.run(
        [sys.executable, "-c", REFUSED_IN_A_PROCESS],
        input=body,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    status, megabytes = map(int, done.stdout.split())
    # Its bytes once more, and not the 70 to 500 MB of its objects.
    assert (status, megabytes <= 20) == (413, True)


def objects_of(message):
    """Messages and repeated texts, as the classes read them."""
    found = 0
    for field_, said in message.ListFields():
        inner = said if field_.is_repeated else [said]
        if field_.message_type is not None:
            found += sum(1 + objects_of(one) for one in inner)
        elif field_.is_repeated:
            found += len(inner)
    return found


def walked(signal, body, most=10**9):
    return otlp_wire.walked(body, otlp_protobuf._COUNTED[signal], most)


def test_objects_of_protobuf_are_counted_as_the_classes_read_them():
    bodies = [(signal, protobuf(signal, document)) for signal, document in a_day()]
    deep = span({"list": ["a", ["b", 1]], "long": "x" * 300}, events=[{"name": "e" * 130}])
    deep |= {"links": [{"attributes": pairs({"a": 1.5})}], "flags": 257, "status": {"code": 2}}
    document = envelope("traces", [deep])
    keys = {"type": "service", "idKeys": ["service.name", "z"]}
    document["resourceSpans"][0]["resource"]["entityRefs"] = [keys]
    bodies += [("traces", protobuf("traces", document))]
    bodies += [(signal, b"".join(b for s, b in bodies if s == signal)) for signal in REQUESTS]
    for signal, body in bodies:
        wanted = objects_of(REQUESTS[signal].FromString(body))
        assert walked(signal, body) == wanted
        assert wanted <= otlp_protobuf.objects(signal, body, 10**9)
        if wanted > 3:
            assert otlp_protobuf.objects(signal, body, 3) == 4


@given(st.data())
def test_no_body_that_the_classes_read_holds_more_than_was_counted(data):
    signal, document = data.draw(st.sampled_from(a_day()))
    body = bytearray(protobuf(signal, document))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        odd = st.sampled_from([b"", b"\x12\x00", b"\x8a\x00\x00", b"\x0d", b"\x8a\x80\x80\x80\x00"])
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(odd | st.binary(max_size=2))
    try:
        wanted = objects_of(REQUESTS[signal].FromString(bytes(body)))
    except DecodeError:
        return
    assert wanted <= otlp_protobuf.objects(signal, bytes(body), 10**9)
    assert wanted <= walked(signal, bytes(body))


def test_what_ends_before_its_fields_do_is_bad_data():
    signal, document = a_day()[0]
    body = protobuf(signal, document)
    for end in range(1, len(body)):
        with pytest.raises(ValueError, match="field"):
            walked(signal, body[:end])
    # Of a text that looks like many fields no field is counted, but for it the body is walked.
    reader = otlp.Reader(signal, most=1)
    many = body + nested([*SPAN, 5], field(2, b"") * 150_000)
    assert len(reader.read(many, otlp.PROTOBUF, THEN).sightings) == 1
    for broken in (many[:-1], *(many + rest for rest in (b"\x12", b"\x80", b"\x0a\x7f", b"\x0b"))):
        with pytest.raises(IntakeError, match="no export of traces") as error:
            reader.read(broken, otlp.PROTOBUF, THEN)
        assert error.value.status == 400


def test_protobuf_is_walked_as_deep_as_the_classes_read_and_no_deeper():
    deepest = nested([*ATTRIBUTE, 2, *[5, 1] * 47, 5])
    assert walked("traces", deepest) == objects_of(REQUESTS["traces"].FromString(deepest)) == 100
    for numbers in ([5, 1] * 49, [5, 1] * 20_000):
        deeper = nested([*ATTRIBUTE, 2, *numbers])
        with pytest.raises(DecodeError):
            REQUESTS["traces"].FromString(deeper)
        with pytest.raises(ValueError, match="too deep"):
            walked("traces", deeper)


def test_a_resource_is_read_once_however_much_stands_under_it():
    points = [counter(f"{COUNTERS}.input_tokens", point(n)) for n in range(1_000)]
    document = envelope("metrics", points, service="\u00e9" * 1_000_000, more="x" * 1_000_000)
    body = json.dumps(document).encode()
    start = time.process_time()
    found = otlp.Reader("metrics").read(body, otlp.JSON, THEN)
    assert time.process_time() - start < 1
    assert {seen.view.service for seen in found.sightings} == {"\u00e9" * 200}


@pytest.mark.parametrize("signal", RESPONSES)
def test_answers_are_the_messages_of_the_protocol(signal):
    field = {"metrics": "data_points", "traces": "spans", "logs": "log_records"}[signal]
    wanted = RESPONSES[signal]()
    assert otlp.accepted(signal, otlp.PROTOBUF, 0, "") == wanted.SerializeToString()
    assert json.loads(otlp.accepted(signal, otlp.JSON, 0, "")) == {}
    setattr(wanted.partial_success, f"rejected_{field}", 3)
    wanted.partial_success.error_message = "why"
    assert otlp.accepted(signal, otlp.PROTOBUF, 3, "why") == wanted.SerializeToString()
    said = json.loads(otlp.accepted(signal, otlp.JSON, 3, "why"))
    assert json_format.ParseDict(said, RESPONSES[signal]()) == wanted


def test_an_error_is_a_status_of_google_rpc():
    # Field 1 is a varint, field 2 has the text; no class of it is installed with the product.
    assert otlp.refused(otlp.PROTOBUF, 400, "x" * 200) == b"\x08\x03\x12\xc8\x01" + b"x" * 200
    assert json.loads(otlp.refused(otlp.JSON, 503, "later")) == {"code": 14, "message": "later"}


# --- Spans ---


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("cache_read", "cache_write"), (30, 20)),
        (("cache_read", "cache_creation"), (30, 20)),
    ],
)
def test_cached_tokens_are_taken_from_the_gross_input(names, wanted):
    told = {
        f"gen_ai.usage.{n}.input_tokens": tokens for n, tokens in zip(names, wanted, strict=True)
    }
    found = used(one("traces", span(told)))
    assert found == {
        "uncached_input": 50, "cache_read": 30, "cache_write": 20, "output": 10, "requests": 1,
    }  # fmt: skip


def test_both_names_of_a_cache_write_at_once_are_one_and_an_hour_is_a_class_of_its_own():
    told = dict.fromkeys(("gen_ai.usage.cache_write.input_tokens",), 20)
    told |= {"gen_ai.usage.cache_creation.input_tokens": 20}
    told |= {"anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 5}
    found = used(one("traces", span(told)))
    assert (found["uncached_input"], found["cache_write"], found["cache_write_long"]) == (80, 15, 5)


def test_more_cached_than_input_is_clamped_and_counted():
    told = {"gen_ai.usage.cache_read.input_tokens": 130}
    found = read("traces", envelope("traces", [span(told)]))
    assert used(found.sightings[0])["uncached_input"] == 0
    ((stream, problem),) = found.problems
    assert stream == "shop-bot/openai: spans of genai"
    assert problem.reason == "its parts are more than its tokens"
    assert found.rejected == 0


def test_openinference_and_media():
    told = {
        "gen_ai.operation.name": None,
        "gen_ai.usage.input_tokens": None,
        "gen_ai.usage.output_tokens": None,
        "gen_ai.provider.name": None,
        "gen_ai.response.model": None,
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": "gpt-5-mini",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 50,
        "llm.token_count.prompt_details.cache_read": 20,
        "llm.token_count.prompt_details.audio": 30,
        "llm.token_count.completion_details.reasoning": 40,
        "llm.token_count.completion_details.audio": 5,
    }
    found = one("traces", span(told))
    assert (found.view.provider, found.event.dims.model) == ("openai", "gpt-5-mini")
    assert used(found) == {
        "uncached_input": 50, "cache_read": 20, "output": 45, "audio_input": 30,
        "audio_output": 5, "reasoning": 40, "requests": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        {"gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.response.id": "r"},
        {"gen_ai.operation.name": "execute_tool"},
        {"gen_ai.operation.name": "fetch_response"},
        {"gen_ai.operation.name": None, "openinference.span.kind": "AGENT"},
        {"gen_ai.operation.name": None, "openinference.span.kind": "CHAIN"},
    ],
)
def test_what_repeats_the_use_of_its_children_is_not_counted(told):
    found = read("traces", envelope("traces", [span(told)]))
    assert (found.sightings, found.rejected) == ([], 0)


def vercel(operation, n):
    """A span as Vercel's SDK writes it before it follows the conventions."""
    told = dict.fromkeys(("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.response.model"))
    told |= dict.fromkeys(("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"))
    told |= {"ai.operationId": operation, "ai.model.provider": "openai.responses"}
    told |= {
        "ai.model.id": "gpt-5-mini",
        "ai.usage.promptTokens": 70,
        "ai.usage.cachedInputTokens": 20,
    }
    return span(told | {"ai.usage.completionTokens": 9, "ai.prompt": "a secret"}, n)


def test_of_vercels_spans_the_request_counts_and_not_what_is_around_it():
    items = [vercel("ai.generateText", 1), vercel("ai.generateText.doGenerate", 2)]
    found = read("traces", envelope("traces", items, scope="ai"))
    (seen,) = found.sightings
    assert (seen.view.provider, seen.event.dims.model) == ("openai", "gpt-5-mini")
    assert used(seen) == {"uncached_input": 50, "cache_read": 20, "output": 9, "requests": 1}
    assert "secret" not in repr(found)


def unnamed(n, parent=0, tokens=100, told=None, **more):
    """A span that does not say whether it is a request."""
    said = {"gen_ai.operation.name": None, "gen_ai.usage.input_tokens": tokens} | (told or {})
    more |= {"parentSpanId": f"{parent:016x}"} if parent else {}
    return span(said, n, traceId=f"{7:032x}", **more)


def between(n, parent):
    """A span that has nothing to do with tokens."""
    none = ("gen_ai.operation.name", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    return unnamed(n, parent, told=dict.fromkeys(none))


def bodies(*parts):
    return [read("traces", envelope("traces", part)) for part in parts]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_of_unnamed_spans_within_each_other_the_innermost_counts(receiver, order, together):
    items = [unnamed(3, 2, 60), unnamed(4, 2, 40), unnamed(2, 1), unnamed(1)]
    posts = bodies(*([items[n]] for n in order))
    for each in [posts] if together else [[post] for post in posts]:
        receiver.store(*each)
        # What is rolled up before the next arrives is done again.
        assert len(counted_tokens(receiver)) == 1
    receiver.store(*bodies(items))
    assert [row[-1] for row in counted_tokens(receiver)] == [60 + 10 + 40 + 10]
    assert not receiver.rows("SELECT * FROM usage WHERE requests = 0")


@pytest.mark.parametrize(
    "parts",
    [
        [[unnamed(9, 8), between(8, 7), span(n=7, parentSpanId=f"{6:016x}"), unnamed(6)]],
        [[unnamed(9, 8)], [unnamed(6), between(7, 6), between(8, 7)]],
        [[unnamed(9, 8), between(8, 7), between(7, 6)], [unnamed(6)]],
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_other_spans_between_two_unnamed_ones_part_them_not(receiver, parts, together):
    for each in [bodies(*parts)] if together else [[post] for post in bodies(*parts)]:
        receiver.store(*each)
    assert sum(row[-1] for row in counted_tokens(receiver)) == 110


def test_spans_that_are_each_others_parents_are_read_all_the_same(receiver):
    receiver.store(*bodies([between(8, 9), between(9, 8), unnamed(7, 9), unnamed(6, 5)]))
    assert [row[-1] for row in counted_tokens(receiver)] == [220]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("provider", ["", "openai", "langchain"])
def test_an_unnamed_span_around_requests_is_not_added_to_them(receiver, provider, order):
    around = unnamed(1, 0, 200, {"gen_ai.provider.name": provider or None})
    requests = [span({}, n, traceId=f"{7:032x}", parentSpanId=f"{1:016x}") for n in (2, 3)] + [
        span({}, n) for n in range(4, 9)
    ]
    for post in bodies(requests, [around])[::order]:
        receiver.store(post)
    assert [row[-1] for row in counted_tokens(receiver)] == [7 * 110]


def test_what_lasts_more_than_an_hour_is_no_request():
    long = unnamed(1) | {"startTimeUnixNano": str((THEN - 60 - 3601) * NANO)}
    found = read("traces", envelope("traces", [long]))
    assert (found.sightings, found.rejected) == ([], 1)
    assert "no request" in found.why


def test_an_unnamed_span_counts_where_no_other_view_does(receiver):
    receiver.store(read("traces", envelope("traces", [span(), unnamed(2)])))
    (row,) = counted_tokens(receiver)
    assert (row[0], row[-1]) == ("shop-bot/openai: spans of genai", 110)


@pytest.mark.parametrize(
    "told",
    [
        *({"gen_ai.operation.name": n} for n in ("chat", "generate_content", "text_completion")),
        {"gen_ai.operation.name": "embeddings", "gen_ai.usage.output_tokens": None},
        {"gen_ai.operation.name": None, "openinference.span.kind": "EMBEDDING"},
        {"gen_ai.operation.name": None, "gen_ai.response.id": "r"},
        {"gen_ai.provider.name": None, "gen_ai.system": "openai"},
        {"gen_ai.response.model": None, "gen_ai.request.model": "gpt-5-mini"},
        {"gen_ai.usage.input_tokens": None, "gen_ai.usage.prompt_tokens": 100},
        {"gen_ai.usage.input_tokens": "100"},
        {"gen_ai.usage.input_tokens": 100.0},
    ],
)
def test_one_request_to_a_model_is_counted_however_it_is_named(told):
    found = one("traces", span(told))
    assert used(found)["uncached_input"] == 100
    assert (found.view.provider, found.event.dims.model) == ("openai", "gpt-5-mini")
    assert (found.event.at, found.event.dims.project) == (THEN - 60, "shop-bot")


def test_a_response_is_one_request_whatever_its_spans_and_else_a_span_is():
    for unique in ("chatcmpl-dec4d438338943c8af78a1ca", "f47ac10b-58cc-4372-a567-0e02b2c3d479"):
        ids = {"gen_ai.response.id": unique}
        same = read("traces", envelope("traces", [span(ids, 1), span(ids, 2)])).sightings
        assert same[0].event.id == same[1].event.id
    other = read("traces", envelope("traces", [span(n=1), span(n=2)])).sightings
    assert other[0].event.id != other[1].event.id


def test_a_response_with_a_small_number_is_told_apart_by_its_span():
    ids = {"gen_ai.response.id": "chatcmpl-317"}
    items = [span(ids, 1), span(ids, 2), span(ids, 2)]
    first, second, again = read("traces", envelope("traces", items)).sightings
    assert first.event.id != second.event.id == again.event.id
    alone = span(ids, 1, traceId="", spanId="")
    assert read("traces", envelope("traces", [alone])).rejected == 0


def test_a_failed_call_is_nothing_and_a_stream_without_its_last_chunk_is_a_problem():
    none = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    found = read("traces", envelope("traces", [span(none, status={"code": 2})]))
    assert (found.sightings, found.rejected, found.problems) == ([], 0, [])
    found = read("traces", envelope("traces", [span(none)]))
    assert (found.sightings, found.rejected) == ([], 0)
    assert [problem.reason for _, problem in found.problems] == ["a span without token counts"]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (span({"gen_ai.usage.input_tokens": -1}), "negative"),
        (span({"gen_ai.usage.input_tokens": 10**16}), "larger than any"),
        (span({"gen_ai.usage.input_tokens": "many secrets"}), "not a number"),
        (span({"gen_ai.usage.input_tokens": True}), "not a number"),
        (span(at=THEN - 63 * DAY), "more than 62 days ago"),
        (span(at=THEN + 2 * DAY), "to come"),
        (span() | {"spanId": "", "traceId": ""}, "no id"),
    ],
)
def test_a_span_that_cannot_be_used_is_rejected_and_the_others_are_read(item, why):
    found = read("traces", envelope("traces", [item, span(n=2)]))
    assert (found.rejected, len(found.sightings)) == (1, 1)
    assert why in found.why
    assert "secret" not in found.why


@pytest.mark.parametrize(
    ("signal", "item", "most"),
    [
        ("traces", lambda n: span({"gen_ai.usage.output_tokens": n}), MAX_REQUEST),
        ("logs", lambda n: record({"output_tokens": n}), MAX_REQUEST),
        ("metrics", lambda n: counter(f"{COUNTERS}.input_tokens", point(n)), MAX_READING),
    ],
)
def test_a_count_beyond_any_real_one_is_rejected(signal, item, most):
    found = read(signal, envelope(signal, [item(most), item(most + 1)]))
    assert (len(found.sightings), found.rejected) == (1, 1)
    assert "larger than any real one" in found.why


def test_who_it_was_and_nothing_else_is_taken_from_the_attributes():
    told = {
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.input.messages": "a secret",
        "user.email": "a secret",
        "openai.response.service_tier": "flex\u202e",
    }
    said = envelope("traces", [span(told)], service="shop\nbot", env="prod", **{"host.name": "h"})
    found = read("traces", said, label="env")
    assert "secret" not in repr(found)
    (sighting,) = found.sightings
    wanted = {"provider": "azure", "model": "gpt-5-mini", "project": "shop bot", "tier": "flex"}
    wanted |= {"label": "prod"}
    assert {k: v for k, v in sighting.event.dims._asdict().items() if v} == wanted
    assert one("traces", span(), service="").view.service == "unknown_service"


def test_a_long_name_of_a_service_makes_a_stream_that_fits_and_is_its_own():
    found = [one("traces", span(), service="s" * 180 + n).view.stream for n in "ab"]
    assert len(set(found)) == 2
    assert max(map(len, found)) <= 100


@pytest.mark.parametrize(
    "views",
    [
        [View("a/b", "c", "spans", "x"), View("a", "b/c", "spans", "x")],
        [View("a", "b: spans of c", "spans", "x"), View("a", "b", "spans", "c: spans of x")],
        [View("a", "b", "spans", ""), View("a", "b", "spans", "no scope")],
    ],
)
def test_two_views_never_share_a_stream(views):
    assert len({one.stream for one in views}) == 2


# --- Metrics ---


def test_a_histogram_gives_its_sum_and_the_input_its_requests():
    assert used(one("metrics", histogram("input", 5120.0, 4))) == {
        "uncached_input": 5120, "requests": 4,
    }  # fmt: skip
    assert used(one("metrics", histogram("output", 300.0, 4))) == {"output": 300}
    found = one("metrics", histogram("input", 7.0, 1, kind="exponentialHistogram"))
    assert used(found)["uncached_input"] == 7


@pytest.mark.parametrize(
    ("name", "attributes", "wanted"),
    [
        (f"{COUNTERS}.input_tokens", {}, {"uncached_input": 9}),
        (f"{COUNTERS}.output_tokens", {}, {"output": 9}),
        (f"{COUNTERS}.cache_read.input_tokens", {}, {"cache_read": 9, "uncached_input": -9}),
        (f"{COUNTERS}.cache_write.input_tokens", {}, {"cache_write": 9, "uncached_input": -9}),
        (f"{COUNTERS}.reasoning.output_tokens", {}, {"reasoning": 9}),
        (f"{COUNTERS}.input_tokens", {"gen_ai.token.modality": "audio"}, {"audio_input": 9}),
        (f"{COUNTERS}.output_tokens", {"gen_ai.token.modality": "image"}, {"image_output": 9}),
        (
            f"{COUNTERS}.cache_read.input_tokens",
            {"gen_ai.token.modality": "audio"},
            {"audio_cache_read": 9, "audio_input": -9},
        ),
        ("gen_ai.client.inference.tokens", {"gen_ai.token.type": "input"}, {"uncached_input": 9}),
        ("claude_code.token.usage", {"type": "input"}, {"uncached_input": 9}),
        ("claude_code.token.usage", {"type": "cacheRead"}, {"cache_read": 9}),
        ("claude_code.token.usage", {"type": "cacheCreation"}, {"cache_write": 9}),
        ("claude_code.token.usage", {"type": "output"}, {"output": 9}),
    ],
)
def test_each_generation_of_counters_in_disjoint_classes(name, attributes, wanted):
    assert used(one("metrics", counter(name, point(9, attributes)))) == wanted


@pytest.mark.parametrize(
    "name", ["gen_ai.client.inference.operation.input_tokens", "claude_code.cost.usage", "up"]
)
def test_other_metrics_are_accepted_and_ignored(name):
    assert read("metrics", envelope("metrics", [counter(name, point(9))])) == otlp.Telemetry(
        [], [], 0, "", []
    )


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        (counter(f"{COUNTERS}.input_tokens", point(1), isMonotonic=False), "monotonic"),
        (counter(f"{COUNTERS}.input_tokens", point(1), temporality=0), "temporality"),
        (counter("claude_code.token.usage", point(1, {"type": "total"})), "token type"),
        (counter(f"{COUNTERS}.input_tokens", point(-1)), "negative"),
        (counter(f"{COUNTERS}.input_tokens", point(1, at=THEN - 63 * DAY)), "62 days ago"),
        ({"name": HISTOGRAM, "gauge": {"dataPoints": [point(1)]}}, "monotonic"),
        (histogram("input", float("nan"), 1), "not a number"),
    ],
)
def test_a_point_that_cannot_be_used_is_rejected_and_the_others_are_read(metric, why):
    other = counter(f"{COUNTERS}.output_tokens", point(2))
    said = json.dumps(envelope("metrics", [metric, other])).replace(": NaN", ': "NaN"')
    found = read("metrics", json.loads(said))
    assert (found.rejected, len(found.sightings)) == (1, 1)
    assert why in found.why


def test_a_point_without_a_value_is_no_point():
    said = envelope("metrics", [counter(f"{COUNTERS}.input_tokens", point(0, flags=1))])
    assert read("metrics", said) == otlp.Telemetry([], [], 0, "", [])


def series(*readings, started=True):
    """Points of one cumulative series at (seconds, value)."""
    start = THEN - 500 if started else 0
    found = []
    for at, total in readings:
        metric = histogram("input", float(total), total // 10, 2, start, THEN - 400 + at)
        found += read("metrics", envelope("metrics", [metric])).points
    return found


def added(before, points):
    events, level, unplaced = increments(before, points)
    found = [(e.quantities.uncached_input, e.quantities.requests) for e in events]
    return found, level, unplaced


def test_a_cumulative_series_adds_its_differences_once():
    points = series((0, 100), (60, 150), (120, 150), (180, 400))
    assert added(None, points)[0] == [(100, 10), (50, 5), (250, 25)]
    _, level, _ = added(None, points[:2])
    assert level == Level((THEN - 340) * NANO, 150, 15)
    # What was read, what came late, and what is new.
    assert added(level, [points[3], points[0], points[1]])[0] == [(250, 25)]


def test_a_series_without_a_start_begins_with_a_level():
    assert added(None, series((0, 100), (60, 150), started=False))[0] == [(50, 5)]


def test_what_a_series_without_a_start_counted_before_its_first_reading_is_told(receiver):
    first = histogram("output", 40.0, 4, 2, THEN - 500, THEN - 400)
    receiver.store(read("metrics", envelope("metrics", [first])))
    late = series((0, 100), (60, 150), started=False)
    receiver.store(*(otlp.Telemetry(points=[each]) for each in late))
    assert [row[-1] for row in counted_tokens(receiver)] == [40 + 50]
    assert receiver.rows("SELECT payload, count FROM quarantine") == [("100 tokens", 1)]


def test_what_a_series_counted_long_before_its_first_reading_is_in_no_day(receiver):
    metric = histogram("input", 5e6, 900, 2, THEN - 9 * DAY, THEN - 120)
    later = histogram("input", 5e6 + 70, 901, 2, THEN - 9 * DAY, THEN - 60)
    for each in (metric, later):
        receiver.store(read("metrics", envelope("metrics", [each])))
    assert [row[-1] for row in counted_tokens(receiver)] == [70]
    assert receiver.rows("SELECT payload FROM quarantine") == [("5000000 tokens",)]


def test_a_value_that_fell_was_set_back_and_a_new_start_is_a_new_series():
    assert added(None, series((0, 100), (60, 30), (120, 50)))[0] == [(100, 10), (30, 3), (20, 2)]
    first = read("metrics", envelope("metrics", [histogram("input", 9.0, 1, 2)])).points
    again = read("metrics", envelope("metrics", [histogram("input", 9.0, 1, 2, THEN - 5)])).points
    assert first[0].series != again[0].series


@pytest.mark.parametrize("key", ["service.instance.id", "host.name"])
def test_two_processes_are_two_series(key):
    said = [envelope("metrics", [histogram("input", 9.0, 1)], **{key: name}) for name in ("a", "b")]
    ids = {read("metrics", each).sightings[0].event.id for each in said}
    assert len(ids) == 2


# --- Logs ---


def test_a_request_of_claude_code_has_disjoint_classes():
    found = one("logs", record(), service="claude-code")
    assert used(found) == {
        "uncached_input": 120, "output": 30, "cache_read": 7, "cache_write": 0, "requests": 1,
    }  # fmt: skip
    assert found.view == View("claude-code", "anthropic", "claude_code.api_request", "genai")
    assert one("logs", record({"speed": "fast"})).event.dims.tier == "speed=fast"
    newer = record({"event.name": ""}, eventName="claude_code.api_request", body=value("x"))
    assert used(one("logs", newer)) == used(found)


def test_other_events_are_accepted_and_ignored_and_a_broken_one_is_rejected():
    other = record({"event.name": "user_prompt"}, body=value("claude_code.user_prompt"))
    broken = record({"output_tokens": "a secret"})
    found = read("logs", envelope("logs", [other, broken]))
    assert (found.sightings, found.rejected) == ([], 1)
    assert "secret" not in repr(found)


def test_an_event_of_another_program_is_not_that_of_claude_code_by_its_name():
    plain = record(body=value("GET /users"))
    found = read("logs", envelope("logs", [plain], scope="shop.web"))
    assert (found.sightings, found.rejected, found.problems) == ([], 0, [])
    agents = envelope("logs", [plain], scope="com.anthropic.claude_code.events")
    assert len(read("logs", agents).sightings) == 1


def test_requests_of_one_second_are_told_apart():
    items = [record(), record({"event.sequence": 2}), record({"event.sequence": 3}), record()]
    found = read("logs", envelope("logs", items)).sightings
    assert len({sighting.event.id for sighting in found}) == 3
    named = [record({"request_id": "r", "event.sequence": n}, THEN - n) for n in (1, 2)]
    assert len({s.event.id for s in read("logs", envelope("logs", named)).sightings}) == 1


# --- Which view counts ---


def view(kind, scope="genai", provider="openai"):
    return View("shop-bot", provider, kind, scope)


SPANS, SDK = view("spans"), view("spans", "com.openai.sdk")
OLD, NEW = view(HISTOGRAM), view(COUNTERS)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ({OLD: 100}, OLD),
        ({OLD: 100, SPANS: 100}, SPANS),
        ({OLD: 103, NEW: 102, SPANS: 100, SDK: 99}, SDK),
        ({OLD: 103, NEW: 102}, NEW),
        # Sampled spans, or such as began in mid-day.
        ({OLD: 100, SPANS: 50}, OLD),
        # Spans that miss a kind of call, beside others that do not.
        ({SPANS: 70, view("spans", "openinference"): 100}, view("spans", "openinference")),
        ({OLD: 0, SPANS: 0}, SPANS),
    ],
)
def test_the_view_that_knows_most_counts_unless_it_saw_less(seen, wanted):
    assert choose(seen) == wanted
    assert choose(dict(reversed(seen.items()))) == wanted


def test_a_configured_view_counts_where_it_reports():
    seen = {OLD: 100, SPANS: 100}
    assert choose(seen, [Choice("", "openai", HISTOGRAM)]) == OLD
    assert choose(seen, [Choice("other", "", HISTOGRAM)]) == SPANS
    assert choose(seen, [Choice("", "", COUNTERS), Choice("shop-bot", "", "", "genai")]) == SPANS


def told(*hours, model="gpt-5-mini", by=("host.name:a",), tokens=100):
    """What a view saw: so many tokens in each of these hours of the day."""
    return Seen({(THEN // DAY * DAY + 3600 * hour, model): tokens for hour in hours}, set(by))


def aside(seen, *choices):
    """What does not count: by view its hours of the day."""
    found = {}
    for view, hour, _ in set_aside(seen, choices):
        found.setdefault(view, []).append(hour % DAY // 3600)
    assert found == {
        view: [
            h.hour % DAY // 3600
            for h in set_aside(dict(reversed(seen.items())), choices)
            if h.view == view
        ]
        for view in found
    }
    return found


OTHER = view("spans", provider="azure")
RENAMED = view("spans", "genai.v2")


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        # The same tokens twice; metrics come up to an hour late.
        ({SPANS: told(8, 9), OLD: told(8, 9)}, {OLD: [8, 9]}),
        ({SPANS: told(8, 9), OLD: told(8, 9, 10)}, {SPANS: [8, 9]}),
        ({SPANS: told(8, 9, 10), OLD: told(9, 10, 11)}, {OLD: [9, 10, 11]}),
        # A scope is renamed at noon: in one hour both are there.
        ({SPANS: told(8, 9, 12), RENAMED: told(13, 14)}, {}),
        ({SPANS: told(8, 9, 10, 12), RENAMED: told(12, 13, 14)}, {RENAMED: [12]}),
        # Spans are switched on in the afternoon, beside metrics.
        ({OLD: told(8, 9, 14, 15), SPANS: told(14, 15)}, {SPANS: [14, 15]}),
        # Two users, or hosts, whose telemetry is set up in different ways.
        ({SPANS: told(8), OLD: told(8, by=["host.name:b"])}, {}),
        ({SPANS: told(8, by=["service:a"]), OLD: told(8)}, {OLD: [8]}),
        (
            {SPANS: told(8), OLD: told(8, by=["host.name:a", "host.name:b"], tokens=190)},
            {SPANS: [8]},
        ),
        # One names the provider in another way: the tokens of each model tell.
        ({OTHER: told(8), OLD: told(8, tokens=101)}, {OLD: [8]}),
        ({OTHER: told(8), OLD: told(8, tokens=170)}, {}),
        ({OTHER: told(8), OLD: told(8, model="gpt-5")}, {}),
        # One instrument that names two says no call twice.
        ({OTHER: told(8), SPANS: told(8)}, {}),
    ],
)
def test_an_hour_counts_once_and_no_hour_is_lost(seen, wanted):
    assert aside(seen) == wanted


@pytest.mark.parametrize("spans_first", [False, True])
@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        # The only calls of both days, and their metrics half a minute later.
        ([(-30, 100, 100)], {"spans": 100}),
        # Spans counted the day before; later hours of the metrics are the day's own.
        ([(-4000, 50, 50), (-30, 100, 100), (8000, 0, 70)], {"spans": 150, HISTOGRAM: 70}),
        # Metrics counted the day before: spans are sampled.
        ([(-9000, 0, 900), (-2000, 10, 100), (-30, 10, 100)], {HISTOGRAM: 1100}),
    ],
)
def test_metrics_just_after_midnight_are_of_calls_before_it(receiver, seen, wanted, spans_first):
    posts = []
    for n, (seconds, in_spans, in_metrics) in enumerate(seen):
        at = THEN // DAY * DAY + seconds
        told = {"gen_ai.usage.input_tokens": in_spans, "gen_ai.usage.output_tokens": None}
        items = [span(told, n, at)] if in_spans else []
        metric = histogram("input", float(in_metrics), 1, 1, at - 10, at + 40)
        posts += [("traces", items), ("metrics", [metric])]
    for signal, items in sorted(posts, key=lambda post: post[0], reverse=spans_first):
        receiver.store(read(signal, envelope(signal, items)))
    assert by_kind(receiver) == wanted


def by_kind(receiver):
    """What counts by kind of view."""
    return {
        row[0].split(": ")[1].split(" of ")[0]: row[1] for row in counted_tokens(receiver) if row[1]
    }


def test_a_configured_view_counts_for_its_day_and_can_join_providers():
    assert aside({SPANS: told(8, 12), OLD: told(8)}, Choice("", "", HISTOGRAM)) == {SPANS: [8, 12]}
    seen = {OTHER: told(8), OLD: told(8, tokens=170)}
    assert aside(seen, Choice("shop-bot", "", "spans")) == {OLD: [8]}


# --- Stored ---


@pytest.fixture
def receiver(sqlite_url):
    found = Receiver(sqlite_url)
    yield found
    found.close()


def a_day():
    """Bodies of one service as it would send them: (signal, document), nothing twice."""
    found = []
    for n in range(4):
        at = THEN - 3600 + 600 * n
        found.append(("traces", envelope("traces", [span({"gen_ai.response.id": f"r{n}"}, n, at)])))
        times = {"start": at - 60, "at": at}
        for name, tokens in (("input", 1000), ("cache_read.input", 400), ("output", 50)):
            metric = counter(f"{COUNTERS}.{name}_tokens", point(tokens, **times))
            found.append(("metrics", envelope("metrics", [metric], service="worker")))
        total = histogram("input", 70.0 * (n + 1), n + 1, 2, THEN - 4000, at)
        found.append(("metrics", envelope("metrics", [total], service="older")))
        # The same tokens as the spans of shop-bot, in another view.
        metrics = [histogram("input", 100.0, 1, **times), histogram("output", 10.0, 1, **times)]
        found.append(("metrics", envelope("metrics", metrics)))
    return found


def counted(receiver):
    """What counts by service, in all classes."""
    with receiver.database.write() as conn:
        rollup.refresh(conn, rollup.waiting(conn), lambda *_: None, (), THEN)
    sums = ", ".join(f"SUM({name})" for name in QUANTITY_FIELDS)
    return sorted(
        receiver.rows(f"SELECT project, stream, {sums} FROM v_usage_daily GROUP BY 1, 2"), key=str
    )


def counted_tokens(receiver):
    """What counts by stream."""
    counted(receiver)
    return receiver.rows("SELECT stream, SUM(tokens) FROM v_usage_daily GROUP BY 1 ORDER BY 1")


def clear(receiver):
    with receiver.database.write() as conn:
        for table in ("set_aside", "telemetry_series", "telemetry_view", "usage", "usage_day",
                      "request_log", "dirty"):  # fmt: skip
            conn.exec_driver_sql(f"DELETE FROM {table}")


WANTED = [
    ("older", {"uncached_input": 280, "requests": 4}),
    ("shop-bot", {"uncached_input": 400, "output": 40, "requests": 4}),
    ("worker", {"uncached_input": 2400, "cache_read": 1600, "output": 200}),
]


@given(st.randoms(use_true_random=False))
@pytest.mark.proof
def test_totals_are_the_same_however_posts_are_ordered_repeated_and_grouped(receiver, chance):
    clear(receiver)
    bodies = [
        otlp.Reader(signal).read(protobuf(signal, document), otlp.PROTOBUF, THEN)
        for signal, document in a_day()
    ]
    bodies += chance.choices(bodies, k=6)
    chance.shuffle(bodies)
    while bodies:
        n = chance.randint(1, 12)
        receiver.store(*bodies[:n])
        bodies = bodies[n:]
    found = [
        (row[0], {k: v for k, v in zip(QUANTITY_FIELDS, row[2:], strict=True) if v is not None})
        for row in counted(receiver)
    ]
    assert found == WANTED


def test_a_better_view_takes_over_from_the_day_that_it_saw_whole_and_gives_back(receiver):
    def day(n, *kinds):
        at = THEN - (3 - n) * DAY
        for kind in kinds:
            if kind == "spans":
                read_ = ("traces", [span({"gen_ai.usage.input_tokens": 90}, 100 + n, at)])
            elif kind == "half":
                read_ = ("traces", [span({"gen_ai.usage.input_tokens": 40}, 100 + n, at)])
            else:
                both = [("input", 90.0), ("output", 10.0)]
                read_ = ("metrics", [histogram(s, t, 1, start=at - 9, at=at) for s, t in both])
            receiver.store(read(read_[0], envelope(*read_)))
            # The choice may change after the roll-up, which then has to do the day again.
            counted(receiver)

    day(0, "metrics")
    day(1, "metrics", "half")
    day(2, "metrics", "spans")
    day(3, "metrics")
    counted(receiver)
    found = receiver.rows("SELECT stream, tokens FROM v_usage_daily ORDER BY day")
    metrics, spans = f"shop-bot/openai: {HISTOGRAM} of genai", "shop-bot/openai: spans of genai"
    assert found == [(metrics, 100), (metrics, 100), (spans, 100), (metrics, 100)]
    aside = receiver.rows("SELECT stream, tokens, counted_stream FROM v_set_aside ORDER BY day")
    assert aside == [(spans, 50, metrics), (metrics, 100, spans)]


def test_cached_tokens_beyond_the_input_are_clamped_and_flagged(receiver):
    metric = counter(f"{COUNTERS}.cache_read.input_tokens", point(40))
    receiver.store(read("metrics", envelope("metrics", [metric])))
    counted(receiver)
    assert receiver.rows("SELECT uncached_input, cache_read, tokens, flags FROM usage_day") == [
        (0, 40, 40, "cache_above_input unpriced")
    ]
    late = counter(f"{COUNTERS}.input_tokens", point(100))
    receiver.store(read("metrics", envelope("metrics", [late])))
    counted(receiver)
    assert receiver.rows("SELECT uncached_input, cache_read, tokens, flags FROM usage_day") == [
        (60, 40, 100, "unpriced")
    ]


def test_days_of_a_view_that_has_ended_are_closed_with_those_of_the_others(receiver):
    receiver.store(read("traces", envelope("traces", [span()])))
    receiver.now += 2 * DAY
    receiver.store(read("metrics", envelope("metrics", [histogram("input", 9.0, 1)])))
    closed = receiver.rows("SELECT closed_through FROM watermark")
    assert closed == [((receiver.now - SETTLE) // DAY * DAY,)] * 2


def test_series_of_which_nothing_was_read_for_long_are_forgotten(receiver):
    receiver.store(*(otlp.Telemetry(points=[p]) for p in series((0, 100))))
    assert receiver.rows("SELECT COUNT(*) FROM telemetry_series") == [(1,)]
    receiver.now += 91 * DAY
    receiver.store(otlp.Telemetry())
    assert receiver.rows("SELECT COUNT(*) FROM telemetry_series") == [(0,)]


def test_a_span_that_says_nothing_weighs_like_any_other():
    wire = telemetry.Wire("", (), otlp.Reader("traces").read, None, None)
    silent = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    items = [span(silent, n) for n in range(3)] + [span({}, 4), span({}, 5, traceId="", spanId="")]
    body = json.dumps(envelope("traces", items)).encode()
    reading = telemetry.signal(wire, SETTLE).read(body, otlp.JSON, None, THEN)
    assert reading.weight == len(items)


def test_a_body_that_came_too_slowly_is_sent_again_by_clients_of_otlp():
    wire = telemetry.Wire("", (otlp.JSON,), None, None, otlp.refused)
    answer = telemetry.signal(wire, SETTLE).refuse(408, "late", otlp.JSON)
    assert (answer.status, json.loads(answer.body)["code"]) == (503, 4)


def test_services_beyond_the_most_share_a_view_and_lose_no_token(receiver, monkeypatch):
    monkeypatch.setattr(telemetry, "MAX_STREAMS", 3)

    def bodies(names, at):
        silent = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
        for n, name in enumerate(names):
            items = [span({}, 10 * at + n, THEN - at), span(silent, 90 + n, THEN - at)]
            yield read("traces", envelope("traces", items, service=name))

    for at in (1, 2):
        receiver.store(*bodies(["a", "b", "c", "d", "e"], at))
    assert receiver.rows("SELECT COUNT(*) FROM stream") == [(4,)]
    found = [(row[0], row[2]) for row in counted(receiver)]
    assert found == [("a", 200), ("b", 200), ("c", 200), ("other", 400)]
    shared = receiver.rows(
        "SELECT q.reason, q.count FROM quarantine q JOIN stream t ON t.id = q.stream_id"
        " WHERE t.name LIKE 'other/%' ORDER BY q.count"
    )
    assert [count for _, count in shared] == [4, 4]
    assert {reason for reason, _ in shared} == {
        "a span without token counts",
        telemetry._CROWDED,
    }
