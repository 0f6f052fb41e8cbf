"""A provider for the demonstration: OpenAI's usage and cost pages on loopback, from the story."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from monitor.demo.story import PARTS, Hour, hours
from monitor.domain.usage import DAY, HOUR

KEY = "demonstration-key"

# What the demonstration's provider charges, in USD per million: uncached input, cached, output.
_PRICES = {
    "gpt-5.1-2025-11-13": (Decimal("1.25"), Decimal("0.125"), Decimal(10)),
    "gpt-5-mini-2025-08-07": (Decimal("0.25"), Decimal("0.025"), Decimal(2)),
}
_COMPONENTS = ("input", "cached input", "output")


@contextmanager
def serving(first_day: int, now: int) -> Iterator[str]:
    """Serve the story from its first day up to now; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(asked.query).items()}
            body = json.dumps(_page(asked.path, query, first_day, now), default=float).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet: the daemon's own log tells what it read."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _page(path: str, query: dict[str, str], first_day: int, now: int) -> dict[str, Any]:
    """One page: as many buckets as asked for, then a cursor."""
    width = HOUR if query.get("bucket_width") == "1h" else DAY
    start = int(query.get("page") or query["start_time"])
    end = int(query.get("end_time", now))
    stop = min(start + int(query.get("limit", 7)) * width, end)
    data = [
        {
            "object": "bucket",
            "start_time": at,
            "end_time": at + width,
            "results": _results(path, at, width, first_day, now),
        }
        for at in range(start, stop, width)
    ]
    more = stop < end
    return {
        "object": "page",
        "data": data,
        "has_more": more,
        "next_page": str(stop) if more else None,
    }


def _results(path: str, at: int, width: int, first_day: int, now: int) -> list[dict[str, Any]]:
    if at < first_day or not path.endswith(("/completions", "/costs")):
        return []
    found = [
        hour
        for part in PARTS
        for hour in hours(part, at - at % DAY, now - now % DAY)
        if at <= hour.start < at + width and hour.start < now and hour.requests
    ]
    if path.endswith("/costs"):
        return [line for hour in _by_part(found) for line in _costs(hour)]
    return [_usage(hour) for hour in found]


def _by_part(found: list[Hour]) -> list[Hour]:
    """A day of each workload as one."""
    days = ([hour for hour in found if hour.part is part] for part in PARTS)
    return [
        Hour(
            day[0].part,
            day[0].start,
            sum(hour.requests for hour in day),
            sum(hour.input_tokens for hour in day),
            sum(hour.cached_tokens for hour in day),
            sum(hour.output_tokens for hour in day),
        )
        for day in days
        if day
    ]


def _usage(hour: Hour) -> dict[str, Any]:
    uncached = hour.input_tokens - hour.cached_tokens
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": hour.input_tokens,
        "input_uncached_tokens": uncached,
        "input_cached_tokens": hour.cached_tokens,
        "input_cache_write_tokens": 0,
        "output_tokens": hour.output_tokens,
        "num_model_requests": hour.requests,
        "project_id": hour.part.project,
        "user_id": None,
        "api_key_id": f"key_{hour.part.project.removeprefix('proj_')}",
        "model": hour.part.model,
        "batch": False,
        "service_tier": "default",
    }


def _costs(hour: Hour) -> list[dict[str, Any]]:
    counts = (hour.input_tokens - hour.cached_tokens, hour.cached_tokens, hour.output_tokens)
    return [
        {
            "object": "organization.costs.result",
            "amount": {"value": count * price / 10**6, "currency": "usd"},
            "line_item": f"{hour.part.model}, {component}",
            "quantity": count,
            "quantity_unit": "tokens",
            "project_id": hour.part.project,
            "api_key_id": None,
        }
        for component, count, price in zip(
            _COMPONENTS, counts, _PRICES[hour.part.model], strict=True
        )
    ]
