"""A day's bill, served by a Cost Explorer on loopback that checks signatures."""

from collectors.aws_costs import AWSCosts
from monitor.domain.usage import DAY
from tests.contract.conftest import QUICK
from tests.fake_amazon import ID, KEY
from tests.fake_cost_explorer import FakeCostExplorer

START = 1_794_960_000  # 2026-11-18
BEDROCK, CLAUDE = "Amazon Bedrock", "Claude Sonnet 5 (Amazon Bedrock Edition)"


class Served(FakeCostExplorer):
    start, now = START, START + 2 * DAY

    def __init__(self):
        super().__init__(page_groups=2)
        self.truth = {"costs": {"USD": "12.345678901234"}}
        self.charged = {
            ("2026-11-18", BEDROCK, "USE1-Nova2-input-tokens"): "2.345678901234",
            ("2026-11-18", CLAUDE, "USE1-MP:USE1_InputTokenCount-Units"): "10.5",
            ("2026-11-18", CLAUDE, "USE1-MP:USE1_OutputTokenCount-Units"): "-0.5",
            ("2026-11-18", "Amazon Simple Storage Service", "TimedStorage"): "100",
            ("2026-11-19", BEDROCK, "USE1-Nova2-input-tokens"): "500",
        }

    def source(self):
        return AWSCosts("aws_costs-main", "acme", KEY, base_url=self.url, limits=QUICK)

    def refuse(self):
        self.secrets = {ID: "another"}

    def was_used(self):
        return any(ID in request.headers["authorization"] for request in self.requests)


def served(request):
    del request
    return Served()
