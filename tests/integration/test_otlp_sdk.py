"""A live OpenTelemetry SDK, its exporters and an instrumentation, against the real receiver."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.receiver import Receiver

MODEL = "gpt-5-mini-2025-08-07"


class FakeOpenAI(BaseHTTPRequestHandler):
    """Answers a chat completion of the size that its prompt asks for; `fail` fails."""

    protocol_version = "HTTP/1.1"
    made = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = body["messages"][0]["content"]
        if said == "fail":
            self.reply(400, {"error": {"message": "told to fail"}})
            return
        prompt, completion = map(int, said.split())
        FakeOpenAI.made += 1
        self.reply(
            200,
            {
                "id": f"chatcmpl-{FakeOpenAI.made}",
                "object": "chat.completion",
                "created": 1,
                "model": MODEL,
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "a secret answer"},
                    }
                ],
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                },
            },
        )

    def reply(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def model():
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeOpenAI)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def receiver(sqlite_url, monkeypatch):
    found = Receiver(sqlite_url, now=int(time.time()))
    with found.listening():
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{found.port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization=Bearer%20{found.secret}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        yield found
    found.close()


class Sdk:
    """Providers that are configured by the environment, as docs/sources.md says."""

    def __init__(self, service, temporality=AggregationTemporality.CUMULATIVE):
        resource = Resource.create({"service.name": service})
        preferred = {Counter: temporality, Histogram: temporality}
        exporter = OTLPMetricExporter(preferred_temporality=preferred)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        self.meters = MeterProvider([reader], resource=resource)
        self.tracers = TracerProvider(resource=resource)
        self.tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))

    def close(self):
        self.tracers.shutdown()
        self.meters.shutdown()


def test_calls_of_an_instrumented_client_are_counted_once_by_their_spans(receiver, model):
    sdk = Sdk("shop-bot")
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters)
    try:
        with openai.OpenAI(api_key="k", base_url=model, max_retries=0) as client:
            for content in ("120 30", "2500 7", "1 1"):
                said = [{"role": "user", "content": content}]
                client.chat.completions.create(model="gpt-5-mini", messages=said)
                sdk.meters.force_flush()
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(
                    model="gpt-5-mini", messages=[{"role": "user", "content": "fail"}]
                )
    finally:
        instrumentor.uninstrument()
        sdk.close()
    truth = {"input": 2621, "output": 38, "cache_read": 0, "cache_write": 0, "requests": 3}
    streams = receiver.streams()
    assert sorted(name.split(": ")[1].split()[0] for name in streams) == [
        "gen_ai.client.token.usage",
        "spans",
    ]
    assert all(models == {MODEL: truth} for models in streams.values())
    counted = receiver.counted()[MODEL]
    assert (counted["uncached_input"], counted["output"], counted["requests"]) == (2621, 38, 3)


@pytest.mark.parametrize(
    "temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE]
)
def test_the_newest_counters_of_two_processes_add_up(receiver, temporality):
    attributes = {"gen_ai.provider.name": "openai", "gen_ai.response.model": MODEL}
    for _ in range(2):
        sdk = Sdk("worker", temporality)
        meter = sdk.meters.get_meter("genai")
        name = "gen_ai.client.inference.usage."
        counters = {
            sort: meter.create_counter(f"{name}{sort}")
            for sort in ("input_tokens", "output_tokens", "cache_read.input_tokens")
        }
        for used in ((1000, 50, 200), (300, 5, 100), (0, 0, 0)):
            for counter, tokens in zip(counters.values(), used, strict=True):
                counter.add(tokens, attributes)
            sdk.meters.force_flush()
        sdk.close()
    assert receiver.counted() == {
        MODEL: {
            "uncached_input": 2000,
            "cache_read": 600,
            "cache_write": 0,
            "output": 110,
            "requests": 0,
        }
    }
