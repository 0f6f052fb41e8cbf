"""A day's bill of an Azure subscription, served by a Cost Management on loopback."""

from collectors.azure_costs import AzureCosts
from monitor.domain.usage import DAY
from tests.contract.conftest import QUICK
from tests.fake_azure import LOGIN, SECRET, TOKEN, FakeCostManagement, redirect

START = 1_794_960_000  # 2026-11-18
SCOPE = "/subscriptions/33333333-3333-3333-3333-333333333333"


class Served(FakeCostManagement):
    start, now = START, START + 2 * DAY

    def __init__(self):
        super().__init__(page_rows=2)
        self.truth = {"costs": {"EUR": "13.25"}}
        self.charge("2026-11-18", "gpt-5-mini Inp glbl", 10.5)
        self.charge("2026-11-18", "gpt-5-mini Outp glbl", 3)
        self.charge("2026-11-18", "gpt-5-mini cached Inp glbl", -0.25)
        self.charge("2026-11-18", "D2s v3", 100, service="Virtual Machines")
        self.charge("2026-11-19", "gpt-5-mini Inp glbl", 77)

    def source(self):
        options = {"scope": SCOPE, **LOGIN}
        return AzureCosts(
            "azure_costs-main", "acme", SECRET, base_url=self.url, limits=QUICK, **options
        )

    def refuse(self):
        self.token = "another"

    def was_used(self):
        return any(TOKEN in repr(request.headers) for request in self.requests)


def served(request):
    fake = Served()
    redirect(request.getfixturevalue("monkeypatch"), fake)
    return fake
