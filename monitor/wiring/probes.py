"""What `crossover check` asks of each configured part; nothing is changed by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from collectors import http
from monitor.config import Settings, secret
from monitor.domain.errors import ConfigError, DatabaseUnavailable
from monitor.jobs.check import Probe, compare_bills, no_price_waits, nothing_given_up, nothing_twice
from monitor.jobs.quarantine import little_is_unread
from monitor.storage.engine import Database
from monitor.storage.migrate import head, require_current
from monitor.wiring.opening import database
from monitor.wiring.outlets import channels
from monitor.wiring.prices import model_names
from monitor.wiring.rows import document
from monitor.wiring.style import logo, require_extras
from monitor.wiring.usage import gpus, source
from reports import pdf


def probes(settings: Settings, now: int) -> list[Probe]:
    """Everything that `crossover check` tries."""
    found = [Probe("database", partial(_probe_database, settings))]
    for number, item in enumerate(settings.source):
        found.append(Probe(f"source {item.name}", partial(_probe_source, settings, number, now)))
    if not settings.source:
        found.append(Probe("sources", None))
    if settings.deployment:
        found.append(Probe("deployments", partial(_probe_deployments, settings)))
    bills = partial(_probe_bills, settings, now) if settings.source else None
    found.append(Probe("bill against estimate", bills))
    unread = partial(_probe_quarantine, settings, now) if settings.source else None
    found.append(Probe("unread rows", unread))
    doubled = partial(_probe_doubles, settings, now) if settings.source else None
    found.append(Probe("double counts", doubled))
    found.append(Probe("work", partial(_probe_work, settings, now)))
    found.append(Probe("prices", partial(_probe_prices, settings)))
    if settings.organisation.logo:
        found.append(Probe("logo", partial(_probe_logo, settings)))
    mail = partial(_probe_mail, settings) if settings.mail.host else None
    found.append(Probe("mail", mail))
    found += [
        Probe(f"channel {item.name}", partial(_probe_channel, settings, item.name))
        for item in settings.channel
    ]
    if settings.report.pdf or settings.report.xlsx:
        found.append(Probe("files of reports", partial(_probe_files, settings)))
    if settings.heartbeat.url:
        found.append(Probe("heartbeat", partial(_probe_heartbeat, settings)))
    gpus = partial(_probe_gpus, settings) if settings.nvml.mode != "off" else None
    found.append(Probe("GPUs (NVML)", gpus, required=settings.nvml.mode == "required"))
    return found


def _probe_database(settings: Settings) -> str:
    opened = database(settings)
    if opened.path is not None and not opened.path.exists():
        if not opened.path.parent.is_dir():
            raise DatabaseUnavailable(
                f"cannot make the database {opened.shown}: there is no {opened.path.parent}",
                "Make that folder, or name another in database.url.",
            )
        return f"{opened.shown} will be made at the first start"
    require_current(opened)
    opened.close()
    return f"{opened.shown}, schema {head()}"


def _probe_deployments(settings: Settings) -> str:
    for item in settings.deployment:
        document(item)
    return ", ".join(item.name for item in settings.deployment)


def _probe_bills(settings: Settings, now: int) -> str:
    read, names = [item.name for item in settings.source], model_names(settings)
    return _asked(settings, lambda opened: compare_bills(opened, now, read, names))


def _probe_doubles(settings: Settings, now: int) -> str:
    names = model_names(settings)
    return _asked(settings, lambda opened: nothing_twice(opened, now, names))


def _probe_quarantine(settings: Settings, now: int) -> str:
    return _asked(settings, lambda opened: little_is_unread(opened, now))


def _probe_work(settings: Settings, now: int) -> str:
    return _asked(settings, lambda opened: nothing_given_up(opened, now))


def _probe_prices(settings: Settings) -> str:
    return _asked(settings, no_price_waits)


def _asked(settings: Settings, question: Callable[[Database], str]) -> str:
    """What the stored rows say, if there are any."""
    opened = database(settings)
    if opened.path is not None and not opened.path.exists():
        return "nothing is stored yet"
    require_current(opened)
    try:
        return question(opened)
    finally:
        opened.close()


def _probe_source(settings: Settings, number: int, now: int) -> str:
    opened = source(settings, number)
    try:
        return opened.probe(now)
    finally:
        opened.close()


def _probe_logo(settings: Settings) -> str:
    found = logo(settings)
    assert found is not None
    return f"shown at {found.width} x {found.height} pixels"


def _probe_mail(settings: Settings) -> str:
    return _probe_channel(settings, "smtp")


def _probe_channel(settings: Settings, name: str) -> str:
    return channels(settings)[name].probe()


def _probe_files(settings: Settings) -> str:
    require_extras(settings)
    if settings.report.pdf:
        pdf.make("<p>This page tries the layout.</p>")
    return "can be made"


def _probe_heartbeat(settings: Settings) -> str:
    """A call would say that a daemon lives, so none is made."""
    url = secret(settings.heartbeat.url, "heartbeat.url")
    if not http.callable_address(url):
        raise ConfigError(
            ["heartbeat.url is neither https nor on this machine"],
            "The address holds a key: use https.",
        )
    return f"the daemon calls it every {settings.heartbeat.every_minutes:g} minutes"


def _probe_gpus(settings: Settings) -> str:
    found = gpus(settings.nvml.host)
    try:
        return found.probe()
    finally:
        found.close()
