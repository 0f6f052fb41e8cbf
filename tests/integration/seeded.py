"""A small company's November, in every public view: the same rows on each engine."""

import json
from datetime import UTC, datetime

from sqlalchemy import Connection, Table, text

from monitor.domain.usage import (
    DAY,
    QUANTITY_FIELDS,
    TOKEN_CLASSES,
    BillRow,
    Device,
    Event,
    Minute,
    Quantities,
)
from monitor.storage import repricing, tables
from monitor.storage.events import put_events
from monitor.storage.fleet import put_devices, put_minutes
from monitor.storage.write import Window, put_window
from tests.factories import DAY0, dims, make_stream, usage

PICO = 10**12
FOUND_AT = datetime(2026, 11, 5, 9, tzinfo=UTC)
BOT = dims(project="support-bot")
SEARCH = dims(project="search", model="gpt-5")
NEW = dims(project="search", model="gpt-6-preview")
SELF = dims(account="own", provider="self", model="llama-3.3-70b", project="support-bot")


def fill(conn: Connection) -> None:
    """Four days of usage, three of bills, a host, and one of everything that is decided."""
    workload = _insert(conn, tables.workload, name="support-bot", configured=True)
    deployment = _insert(
        conn,
        tables.deployment,
        workload_id=workload,
        name="own-h100",
        document="{}",
        configured=True,
    )
    _rate(conn)
    _usage(conn)
    _bills(conn)
    conn.execute(
        text("UPDATE series SET workload_id = :w WHERE project = 'support-bot'"), {"w": workload}
    )
    _roll_up(conn)
    _fleet(conn)
    _results(conn, workload, deployment)
    _alert(conn)
    _mail(conn)
    _runs(conn)
    _repricing(conn)
    _contract(conn)
    _reconciliation(conn)
    _budget(conn)
    _aside(conn)


def _insert(conn: Connection, table: Table, **values: object) -> int:
    return conn.execute(table.insert().values(**values)).inserted_primary_key[0]


def _rate(conn: Connection) -> None:
    nano = dict.fromkeys((f"{name}_nano" for name in TOKEN_CLASSES), 250_000_000)
    rate = {
        "id": 1,
        "provider": "openai",
        "model": "gpt-5",
        "valid_from": DAY0 - 90 * DAY,
        "added_at": DAY0 - 90 * DAY,
        "source": "list",
        "checked_at": DAY0,
        "reasoning_nano": 0,
        "per_request_nano": 0,
        "tiers": "[]",
        "marks": "",
    }
    _insert(conn, tables.rate, **(nano | rate))


def _usage(conn: Connection) -> None:
    openai, stream = make_stream(conn, "openai", "usage")
    rows = [
        usage(DAY0 + day * DAY + hour * 3600, of=of, uncached_input=tokens * (day + 1))
        for day in range(4)
        for hour in (9, 14)
        for of, tokens in ((BOT, 3_000_000), (SEARCH, 1_000_000), (NEW, 50_000))
    ]
    put_window(conn, Window(stream, DAY0, DAY0 + 4 * DAY, DAY0 + 4 * DAY, DAY0 + 4 * DAY), rows)
    _, own = make_stream(conn, "own-vllm", "tokens")
    served = [usage(DAY0 + day * DAY, of=SELF, output=40_000, requests=90) for day in range(4)]
    put_window(conn, Window(own, DAY0, DAY0 + 4 * DAY), served)
    proxy, requests = make_stream(conn, "litellm", "requests")
    seen = Event("r-1", DAY0, dims(project="support-bot"), Quantities(uncached_input=7, requests=1))
    put_events(conn, proxy, requests, [seen])
    _insert(
        conn,
        tables.fetch,
        stream_id=requests,
        started_at=FOUND_AT,
        status="failed",
        error="503 from the proxy",
    )
    _insert(
        conn,
        tables.quarantine,
        stream_id=requests,
        digest="d",
        place="line 17",
        reason="no model",
        payload="{}",
        first_seen=FOUND_AT,
        last_seen=FOUND_AT,
        count=3,
    )
    conn.execute(
        text("UPDATE account SET tokens_from = :o, money_from = :o WHERE name = 'acme'"),
        {"o": openai},
    )


def _bills(conn: Connection) -> None:
    _, stream = make_stream(conn, "openai", "costs", "bill")
    rows = [
        BillRow(dims(project=name, model=""), DAY0 + day * DAY, "input", amount, "USD")
        for day in range(3)
        for name, amount in (("support-bot", 1_512_345_678_901), ("search", 987_654_321_000))
    ]
    put_window(conn, Window(stream, DAY0, DAY0 + 3 * DAY, DAY0 + 2 * DAY), rows)
    azure, euros = make_stream(conn, "azure", "costs", "bill")
    foreign = [
        BillRow(dims(account="europe", provider="azure"), DAY0, "gpt-5", 20 * PICO, "EUR"),
        BillRow(dims(account="europe", provider="azure"), DAY0, "support", 5 * PICO, "CHF"),
    ]
    put_window(conn, Window(euros, DAY0, DAY0 + DAY, DAY0 + DAY), foreign)
    conn.execute(text("UPDATE account SET money_from = :a WHERE name = 'europe'"), {"a": azure})
    _insert(conn, tables.fx, currency="EUR", day=DAY0, usd_nano=1_160_000_000, source="ecb")


def _roll_up(conn: Connection) -> None:
    """Usage by day at 0.25 USD per million tokens; the newest model has no rate, ours need none."""
    tokens = " + ".join(f"COALESCE(u.{name}, 0)" for name in TOKEN_CLASSES)
    sums = ", ".join(f"SUM(u.{name})" for name in QUANTITY_FIELDS)
    unpriced = "CASE WHEN s.model = 'gpt-6-preview' THEN 1 ELSE 0 END"
    priced = "CASE WHEN s.model = 'gpt-6-preview' OR s.provider = 'self' THEN 0 ELSE 1 END"
    conn.execute(
        text(
            f"INSERT INTO usage_day (series_id, day, rate_id, {', '.join(QUANTITY_FIELDS)}, tokens,"
            f" estimated_pico, unpriced_tokens) SELECT s.id, u.bucket_start - u.bucket_start % 86400,"
            f" {priced}, {sums}, SUM({tokens}), SUM({tokens}) * 250000 * {priced},"
            f" SUM({tokens}) * {unpriced} FROM usage u JOIN series s ON s.id = u.series_id"
            " GROUP BY s.id, s.model, s.provider, u.bucket_start - u.bucket_start % 86400"
        )
    )


def _fleet(conn: Connection) -> None:
    gpu = Device(host="gpu-1", uuid="GPU-0", name="NVIDIA H100 80GB HBM3", ordinal=0)
    ids = put_devices(conn, [gpu], DAY0)
    minutes = [
        Minute(
            "GPU-0",
            DAY0 + 60 * n,
            util_min=10.0,
            util_mean=40.0 + n / 3,
            util_max=99.0,
            mem_used_max=64 * 2**30,
            power_mean_mw=350_125.0,
            energy_mj=21_007_500,
            temp_max=61,
            throttle_ns=1_500_000,
            samples=12,
        )
        for n in range(90)
    ]
    put_minutes(conn, ids, minutes)


_ADVISED = {
    "figures": {"setup_usd": "30000.00", "lead_days": 45, "payback_months": None, "gpus": 6},
    "plan": [
        {"phase": 1, "name": "start on the API", "start": "2026-11-05", "until": "2026-11-27"},
        {"phase": 4, "name": "fully self-hosted", "start": "2027-03-20", "until": None},
    ],
    "options": [
        {"id": "batch", "name": "batch", "saves": None, "assumption": "needs: x", "source": "a"},
        {
            "id": "cache",
            "name": "\u202e'\"\U0001f600",
            "saves": "12.50",
            "assumption": "",
            "source": "b",
        },
    ],
    "cost_lines": [
        {"name": "GPUs", "usd_per_gpu_hour": "2.405000", "state": "assumed", "source": "a list"}
        | {"as_of": "2026-10-01"},
        {"name": "spare replica", "count": 1, "state": "configured", "source": "configuration"},
    ],
}


def _results(conn: Connection, workload: int, deployment: int) -> None:
    for unit, one in (("tokens", 1), ("usd", 250_000)):
        for ahead, month in enumerate(("2026-11", "2026-12")):
            _put(
                conn,
                tables.projection,
                workload_id=workload,
                month=month,
                as_of=DAY0 + 4 * DAY,
                unit=unit,
                month_to_date=60_000_000 * one if not ahead else 0,
                q10=800_000_000 * one,
                q50=900_000_000 * one,
                q90=1_000_000_000 * one,
                history_days=30,
                method="weekday growth",
                flags="",
            )
    _put(
        conn,
        tables.assessment,
        workload_id=workload,
        deployment_id=deployment,
        as_of=DAY0 + 4 * DAY,
        volume="q50",
        month="2026-12",
        scenario="{}",
        result='{"lines": {"gpu": "400.10", "people": "0.00"}}',
        requests=3_000_000,
        api_pico=225 * PICO,
        hybrid_pico=410 * PICO,
        savings_pico=-185 * PICO,
        crossing_requests=5_500_000,
        verdict="api",
        rules_hash="h",
    )
    _put(
        conn,
        tables.advice,
        workload_id=workload,
        deployment_id=deployment,
        as_of=DAY0 + 4 * DAY,
        kind="stay",
        reason="own servers cost more at every projected volume",
        since=DAY0,
        state="{}",
        document=json.dumps(_ADVISED),
    )
    _ledger(conn, workload, deployment)
    _after_move(conn, workload, deployment)
    stream = conn.scalar(text("SELECT id FROM stream WHERE name = 'usage'"))
    _insert(
        conn,
        tables.restatement,
        stream_id=stream,
        day=DAY0,
        found_at=FOUND_AT,
        tokens_before=8_000_000,
        tokens_after=8_100_200,
        pico_before=2 * PICO,
        pico_after=2_025_050_000_000,
    )


def _ledger(conn: Connection, workload: int, deployment: int) -> None:
    """A month that was closed, and what people decided."""
    _put(
        conn,
        tables.projection_score,
        workload_id=workload,
        month="2026-10",
        as_of=DAY0 - 14 * DAY,
        unit="usd",
        days_left=14,
        actual=240 * PICO,
        q10=200 * PICO,
        q50=230 * PICO,
        q90=260 * PICO,
        error_ppm=-41_667,
        inside=True,
        pinball_ppm=41_667,
        scored_at=DAY0 + 4 * DAY,
    )
    _put(
        conn,
        tables.assessment_score,
        workload_id=workload,
        deployment_id=deployment,
        as_of=DAY0 - 14 * DAY,
        volume="q50",
        month="2026-10",
        actual_requests=2_900_000,
        api_pico=218 * PICO,
        hybrid_pico=410 * PICO,
        savings_pico=-192 * PICO,
        told="api",
        was_right=True,
        scored_at=DAY0 + 4 * DAY,
    )
    _insert(
        conn,
        tables.decision,
        workload_id=workload,
        decided_at=FOUND_AT,
        kind="defer",
        by="ann",
        reason="the contract ends in March",
        until=DAY0 + 120 * DAY,
    )


def _after_move(conn: Connection, workload: int, deployment: int) -> None:
    """A month that saved less than promised, and one of which nothing was measured."""
    same = {"workload_id": workload, "since": DAY0 - 40 * DAY, "api_requests": 700}
    same |= {"api_pico": 3 * PICO + 1, "unpriced_tokens": 0, "settled_at": DAY0 + 5 * DAY}
    money = {"at_api_pico": 9_000_001 * PICO, "own_pico": 410 * PICO + 499_999}
    difference = {"volume_pico": -7 * PICO, "mix_pico": 2, "price_pico": 0, "own_cost_pico": -1}
    _put(
        conn,
        tables.after_move,
        month="2026-10",
        deployment_id=deployment,
        status="measured",
        reason="",
        days=31,
        known_days=31,
        own_requests=90_000,
        own_tokens=40_000_000,
        promised_pico=8_000_000 * PICO,
        one_off_pico=30_000 * PICO,
        direction="stay",
        outlook="Own service saves.",
        scenario="{}",
        **same,
        **money,
        **difference,
    )
    _put(
        conn,
        tables.after_move,
        month="2026-11",
        status="unknown",
        reason="Nothing was measured.",
        days=30,
        known_days=0,
        direction="",
        outlook="",
        scenario="",
        **same,
    )


def _alert(conn: Connection) -> None:
    alert = _insert(
        conn,
        tables.alert,
        rule="crossing",
        subject="support-bot",
        state="{}",
        status="firing",
        updated_at=DAY0,
    )
    for seq, (was, became) in enumerate((("inactive", "pending"), ("pending", "firing")), 1):
        _put(
            conn,
            tables.alert_transition,
            alert_id=alert,
            seq=seq,
            at=DAY0 + seq * 60,
            was=was,
            became=became,
            reason="savings of 24 months reach it",
        )
    _insert(
        conn,
        tables.notice,
        alert_id=alert,
        seq=1,
        edge="firing",
        channel="smtp",
        recipient="ann@acme.example",
        severity="warning",
        document="{}",
        state="told",
        made_at=DAY0 + DAY,
        due_at=DAY0 + DAY,
        told_at=DAY0 + DAY + 60,
        dedup_key="alert/abc",
    )


def _mail(conn: Connection) -> None:
    _insert(
        conn,
        tables.outbox,
        dedup_key="finance/weekly/2026-W45/1",
        kind="report",
        channel="smtp",
        recipient="cfo@example.org",
        subject="LLM spend, week 45",
        message_id="<1@example.org>",
        message=b"secret body",
        state="sent",
        attempts=1,
        next_at=DAY0,
        created_at=DAY0 + 8 * DAY,
        sent_at=DAY0 + 8 * DAY + 30,
        last_phase="done",
        last_code=250,
    )
    _insert(
        conn,
        tables.access_token,
        name="agent gpu-1",
        digest="0123456789abcdef",
        scopes="ingest",
        created_at=FOUND_AT,
    )


def _runs(conn: Connection) -> None:
    for state, error in (("done", ""), ("dead", "KeyError: 'bot'")):
        _put(
            conn,
            tables.run,
            run_key=f"decide/{state}",
            kind="decide",
            period_start=DAY0,
            period_end=DAY0 + DAY,
            due_at=DAY0 + DAY + 3600,
            added_at=DAY0 + DAY + 3600,
            state=state,
            attempts=len(error) and 5,
            finished_at=None if error else DAY0 + DAY + 3601,
            error=error,
        )


def _contract(conn: Connection) -> None:
    account = conn.scalar(text("SELECT id FROM account WHERE name = 'acme'"))
    _put(
        conn,
        tables.contract,
        account_id=account,
        valid_from=DAY0,
        commit_pico_per_month=20_000 * PICO,
    )


def _reconciliation(conn: Connection) -> None:
    for n, (cause, usd) in enumerate((("discount", -3), ("unexplained", 1))):
        _put(
            conn,
            tables.reconciliation,
            account_id=conn.scalar(text("SELECT id FROM account WHERE name = 'acme'")),
            day=DAY0 + n * DAY,
            provider="openai",
            model="gpt-5",
            cause=cause,
            month="2026-11",
            pico=usd * PICO + n,
            is_final=n == 0,
        )


def _budget(conn: Connection) -> None:
    """A monthly budget on two days, and one of the year of which too much is left to project."""
    for name, period, amount, scope in (
        ("November", "monthly", 400, "all"),
        ("the year", "yearly", 9_000, "cost_centre"),
    ):
        budget = _insert(
            conn,
            tables.budget,
            name=name,
            amount_pico=amount * PICO,
            period=period,
            scope=scope,
            scope_name="" if scope == "all" else "support",
            owner="ann@acme.example",
            configured=True,
        )
        for days in (3, 4):
            whole = period == "yearly"
            _put(
                conn,
                tables.budget_state,
                budget_id=budget,
                period="2026" if whole else "2026-11",
                as_of=DAY0 + days * DAY,
                first_day=DAY0 - 304 * DAY if whole else DAY0,
                end_day=DAY0 + (61 if whole else 30) * DAY,
                amount_pico=amount * PICO,
                known_days=days,
                basis="estimated" if whole else "mixed",
                spent_pico=None if whole else 20 * days * PICO + 333_333_333_333,
                unpriced_tokens=700_000,
                remark="not projected: too far" if whole else "",
                **{} if whole else {f"q{n}_pico": (300 + n) * PICO for n in (10, 50, 90)},
            )


def _aside(conn: Connection) -> None:
    """Spans and a metric of the same tokens: the spans count."""
    source, counts = make_stream(conn, "apps", "shop-bot/openai: spans of genai")
    _, other = make_stream(conn, "apps", "shop-bot/openai: gen_ai.client.token.usage of genai")
    for stream in (counts, other):
        used = Quantities(uncached_input=900, output=90, requests=9)
        event = Event(f"e{stream}", DAY0 + 60, dims(account="apps"), used)
        put_events(conn, source, stream, [event])
    _put(conn, tables.set_aside, stream_id=other, hour=DAY0, counts_stream_id=counts)


def _repricing(conn: Connection) -> None:
    repricing.record(
        conn,
        repricing.Record(
            DAY0 + 4 * DAY,
            DAY0,
            DAY0 + 3 * DAY,
            "ada",
            "a new contract",
            3,
            9_300_000 * PICO + 1,
            5 * PICO,
            ["close/2026-10/2"],
        ),
    )


def _put(conn: Connection, table: Table, **values: object) -> None:
    conn.execute(table.insert().values(**values))
