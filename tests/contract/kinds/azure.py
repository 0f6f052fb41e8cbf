"""A day of an Azure resource, served by an Azure Monitor on loopback."""

from collectors.azure import Azure
from monitor.domain.usage import DAY, HOUR
from tests.contract.conftest import QUICK
from tests.fake_azure import LOGIN, RESOURCE, SECRET, TOKEN, FakeMonitor, redirect

START = 1_794_960_000  # 2026-11-18


class Served(FakeMonitor):
    start, now = START, START + 2 * DAY

    def __init__(self):
        super().__init__()
        self.truth = {"tokens": {"tokens": 24 * 130 + 7, "requests": 24 * 2 + 1}}
        for hour in range(24):
            at = START + hour * HOUR + 60
            self.put("ProcessedPromptTokens", "chat-prod", at, 100)
            self.put("GeneratedTokens", "chat-prod", at, 30)
            self.put("AzureOpenAIRequests", "chat-prod", at, 2, status="200")
            self.put("AzureOpenAIRequests", "chat-prod", at, 5, status="429")
        self.put("ProcessedPromptTokens", "embed", START, 7)
        self.put("AzureOpenAIRequests", "embed", START, 1, status="200")
        self.put("ProcessedPromptTokens", "embed", START + DAY, 900)

    def source(self):
        options = {"resources": [RESOURCE], **LOGIN}
        return Azure("azure-main", "acme", SECRET, base_url=self.url, limits=QUICK, **options)

    def refuse(self):
        self.token = "another"

    def was_used(self):
        return any(TOKEN in repr(request.headers) for request in self.requests)


def served(request):
    fake = Served()
    redirect(request.getfixturevalue("monkeypatch"), fake)
    return fake
