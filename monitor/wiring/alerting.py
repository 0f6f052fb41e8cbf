"""What is alerted, to whom and when."""

from __future__ import annotations

from datetime import date, time
from fractions import Fraction

from monitor import library
from monitor.config import Settings, weekday_number
from monitor.domain import rulebook
from monitor.domain.grouping import QuietHours, Rhythm
from monitor.domain.routing import Route, Routes
from monitor.domain.silences import Window
from monitor.domain.usage import HOUR
from monitor.domain.watch import Thresholds
from monitor.domain.watch_health import Expiring
from monitor.domain.workloads import rules_hash
from monitor.jobs.alerting import Policy
from monitor.jobs.notify import Telling
from monitor.jobs.recommendation import Enclosing
from monitor.wiring.outlets import composers, envelope
from monitor.wiring.prices import model_names
from monitor.wiring.rows import midnight, rules
from monitor.wiring.style import report_style
from reports import pdf


def policy(settings: Settings, *, demo: bool = False) -> Policy:
    """What decisions need to know."""
    return Policy(
        organisation=settings.organisation.name,
        live_sources=[item.name for item in settings.source],
        lead_days=settings.alerts.lead_days,
        reopen_share=Fraction(settings.alerts.reopen_percent, 100),
        rules_hash=rules_hash(rules(settings)),
        envelope=envelope(settings, []),
        demo=demo,
        guide=library.guide(),
        windows=windows(settings),
        routes=routes(settings),
        rules=rulebook.chosen(rule_changes(settings)),
        limits=rulebook.limits(rule_changes(settings)),
        expiring=_ending_prices(settings),
        names=model_names(settings),
        owners={item.name: item.owner for item in settings.workload if item.owner},
        thresholds={
            item.name: Thresholds(item.actual_percent, item.projected_percent)
            for item in settings.budget
        },
    )


def _ending_prices(settings: Settings) -> list[Expiring]:
    """Configured prices with an end that no later one of the same follows."""
    ends: dict[tuple[str, ...], list[date | None]] = {}
    for item in settings.prices.override:
        key = (item.account, item.provider, item.model, item.context)
        ends.setdefault(key, []).append(item.valid_to)
    return [
        Expiring(f"of {' '.join(filter(None, key))}", "price", midnight(max(known)))
        for key, found in ends.items()
        if len(known := [each for each in found if each]) == len(found)
    ]


def rule_changes(settings: Settings) -> dict[str, rulebook.Chosen]:
    """What is configured of each rule, by its name."""
    return {
        name: rulebook.Chosen(**item.model_dump()) for name, item in settings.alerts.rules.items()
    }


def routes(settings: Settings) -> Routes:
    """Who is told of which alerts."""
    return Routes(
        [
            Route(item.to, item.severity, item.rule, item.workload, item.owner)
            for item in settings.alerts.route
        ],
        settings.alerts.to,
    )


def telling(settings: Settings, *, demo: bool = False) -> Telling:
    """How alerts become messages."""
    chosen, zone = settings.alerts, settings.organisation.timezone
    quiet = [
        QuietHours(
            time.fromisoformat(item.start),
            time.fromisoformat(item.end),
            item.zone or zone,
            frozenset(map(weekday_number, item.days)),
        )
        for item in chosen.quiet
    ]
    return Telling(
        organisation=settings.organisation.name,
        envelope=envelope(settings, []),
        composers=composers(settings),
        rhythm=Rhythm(
            group_seconds=int(chosen.group_minutes * 60),
            gap_seconds=int(chosen.gap_hours * HOUR),
            quiet=quiet,
            digest=chosen.digest,
            digest_at=time.fromisoformat(chosen.digest_at),
            zone=zone,
        ),
        demo=demo,
        style=report_style(settings),
        # Where the extra is there, alerts bring the PDF too.
        enclosing=Enclosing(
            policy(settings, demo=demo), as_pdf=pdf.available(), style=report_style(settings)
        ),
    )


def windows(settings: Settings) -> tuple[Window, ...]:
    """Planned maintenance."""
    return tuple(
        Window(int(w.start.timestamp()), int(w.end.timestamp()), w.why, w.rule, w.subject)
        for w in settings.alerts.maintenance
    )
