"""A Langfuse server on loopback, over calls of models that tests own."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

from monitor.domain.usage import DAY, HOUR
from tests.fake_api import FakeApi, Refusal, Request

KEY = "pk-lf-public:sk-lf-CANARY000000000000"
METRICS, DAILY = "/api/public/v2/metrics", "/api/public/metrics/daily"


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


class FakeLangfuse(FakeApi):
    """`calls` as (time, model, environment, input, output, total), summed as the server does.

    Without `metrics` it is an older server that has the daily metrics alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self.metrics = True
        self.per_page = 2

    def page(self, request: Request) -> dict[str, Any]:
        sent = request.headers["authorization"].removeprefix("Basic ")
        if b64decode(sent).decode() != KEY:
            raise Refusal(401, "Invalid credentials. Confirm that you've configured the host.")
        if request.path == DAILY:
            return self.daily(dict(request.query))
        if request.path != METRICS or not self.metrics:
            raise Refusal(404, "Not Found")
        return self.sums(json.loads(request.all("query")[0]))

    def sums(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["filters"][0]["value"] == ["GENERATION", "EMBEDDING"]
        width = {"hour": HOUR, "day": DAY}[asked["timeDimension"]["granularity"]]
        fields = [each["field"] for each in asked["dimensions"]]
        first, last = epoch(asked["fromTimestamp"]), epoch(asked["toTimestamp"])
        found: dict[Any, Any] = {}
        for at, model, environment, *counts in self.calls:
            if first <= at <= last:  # the end of the question belongs to its answer
                names = {"providedModelName": model, "environment": environment, "traceName": "t"}
                key = (at - at % width, *(names[field] for field in fields))
                old = found.get(key, (0, 0, 0, 0))
                found[key] = tuple(a + b for a, b in zip(old, (1, *counts), strict=True))
        rows = [
            {"time_dimension": iso(key[0])}
            | dict(zip(fields, key[1:], strict=True))
            | {
                "count_count": str(sums[0]),
                "sum_inputTokens": str(sums[1]),
                "sum_outputTokens": sums[2],
                "sum_totalTokens": sums[3],
            }
            for key, sums in found.items()
        ]
        return {"data": rows[: asked["config"]["row_limit"]]}

    def daily(self, asked: dict[str, str]) -> dict[str, Any]:
        first, last = epoch(asked["fromTimestamp"]), epoch(asked["toTimestamp"])
        days: dict[int, Any] = {}
        for at, model, _, *counts in self.calls:
            if first <= at < last:
                models = days.setdefault(at - at % DAY, {})
                old = models.get(model, (0, 0, 0, 0))
                models[model] = tuple(a + b for a, b in zip(old, (1, *counts), strict=True))
        names = ("countObservations", "inputUsage", "outputUsage", "totalUsage")
        data = [
            {
                "date": iso(day)[:10],
                "countTraces": 1,
                "totalCost": 1.5,
                "usage": [
                    {"model": model, **dict(zip(names, sums, strict=True))}
                    for model, sums in models.items()
                ],
            }
            for day, models in sorted(days.items(), reverse=True)
        ]
        page, size = int(asked["page"]), self.per_page
        meta = {"page": page, "limit": size, "totalItems": len(data)}
        meta["totalPages"] = -(-len(data) // size)
        return {"data": data[(page - 1) * size : page * size], "meta": meta}

    def error_body(self, message: str) -> bytes:
        return json.dumps({"message": message, "error": "Error"}).encode()
