"""The daemon: APScheduler as a tick. What is due, what ran and what was sent is in our tables.

Each source, and each of planning, sending and GPU reading, is a job of its own: one that hangs or
fails delays none of the others. Correctness never rests on the scheduler's memory.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from monitor.domain.errors import CrossoverError, DatabaseBusy
from monitor.domain.silences import Window
from monitor.domain.usage import HOUR
from monitor.domain.workloads import Rule
from monitor.jobs import collect, deliver, gpu, imports, notify, plan, reprice, rollup
from monitor.jobs.certificates import Certificates
from monitor.jobs.heartbeat import Heartbeat
from monitor.ports import Channel, Pull, Sampler
from monitor.storage import people, price_changes, setup, work
from monitor.storage.engine import Database
from monitor.storage.rates import Resolve

log = logging.getLogger("crossover.daemon")

STOP_SECONDS = 10
_STALLED_TICKS = 20
"""A job that has not ended a tick for this many ticks, and at least ten minutes, is stuck."""

_CATCHES_UP = 900
"""Seconds after the start in which no hour is looked at: after a pause sources and messages are
behind, and come by themselves."""

_HEARTBEAT = "heartbeat"
_COUNTS = ("dead_runs", "dead_messages", "alerts_firing", "alerts_silenced", "notices_waiting")

Clock = Callable[[], float]


LivePrices = Callable[[tuple[str, ...]], tuple[Resolve, str]]
"""Stored prices in force -> what prices a usage, and a hash that changes when a price may."""


class Parts(NamedTuple):
    """Everything that the daemon works with, wired."""

    database: Database
    setup: setup.Setup
    sources: Mapping[str, Pull]
    channels: Mapping[str, Channel]
    sampler: Sampler | None
    prices: LivePrices
    rules: Sequence[Rule]
    rules_hash: str
    pace: collect.Pace
    calendar: plan.Calendar
    handlers: Mapping[str, plan.Handler]
    tick_seconds: float
    gpu_seconds: float
    claim_seconds: int
    windows: Sequence[Window] = ()
    """Planned maintenance."""
    heartbeat: Heartbeat | None = None
    telling: notify.Telling | None = None
    """How alerts become messages; None: their notices wait."""
    watch: Callable[[Database, int], None] | None = None
    """Looks each hour at what is not about a closed day."""
    watched: Sequence[imports.Watched] = ()
    """Files and folders that are imported again and again."""
    certificates: Certificates | None = None
    """Of configured servers; None: none of them has one."""


class Daemon:
    """Ticks until it is told to stop."""

    def __init__(self, parts: Parts, clock: Clock = time.time) -> None:
        self.parts = parts
        self._clock = clock
        self._stop = threading.Event()
        self._ticked: dict[str, float] = {}
        self._waiting: set[str] = set()
        """Jobs of which no tick has ended yet."""
        self._errors: dict[str, str] = {}
        self._watched = 0
        """The hour that was looked at last."""
        self._started = 0
        """When the first tick of planning ended."""
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then let running jobs end, for at most STOP_SECONDS."""
        self._stop = stop
        self.prepare()
        scheduler = self._scheduler()
        scheduler.start()
        log.info("the daemon runs on %s", self.parts.database.shown)
        # Python runs a signal's handler once this thread wakes, and one that comes just before it
        # falls asleep wakes nobody.
        while not stop.wait(1):
            pass
        log.info("stopping")
        guard = threading.Timer(STOP_SECONDS - 1, _exit_anyway)
        guard.daemon = True
        guard.start()
        scheduler.shutdown(wait=True)
        guard.cancel()
        self.close()

    def prepare(self) -> None:
        """Write into the database what is configured."""
        with self.parts.database.write() as conn:
            setup.apply(conn, self.parts.setup)
            people.draw_link_secret(conn)
            if self.parts.database.path is not None:
                # One daemon to a file: what the last one claimed when it ended is free.
                work.forget_claims(conn)

    def close(self) -> None:
        """Release every connection."""
        for source in self.parts.sources.values():
            source.close()
        if self.parts.sampler:
            self.parts.sampler.close()
        self.parts.database.close()

    def _scheduler(self) -> BackgroundScheduler:
        jobs = self._jobs()
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(len(jobs))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for name, (tick, seconds) in jobs.items():
            self._ticked[name] = self._clock()
            self._waiting.add(name)
            scheduler.add_job(
                self._isolated,
                "interval",
                (name, tick),
                seconds=seconds,
                id=name,
                next_run_time=datetime.now(UTC),
            )
        return scheduler

    def _jobs(self) -> dict[str, tuple[Callable[[], None], float]]:
        tick = self.parts.tick_seconds
        jobs: dict[str, tuple[Callable[[], None], float]] = {
            f"collect {name}": (lambda source=source: self.collect(source), tick)  # type: ignore[misc]
            for name, source in self.parts.sources.items()
        }
        for watched in self.parts.watched:
            jobs[f"import {watched.name}"] = (lambda w=watched: self.import_files(w), tick)  # type: ignore[misc]
        jobs["plan"] = (self.plan, tick)
        for name in self.parts.channels:
            jobs[f"send {name}"] = (lambda name=name: self.send(name), tick)  # type: ignore[misc]
        jobs["send the rest"] = (self.send_the_rest, tick)
        if self.parts.sampler:
            jobs["gpu"] = (self.read_gpus, self.parts.gpu_seconds)
        if self.parts.certificates:
            jobs["certificates"] = (self.read_certificates, tick)
        if self.parts.heartbeat:
            jobs[_HEARTBEAT] = (self.beat, tick)
        return jobs

    def _isolated(self, name: str, work: Callable[[], None]) -> None:
        """One job's failure is logged and shown by /healthz; the next tick tries again."""
        try:
            work()
            self._errors.pop(name, None)
        except CrossoverError as error:
            self._errors[name] = str(error)
            log.warning("%s: %s", name, error)
        except Exception as error:
            self._errors[name] = f"{type(error).__name__}: {error}"
            log.exception("%s failed", name)
        self._ticked[name] = self._clock()
        self._waiting.discard(name)

    def _now(self) -> int:
        return int(self._clock())

    def collect(self, source: Pull) -> None:
        """Read every stream of a source that is due."""
        parts, name = self.parts, f"collect {source.name}"

        def works(_: collect.Progress) -> None:
            # A long back-fill is work, not a stuck tick.
            self._ticked[name] = self._clock()

        asked = collect.Asked(tell=works, stopped=self._stop.is_set)
        while not self._stop.is_set():
            found = collect.collect_next(parts.database, source, parts.pace, self._now(), asked)
            if found is None:
                return
            self._ticked[name] = self._clock()
            self._waiting.discard(name)

    def import_files(self, watched: imports.Watched) -> None:
        """Import what is new in watched files, where it is time to."""
        parts = self.parts
        while not self._stop.is_set():
            found = imports.import_due(parts.database, watched, parts.claim_seconds, self._now())
            if found is None:
                return
            self._ticked[f"import {watched.name}"] = self._clock()
            if found.errors:
                # Each file has its say in the record of reads; the health names the first.
                raise found.errors[0]

    def plan(self) -> None:
        """Roll up what changed, add what is due, carry it out."""
        parts = self.parts
        with parts.database.read() as conn:
            stored = tuple(price.document for price in price_changes.in_force(conn))
        resolve, prices_hash = parts.prices(stored)
        reprice.ask(parts.database, prices_hash, self._now())
        reprice.refresh_daily(parts.database, resolve, self._now())
        rollup.roll_up(parts.database, resolve, parts.rules, self._now())
        with parts.database.write() as conn:
            plan.plan_due(conn, parts.calendar, parts.rules_hash, self._now())
        while not self._stop.is_set():
            done = plan.carry_out_next(
                parts.database, parts.handlers, self._now(), parts.claim_seconds
            )
            if done is None:
                break
        try:
            self._watch()
        finally:
            # What could not be looked at keeps nothing back that is known.
            if parts.telling:
                notify.tell(parts.database, parts.telling, self._now())

    def _watch(self) -> None:
        """Look once at each hour."""
        now = self._now()
        self._started = self._started or now
        if (
            not self.parts.watch
            or now - self._started < _CATCHES_UP
            or now // HOUR == self._watched
        ):
            return
        self.parts.watch(self.parts.database, now)
        self._watched = now // HOUR

    def send(self, name: str) -> None:
        """Send every message of a channel that is due."""
        parts = self.parts
        while not self._stop.is_set():
            sent = deliver.deliver_next(
                parts.database, parts.channels, self._now(), parts.claim_seconds, self._jitter, name
            )
            if sent is None:
                return

    def send_the_rest(self) -> None:
        """Mark messages whose channel is not configured any more: they wait, and say why."""
        with self.parts.database.read() as conn:
            due = work.waiting_channels(conn, self._now())
        for name in due:
            if name not in self.parts.channels:
                self.send(name)

    def read_gpus(self) -> None:
        """Take one reading of this host's GPUs and store the minutes it completed."""
        assert self.parts.sampler is not None
        gpu.poll(self.parts.database, self.parts.sampler, self._clock())

    def read_certificates(self) -> None:
        """Read when the certificates of configured servers end, where that is due."""
        assert self.parts.certificates is not None
        self.parts.certificates.look(self.parts.database, self._now())

    def beat(self) -> None:
        """Tell the outside how the last round was."""
        assert self.parts.heartbeat is not None
        self.parts.heartbeat.beat(self._round(), self._now())

    def _round(self) -> list[str] | None:
        """What is wrong, by name alone; None: nothing is known to be, but not all has been seen."""
        problems = [f"{name} does not end" for name in self._stuck()]
        problems += [f"{name} fails" for name in list(self._errors) if name != _HEARTBEAT]
        unseen = bool(self._waiting - {_HEARTBEAT})
        try:
            with self.parts.database.write() as conn:
                work.sign_of_life(conn, self._now())
        except DatabaseBusy:
            # Somebody writes, and for long: that is work. A job that never ends is stuck.
            unseen = True
        except Exception:
            log.exception("the database cannot be written")
            problems.append("the database cannot be written")
        return None if unseen and not problems else problems

    def _stuck(self) -> list[str]:
        now = self._clock()
        return [name for name, at in dict(self._ticked).items() if now - at > self._patience()]

    def _patience(self) -> float:
        return max(_STALLED_TICKS * self.parts.tick_seconds, 600)

    def health(self) -> dict[str, object]:
        """What `/healthz` answers: every job ticks, and the database can be read.

        Work that was given up and alerts are counted, None where they cannot be read: they wait for
        a person, and no restart would help.
        """
        limit = self._patience()
        problems = [f"{name} has not ended a tick for {limit:.0f} s" for name in self._stuck()]
        counts: dict[str, int | None] = dict.fromkeys(_COUNTS)
        try:
            with self.parts.database.read() as conn:
                dead = work.dead(conn)
                stand = people.standing(conn, self.parts.windows, self._now())
            counts = dict(zip(_COUNTS, (dead.runs, dead.messages, *stand), strict=True))
        except CrossoverError as error:
            problems.append(str(error))
        errors = dict(self._errors)
        return {"ok": not problems, "problems": problems, "errors": errors, **counts}


def _exit_anyway() -> None:
    log.warning("a job did not end in time; what it claimed is taken up after a restart")
    os._exit(0)
