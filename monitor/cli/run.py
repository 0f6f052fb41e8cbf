"""`crossover run`: the daemon."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from monitor.cli import common


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def run(
    ctx: typer.Context,
    log_level: Annotated[
        Level, typer.Option(help="The least that is logged.", case_sensitive=False)
    ] = Level.INFO,
) -> None:
    """Collect, project, decide, report and alert until stopped (SIGTERM or Ctrl-C).

    Migrates the database at start. Work is claimed by row: on PostgreSQL any number of daemons may
    run side by side, and each report and alert still leaves once.

    Example: crossover --config /etc/crossover/crossover.toml run
    """
    import signal
    import threading
    import time

    from monitor import logs, memory
    from monitor.scheduler import Daemon
    from monitor.storage.engine import daemon_lock
    from monitor.storage.migrate import upgrade
    from monitor.web.app import serving
    from monitor.web.desk import Desk
    from monitor.web.intake import Intake
    from monitor.wiring.alerting import policy
    from monitor.wiring.intake import intake_limits, signals
    from monitor.wiring.outlets import link_secret
    from monitor.wiring.parts import daemon_parts
    from monitor.wiring.style import report_style

    memory.hand_back()
    logs.configure(log_level)
    settings = common.settings(ctx)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    parts = daemon_parts(settings)
    with daemon_lock(parts.database):
        upgrade(parts.database)
        daemon = Daemon(parts)
        desk = Desk(
            parts.database,
            link_secret(settings, parts.database),
            time.time,
            settings.organisation.name,
            settings.organisation.timezone,
            parts.windows,
            policy(settings),
            report_style(settings),
        )
        intake = Intake(parts.database, time.time, signals(settings), intake_limits(settings))
        http = settings.http
        memory.leave_alone()
        with serving(daemon.health, http.host, http.port, desk, intake) as port:
            common.note(f"crossover runs; health at http://{http.host}:{port}/healthz")
            daemon.run(stop)
