"""Helicone's request log on loopback, over calls that tests own."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tests.fake_api import FakeApi, Refusal, Request

KEY = "sk-helicone-CANARY0000000000000000"
NO_CACHE = "00000000-0000-0000-0000-000000000000"
PROMPT = "CANARY-PROMPT: how much is the fish?"


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def call(name: str, at: float, **changed: Any) -> dict[str, Any]:
    """A successful request, 1,000 tokens in of which 300 were read from a cache, and 50 out."""
    return {
        "request_id": name,
        "request_created_at": iso(at),
        "response_status": 200,
        "provider": "OPENAI",
        "model": "gpt-5-mini",
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "prompt_cache_read_tokens": 300,
        "prompt_cache_write_tokens": 0,
        "cache_reference_id": NO_CACHE,
        "request_user_id": "ana@acme.test",
        "properties": {"Team": "shop", "Tier": "gold"},
        "request_body": {"messages": [{"content": PROMPT}]},
        "response_body": {"content": PROMPT},
        "costUSD": 0.5,
    } | changed


class FakeHelicone(FakeApi):
    """`calls` as the log has them; those of one instant come in another order each time."""

    def __init__(self, calls: Iterable[dict[str, Any]] = ()):
        super().__init__()
        self.calls = list(calls)
        self.in_order = False
        self.cap = 1000
        """Rows of a page, whatever is asked for."""

    def page(self, request: Request) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refusal(401, "Invalid API key")
        asked = request.document
        first, last = (
            asked["filter"][side]["request_response_rmt"]["request_created_at"]
            for side in ("left", "right")
        )
        assert (asked["filter"]["operator"], asked["sort"]) == ("and", {"created_at": "asc"})
        if asked["limit"] > 1000:
            raise Refusal(400, "invalid limit")
        found = [c for c in self.calls if first["gte"] <= c["request_created_at"] < last["lt"]]
        turn = len(self.requests) % 2 == 0 and not self.in_order
        found.sort(key=lambda c: c["request_id"], reverse=turn)
        found.sort(key=lambda c: c["request_created_at"])
        limit = min(asked["limit"], self.cap)
        return {"data": found[asked["offset"] :][:limit], "error": None}

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": message}).encode()


def at_of(made: dict[str, Any]) -> int:
    """The second in which a request was made."""
    return int(datetime.fromisoformat(made["request_created_at"]).timestamp())
