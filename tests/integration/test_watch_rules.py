"""Each rule on stored rows of both engines: it fires when it should, once, and ends."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from monitor.domain.notices import said_from_json
from monitor.domain.rulebook import BOOK, LIMITS, Limits
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch_answers import Answered
from monitor.domain.watch_health import Expiring
from monitor.jobs import reconcile, watching
from monitor.storage import tables, watching_fleet
from tests import seeded

TO = "ann@acme.example"


@pytest.fixture
def filled(autumn):
    return autumn


def policy(*rules, **changes):
    return seeded.policy(TO, **{"rules": {rule: BOOK[rule] for rule in rules}, **changes})


def change(database, sql, **bound):
    with database.write() as conn:
        return conn.execute(text(sql), bound).rowcount


def look(database, *rules, days=range(-3, 1), **changes):
    """Watch the closed days that end so many days from the autumn's end."""
    with database.write() as conn:
        for n in days:
            as_of = seeded.END + n * DAY
            left_out = watching.daily(conn, as_of, as_of + 6 * HOUR, policy(*rules, **changes))
            assert left_out == []


def standing(database, rule):
    with database.read() as conn:
        found = conn.execute(
            text("SELECT subject, status FROM alert WHERE rule LIKE :r AND status <> 'inactive'"),
            {"r": f"{rule} v%"},
        )
        return {row[0]: row[1] for row in found}


def firings(database, rule):
    """How often each subject was told that it fires."""
    with database.read() as conn:
        found = conn.execute(
            text(
                "SELECT a.subject, COUNT(*) FROM notice n JOIN alert a ON a.id = n.alert_id"
                " WHERE a.rule LIKE :r AND n.edge = 'firing' GROUP BY a.subject"
            ),
            {"r": f"{rule} v%"},
        )
        return {row[0]: row[1] for row in found}


def queries_run(database, rule):
    """Rows that the query of each alert finds, by subject."""
    with database.read() as conn:
        rows = conn.execute(
            text("SELECT subject, said FROM alert WHERE rule LIKE :r"), {"r": f"{rule} v%"}
        ).all()
        # As people run it: a percent sign is no placeholder.
        cursor = conn.connection.cursor()
        found = {}
        for subject, said in rows:
            cursor.execute(said_from_json(said).query)
            found[subject] = len(cursor.fetchall())
        return found


def test_a_leaked_key_is_told_once_by_workload_and_in_all(filled):
    change(
        filled,
        "UPDATE usage_day SET estimated_pico = estimated_pico * 3 WHERE day >= :d"
        " AND series_id IN (SELECT id FROM series WHERE project = 'proj_support')",
        d=seeded.END - 2 * DAY,
    )
    look(filled, "spend_anomaly")
    subjects = {"support-bot above its range", "all workloads above its range"}
    assert set(standing(filled, "spend_anomaly")) == subjects
    assert firings(filled, "spend_anomaly") == dict.fromkeys(subjects, 1)
    assert all(queries_run(filled, "spend_anomaly").values())


def test_an_ordinary_autumn_has_no_anomaly(filled):
    look(filled, "spend_anomaly", "unreconciled_spend")
    assert standing(filled, "spend_anomaly") == {}
    assert standing(filled, "unreconciled_spend") == {}


def test_a_day_that_is_not_closed_is_no_fall(filled):
    last = seeded.END - 3 * DAY
    change(filled, "DELETE FROM usage_day WHERE day >= :d", d=last)
    change(filled, "UPDATE watermark SET closed_through = :d", d=last)
    look(filled, "spend_anomaly")
    assert standing(filled, "spend_anomaly") == {}


def test_days_that_are_closed_and_empty_are_a_fall(filled):
    change(filled, "DELETE FROM usage_day WHERE day >= :d", d=seeded.END - 3 * DAY)
    look(filled, "spend_anomaly")
    assert standing(filled, "spend_anomaly")["search below its range"] == "firing"


def test_a_bill_that_half_explains_itself_is_told_once_and_ends(filled):
    half = change(filled, "UPDATE bill SET amount_pico = amount_pico / 4")
    assert half
    look(filled, "unreconciled_spend")
    assert firings(filled, "unreconciled_spend") == {"acme": 1}
    assert all(queries_run(filled, "unreconciled_spend").values())
    change(filled, "UPDATE bill SET amount_pico = amount_pico * 4")
    look(filled, "unreconciled_spend", days=range(1, 4))
    assert standing(filled, "unreconciled_spend") == {"acme": "resolved"}


def hours(database, *rules, at, **changes):
    for hour in at:
        watching.hourly(database, hour, policy(*rules, live_sources=[], **changes), 6 * HOUR)


def test_gpus_that_stop_to_report_are_told_once_and_their_return_too(filled):
    hours(filled, "telemetry_lost", at=range(seeded.END, seeded.END + 6 * HOUR, HOUR))
    assert standing(filled, "telemetry_lost") == {"gpu-1": "firing"}
    assert firings(filled, "telemetry_lost") == {"gpu-1": 1}
    assert queries_run(filled, "telemetry_lost") == {"gpu-1": 2}
    last = seeded.END - HOUR
    change(filled, "UPDATE gpu_hour SET hour = hour + :h WHERE hour = :t", h=6 * HOUR, t=last)
    hours(filled, "telemetry_lost", at=(seeded.END + n * HOUR for n in (6, 7)))
    assert standing(filled, "telemetry_lost") == {"gpu-1": "resolved"}


def test_gpus_that_report_are_not_told(filled):
    hours(filled, "telemetry_lost", at=range(seeded.END - 9 * HOUR, seeded.END + HOUR, HOUR))
    assert standing(filled, "telemetry_lost") == {}


def test_idle_gpus_are_told_once_with_what_the_host_costs(filled):
    look(filled, "gpu_idle")
    # At 41% they are busy enough, and of two days before their first reading nothing is known.
    assert standing(filled, "gpu_idle") == {}
    change(filled, "UPDATE gpu_hour SET util_mean = 5")
    change(
        filled,
        "INSERT INTO host_cost (host_id, valid_from, line, pico_per_month)"
        " SELECT id, :t, 'lease', :p FROM host",
        t=seeded.FIRST,
        p=8_000 * seeded.PICO,
    )
    look(filled, "gpu_idle", days=range(1, 4))
    assert firings(filled, "gpu_idle") == {"gpu-1": 1}
    assert all(queries_run(filled, "gpu_idle").values())
    with filled.read() as conn:
        (seen,) = watching_fleet.hosts(conn, seeded.END, 7)
    assert (seen.gpus, seen.hours_measured, seen.busy) == (2, 336, 5.0)
    assert seen.month_pico == 8_000 * seeded.PICO


def test_without_a_cost_of_the_host_the_deployments_that_run_say_it(filled):
    with filled.read() as conn:
        assert watching_fleet.hosts(conn, seeded.END, 7)[0].month_pico is None
    change(filled, "UPDATE workload SET runs_on = 'self_host' WHERE name = 'support-bot'")
    with filled.read() as conn:
        # Two GPUs at $2.40 for 730 hours.
        assert watching_fleet.hosts(conn, seeded.END, 7)[0].month_pico == 3_504 * seeded.PICO


def test_a_failover_to_the_api_is_told_once(filled):
    change(filled, "UPDATE workload SET runs_on = 'hybrid' WHERE name = 'search'")
    change(
        filled,
        "UPDATE series SET workload_id = (SELECT id FROM workload WHERE name = 'search')"
        " WHERE provider = 'self'",
    )
    look(filled, "failover_spend", live_sources=["openai", "vllm"])
    assert standing(filled, "failover_spend") == {}
    since = seeded.END - 2 * DAY
    change(
        filled,
        "DELETE FROM usage_day WHERE day >= :d"
        " AND series_id IN (SELECT id FROM series WHERE provider = 'self')",
        d=since,
    )
    change(
        filled,
        "UPDATE usage_day SET tokens = tokens * 3, estimated_pico = estimated_pico * 3"
        " WHERE day >= :d AND series_id IN (SELECT id FROM series WHERE project = 'proj_search')",
        d=since,
    )
    change(filled, "DELETE FROM alert")
    look(filled, "failover_spend", live_sources=["openai", "vllm"])
    assert standing(filled, "failover_spend") == {"search": "firing"}
    assert firings(filled, "failover_spend") == {"search": 1}
    assert all(queries_run(filled, "failover_spend").values())


def test_days_choose_how_far_back_or_how_late_a_rule_looks(filled):
    with filled.read() as conn:
        week, two = (watching_fleet.hosts(conn, seeded.END, days)[0] for days in (7, 2))
        assert (week.hours_measured, two.hours_measured) == (336, 96)
        compared = (
            reconcile.compare(conn, "acme", seeded.END - days * DAY, seeded.END, ["openai"])
            for days in (28, 10)
        )
        month, ten = (reconcile.seen(each, seeded.END).days for each in compared)
        assert (month, ten) == (25, 7)
    late = seeded.END + 3 * DAY
    for days, status in ((4, {}), (1, {"openai": "firing"})):
        limits = LIMITS | {"source_stale": Limits(days=days)}
        for hour in (late, late + HOUR):
            changed = policy("source_stale", live_sources=["openai"], limits=limits)
            watching.hourly(filled, hour, changed, 6 * HOUR)
        assert standing(filled, "source_stale") == status
        late += 2 * HOUR


def put_card(database, added_at, valid_from, factor, source="genai-prices", model="gpt-5"):
    """A further card of a model, with every rate times a factor."""
    change(
        database,
        "INSERT INTO rate (account, provider, model, context, valid_from, added_at,"
        " uncached_input_nano, cache_read_nano, output_nano, reasoning_nano, per_request_nano,"
        " tiers, marks, source, source_version) SELECT account, provider, model, context, :from,"
        " :added, uncached_input_nano * :f, cache_read_nano * :f, output_nano * :f,"
        " reasoning_nano, per_request_nano, tiers, marks, :source, '2' FROM rate"
        " WHERE model = :model AND valid_from = 0",
        **{"from": valid_from, "added": added_at, "f": factor, "source": source, "model": model},
    )


def test_a_new_price_of_a_model_in_use_is_told_once(filled):
    change(filled, "UPDATE rate SET added_at = :t", t=seeded.FIRST)
    look(filled, "price_change")
    assert standing(filled, "price_change") == {}
    put_card(filled, seeded.END + HOUR, seeded.END + 9 * DAY, 2)
    look(filled, "price_change", days=range(1, 10))
    assert firings(filled, "price_change") == {"acme openai/gpt-5": 1}
    assert queries_run(filled, "price_change") == {"acme openai/gpt-5": 2}


def test_a_price_that_began_long_ago_is_no_news(filled):
    put_card(filled, seeded.END - HOUR, seeded.END - 40 * DAY, 2)
    look(filled, "price_change")
    assert standing(filled, "price_change") == {}


def test_a_price_that_the_list_corrects_is_told_by_the_day_of_its_correction(filled):
    change(filled, "UPDATE rate SET added_at = :t", t=seeded.FIRST)
    put_card(filled, seeded.END + HOUR, 0, 3)
    look(filled, "price_change", days=range(1, 4))
    assert firings(filled, "price_change") == {"acme openai/gpt-5": 1}
    with filled.read() as conn:
        title = said_from_json(conn.scalar(text("SELECT said FROM alert"))).title
    assert title.endswith(": its price was corrected on 2026-11-23")


def test_two_announced_prices_are_each_told_once(filled):
    change(filled, "UPDATE rate SET added_at = :t", t=seeded.FIRST)
    put_card(filled, seeded.END + HOUR, seeded.END + 9 * DAY, 2)
    put_card(filled, seeded.END + HOUR, seeded.END + 40 * DAY, 3)
    look(filled, "price_change", days=range(1, 10))
    assert firings(filled, "price_change") == {"acme openai/gpt-5": 2}


def test_a_snapshot_that_takes_over_is_told_once(filled):
    change(filled, "UPDATE series SET model = 'gpt-5-2026-01-01' WHERE project = 'proj_support'")
    look(filled, "model_change")
    assert standing(filled, "model_change") == {}
    change(
        filled,
        "INSERT INTO series (stream_id, account_id, provider, model, project, api_key, actor,"
        " tier, batch, region, label, workload_id) SELECT stream_id, account_id, provider,"
        " 'gpt-5-2026-11-01', project, api_key, actor, tier, batch, region, label, workload_id"
        " FROM series WHERE project = 'proj_support'",
    )
    change(
        filled,
        "UPDATE usage_day SET series_id = (SELECT id FROM series"
        " WHERE model = 'gpt-5-2026-11-01') WHERE day >= :d AND series_id ="
        " (SELECT id FROM series WHERE model = 'gpt-5-2026-01-01')",
        # Days before it is looked at: it is new for a week.
        d=seeded.END - 6 * DAY,
    )
    look(filled, "model_change")
    assert firings(filled, "model_change") == {"support-bot: gpt-5-2026-11-01": 1}
    assert all(queries_run(filled, "model_change").values())


def test_a_contract_is_told_before_it_ends_and_not_once_it_is_renewed(filled):
    look(filled, "expiry")
    assert standing(filled, "expiry") == {}
    change(filled, "UPDATE contract SET valid_to = :t", t=seeded.END + 10 * DAY)
    look(filled, "expiry", days=range(1, 3))
    assert firings(filled, "expiry") == {"contract with acme": 1}
    assert all(queries_run(filled, "expiry").values())
    change(filled, "UPDATE contract SET valid_to = :t", t=seeded.END + 400 * DAY)
    look(filled, "expiry", days=range(3, 5))
    assert standing(filled, "expiry") == {"contract with acme": "resolved"}
    assert firings(filled, "expiry") == {"contract with acme": 1}


def test_configured_prices_are_told_before_they_end(filled):
    ending = Expiring("of openai gpt-5", "price", seeded.END + 2 * DAY)
    look(filled, "expiry", days=[0], expiring=[ending])
    assert standing(filled, "expiry") == {"price of openai gpt-5": "firing"}
    assert "price of openai gpt-5" in queries_run(filled, "expiry")


@pytest.mark.parametrize("kind", ["certificate", "contract", "price"])
def test_what_shows_an_end_runs(filled, kind):
    ending = Expiring("of it's own", kind, seeded.END)
    look(filled, "expiry", days=[0], expiring=[ending])
    assert f"{kind} of it's own" in queries_run(filled, "expiry")


def test_messages_that_cannot_leave_are_told_once(filled):
    change(
        filled,
        "INSERT INTO outbox (dedup_key, kind, channel, recipient, subject, message_id, message,"
        " state, next_at, last_text, created_at)"
        " VALUES ('k', 'report', 'ops', 'ops', 's', 'm', :b, 'pending', 0, 'refused', :t)",
        b=b"",
        t=seeded.END,
    )
    hours(filled, "internal", at=range(seeded.END, seeded.END + 6 * HOUR, HOUR))
    assert standing(filled, "internal") == {}
    hours(filled, "internal", at=[seeded.END + n * HOUR for n in (6, 7)])
    assert firings(filled, "internal") == {"stuck messages": 1}
    assert queries_run(filled, "internal")["stuck messages"] == 1
    change(filled, "UPDATE outbox SET state = 'sent'")
    hours(filled, "internal", at=[seeded.END + 8 * HOUR])
    assert standing(filled, "internal") == {"stuck messages": "resolved"}


def test_rows_that_cannot_be_read_are_told_until_they_are_few(filled):
    with filled.write() as conn:
        stream = conn.scalar(text("SELECT MIN(id) FROM stream"))
        read = {"stream_id": stream, "status": "ok", "rows_read": 500, "problems": 3}
        at = datetime.fromtimestamp(seeded.END, UTC)
        conn.execute(tables.fetch.insert().values(**read, started_at=at, finished_at=at))
    hours(filled, "internal", at=[seeded.END + n * HOUR for n in (1, 2)])
    assert firings(filled, "internal") == {"unread rows": 1}
    assert "unread rows" in queries_run(filled, "internal")
    hours(filled, "internal", at=[seeded.END + 8 * DAY])
    assert standing(filled, "internal") == {"unread rows": "resolved"}


def test_refused_and_failed_requests_are_told_where_a_source_reports_them(filled):
    hours(filled, "rate_limit", "availability", at=[seeded.END])
    assert standing(filled, "rate_limit") == standing(filled, "availability") == {}

    def answers(_conn, hour):
        part = 100 if hour < seeded.END + 5 * HOUR else 0
        return [Answered("search", "openai", "gpt-5", hour, 1000, part, part)]

    at = [seeded.END + n * HOUR for n in range(1, 9)]
    hours(filled, "rate_limit", "availability", at=at[:4], answers=answers)
    subject = "search: openai/gpt-5"
    assert standing(filled, "rate_limit") == standing(filled, "availability") == {subject: "firing"}
    assert queries_run(filled, "rate_limit")[subject]
    assert queries_run(filled, "availability")[subject]
    hours(filled, "rate_limit", "availability", at=at[4:], answers=answers)
    for rule in ("rate_limit", "availability"):
        assert standing(filled, rule) == {subject: "resolved"}
        assert firings(filled, rule) == {subject: 1}


def put_run(database, key, kind, *, state="done", told="{}", error="", at=seeded.END):
    change(
        database,
        "INSERT INTO run (run_key, kind, period_start, period_end, due_at, added_at, state,"
        " finished_at, told, error) VALUES (:k, :kind, :s, :e, :e, :e, :state, :at, :told, :error)",
        k=key,
        kind=kind,
        s=seeded.START,
        e=seeded.END,
        state=state,
        at=at,
        told=told,
        error=error,
    )


def test_a_report_that_left_with_holes_is_told_until_it_is_corrected(filled):
    put_run(filled, "finance/weekly/2026-W47/1", "weekly", told='{"missing": ["usage of x"]}')
    put_run(filled, "finance/weekly/2026-W46/1", "weekly", told='{"missing": []}')
    hours(filled, "internal", at=[seeded.END + HOUR, seeded.END + 2 * HOUR])
    subject = "report finance/weekly/2026-W47/1"
    assert firings(filled, "internal") == {subject: 1}
    assert queries_run(filled, "internal")[subject] == 1
    put_run(filled, "finance/weekly/2026-W47/2", "correct")
    hours(filled, "internal", at=[seeded.END + 3 * HOUR])
    assert standing(filled, "internal") == {subject: "resolved"}


def test_what_failed_in_a_decision_is_told_and_late_data_is_not(filled):
    put_run(filled, "decide/a", "decide", error="search was left out: x did not close the day")
    hours(filled, "internal", at=[seeded.END + HOUR])
    assert standing(filled, "internal") == {}
    change(filled, "UPDATE run SET error = error || '; budget b was not computed: boom'")
    hours(filled, "internal", at=[seeded.END + 2 * HOUR])
    assert standing(filled, "internal") == {"the day's decision": "firing"}
    assert queries_run(filled, "internal")["the day's decision"] == 1


def test_the_longest_names_are_watched_like_short_ones(filled):
    name = "wörk" * 50
    change(filled, "UPDATE workload SET name = :n WHERE name = 'search'", n=name)
    change(
        filled,
        "UPDATE usage_day SET estimated_pico = estimated_pico * 3 WHERE day >= :d",
        d=seeded.END - 2 * DAY,
    )
    look(filled, "spend_anomaly", "unpriced_spend", "model_change")
    assert f"{name} above its range" in standing(filled, "spend_anomaly")


EVIL = 'it\'s 100% "of" \\it\\ :d; -- [x]*'


def test_what_shows_an_alert_runs_whatever_things_are_called(filled):
    for table in ("workload", "account", "host"):
        change(filled, f"UPDATE {table} SET name = name || :n", n=EVIL)
    change(filled, "UPDATE series SET model = model || :n", n=EVIL)
    change(filled, "UPDATE rate SET model = model || :n, added_at = :t", n=EVIL, t=seeded.FIRST)
    put_card(filled, seeded.END - DAY, seeded.END - DAY, 2, model=f"gpt-5{EVIL}")
    change(
        filled,
        "UPDATE usage_day SET estimated_pico = estimated_pico * 3 WHERE day >= :d",
        d=seeded.END - 2 * DAY,
    )
    change(filled, "UPDATE bill SET amount_pico = amount_pico / 4")
    change(filled, "UPDATE gpu_hour SET util_mean = 5")
    rules = [name for name, rule in BOOK.items() if rule.cadence == "daily"]
    look(filled, *rules)
    hours(filled, "telemetry_lost", "internal", at=[seeded.END + 3 * HOUR])
    ran = set()
    for rule in (
        "spend_anomaly",
        "unpriced_spend",
        "unreconciled_spend",
        "price_change",
        "gpu_idle",
        "telemetry_lost",
        "internal",
    ):
        found = queries_run(filled, rule)
        assert found, rule
        ran |= {subject for subject, rows in found.items() if rows}
    assert any(EVIL in subject for subject in ran)
    assert len([s for s in ran if EVIL in s]) >= 5
