"""A day of a billing export, asked by the very query of the source, which DuckDB runs."""

from collectors.google_billing import GoogleBilling
from monitor.domain.usage import DAY
from tests.contract.conftest import QUICK
from tests.fake_bigquery import TABLE, FakeBigQuery
from tests.fake_google import TOKEN

START = 1_794_960_000  # 2026-11-18
INPUT = "Gemini 2.5 Flash Text Input - Predictions"


class Served(FakeBigQuery):
    start, now = START, START + 2 * DAY

    def __init__(self):
        super().__init__(page_rows=1)
        self.waits = 1
        self.truth = {"costs": {"USD": "10.75"}}
        self.charge("2026-11-18T05:00:00Z", INPUT, 5.5, month="202611", credits_=[-1.5, -0.25])
        self.charge("2026-11-18T06:00:00Z", INPUT, 4, month="202611")
        self.charge("2026-11-18T06:00:00Z", "Gemini Text Output", 3, month="202611")
        self.charge("2026-11-18T06:00:00Z", "Storage", 9, month="202611", service=("1", "GCS"))
        self.charge("2026-11-19T06:00:00Z", INPUT, 77, month="202611")

    def source(self):
        return GoogleBilling(
            "google_billing-main",
            "acme",
            self.service_account(),
            base_url=self.url,
            table=TABLE,
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
