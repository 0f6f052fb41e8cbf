"""Bedrock's day, served by a CloudWatch on loopback that checks signatures."""

from collectors.bedrock import Bedrock
from monitor.domain.usage import DAY, HOUR
from tests.contract.conftest import QUICK
from tests.fake_amazon import ID, KEY
from tests.fake_cloudwatch import FakeCloudWatch

START = 1_794_960_000  # 2026-11-18
CLAUDE = "us.anthropic.claude-sonnet-5"


class Served(FakeCloudWatch):
    start, now = START, START + 2 * DAY

    def __init__(self):
        super().__init__(listed=2, points=3)
        self.truth = {
            "runtime": {"tokens": 2 * (1268 + 9000 + 312) + 7, "requests": 3},
            "mantle": {"tokens": 150, "requests": 2},
        }
        for hour in (3, 23):
            at = START + hour * HOUR + 60
            self.put("us-east-1", "InputTokenCount", CLAUDE, at, 1268)
            self.put("us-east-1", "CacheReadInputTokens", CLAUDE, at, 9000)
            self.put("us-east-1", "OutputTokenCount", CLAUDE, at, 312)
            self.put("us-east-1", "Invocations", CLAUDE, at, 1)
        self.put("us-east-1", "InputTokenCount", "amazon.titan-embed", START, 7)
        self.put("us-east-1", "Invocations", "amazon.titan-embed", START, 1)
        self.put("us-east-1", "Invocations", CLAUDE, START - 1, 500)
        # The same traffic at three levels, of which one is counted.
        for dims in (
            {"Project": "p1", "Model": "gpt-oss"},
            {"Model": "gpt-oss"},
            {"Project": "p1"},
        ):
            for metric, value in (("TotalInputTokens", 100), ("TotalOutputTokens", 50)):
                self.put("us-east-1", metric, "", START, value, namespace=MANTLE, **dims)
            self.put("us-east-1", "Inferences", "", START, 2, namespace=MANTLE, **dims)

    def source(self):
        return Bedrock("bedrock-main", "acme", KEY, base_url=self.url, limits=QUICK)

    def refuse(self):
        self.secrets = {ID: "another"}

    def was_used(self):
        return any(ID in request.headers["authorization"] for request in self.requests)


MANTLE = "AWS/BedrockMantle"


def served(request):
    del request
    return Served()
