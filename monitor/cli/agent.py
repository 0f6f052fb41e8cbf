"""`crossover agent`: this host's GPUs into a shared PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common


def agent(
    database: Annotated[
        str,
        typer.Option(envvar="CROSSOVER_DATABASE__URL", help="The shared PostgreSQL, as a URL."),
    ],
    host: Annotated[str, typer.Option(help="Name of this host; else its hostname.")] = "",
    every: Annotated[float, typer.Option(help="Seconds between readings.", min=1, max=60)] = 5,
    password: Annotated[
        str,
        typer.Option(
            envvar="CROSSOVER_DATABASE__PASSWORD",
            help="Of the URL's user, by name: env:NAME or file:PATH.",
        ),
    ] = "",
) -> None:
    """Read this host's GPUs every few seconds and write a row a minute to the shared database.

    For GPU hosts that the daemon does not run on. Without a driver it waits for one. The smaller
    `crossover-agent` prints the same rows as JSON lines and needs no database.

    Example: crossover agent --database "postgresql://crossover@db.example.org/crossover"
    --password file:/etc/crossover/secrets/database
    """
    import signal
    import threading
    import time

    from monitor import logs
    from monitor.config import secret
    from monitor.domain.errors import CrossoverError, InputError
    from monitor.jobs import gpu
    from monitor.storage.engine import Database
    from monitor.storage.migrate import require_current
    from monitor.wiring import usage

    logs.configure()
    target = Database(database, secret(password, "--password"))
    if target.dialect != "postgresql":
        raise InputError(
            "an agent writes to a database that hosts share, and SQLite is a file of one host",
            "Give a postgresql:// URL, or let the daemon on this host read the GPUs.",
        )
    require_current(target)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    sampler = usage.gpus(host)
    try:
        while not stop.is_set():
            try:
                gpu.poll(target, sampler, time.time())
            except CrossoverError as error:
                # The server may be restarting; readings of this minute are lost, and said.
                common.note(f"minutes were not stored: {error}")
            stop.wait(every)
    finally:
        sampler.close()
        target.close()
