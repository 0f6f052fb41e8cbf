"""Vertex AI's day, served by a Cloud Monitoring on loopback that checks a service account."""

from collectors.vertex import Vertex
from monitor.domain.usage import DAY, HOUR
from tests.contract.conftest import QUICK
from tests.fake_google import TOKEN
from tests.fake_monitoring import FakeMonitoring

START = 1_794_960_000  # 2026-11-18
GEMINI = "gemini-2.5-flash"


class Served(FakeMonitoring):
    start, now = START, START + 2 * DAY

    def __init__(self):
        super().__init__(page_series=2)
        self.truth = {"tokens": {"tokens": 24 * 130 + 7, "requests": 24 * 2 + 1}}
        for hour in range(24):
            at = START + hour * HOUR + 60
            self.put("acme", "token_count", GEMINI, at, 100, type="input")
            self.put("acme", "token_count", GEMINI, at, 30, type="output")
            self.put("acme", "model_invocation_count", GEMINI, at, 2, response_code="200")
            self.put("acme", "model_invocation_count", GEMINI, at, 9, response_code="429")
        self.put("acme", "token_count", "claude", START, 7, "20250929", "eu", type="input")
        self.put("acme", "model_invocation_count", "claude", START, 1, "20250929", "eu")
        self.put("acme", "token_count", GEMINI, START - 1, 500, type="input")

    def source(self):
        return Vertex(
            "vertex-main",
            "acme",
            self.service_account(),
            base_url=f"{self.url}/v3",
            projects=["acme"],
            limits=QUICK,
        )

    def refuse(self):
        self.token = "another"
        self.give = lambda form: {"access_token": TOKEN, "expires_in": 3600}

    def was_used(self):
        return any(TOKEN in repr(request.headers) for request in self.requests)


def served(request):
    del request
    return Served()
