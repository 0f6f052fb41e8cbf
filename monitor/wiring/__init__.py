"""From configuration to working parts: the only module that names concrete classes."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from collectors import http, registry, tls
from collectors.genai_rates import GenaiRates
from collectors.nvml import Nvml
from collectors.requestlog import RequestLog, parse_map
from monitor import library
from monitor.config import Settings, secret, weekday_number
from monitor.config.alerting import ChannelSettings
from monitor.config.money import ContractSettings, FxSettings, PriceOverride
from monitor.config.reporting import OWNER_PREFIX, Budget
from monitor.config.usage import SourceSettings
from monitor.config.workloads import DeploymentSettings
from monitor.domain import rulebook
from monitor.domain.capacity import Choice, Filled, fill, low_price
from monitor.domain.cost_lines import fill_in
from monitor.domain.errors import ConfigError, InputError
from monitor.domain.grouping import QuietHours, Rhythm
from monitor.domain.hardware import find_gpu
from monitor.domain.links import Place
from monitor.domain.money import to_pico
from monitor.domain.periods import WEEKDAYS, Schedule
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.rate_lookup import Override, Resolver
from monitor.domain.routing import Route, Routes
from monitor.domain.scenario import parse_tables, to_document
from monitor.domain.silences import Window
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch import Thresholds
from monitor.domain.watch_health import Expiring
from monitor.domain.workloads import Rule, rules_hash
from monitor.jobs import trial
from monitor.jobs.alerting import Policy
from monitor.jobs.certificates import Certificates, Read
from monitor.jobs.close import close_month
from monitor.jobs.closing import monthly_report
from monitor.jobs.collect import Pace
from monitor.jobs.decide import decide
from monitor.jobs.editions import Issue, Maker, correct, send_any
from monitor.jobs.files import bringing
from monitor.jobs.heartbeat import Heartbeat
from monitor.jobs.mail import Envelope
from monitor.jobs.notify import Telling
from monitor.jobs.plan import (
    CLOSE,
    CORRECT,
    DECIDE,
    MONTHLY,
    WEEKLY,
    Calendar,
    Handler,
    at_once,
)
from monitor.jobs.recommendation import Enclosing
from monitor.jobs.report import weekly_report
from monitor.jobs.watching import hourly
from monitor.ports import Channel, Composer, Pull, Sampler
from monitor.scheduler import LivePrices, Parts
from monitor.storage import people, price_changes
from monitor.storage.engine import Database
from monitor.storage.migrate import require_current
from monitor.storage.price_changes import FxRate
from monitor.storage.rates import RateKey, Resolve
from monitor.storage.setup import (
    AccountSetup,
    BudgetSetup,
    ContractSetup,
    DeploymentSetup,
    Setup,
    SourceSetup,
    WorkloadSetup,
)
from reports import closing, pdf, workbook
from reports.audiences import CELLS, Audience
from reports.channels.alertmanager import Alertmanager
from reports.channels.apprise import Apprise
from reports.channels.kinds import COMPOSERS
from reports.channels.pagerduty import URL as PAGERDUTY
from reports.channels.pagerduty import PagerDuty
from reports.channels.slack import Slack
from reports.channels.smtp import Smtp
from reports.channels.teams import Teams
from reports.channels.webhook import Webhook
from reports.clothes import Logo, look, read_logo
from reports.language import Second, Style

_LINK_SECRET_LEAST = 16


def database(settings: Settings) -> Database:
    """The database, not yet opened."""
    return _database(settings.database.url, settings.database.password, "database.password")


def reader_database(settings: Settings) -> Database:
    """The database as people who query see it: through the reader's role where there is one."""
    if not settings.database.reader_url:
        return database(settings)
    chosen = settings.database
    return _database(chosen.reader_url, chosen.reader_password, "database.reader_password")


def _database(url: str, password: str, where: str) -> Database:
    return Database(url, secret(password, where))


def sources(settings: Settings) -> dict[str, Pull]:
    """Every configured source by name, with its credentials."""
    return {item.name: source(settings, n) for n, item in enumerate(settings.source)}


def source(settings: Settings, number: int) -> Pull:
    """The source of that place in the file."""
    item = settings.source[number]
    where = f"source.{number}.admin_key ({item.name})"
    if not item.admin_key:
        raise ConfigError([f"{where}: this key is required"], 'Write admin_key = "env:NAME".')
    return _with_key(item, secret(item.admin_key, where))


def _with_key(item: SourceSettings, key: str) -> Pull:
    kind = registry.load(item.kind)
    known = registry.options(kind)
    if unknown := sorted(set(item.options) - known):
        raise ConfigError(
            [f"source {item.name}: {item.kind} has no option {', '.join(unknown)}"],
            f"It has {', '.join(sorted(known)) or 'none'}; docs/sources.md explains them.",
        )
    further = item.options | ({"base_url": item.base_url} if item.base_url else {})
    found: Pull = kind(item.name, item.account, key, bucket=item.bucket, **further)
    return found


def _source_setup(item: SourceSettings) -> SourceSetup:
    """Which streams a source has, for which no key is needed."""
    source = _with_key(item, "none")
    try:
        return SourceSetup(item.name, item.kind, item.account, source.streams())
    finally:
        source.close()


def setup(settings: Settings) -> Setup:
    """The rows that the configuration asks for."""
    return Setup(
        [_source_setup(item) for item in settings.source],
        _accounts(settings),
        [
            WorkloadSetup(
                w.name,
                w.must_stay_on_api,
                w.must_stay_in_house,
                w.runs_on,
                json.dumps(w.gates, default=_written, sort_keys=True),
                w.owner,
                w.cost_centre,
            )
            for w in settings.workload
        ],
        [DeploymentSetup(d.name, d.workload, document(d)) for d in settings.deployment],
        rules(settings),
        [
            ContractSetup(
                item.account,
                _midnight(item.valid_from) or 0,
                _midnight(item.valid_to),
                to_pico(item.commit_usd_per_month),
            )
            for item in settings.contract
        ],
        [fx_rate(item) for item in settings.fx],
        [_budget(item) for item in settings.budget],
    )


def _budget(item: Budget) -> BudgetSetup:
    """A budget with the one thing that it is about."""
    scopes = ("workload", "account", "cost_centre", "label")
    scope = next((key for key in scopes if getattr(item, key)), "all")
    return BudgetSetup(
        item.name,
        to_pico(item.amount_usd),
        item.period,
        scope,
        "" if scope == "all" else getattr(item, scope),
        _midnight(item.valid_from),
        _midnight(item.valid_to),
        item.owner,
    )


def fx_rate(item: FxSettings) -> FxRate:
    """A currency's rate as it is stored."""
    day = _midnight(item.day) or 0
    return FxRate(item.currency, day, int(item.usd * 10**9), item.source)


def _written(value: object) -> object:
    """A date or a decimal of the file as JSON has them."""
    return value.isoformat() if isinstance(value, date) else float(str(value))


def _accounts(settings: Settings) -> list[AccountSetup]:
    """Each account's authorities: as configured, else the only source that reports it."""
    only = {item.account: item.name for item in settings.source}
    found = []
    for name in sorted({*only, *settings.account}):
        chosen = settings.account.get(name)
        tokens = chosen.tokens_from if chosen else ""
        money = chosen.money_from if chosen else ""
        currency = chosen.currency if chosen else "USD"
        default = only.get(name, "")
        found.append(AccountSetup(name, currency, tokens or default, money or default))
    return found


def document(deployment: DeploymentSettings) -> str:
    """The deployment's tables as stored text, with what was assumed for lines left out."""
    tables = deployment.tables()
    cost = tables["deployment"]
    filling = fill_in(
        library.costs(),
        cost,
        tables["migration"],
        hardware=_hardware(deployment, cost),
        model_updates=deployment.model_updates_usd_per_month,
    )
    scenario = parse_tables({**tables, "deployment": filling.cost, "migration": filling.migration})
    return json.dumps(
        {
            "scenario": to_document(scenario),
            "assumed": list(filling.assumed),
            "lines": list(filling.lines),
            "remarks": _price_remarks(deployment, scenario.deployment.usd_per_gpu_hour),
            "price_stale_after_days": library.gpus().stale_after_days,
            "engine_model": deployment.engine_model,
            "peak_given": deployment.peak_to_mean is not None,
            "facts": deployment.facts,
        },
        default=_written,
        sort_keys=True,
    )


def _hardware(deployment: DeploymentSettings, cost: Mapping[str, Any]) -> dict[str, Filled]:
    """What the shipped figures say of the deployment's model and GPU; nothing without them."""
    if not deployment.model:
        return {}
    choice = Choice(deployment.model, deployment.gpu, deployment.precision, deployment.commitment)
    # A server that was bought has no rent.
    bought = {"usd_per_gpu_hour": 0} if deployment.owned else {}
    try:
        return fill(library.capacity(), library.gpus(), choice, {**bought, **cost})
    except InputError as error:
        raise ConfigError(
            [f"deployment {deployment.name}: {error.message}"], error.remedy
        ) from None


def _price_remarks(deployment: DeploymentSettings, usd_per_gpu_hour: Fraction) -> list[str]:
    if not deployment.gpu or not usd_per_gpu_hour:
        return []
    return low_price(find_gpu(library.gpus(), deployment.gpu), usd_per_gpu_hour)


def rules(settings: Settings) -> list[Rule]:
    """The workload rules in their order."""
    return [
        Rule(w.name, w.provider, w.model, w.project, w.api_key, w.label, w.account)
        for w in settings.workload
    ]


def overrides(settings: Settings, stored: Sequence[str] = ()) -> list[Override]:
    """The customer's own prices: those of the configuration, then the stored documents.

    Of two that fit equally well the last one counts, so that a price that was set wins.
    """
    written = [_discount(item) for item in settings.contract if item.multiplier != 1]
    written += [_override(item) for item in settings.prices.override]
    return written + [stored_override(document) for document in stored]


def _discount(item: ContractSettings) -> Override:
    return Override(
        account=item.account,
        multiplier=item.multiplier,
        valid_from=_midnight(item.valid_from) or 0,
        valid_to=_midnight(item.valid_to),
    )


def stored_override(document: str) -> Override:
    """A stored price: the keys of [[prices.override]] as JSON."""
    return _override(PriceOverride.model_validate_json(document))


def stored_prices(settings: Settings) -> list[str]:
    """The documents of the prices in force that were set by command; none without a database."""
    opened = database(settings)
    if opened.path is not None and not opened.path.exists():
        return []
    require_current(opened)
    try:
        with opened.read() as conn:
            return [stored.document for stored in price_changes.in_force(conn)]
    finally:
        opened.close()


def _override(item: PriceOverride) -> Override:
    return Override(
        account=item.account,
        provider=item.provider,
        model=item.model,
        multiplier=item.multiplier,
        rates=usd_per_million(**item.usd_per_million) if item.usd_per_million else None,
        valid_from=_midnight(item.valid_from) or 0,
        valid_to=_midnight(item.valid_to),
        context=item.context or None,
    )


def _midnight(day: date | None) -> int | None:
    return int(datetime.combine(day, time(), UTC).timestamp()) if day else None


def prices(settings: Settings, stored: Sequence[str] = ()) -> Resolver:
    """Which card prices a usage: overrides, our own dated rows, then the price list."""
    stale_after = settings.prices.stale_after_days * DAY
    own, chosen = library.rates(), overrides(settings, stored)
    return Resolver(price_list(settings), chosen, own.rates, own.factors, own.aliases, stale_after)


def price_list(settings: Settings) -> GenaiRates:
    """The price list alone: what it names, and the contexts it knows."""
    return GenaiRates(settings.prices.stale_after_days * DAY)


def prices_hash(settings: Settings, stored: Sequence[str] = ()) -> str:
    """Changes whenever a price may: overrides, our own rows, the list's version."""
    said = (overrides(settings, stored), library.rates(), GenaiRates().version)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def resolver(settings: Settings, stored: Sequence[str] = ()) -> Resolve:
    """The same for stored series."""
    found = prices(settings, stored)

    def card(key: RateKey, at: int, seconds: int) -> RateCard | None:
        return found.card(key.provider, key.model, at, key.context, key.account, seconds)

    return card


def live_prices(settings: Settings) -> LivePrices:
    """What the daemon prices with: looked up anew whenever a price was set or ended."""

    @lru_cache(maxsize=1)
    def found(stored: tuple[str, ...]) -> tuple[Resolve, str]:
        return resolver(settings, stored), prices_hash(settings, stored)

    return found


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


def gpus(host: str) -> Nvml:
    """This host's GPUs, under the name given or else the hostname."""
    return Nvml(host or socket.gethostname())


def request_log(path: Path, mapping: str, name: str) -> RequestLog:
    """A CSV file of requests, its columns named by a one-line map."""
    return RequestLog(path, parse_map(mapping), name)


def sampler(settings: Settings) -> Sampler | None:
    """This host's GPUs; None where they are switched off."""
    if settings.nvml.mode == "off":
        return None
    return gpus(settings.nvml.host)


def envelope(settings: Settings, recipients: Sequence[str], report: str = "") -> Envelope:
    """Who writes to whom; `report` is what a reader may leave."""
    sender = settings.mail.sender
    domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
    place = Place(
        settings.organisation.url, configured_link_secret(settings), settings.alerts.link_days
    )
    return Envelope(sender, domain, recipients, place=place, report=report)


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
        Expiring(f"of {' '.join(filter(None, key))}", "price", _midnight(max(known)))
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


def calendar(settings: Settings) -> Calendar:
    """When things fall due."""
    settle = int(settings.collect.settle_hours * HOUR)
    hour, minute = map(int, settings.report.at.split(":"))
    schedule = Schedule(
        "weekly",
        settings.organisation.timezone,
        hour,
        minute,
        weekday=WEEKDAYS[weekday_number(settings.report.weekday)],
        settle_seconds=settle,
    )
    closes = settings.collect.close_after_days
    # The morning of the day on which the month's closing falls due.
    monthly = Schedule(
        "monthly",
        settings.organisation.timezone,
        hour,
        minute,
        day=min(closes + 1, 31),
        settle_seconds=closes * DAY,
    )
    readers = audiences(settings)
    weekly, closing = (
        [each.audience.name for each in readers if kind in each.every] for kind in (WEEKLY, MONTHLY)
    )
    limit = settings.report.catch_up
    return Calendar(schedule, settle, limit, closes, monthly, weekly, closing)


def pace(settings: Settings) -> Pace:
    """How sources are read."""
    chosen = settings.collect
    return Pace(
        every=max(1, int(chosen.every_minutes * 60)),
        overlap_days=chosen.overlap_days,
        deep_days=chosen.deep_days,
        settle=int(chosen.settle_hours * HOUR),
        backfill_days={item.name: item.backfill_days for item in settings.source},
        claim=_claim_seconds(settings),
    )


def _claim_seconds(settings: Settings) -> int:
    return max(1, int(settings.daemon.claim_minutes * 60))


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
            )
        ),
    }


def report_issues(settings: Settings, *, demo: bool = False) -> dict[tuple[str, str], Issue]:
    """What is sent to whom, by report and kind of period."""
    found = {}
    for readers in audiences(settings):
        chosen = policy(settings, demo=demo)
        chosen = chosen._replace(envelope=envelope(settings, readers.to, readers.audience.name))
        terms = int(settings.report.deadline_hours * HOUR), settings.report.correct_days
        for kind in readers.every:
            found[readers.audience.name, kind] = Issue(_maker(readers, kind), chosen, *terms)
    require_extras(settings)
    return found


def _maker(readers: Readers, kind: str) -> Maker:
    """How the readers' report is made, with the files that they asked for."""
    audience, files = readers.audience, {"xlsx": readers.xlsx, "as_pdf": readers.pdf}
    if kind == MONTHLY:
        return bringing(monthly_report(audience), MONTHLY, closing.CELLS, **files)
    return bringing(weekly_report(audience), WEEKLY, CELLS[audience.kind], **files)


class Readers(NamedTuple):
    """An audience, its addresses, and how often it is told."""

    audience: Audience
    to: Sequence[str]
    every: Sequence[str]
    xlsx: bool = False
    pdf: bool = False

    def speaking(self, language: str) -> Readers:
        """The same in another language."""
        chosen = self.audience.style._replace(language=language)
        return self._replace(audience=self.audience._replace(style=chosen))


def audiences(settings: Settings) -> list[Readers]:
    """Finance first, then the further ones in their order, then each owner of a workload."""
    style = report_style(settings)
    files = settings.report.xlsx, settings.report.pdf
    found = [Readers(Audience(style=style), settings.report.to, (WEEKLY, MONTHLY), *files)]
    for item in settings.report.audience:
        own = style._replace(language=item.language or style.language)
        found.append(
            Readers(
                Audience(item.name, item.kind, style=own), item.to, item.every, item.xlsx, item.pdf
            )
        )
    if settings.report.owners:
        owners = sorted({item.owner for item in settings.workload if item.owner})
        found += [
            Readers(Audience(_owners_report(to), "owner", to, style), (to,), (WEEKLY,))
            for to in owners
        ]
    return found


def _owners_report(owner: str) -> str:
    """The report of an owner as run keys and readers who leave it name it."""
    if len(owner) <= _LONGEST_OWNER:
        return f"{OWNER_PREFIX}{owner}"
    return f"{OWNER_PREFIX}{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


_LONGEST_OWNER = 90
"""So that the name fits where it is stored."""


def report_style(settings: Settings) -> Style:
    """In which words reports speak, where an audience names no language of its own."""
    chosen = settings.organisation
    second = None if chosen.currency == "USD" else Second(chosen.currency, None, "")
    return Style(chosen.language, chosen.timezone, second, look=look(chosen.colour, logo(settings)))


def logo(settings: Settings) -> Logo | None:
    """The logo that reports show; None: they name Crossover instead.

    Raises:
        ConfigError: it cannot be read, or is no picture for a mail.
    """
    path = settings.organisation.logo
    if not path:
        return None
    where = f"organisation.logo ({path})"
    try:
        return read_logo(Path(path).read_bytes(), where)
    except OSError as error:
        raise ConfigError([f"{where} cannot be read: {error.strerror}"]) from None
    except InputError as error:
        raise ConfigError([error.message], error.remedy) from None


def require_extras(settings: Settings) -> None:
    """Raises InputError where a file is asked for that needs a package which is not there."""
    chosen, audiences = settings.report, settings.report.audience
    if chosen.pdf or any(audience.pdf for audience in audiences):
        pdf.require()
    if chosen.xlsx or any(audience.xlsx for audience in audiences):
        workbook.require()


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
        claim_seconds=_claim_seconds(settings),
        windows=windows(settings),
        heartbeat=heartbeat(settings),
        telling=telling(settings, demo=demo),
        watch=partial(
            hourly,
            policy=policy(settings, demo=demo),
            settle=int(settings.collect.settle_hours * HOUR),
        ),
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
