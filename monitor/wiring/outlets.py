"""How messages leave, and what links in them are signed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collectors import http
from monitor.config import Settings, secret
from monitor.config.alerting import ChannelSettings
from monitor.domain.errors import ConfigError
from monitor.domain.links import Place
from monitor.jobs import trial
from monitor.jobs.heartbeat import Heartbeat
from monitor.jobs.mail import Envelope
from monitor.ports import Channel, Composer
from monitor.storage import people
from monitor.storage.engine import Database
from reports.channels.alertmanager import Alertmanager
from reports.channels.apprise import Apprise
from reports.channels.kinds import COMPOSERS
from reports.channels.pagerduty import URL as PAGERDUTY
from reports.channels.pagerduty import PagerDuty
from reports.channels.slack import Slack
from reports.channels.smtp import Smtp
from reports.channels.teams import Teams
from reports.channels.webhook import Webhook

_LINK_SECRET_LEAST = 16


def channels(settings: Settings) -> dict[str, Channel]:
    """The ways out by name; no `smtp` where mail is not configured.

    Raises:
        ConfigError: a channel's address cannot be called.
    """
    found: dict[str, Channel] = {}
    mail = settings.mail
    if mail.host:
        found["smtp"] = Smtp(
            mail.host,
            mail.port,
            mail.security,
            sender=mail.sender,
            username=mail.username,
            password=secret(mail.password, "mail.password"),
            timeout=mail.timeout_seconds,
        )
    for number, item in enumerate(settings.channel):
        found[item.name] = _channel(item, f"channel.{number}")
    return found


def _channel(item: ChannelSettings, where: str) -> Channel:
    url = secret(item.url, f"{where}.url ({item.name})")
    key = secret(item.secret, f"{where}.secret ({item.name})")
    if url and item.kind != "apprise" and not http.callable_address(url):
        raise ConfigError(
            [f"{where}.url ({item.name}) is neither https nor on this machine"],
            "Use https: messages hold what is spent, and most addresses are keys.",
        )
    make: dict[str, Callable[[], Channel]] = {
        "webhook": lambda: Webhook(item.name, url, key, http.post, item.timeout_seconds),
        "slack": lambda: Slack(item.name, url, http.post, item.timeout_seconds),
        "teams": lambda: Teams(item.name, url, http.post, item.timeout_seconds),
        "pagerduty": lambda: PagerDuty(
            item.name, key, http.post, item.timeout_seconds, url or PAGERDUTY
        ),
        "alertmanager": lambda: Alertmanager(item.name, url, http.post, item.timeout_seconds),
        "apprise": lambda: Apprise(item.name, url, item.timeout_seconds),
    }
    return make[item.kind]()


def composers(settings: Settings) -> dict[str, Composer]:
    """How each configured channel besides mail writes alerts, by its name."""
    return {item.name: COMPOSERS[item.kind] for item in settings.channel}


def test_message(settings: Settings, channel: str, to: str, now: int) -> bytes:
    """A made-up alert as the bytes that a channel sends; `to` is the address of a mail."""
    organisation = settings.organisation.name
    if channel == "smtp":
        return trial.mailed(envelope(settings, [to]), organisation, now)
    return trial.composed(composers(settings)[channel], organisation, channel, now)


def envelope(settings: Settings, recipients: Sequence[str], report: str = "") -> Envelope:
    """Who writes to whom; `report` is what a reader may leave."""
    sender = settings.mail.sender
    domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
    place = Place(
        settings.organisation.url, configured_link_secret(settings), settings.alerts.link_days
    )
    return Envelope(sender, domain, recipients, place=place, report=report)


def configured_link_secret(settings: Settings) -> str:
    """What links are signed with, as configured; '' where the database has it.

    Raises:
        ConfigError: it is missing or short.
    """
    chosen = secret(settings.organisation.link_secret, "organisation.link_secret")
    if chosen and len(chosen) < _LINK_SECRET_LEAST:
        raise ConfigError(
            [f"organisation.link_secret is shorter than {_LINK_SECRET_LEAST} characters"],
            "Draw one: `openssl rand -hex 32`.",
        )
    return chosen


def link_secret(settings: Settings, opened: Database) -> Callable[[], str]:
    """What links are signed with: as configured, else as the daemon drew it; '' before it did."""
    chosen = configured_link_secret(settings)
    known = [chosen] if chosen else []

    def found() -> str:
        if not known:
            with opened.read() as conn:
                drawn = people.link_secret(conn)
            if not drawn:
                return ""
            known.append(drawn)
        return known[0]

    return found


def heartbeat(settings: Settings) -> Heartbeat | None:
    """Who is told that the daemon lives; None: nobody."""
    url = secret(settings.heartbeat.url, "heartbeat.url")
    if not url:
        return None
    return Heartbeat(url, int(settings.heartbeat.every_minutes * 60), http.post)
