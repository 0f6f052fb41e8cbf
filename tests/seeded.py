"""A company's autumn, through the real writers: usage, bills, own GPUs, and four daily decisions.

Everything follows from the day's number, so every run and both engines hold the same.
"""

import json
from datetime import UTC, datetime
from fractions import Fraction

from sqlalchemy import Connection

from monitor.domain.grouping import Rhythm
from monitor.domain.periods import day_bounds, week_bounds
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.routing import Routes
from monitor.domain.rulebook import BOOK
from monitor.domain.scenario import parse_tables, to_document
from monitor.domain.usage import DAY, HOUR, BillRow, Device, Minute
from monitor.domain.workloads import Rule
from monitor.jobs import notify
from monitor.jobs.alerting import Policy
from monitor.jobs.decide import decide
from monitor.jobs.mail import Envelope
from monitor.jobs.notify import Telling
from monitor.ports import StreamSpec
from monitor.storage import rollup, setup, work
from monitor.storage.fleet import put_devices, put_minutes
from monitor.storage.write import Window, put_window
from tests.factories import dims, usage

WEEK = "2026-W47"
START, END = week_bounds(WEEK)
FIRST = day_bounds("2026-09-20")[0]
DUE = END + 7 * HOUR
RULES = [Rule("support-bot", project="proj_support"), Rule("search", project="proj_search")]
RULES.append(Rule("code-review", project="proj_review"))

# project -> requests on a working day, then uncached, cached and output tokens of a request
_TRAFFIC = {
    "proj_support": (300_000, 800, 200, 250),
    "proj_search": (60_000, 2000, 0, 300),
    "proj_review": (8_000, 6000, 0, 900),
    "proj_misc": (400, 1000, 0, 1000),
}
_COST = {
    "gpus_per_replica": 2,
    "gpu_input_tokens_per_second": 9000,
    "gpu_output_tokens_per_second": 1600,
    "usd_per_gpu_hour": Fraction("2.40"),
    "people_usd_per_month": 9_850,
    "services_usd_per_month": 2000,
    "spare_replicas": 1,
}
# Without these answers every move would be a pilot.
ANSWERED = json.dumps(
    {
        "data": "open",
        "team": "able",
        "licence": "commercial",
        "quality": {"answer": "good_enough", "score": 0.93, "set": "200", "date": "2026-10-01"},
    }
)
PICO = 10**12
BUDGETS = [
    setup.BudgetSetup("models", 45_000 * PICO, "monthly", "all", owner="ann@acme.example"),
    setup.BudgetSetup("service desk", 60_000 * PICO, "quarterly", "cost_centre", "service"),
    setup.BudgetSetup("search", 100 * PICO, "weekly", "workload", "search"),
    setup.BudgetSetup("acme bill", 400_000 * PICO, "yearly", "account", "acme"),
    setup.BudgetSetup("trial", 1_000 * PICO, "monthly", "label", "trial"),
]
OWNERS = {"support-bot": "sue@acme.example", "code-review": "sue@acme.example"}
OWNERS |= {"search": "tom@acme.example"}
DEPLOYMENTS = [("own-h100", "support-bot"), ("own-h100-search", "search")]


def policy(*recipients, **changes):
    base = Policy(
        organisation="Acme",
        live_sources=["openai"],
        lead_days=60,
        rules_hash="h",
        envelope=ENVELOPE._replace(recipients=recipients),
        demo=False,
        routes=Routes((), recipients),
        rules={
            rule: BOOK[rule] for rule in ("crossing", "move", "return_to_api", "about_to_cross")
        },
    )
    return base._replace(**changes)


ENVELOPE = Envelope("Crossover <crossover@acme.example>", "acme.example", ())


def tell(database, now, **changes):
    """Compose what is due, with no rest between two messages."""
    telling = Telling("Acme", ENVELOPE, rhythm=Rhythm(gap_seconds=0))
    return notify.tell(database, telling._replace(**changes), now)


def card(key, _instant, _seconds):
    """The list price of a model that the world knows; one that it does not is unpriced."""
    if key.model != "gpt-5":
        return None
    rates = usd_per_million(uncached_input="1.25", cache_read="0.125", output="10")
    return RateCard(
        key.provider, key.model, "", 0, rates, source="genai-prices", checked_at=END - 20 * DAY
    )


def fill(conn: Connection, *, decided: bool = True) -> None:
    """Sixty days of traffic, and the decisions of the week's last four days."""
    apply_setup(conn)
    put_traffic(conn)
    refresh(conn)
    put_gpus(conn)
    if decided:
        decide_days(conn, 4)


def refresh(conn: Connection) -> None:
    rollup.refresh(conn, rollup.waiting(conn), card, RULES, END)


def apply_setup(conn: Connection) -> None:
    setup.apply(conn, configured())


def configured(deployments=DEPLOYMENTS, **runs_on: str) -> setup.Setup:
    """What is configured; `runs_on` by workload's name, else on the API."""
    usage_, costs = StreamSpec("usage", "usage", 31), StreamSpec("costs", "bill", 31)
    return setup.Setup(
        sources=[
            setup.SourceSetup("openai", "openai", "acme", [usage_, costs]),
            setup.SourceSetup("vllm", "engines", "own", [usage_]),
        ],
        accounts=[
            setup.AccountSetup("acme", "USD", "openai", "openai"),
            setup.AccountSetup("own", "USD", "vllm", ""),
        ],
        workloads=[
            setup.WorkloadSetup(
                rule.workload,
                "",
                "",
                runs_on.get(rule.workload, "api"),
                ANSWERED,
                owner=OWNERS.get(rule.workload, ""),
                cost_centre="service" if rule.workload == "support-bot" else "",
            )
            for rule in RULES
        ],
        deployments=[
            setup.DeploymentSetup(name, workload, document()) for name, workload in deployments
        ],
        rules=RULES,
        contracts=[setup.ContractSetup("acme", day_bounds("2026-10-01")[0], None, 30_000 * PICO)],
        budgets=BUDGETS,
    )


def document(**cost: object) -> str:
    """A deployment as the configuration stores it."""
    tables = {
        "workload": {"requests_per_month": 1, "input_tokens": 1, "output_tokens": 1},
        "api": {"input_usd_per_million": 1, "output_usd_per_million": 1},
        "deployment": _COST | cost,
        "migration": {"setup_usd": 30_000, "lead_days": 45},
    }
    stored = {"scenario": to_document(parse_tables(tables)), "peak_given": False}
    return json.dumps({**stored, "assumed": ["spare_replicas = 1"]})


def put_traffic(conn, first=FIRST, end=END, billed_from=None):
    _, used = setup.put_stream(conn, "openai", "openai", StreamSpec("usage", "usage", 31))
    _, billed = setup.put_stream(conn, "openai", "openai", StreamSpec("costs", "bill", 31))
    _, own = setup.put_stream(conn, "vllm", "engines", StreamSpec("usage", "usage", 31))
    days = range(first, end, DAY)
    rows = [_use(day, project) for day in days for project in _TRAFFIC]
    rows.append(usage(end - 2 * DAY, DAY, dims(model="gpt-6-preview", project="proj_search")))
    put_window(conn, Window(used, first, end, end, DUE - HOUR), rows)
    # Bills settle three days later than usage.
    start = first if billed_from is None else billed_from
    bills = [_bill(day) for day in range(start, end - 3 * DAY, DAY)]
    put_window(conn, Window(billed, start, end, end - 3 * DAY, DUE - HOUR), bills)
    served = dims(account="own", provider="self", model="llama-3.3-70b")
    rows = [usage(day, DAY, served, output=40_000_000, requests=90_000) for day in days]
    put_window(conn, Window(own, first, end, end, DUE - HOUR), rows)


def _use(day, project):
    requests, uncached, cached, output = _TRAFFIC[project]
    # Growth of a quarter over the sixty days, and quiet weekends.
    n = requests * (240 + (day - FIRST) // DAY) // 300
    n = n * 6 // 10 if datetime.fromtimestamp(day, UTC).weekday() > 4 else n
    return usage(
        day,
        DAY,
        dims(model="gpt-5", project=project),
        requests=n,
        uncached_input=n * uncached,
        cache_read=n * cached,
        output=n * output,
    )


def _bill(day):
    """What the day's tokens cost at the list price, and two dollars of support."""
    rows = [_use(day, project).quantities for project in _TRAFFIC]
    pico = sum(
        q.uncached_input * 1_250_000 + q.cache_read * 125_000 + q.output * 10_000_000 for q in rows
    )
    return BillRow(dims(model=""), day, "gpt-5", pico + 2 * 10**12, "USD")


def put_gpus(conn: Connection) -> None:
    """Two GPUs of one server, measured a minute an hour: 41% on the mean."""
    gpus = [Device(host="gpu-1", uuid=f"GPU-{n}", name="H100", ordinal=n) for n in range(2)]
    ids = put_devices(conn, gpus, END)
    minutes = [
        Minute(gpu.uuid, hour, util_min=0.0, util_mean=40.0 + n * 2, util_max=99.0, samples=12)
        for n, gpu in enumerate(gpus)
        for hour in range(START, END, HOUR)
    ]
    put_minutes(conn, ids, minutes)


def decide_days(conn, days, of=None):
    for as_of in range(END - (days - 1) * DAY, END + DAY, DAY):
        row = {"period_end": as_of, "due_at": as_of + 6 * HOUR, "added_at": as_of}
        claim = work.Claim("run", f"decide/{as_of}", "t", 0, row)
        decide(conn, claim, as_of + 6 * HOUR, of or policy())
