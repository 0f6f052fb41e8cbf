"""A LiteLLM proxy's request log on loopback, over calls that tests own."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tests.fake_api import FakeApi, Refusal, Request

KEY = "sk-CANARY-master-0000000000000000000"
LARGEST_PAGE = 1000


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def call(at: float, name: str, **changed: Any) -> dict[str, Any]:
    """A successful request of 1,000 prompt tokens, of which 300 were read and 100 written."""
    usage = {
        "prompt_tokens_details": {
            "cached_tokens": 300,
            "cache_creation_tokens": 100,
            "cache_creation_token_details": {
                "ephemeral_5m_input_tokens": 60,
                "ephemeral_1h_input_tokens": 40,
            },
        },
        "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 100,
        "completion_tokens_details": {"reasoning_tokens": 7},
        "service_tier": "standard",
    }
    return {
        "request_id": name,
        "startTime": iso(at),
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "model": "anthropic/claude-sonnet-4-5",
        "custom_llm_provider": "anthropic",
        "api_key": "hash-1",
        "team_id": "team-shop",
        "user": "u-ana",
        "status": "success",
        "cache_hit": "None",
        "metadata": {"usage_object": usage},
    } | changed


class FakeProxy(FakeApi):
    """`calls` as the proxy serves them: both ends of a window included, counted to a cap.

    `page_size` caps a page below what was asked for. Rows of one instant have no order, as in a
    database that sorts them: `unordered` turns them about on each second page.
    """

    def __init__(self, calls: Iterable[dict[str, Any]] = ()):
        super().__init__()
        self.calls = list(calls)
        self.cap = 10_000
        self.page_size = LARGEST_PAGE
        self.unordered = False

    def page(self, request: Request) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refusal(401, "Authentication Error, Invalid proxy server token passed.")
        if request.path != "/spend/logs/v2":
            raise Refusal(404, "Not Found")
        query = dict(request.query)
        if "start_date" not in query or "end_date" not in query:
            raise Refusal(400, "Start date and end date are required")
        first, last = (
            datetime.strptime(query[name], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
            for name in ("start_date", "end_date")
        )
        size, number = int(query["page_size"]), int(query["page"])
        if size > LARGEST_PAGE:
            raise Refusal(422, "Input should be less than or equal to 1000")
        assert (query["sort_by"], query["sort_order"]) == ("startTime", "asc")
        size = min(size, self.page_size)
        back = self.unordered and number % 2 == 0
        timed = [(started(each), each) for each in self.calls[:: -1 if back else 1]]
        found = [each for _, each in sorted(timed, key=lambda pair: pair[0])]
        found = [each for each in found if first <= started(each) <= last]
        total = min(len(found), self.cap)
        return {
            "data": found[(number - 1) * size : number * size],
            "total": total,
            "page": number,
            "page_size": size,
            "total_pages": -(-total // size),
            "total_is_capped": len(found) > self.cap,
        }

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "type": "x", "code": "400"}}).encode()


def started(each: dict[str, Any]) -> float:
    """The instant of a call; without a zone it is UTC."""
    at = datetime.fromisoformat(each["startTime"])
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
