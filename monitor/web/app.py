"""The daemon's HTTP service: health, and the pages that links of mails lead to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from monitor.domain.errors import CrossoverError
from monitor.web.desk import STYLE, Desk
from monitor.web.guard import Guard
from monitor.web.intake import Intake

Health = Callable[[], Mapping[str, object]]
"""What is well and what is not; the key `ok` says whether all of it is well."""

_START_SECONDS = 10


def application(
    health: Health, desk: Desk | None = None, intake: Intake | None = None
) -> Starlette:
    """The routes; without a desk and an intake only health."""

    def healthz(_request: Request) -> JSONResponse:
        found = dict(health()) | (intake.depth() if intake else {})
        return JSONResponse(found, status_code=200 if found["ok"] else 503)

    routes = [
        Route("/healthz", healthz),
        *(desk.routes() if desk else ()),
        *(intake.routes() if intake else ()),
    ]
    found = Starlette(routes=routes, middleware=[Middleware(Guard, style=STYLE)])
    # Behind a proxy with TLS the redirect would lead to plain HTTP, and a token with it.
    found.router.redirect_slashes = False
    return found


@contextmanager
def serving(
    health: Health,
    host: str,
    port: int,
    desk: Desk | None = None,
    intake: Intake | None = None,
) -> Iterator[int]:
    """Serve in a thread while the block runs; yields the port in use.

    What is sent to the intake is stored from here on; at the end what it has taken is.

    Raises:
        CrossoverError: the address cannot be listened on.
    """
    config = uvicorn.Config(
        application(health, desk, intake),
        host=host,
        port=port,
        log_config=None,
        # A link is a permission: it stands in no log.
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    with intake.running() if intake else nullcontext():
        yield from _served(server, host, port)


def _served(server: uvicorn.Server, host: str, port: int) -> Iterator[int]:
    thread = threading.Thread(target=_run, args=(server,), name="http", daemon=True)
    thread.start()
    for _ in range(_START_SECONDS * 100):
        if server.started or not thread.is_alive():
            break
        thread.join(0.01)
    if not server.started:
        raise CrossoverError(
            f"cannot listen on {host}:{port}", "Set http.port to a free port, or stop what uses it."
        )
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(5)


def _run(server: uvicorn.Server) -> None:
    try:
        server.run()
    except SystemExit:
        # uvicorn's way to say that it could not bind; `serving` says it in a sentence.
        return
