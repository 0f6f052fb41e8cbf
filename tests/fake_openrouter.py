"""OpenRouter's activity on loopback, over items that tests own."""

import json
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from tests.fake_api import FakeApi, Refusal, Request

KEY = "sk-or-v1-CANARY0management0000000000000"


def item(day: int, **changed: Any) -> dict[str, Any]:
    """What a model did on a day of November 2026."""
    return {
        "date": f"2026-11-{day:02d}",
        "model": "openai/gpt-5-mini",
        "model_permaslug": "openai/gpt-5-mini-2025-08-07",
        "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
        "provider_name": "OpenAI",
        "requests": day,
        "prompt_tokens": 1000 * day,
        "cached_tokens": 100 * day,
        "completion_tokens": 10 * day,
        "reasoning_tokens": day,
        "usage": day / 1000,
        "byok_usage_inference": 0.5,
        "workspace_id": "ws_1",
    } | changed


class FakeOpenRouter(FakeApi):
    """The activity of `items`, a day at a time, for the 30 completed days before `today`."""

    root = "/api/v1"

    def __init__(self, items: Iterable[dict[str, Any]] = (), today: str = "2026-11-21"):
        super().__init__()
        self.items = list(items)
        self.today = today

    def page(self, request: Request) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refusal(401, "No auth credentials found")
        if request.path != f"{self.root}/activity":
            raise Refusal(404, "Not Found")
        (asked,) = request.all("date")
        first = (date.fromisoformat(self.today) - timedelta(days=30)).isoformat()
        if not first <= asked < self.today:
            raise Refusal(400, "Date must be within the last 30 (completed) UTC days")
        found = [dict(each) for each in self.items if each["date"] == asked]
        if request.all("group_by") != ["workspace"]:
            for each in found:
                del each["workspace_id"]
        return {"data": found}

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": {"code": 400, "message": message}}).encode()
