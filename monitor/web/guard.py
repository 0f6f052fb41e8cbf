"""What every answer of the HTTP service carries, and how much a request may bring."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from email import policy
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 4096
_MOST_FIELDS = 20

Handler = Callable[[Request, Mapping[str, str]], Response]
"""Answers a request whose body is a form; GET and HEAD bring an empty one."""


POLICY = "content-security-policy"


def content_policy(style: str) -> str:
    """What a page may do that holds this one style sheet: nothing but look like it says."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    )


class Guard:
    """No script, nothing from elsewhere, no frame, no cache, no address in a Referer.

    Args:
        app: what is guarded.
        style: the one style sheet that pages hold.
    """

    def __init__(self, app: ASGIApp, style: str) -> None:
        self._app = app
        self._policy = content_policy(style)
        self._headers = {
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-robots-tag": "noindex, nofollow",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One exchange, its answer with the headers added."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # A page with a style sheet of its own says so itself.
                headers.setdefault(POLICY, self._policy)
                headers.update(self._headers)
            await send(message)

        await self._app(scope, receive, guarded)


def with_form(handler: Handler, too_large: Callable[[], Response]) -> Callable[..., Any]:
    """An endpoint that reads at most MOST_BYTES before the handler, a plain function, runs."""

    async def endpoint(request: Request) -> Response:
        if _announced(request) > MOST_BYTES:
            return too_large()
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    return too_large()
        except ClientDisconnect:
            return Response(status_code=400)
        form = fields(request.headers.get("content-type", ""), body)
        return await run_in_threadpool(handler, request, form)

    return endpoint


def _announced(request: Request) -> int:
    said = request.headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdigit() else 0


def fields(content_type: str, body: bytes) -> dict[str, str]:
    """A form's fields, the first of each name; what cannot be read is absent.

    Both kinds that RFC 8058 lets a mailbox provider send.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl(
                body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
        except ValueError:
            return {}
        return dict(reversed(pairs))
    if kind == "multipart/form-data":
        return _multipart(content_type, body)
    return {}


def _multipart(content_type: str, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    found: dict[str, str] = {}
    for part in BytesParser(policy=policy.compat32).parsebytes(head + body).walk():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes) and len(found) < _MOST_FIELDS:
            found.setdefault(name, data.decode(errors="replace").strip())
    return found
