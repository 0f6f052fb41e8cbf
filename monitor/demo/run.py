"""The demonstration: every step of the real pipeline, with the real code, on loopback."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email import message_from_bytes, policy
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from monitor.config import load
from monitor.demo import provider
from monitor.demo.story import DAYS, utilisation
from monitor.domain.errors import CrossoverError, InputError
from monitor.domain.periods import week_of
from monitor.domain.usage import DAY, MINUTE, Device, Minute, utc_day
from monitor.jobs.report import render_week, standalone
from monitor.scheduler import Daemon
from monitor.storage.engine import Database
from monitor.storage.fleet import put_devices, put_minutes
from monitor.storage.migrate import upgrade
from monitor.wiring import alerting, parts

_FLEET_DAYS = 8
_GPUS = 2
_FILES = ("crossover.db", "report.html", "report.eml", "alert.eml", "crossover.toml", "demo.key")

Say = Callable[[str], None]


class Outcome(NamedTuple):
    """What the demonstration leaves behind."""

    folder: Path
    verdict: str
    """One line."""


class _Mailbox:
    """An aiosmtpd handler that keeps what it accepts."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:  # noqa: N802
        self.messages.append(envelope.content)  # type: ignore[attr-defined]
        return "250 kept"


def demonstrate(folder: Path, now: int, say: Say) -> Outcome:
    """Build 120 days, decide, report, alert; leaves its files in `folder`.

    Raises:
        InputError: the folder holds something else, or aiosmtpd is not installed.
        CrossoverError: the pipeline did not end as it must.
    """
    _empty(folder)
    with _mailbox() as (smtp, mailbox), provider.serving(utc_day(now) - DAYS * DAY, now) as url:
        settings = load(_configure(folder, url, smtp))
        daemon = Daemon(parts.daemon_parts(settings, demo=True), clock=lambda: now)
        try:
            _work(daemon, now, say)
            _keep(folder, mailbox.messages)
            with daemon.parts.database.read() as conn:
                week = week_of(now - 7 * DAY)
                rendered = render_week(conn, week, alerting.policy(settings, demo=True), now)
        finally:
            daemon.close()
    (folder / "report.html").write_text(standalone(rendered), "utf-8")
    return Outcome(folder, rendered.subject)


def _empty(folder: Path) -> None:
    """Remove an earlier demonstration, and nothing else."""
    if not folder.exists():
        folder.mkdir(parents=True)
        return
    known = {*_FILES, *(f"crossover.db{s}" for s in ("-wal", "-shm", ".lock", ".migrate.lock"))}
    strange = sorted(item.name for item in folder.iterdir() if item.name not in known)
    if strange:
        raise InputError(
            f"{folder} holds {', '.join(strange[:3])}, which no demonstration made",
            "Name an empty folder with --output.",
        )
    shutil.rmtree(folder)
    folder.mkdir()


@contextmanager
def _mailbox() -> Iterator[tuple[int, _Mailbox]]:
    """A mail server on a free port of loopback."""
    try:
        from aiosmtpd.controller import Controller  # noqa: PLC0415 - an extra of its own
    except ModuleNotFoundError:
        raise InputError(
            "the demonstration sends to a mail server of its own and aiosmtpd is not installed",
            "Install crossover-monitor[demo].",
        ) from None
    handler = _Mailbox()
    # Handed over as it listens: a port that was only looked up could be taken by then.
    listener = socket.create_server(("127.0.0.1", 0))

    class Listening(Controller):
        def _create_server(self) -> Any:
            return self.loop.create_server(self._factory_invoker, sock=listener)

    port = listener.getsockname()[1]
    controller = Listening(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, handler
    finally:
        controller.stop()


def _configure(folder: Path, url: str, smtp: int) -> Path:
    template = files("monitor.demo").joinpath("crossover.toml").read_text("utf-8")
    values = {"folder": folder.absolute(), "provider": url, "days": DAYS, "smtp": smtp}
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", str(value))
    (folder / "demo.key").write_text(provider.KEY, "utf-8")
    path = folder / "crossover.toml"
    path.write_text(template, "utf-8")
    return path


def _work(daemon: Daemon, now: int, say: Say) -> None:
    steps: Sequence[tuple[str, Callable[[], object]]] = (
        ("making the database", lambda: upgrade(daemon.parts.database)),
        ("writing the configuration into it", daemon.prepare),
        ("storing eight days of GPU minutes", lambda: _fleet(daemon.parts.database, now)),
        (f"reading {DAYS} days of usage and costs from the provider", lambda: _collect(daemon)),
        ("pricing, projecting, deciding, writing the report", daemon.plan),
        ("sending mail", lambda: daemon.send("smtp")),
    )
    for what, step in steps:
        started = time.monotonic()
        step()
        say(f"{what}: {time.monotonic() - started:.1f} s")


def _collect(daemon: Daemon) -> None:
    for source in daemon.parts.sources.values():
        daemon.collect(source)


def _fleet(database: Database, now: int) -> None:
    devices = [
        Device("demo-gpu-1", f"GPU-demonstration-{n}", "NVIDIA H100 80GB HBM3", n)
        for n in range(_GPUS)
    ]
    for day in range(utc_day(now) - _FLEET_DAYS * DAY, utc_day(now), DAY):
        minutes = [
            _minute(device.uuid, at, n)
            for at in range(day, day + DAY, MINUTE)
            for n, device in enumerate(devices)
        ]
        with database.write() as conn:
            put_minutes(conn, put_devices(conn, devices, now), minutes)


def _minute(uuid: str, at: int, number: int) -> Minute:
    busy = utilisation(at, number)
    watts = 80 + 5.5 * busy
    return Minute(
        uuid,
        at,
        util_min=max(busy - 10, 0),
        util_mean=busy,
        util_max=min(busy + 10, 100),
        mem_used_max=72 * 1024**3,
        power_mean_mw=watts * 1000,
        energy_mj=int(watts * 60_000),
        temp_max=int(38 + busy / 3),
        throttle_ns=0,
        samples=360,
    )


def _keep(folder: Path, messages: Sequence[bytes]) -> None:
    """The report and the alert as they arrived."""
    for raw in messages:
        to = str(message_from_bytes(raw, policy=policy.default)["To"])
        name = "report.eml" if to.startswith("finance@") else "alert.eml"
        (folder / name).write_bytes(raw)
    missing = [n for n in ("report.eml", "alert.eml") if not (folder / n).exists()]
    if missing:
        raise CrossoverError(
            f"{' and '.join(missing)} did not arrive at the demonstration's mail server",
            "See the log above; `crossover outbox list` shows what was said.",
        )
