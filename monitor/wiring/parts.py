"""The whole daemon."""

from __future__ import annotations

from functools import partial

from collectors import http, tls
from monitor.config import Settings
from monitor.domain.usage import HOUR
from monitor.domain.workloads import rules_hash
from monitor.jobs.certificates import Certificates, Read
from monitor.jobs.close import close_month
from monitor.jobs.decide import decide
from monitor.jobs.editions import correct, send_any
from monitor.jobs.plan import CLOSE, CORRECT, DECIDE, MONTHLY, WEEKLY, Handler, at_once
from monitor.jobs.watching import hourly
from monitor.scheduler import LivePrices, Parts
from monitor.wiring.alerting import policy, telling, windows
from monitor.wiring.opening import database
from monitor.wiring.outlets import channels, heartbeat
from monitor.wiring.prices import live_prices, model_names
from monitor.wiring.reporting import calendar, report_issues
from monitor.wiring.rows import rules, setup
from monitor.wiring.usage import claim_seconds, pace, sampler, sources, watched
from reports.channels.smtp import Smtp


def handlers(
    settings: Settings, *, demo: bool = False, prices: LivePrices | None = None
) -> dict[str, Handler]:
    """What carries out each kind of run; `prices` spares looking them up twice."""
    chosen = policy(settings, demo=demo)
    issues = report_issues(settings, demo=demo)
    return {
        DECIDE: at_once(partial(decide, policy=chosen)),
        WEEKLY: partial(send_any, issues=issues),
        MONTHLY: partial(send_any, issues=issues),
        CORRECT: partial(correct, issues=issues),
        CLOSE: at_once(
            partial(
                close_month,
                live_sources=chosen.live_sources,
                prices=prices or live_prices(settings),
                names=model_names(settings),
            )
        ),
    }


def daemon_parts(settings: Settings, *, demo: bool = False) -> Parts:
    """The whole daemon, wired; `demo` labels what it says as a demonstration."""
    found, priced = sources(settings), live_prices(settings)
    return Parts(
        database=database(settings),
        setup=setup(settings),
        sources=found,
        channels=channels(settings),
        sampler=sampler(settings),
        prices=priced,
        rules=rules(settings),
        rules_hash=rules_hash(rules(settings)),
        pace=pace(settings),
        calendar=calendar(settings),
        handlers=handlers(settings, demo=demo, prices=priced),
        tick_seconds=settings.daemon.tick_seconds,
        gpu_seconds=settings.nvml.every_seconds,
        claim_seconds=claim_seconds(settings),
        windows=windows(settings),
        heartbeat=heartbeat(settings),
        telling=telling(settings, demo=demo),
        watch=partial(
            hourly,
            policy=policy(settings, demo=demo),
            settle=int(settings.collect.settle_hours * HOUR),
        ),
        watched=watched(settings),
        certificates=certificates(settings, demo=demo),
    )


def certificates(settings: Settings, *, demo: bool = False) -> Certificates | None:
    """The servers whose certificates are read: own addresses of sources, ours, the mail server."""
    addresses = {f"source {item.name}": item.base_url for item in settings.source}
    addresses["organisation.url"] = settings.organisation.url
    places = {
        name: (target.host, target.port)
        for name, address in addresses.items()
        if (target := http.place(address)) and target.secured
    }
    servers: dict[str, Read] = {
        f"{host}:{port}": partial(tls.certificate, name, host, port)
        for name, (host, port) in places.items()
    }
    mail = settings.mail
    if mail.host and mail.security != "none":
        # No login is needed to look at it.
        smtp = Smtp(
            mail.host,
            mail.port,
            mail.security,
            sender=mail.sender,
            timeout=mail.timeout_seconds,
        )
        servers[f"{mail.host}:{mail.port}"] = smtp.certificate
    return Certificates(servers, policy(settings, demo=demo)) if servers else None
