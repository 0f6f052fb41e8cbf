"""A LiteLLM proxy's database on the suite's PostgreSQL, with the requests that its API recorded."""

import json
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from collectors.litellm_database import LiteLLMDatabase
from tests.contract import litellm_tables
from tests.contract.kinds import KEY

RECORDED = Path(__file__).parents[2] / "fixtures/litellm/recorded.json"


class Served:
    def __init__(self, proxy):
        found = json.loads(RECORDED.read_text())
        self.start = int(datetime.fromisoformat(found["day"] + "T00:00:00+00:00").timestamp())
        self.now = int(datetime.fromisoformat(found["now"]).timestamp())
        self.truth = found["truth"]
        self._proxy = proxy
        calls = [call for e in found["exchanges"] for call in e["body"]["data"]]
        proxy.insert({call["request_id"]: call for call in calls}.values())

    def source(self):
        return LiteLLMDatabase("database-main", "acme", self._proxy.url)

    def refuse(self):
        self._proxy.execute(f"ALTER ROLE {self._proxy.role} PASSWORD 'another'")

    def was_used(self):
        return litellm_tables.refuses(self._proxy.url)


@contextmanager
def served(request):
    with litellm_tables.proxy(request.getfixturevalue("postgres_server"), KEY) as proxy:
        yield Served(proxy)
