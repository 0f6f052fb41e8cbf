"""A company of many workloads with a long past, as far as reports read it.

One day goes through the real writers, the roll-up and the decision; the days before it are copies
of it at other volumes, in each table that grows by the day.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import text

from monitor.domain.periods import add_months, month_bounds, month_of
from monitor.domain.routing import Routes
from monitor.domain.usage import DAY, HOUR, QUANTITY_FIELDS, BillRow, Device, Minute
from monitor.domain.workloads import Rule
from monitor.ports import StreamSpec
from monitor.storage import bulk, rollup, setup, tables
from monitor.storage.fleet import put_devices, put_minutes
from monitor.storage.write import Window, put_window
from tests import seeded
from tests.factories import dims, usage
from tests.seeded import END, PICO

MODELS = ("gpt-5", "gpt-5-2025-08-07", "gpt-6-preview")
"""Of each workload; the last has no price."""
TENTHS = (10, 11, 10, 12, 11, 5, 4)
"""How large the days of a week are beside the last day."""
LAST = END - DAY
_PROJECTED = 40
"""Days of history behind the decided day: enough for a projection, and soon computed."""


class Size(NamedTuple):
    workloads: int = 200
    days: int = 396
    compared: int = 20
    """Workloads with a deployment, compared every day."""
    hosts: int = 4


def fill(database, size):
    """All of it."""
    rules = [Rule(f"workload-{n:03}", project=f"proj_{n:03}") for n in range(size.workloads)]
    with database.write() as conn:
        setup.apply(conn, _configured(rules, size))
        _put_day(conn, size)
        rollup.refresh(conn, rollup.waiting(conn), _card, rules, END)
        _put_fleet(conn, size.hosts)
        _past(conn, 1, min(_PROJECTED, size.days))
        seeded.decide_days(conn, 1, policy())
        _past(conn, _PROJECTED, size.days)
        _past_results(conn, size.days)
        _events(conn, size.days)
    analyze(database)


def split_hours(database):
    """Ten rows of raw usage for each one, with the same tokens: roll-ups stay as they are."""
    table = tables.usage
    tenth = ", ".join(f"{name} = {name} / 10" for name in QUANTITY_FIELDS)
    with database.write() as conn:
        conn.execute(text(f"UPDATE {table.name} SET {tenth} WHERE bucket_seconds = {HOUR}"))
        for hour in range(1, 10):
            columns = [c.name for c in table.columns]
            taken = [f"bucket_start + {hour * HOUR}" if c == "bucket_start" else c for c in columns]
            conn.execute(
                text(
                    f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(taken)}"
                    f" FROM {table.name} WHERE bucket_seconds = {HOUR}"
                    f" AND bucket_start % {DAY} = 0"
                )
            )
    analyze(database)


def analyze(database):
    """What engines do by themselves sooner or later."""
    with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ANALYZE"))


def policy(*recipients):
    """Whom reports go to; nobody is alerted."""
    return seeded.policy(*recipients)._replace(routes=Routes((), ()), rules={})


def _card(key, instant, seconds):
    """The seeded list price, of both models that have one."""
    if key.model == MODELS[-1]:
        return None
    return replace(seeded.card(key._replace(model=MODELS[0]), instant, seconds), model=key.model)


def _configured(rules, size):
    workloads = [
        setup.WorkloadSetup(
            rule.workload, "", "", "api", seeded.ANSWERED, cost_centre=f"centre-{n % 12}"
        )
        for n, rule in enumerate(rules)
    ]
    own = [(f"own-{rule.workload}", rule.workload) for rule in rules[: size.compared]]
    return seeded.configured(own)._replace(workloads=workloads, rules=rules, budgets=[])


def _put_day(conn, size):
    _, used = setup.put_stream(conn, "openai", "openai", StreamSpec("usage", "usage", 31))
    _, billed = setup.put_stream(conn, "openai", "openai", StreamSpec("costs", "bill", 31))
    _, own = setup.put_stream(conn, "vllm", "engines", StreamSpec("usage", "usage", 31))
    rows = [_use(LAST, n, model) for n in range(size.workloads) for model in MODELS]
    put_window(conn, Window(used, LAST, END, END, END), rows)
    bills = [BillRow(dims(model=m), LAST, m, 1_000 * PICO, "USD") for m in MODELS]
    put_window(conn, Window(billed, LAST, END, END - 3 * DAY, END), bills)
    served = dims(account="own", provider="self", model="llama-3.3-70b")
    put_window(
        conn, Window(own, LAST, END, END, END), [usage(LAST, DAY, served, output=40_000_000)]
    )


def _use(at, n, model):
    size = 10_000 * (1 + n % 17)
    kinds = {"uncached_input": 800, "cache_read": 200, "output": 250}
    if model == MODELS[-1]:
        kinds = {"uncached_input": 1, "output": 1}
    counts = {kind: count * size for kind, count in kinds.items()}
    return usage(at, HOUR, dims(model=model, project=f"proj_{n:03}"), requests=size, **counts)


def _put_fleet(conn, hosts):
    gpus = [Device(f"gpu-{n // 2}", f"GPU-{n}", "H100", n % 2) for n in range(2 * hosts)]
    ids = put_devices(conn, gpus, END)
    minutes = [
        Minute(gpu.uuid, hour, util_min=0.0, util_mean=40.0 + n * 2, util_max=99.0, samples=12)
        for n, gpu in enumerate(gpus)
        for hour in range(LAST, END, HOUR)
    ]
    put_minutes(conn, ids, minutes)


def _past(conn, first, end):
    """Copies of the last day for the days `first` up to `end` days before it."""
    counts = QUANTITY_FIELDS
    amounts = (*counts, "tokens", "estimated_pico", "unpriced_tokens")
    _copy(conn, tables.usage, "bucket_start", first, end, counts)
    _copy(conn, tables.usage_day, "day", first, end, amounts)
    _copy(conn, tables.bill, "day", first, end, ("amount_pico",))
    _copy(conn, tables.gpu_hour, "hour", first, end)


def _copy(conn, table, at, first, end, sized=()):
    """Rows of the last day, each back by whole days; `sized` columns are whole tens."""
    case = " ".join(f"WHEN {n} THEN {tenths}" for n, tenths in enumerate(TENTHS))
    names = [c.name for c in table.columns]
    taken = {name: f"d.{name}" for name in names}
    taken |= {name: f"d.{name} * (CASE n.k % 7 {case} END) / 10" for name in sized}
    taken |= {at: f"d.{at} - n.k * {DAY}"}
    conn.execute(
        text(
            f"INSERT INTO {table.name} ({', '.join(names)})"
            f" WITH RECURSIVE n(k) AS (SELECT {first} UNION ALL SELECT k + 1 FROM n"
            f" WHERE k + 1 < {end}) SELECT {', '.join(taken.values())} FROM {table.name} d, n"
            f" WHERE d.{at} >= {LAST} AND n.k < {end}"
        )
    )


def _past_results(conn, days):
    """What the decision of each earlier day left behind, and the scores of closed months."""
    decided = {
        table: [dict(row) for row in conn.execute(table.select()).mappings()]
        for table in (tables.projection, tables.assessment, tables.advice)
    }
    of = month_of(LAST)
    ahead = {add_months(of, n): n for n in range(6)}
    for table, rows in decided.items():
        _put(
            conn, table, (_as_of(row, END - n * DAY, ahead) for n in range(1, days) for row in rows)
        )
    scored = (
        _scored(row, as_of)
        for as_of in range(END - (days - 1) * DAY, END, DAY)
        for row in (_as_of(row, as_of, ahead) for row in decided[tables.projection])
        if row["q50"] is not None and as_of < month_bounds(row["month"])[1] <= END
    )
    _put(conn, tables.projection_score, scored)
    held = (
        _held(row, as_of)
        for as_of in range(END - (days - 1) * DAY, END, DAY)
        for row in (_as_of(row, as_of, ahead) for row in decided[tables.assessment])
        if as_of < month_bounds(row["month"])[1] <= END
    )
    _put(conn, tables.assessment_score, held)


def _as_of(row, as_of, ahead):
    months = (
        {"month": add_months(month_of(as_of - DAY), ahead[row["month"]])} if "month" in row else {}
    )
    return row | {"as_of": as_of} | months


def _scored(row, as_of):
    end = month_bounds(row["month"])[1]
    kept = {name: row[name] for name in ("workload_id", "month", "unit", "q10", "q50", "q90")}
    return kept | {
        "as_of": as_of,
        "days_left": (end - as_of) // DAY,
        "actual": row["q50"],
        "error_ppm": 10_000 * (as_of // DAY % 7),
        "inside": as_of // DAY % 5 > 0,
        "pinball_ppm": 8_000,
        "scored_at": end + DAY,
    }


def _held(row, as_of):
    end = month_bounds(row["month"])[1]
    same = ("workload_id", "deployment_id", "volume", "month", "api_pico", "hybrid_pico")
    return {name: row[name] for name in (*same, "savings_pico")} | {
        "as_of": as_of,
        "actual_requests": row["requests"],
        "told": row["verdict"],
        "was_right": as_of // DAY % 5 > 0,
        "scored_at": end + DAY,
    }


def _put(conn, table, rows):
    """Rows by the thousand, in the order of the table's columns."""
    names = [c.name for c in table.columns]
    bulk.insert(conn, table.name, names, (tuple(row[name] for name in names) for row in rows))


def _events(conn, days):
    """An alert that came and went each week, restated days, and what ran."""
    stream = conn.scalar(text("SELECT MIN(id) FROM stream WHERE feeds = 'usage'"))
    alert = conn.execute(
        tables.alert.insert().values(
            rule="crossing", subject="workload-000", state="{}", status="inactive", updated_at=END
        )
    ).inserted_primary_key[0]
    edges = [("pending", "firing"), ("firing", "resolved")]
    told = [
        {"alert_id": alert, "seq": n, "at": END - n * 4 * DAY, "was": was, "became": became}
        for n in range(1, days // 4)
        for was, became in [edges[n % 2]]
    ]
    conn.execute(tables.alert_transition.insert(), [row | {"reason": "seeded"} for row in told])
    restated = [
        {
            "stream_id": stream,
            "day": END - n * 3 * DAY,
            "found_at": datetime.fromtimestamp(END - n * 3 * DAY + DAY, UTC),
            "tokens_before": 10**6,
            "tokens_after": 10**6 + n,
            "pico_before": PICO,
            "pico_after": PICO + n,
        }
        for n in range(1, days // 3)
    ]
    conn.execute(tables.restatement.insert(), restated)
    ran = [
        {
            "run_key": f"decide/{n}",
            "kind": "decide",
            "period_start": END - n * DAY - DAY,
            "period_end": END - n * DAY,
            "due_at": END - n * DAY,
            "added_at": END - n * DAY,
            "state": "done",
        }
        for n in range(days)
    ]
    conn.execute(tables.run.insert(), ran)
