"""Facts of a weekly report without a database: plain functions with keyword overrides."""

import html
import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from monitor.domain.breakeven import assess, to_json
from monitor.domain.scenario import Api, Deployment, Migration, Scenario, Workload, to_document
from monitor.storage.figure_sql import CATALOGUE, FINANCE_CELLS
from reports.model import Standing, WeeklyFacts

_CELLS = (
    "workload",
    "breakeven",
    "moved",
    *FINANCE_CELLS.values(),
    "closing",
    "showback",
    "owner",
    "fx",
    "recommendation",
)
SCALARS = [
    name
    for name, spec in CATALOGUE.items()
    if not spec.columns and name.partition(".")[0] not in _CELLS
]
TABLES = [name for name, spec in CATALOGUE.items() if spec.columns]

_NUMBERS = {
    "spend.week": Decimal("9446.56975"),
    "spend.week_before": Decimal("9232.074"),
    "spend.week_change": Decimal("2.32"),
    "spend.month_to_date": Decimal("28551.79025"),
    "spend.month_to_date.billed_share": Decimal("88.19"),
    "spend.previous_month_same_day": Decimal("26092.95675"),
    "spend.change_same_day": Decimal("9.42"),
    "spend.previous_month": Decimal("37088.72225"),
    "spend.change_full_month": Decimal("6.07"),
    "spend.outside_workloads": Decimal(38),
    "spend.first_day": "2026-09-20",
    "spend.days_unconverted": 0,
    "projection.usd.q10": Decimal(38900),
    "projection.usd.q50": Decimal("41231.18"),
    "projection.usd.q90": Decimal("44012.5"),
    "projection.as_of": "2026-11-23",
    "projection.history_days": 64,
    "projection.method": "pooled-levels-2",
    "projection.flags": "",
    "tokens.month_to_date": 10_645_911_000,
    "requests.month_to_date": 6_892_756,
    "unpriced.tokens": 0,
    "unit_cost.api": Decimal("2.67838"),
    "data.quarantined_rows": 0,
}


def scenario(requests: int = 1_400_000, people: int = 4000, **changes: object) -> Scenario:
    deployment = {
        "gpus_per_replica": 2,
        "gpu_input_tokens_per_second": Fraction(9000),
        "gpu_output_tokens_per_second": Fraction(1600),
        "usd_per_gpu_hour": Fraction("2.4"),
        "people_usd_per_month": Fraction(people),
        "spare_replicas": 1,
    }
    return Scenario(
        workload=Workload(
            requests_per_month=requests,
            input_tokens=Fraction(4000),
            output_tokens=Fraction(300),
            peak_to_mean=Fraction(3),
        ),
        api=Api(input_usd_per_million=Fraction("1.25"), output_usd_per_million=Fraction(10)),
        deployment=Deployment(**(deployment | changes)),
        migration=Migration(setup_usd=Fraction(30_000), lead_days=45),
    )


def breakeven(
    workload: str = "support-bot",
    deployment: str = "own-h100",
    advice: str = "self_host",
    of: Scenario | None = None,
    **changes: object,
):
    """A row of `breakevens`, computed as the daily decision computes it."""
    of = of or scenario()
    row = dict.fromkeys(CATALOGUE["breakevens"].columns) | {
        "workload": workload,
        "deployment": deployment,
        "as_of": "2026-11-23",
        "advice": advice,
        "reason": "Savings of 24 months reach what moving costs.",
        "since": "2026-11-12",
        "month": "2026-11",
        "ahead_month": "2027-01",
        "ahead_requests": 1_500_000,
        "ahead_savings_usd": Decimal(100),
        "scenario": json.dumps(to_document(of)),
        "crossing_before": 1_000_000,
        "savings_before": None,
        "scenario_before": None,
    }
    for q, factor in (("q10", Fraction(9, 10)), ("q50", Fraction(1)), ("q90", Fraction(11, 10))):
        n = int(of.workload.requests_per_month * factor)
        at = Scenario(
            workload=Workload(**{**of.workload.__dict__, "requests_per_month": n}),
            api=of.api,
            deployment=of.deployment,
            migration=of.migration,
        )
        found = assess(at)
        row |= {f"requests_{q}": n, f"api_usd_{q}": _usd(found.api)}
        row |= {f"self_host_usd_{q}": _usd(found.hybrid), f"savings_usd_{q}": _usd(found.savings)}
        if q == "q50":
            row |= {"verdict": found.verdict, "crossing_requests": found.crossing}
            row["result"] = json.dumps(to_json(found))
    return row | changes


def judged(**changes: object):
    """What draws and advice add to a row."""
    questions = [
        ("gate.quality.unanswered", "quality: is the open model good enough for this task?"),
        ("gate.team.unanswered", "team: who can run inference?"),
    ]
    options = [
        ("prompt caching", "1204.00", "cached input costs 10% of fresh input"),
        ("batch processing", None, "needs: batch_share"),
    ]
    document = {
        "reasons": [{"id": "money.above_crossing", "text": "The move saves."}],
        "conditions": [{"id": "paper.BAA", "text": "The BAA is missing."}],
        "open_questions": [{"id": key, "text": text} for key, text in questions],
        "assumed_zero": ["second_region", "on_call"],
        "options": [
            {"name": name, "saves": saves, "assumption": assumption}
            for name, saves, assumption in options
        ],
        "hybrid": {"tasks": None},
    }
    row = {
        "draws": 2000,
        "probability_cheaper": Decimal("93.4"),
        "never_pays_back": Decimal("6.6"),
        "drawn_savings_usd_q10": Decimal("1310.55"),
        "drawn_savings_usd_q90": Decimal("7420.10"),
        "payback_months_q10": Decimal("3.91"),
        "payback_months_q90": Decimal("21.7"),
        "net_usd_q10": Decimal(-41000),
        "net_usd_q90": Decimal(52000),
        "net_probability": Decimal("61.2"),
        "net_contradicts": 0,
        "crossing_ahead": 2,
        "crossing_probability": Decimal("55.5"),
        "above_crossing_now": Decimal("31.4"),
        "above_crossing_in_a_year": Decimal("68.9"),
        "flip_1": "Own service stops being cheaper when the GPU price rises to $4.103 an hour (now"
        " $2.4 an hour, 71.0% higher).",
        "flip_2": "Moving stops paying for itself within 12 months when the API price change is"
        " -2.05% a month (now 0% a month).",
        "flip_3": "Own service stops being cheaper when the cost of people rises to $26,821 a month"
        " (now $16,875 a month, 58.9% higher).",
        "optimised_api_usd": Decimal("10846.00"),
        "savings_against_optimised_usd": Decimal("2801.00"),
        "waiting_usd": Decimal("6012.00"),
        "base_load_replicas": 2,
        "base_load_share": Decimal("83.1"),
        "base_load_saves_usd": Decimal("99000.00"),
        "best_share": Decimal("95.4"),
        "best_share_saves_usd": Decimal("5000.00"),
        "next_step": "pilot both side by side; measure cost, quality, operations",
        "next_step_from": "2026-12-15",
        "recommendation": json.dumps(document),
    }
    return row | changes


def without_history(workload: str = "new-bot", deployment: str = "own-l40s"):
    row = dict.fromkeys(CATALOGUE["breakevens"].columns)
    return row | {
        "workload": workload,
        "deployment": deployment,
        "as_of": "2026-11-23",
        "advice": "stay",
        "reason": "There is not enough history to compare a month's bills.",
        "since": "2026-11-20",
    }


def workload(name: str = "support-bot", spend: str = "19785.82", change: str = "1710.33", **more):
    row = dict.fromkeys(CATALOGUE["workloads"].columns) | {
        "workload": name,
        "spend": Decimal(spend),
        "previous": Decimal(spend) - Decimal(change),
        "change": Decimal(change),
        "by_volume": Decimal(change) + 100,
        "by_price": Decimal(-100),
        "tokens": 7_016_250_000,
        "requests": 5_613_000,
        "unpriced_tokens": 0,
    }
    return row | more


def source(name: str = "openai", stream: str = "usage", **changes: object):
    row = {
        "source": name,
        "stream": stream,
        "feeds": "usage",
        "counts": "yes",
        "closed_through": "2026-11-23T00:00:00Z",
        "last_read_at": "2026-11-23T06:00:00Z",
        "failures_in_a_row": 0,
        "last_error": "",
        "quarantined_rows": 0,
        "days_to_roll_up": 0,
    }
    return row | changes


def spent_daily():
    days = [
        f"2026-{month}-{n:02d}" for month, last in ((10, 31), (11, 22)) for n in range(1, last + 1)
    ]
    return [{"day": day, "usd": Decimal("1200.50")} for day in days]


def by_workload(*names: str, last: int = 22):
    """Rows of `spend.by_workload`: the first name costs most, each day the same."""
    return [
        {
            "day": f"2026-11-{n:02d}",
            "workload": each,
            "usd": Decimal(600) / (place + 1),
            "unpriced_tokens": 0,
        }
        for n in range(1, last + 1)
        for place, each in enumerate(names)
    ]


def unit_weeks(*usd: str | None):
    """Rows of `unit_cost.weeks`, the last of the report's week."""
    last = date(2026, 11, 16)
    return [
        {
            "week": (last - timedelta(7 * (len(usd) - 1 - n))).isoformat(),
            "priced_tokens": 10**9,
            "usd_per_million": None if each is None else Decimal(each),
        }
        for n, each in enumerate(usd)
    ]


def gpu_hourly(*hosts: str, hours: int = 168):
    """Rows of `gpu.hourly`: the utilisation climbs through each day from 0 to 92%."""
    start = datetime(2026, 11, 16, tzinfo=UTC)
    return [
        {
            "hour": f"{start + timedelta(hours=n):%Y-%m-%dT%H:00:00Z}",
            "host": host,
            "utilisation": Decimal(4 * (n % 24)),
            "hours_measured": Decimal(2),
        }
        for n in range(hours)
        for host in hosts
    ]


def gpu_hosts(*hosts: str):
    return [
        {
            "host": host,
            "gpus": 2,
            "hours_measured": Decimal(336),
            "utilisation": Decimal(46 + n),
            "energy": Decimal(100),
        }
        for n, host in enumerate(hosts)
    ]


def pictured(*names: str):
    """The tables of every picture."""
    return {
        "spend.by_workload": by_workload(*names),
        "unit_cost.weeks": unit_weeks("3.10", None, "2.75", "2.68"),
        "unit_cost.own_months": [
            {"month": "2026-10", "tokens": 10**9, "usd_per_million": Decimal("1.9")}
        ],
        "gpu.hourly": gpu_hourly(*names),
        "gpu.hosts": gpu_hosts(*names),
    }


def facts(figures=None, tables=None, **changes) -> WeeklyFacts:
    """A full report; `figures` and `tables` replace single ones."""
    base = {
        "organisation": "Acme",
        "week": "2026-W47",
        "first": date(2026, 11, 16),
        "last": date(2026, 11, 22),
        "month": "2026-11",
        "due_at": datetime(2026, 11, 23, 7, tzinfo=UTC),
        "demo": False,
        "missing": [],
        "numbers": dict.fromkeys(SCALARS) | _NUMBERS | (figures or {}),
        "units": {name: spec.unit for name, spec in CATALOGUE.items()},
        "tables": {name: [] for name in TABLES}
        | {
            "spend.daily": spent_daily(),
            "workloads": [workload()],
            "breakevens": [breakeven()],
            "data.sources": [source()],
        }
        | (tables or {}),
        "standings": {},
    }
    return WeeklyFacts(**(base | changes))


def nothing() -> WeeklyFacts:
    """The first week of an installation that has read nothing."""
    return facts(figures=dict.fromkeys(SCALARS), tables={name: [] for name in TABLES}, standings={})


def standing(**changes: object) -> Standing:
    return Standing()._replace(**changes)


def visible(page: str) -> str:
    """What a reader sees of a page: no head, no tags, but what pictures say."""
    body = "<body" + page.partition("<body")[2]
    alt = " ".join(re.findall(r'alt="([^"]*)"', body))
    return html.unescape(f"{alt} {re.sub(r'<[^>]*>', ' ', body)}")


def numbers(text: str) -> set[str]:
    """Every number in a text, as it is written."""
    return set(re.findall(r"\d[\d,.]*\d|\d", text))


def _usd(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 10**6)).scaleb(-6)
