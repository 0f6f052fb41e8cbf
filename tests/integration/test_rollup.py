"""Priced days: exact, dated, and still once the month is closed."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import text

from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.usage import DAY, HOUR
from monitor.domain.workloads import Rule
from monitor.jobs.reprice import ask
from monitor.storage import rollup, setup
from monitor.storage.write import Window, put_window
from tests.factories import DAY0, dims, make_stream, usage

NOW = DAY0 + 10 * DAY
CARD = RateCard(
    "openai", "gpt-5-mini", "", 0, usd_per_million(uncached_input="0.25", cache_read="0.025", output=2),
    source="test",
)  # fmt: skip


def prepare(database, rows, days=3, closed_through=None):
    with database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (), (), ()))
        _, stream = make_stream(conn)
        put_window(conn, Window(stream, DAY0, DAY0 + days * DAY, closed_through), rows)
    return stream


def refresh(database, resolve=lambda key, at, seconds: CARD, now=NOW, rules=()):
    with database.write() as conn:
        return rollup.refresh(conn, rollup.waiting(conn), resolve, rules, now)


def days(database):
    with database.read() as conn:
        return conn.execute(
            text(
                "SELECT day, rate_id, tokens, requests, estimated_pico, unpriced_tokens, flags"
                " FROM usage_day ORDER BY day, rate_id"
            )
        ).all()


def test_a_day_is_the_sum_of_its_hours_at_its_rate(database):
    prepare(database, [usage(DAY0 + h * HOUR, uncached_input=1001, output=7) for h in range(24)])
    refresh(database)
    (day,) = days(database)
    assert (day.tokens, day.requests, day.unpriced_tokens) == (24 * 1008, 240, 0)
    assert day.estimated_pico == 24 * (1001 * 250_000 + 7 * 2_000_000)
    assert refresh(database) == []


def test_a_second_refresh_of_the_same_rows_changes_no_rate_and_no_day(database):
    stream = prepare(database, [usage()])
    refresh(database)
    before = days(database)
    with database.write() as conn:
        from monitor.storage.write import mark_dirty

        mark_dirty(conn, stream, {DAY0: False})
    refresh(database, now=NOW + 5)
    assert days(database) == before
    with database.read() as conn:
        assert conn.scalar(text("SELECT COUNT(*) FROM rate")) == 1


def test_two_rates_in_a_day_are_two_rows(database):
    later = replace(
        CARD, valid_from=DAY0 + 12 * HOUR, rates=usd_per_million(uncached_input=1, output=2)
    )
    prepare(database, [usage(DAY0 + h * HOUR, uncached_input=1000, output=0) for h in range(24)])
    refresh(database, lambda key, at, seconds: later if at >= later.valid_from else CARD)
    first, second = days(database)
    assert (first.estimated_pico, second.estimated_pico) == (12 * 250_000_000, 12 * 10**9)


def test_usage_without_a_rate_is_counted_and_never_zero_dollars_in_disguise(database):
    prepare(database, [usage(), usage(of=dims(model="gpt-9"))])
    refresh(database, lambda key, at, seconds: CARD if key.model != "gpt-9" else None)
    unpriced, priced = days(database)
    assert (unpriced.rate_id, unpriced.unpriced_tokens, unpriced.flags) == (0, 1100, "unpriced")
    assert priced.unpriced_tokens == 0
    with database.read() as conn:
        row = conn.execute(text("SELECT * FROM v_workload_cost")).mappings().one()
    assert row["unpriced_tokens"] == 1100
    assert row["month"] == "2026-11"


def test_a_rate_that_becomes_known_prices_the_open_month(database):
    prepare(database, [usage()])
    refresh(database, lambda key, at, seconds: None)
    assert ask(database, "prices", NOW) == 1
    assert ask(database, "prices", NOW + HOUR) == 0
    refresh(database)
    assert [d.unpriced_tokens for d in days(database)] == [0]


def close_november(database):
    with database.write() as conn:
        conn.execute(
            text(
                "INSERT INTO run (run_key, kind, period_start, period_end, due_at,"
                " added_at, state, finished_at)"
                " VALUES ('close/2026-11', 'close', 0, 0, 0, 0, 'done', :t)"
            ),
            {"t": NOW + 30 * DAY},
        )


def test_a_closed_month_keeps_its_rates_and_takes_restated_tokens(database):
    stream = prepare(database, [usage()], closed_through=DAY0 + 3 * DAY)
    refresh(database)
    close_november(database)
    dearer = replace(CARD, rates=CARD.rates.scaled(10))
    with database.write() as conn:
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage(uncached_input=2000)])
    (restated,) = refresh(database, lambda key, at, seconds: dearer, now=NOW + 31 * DAY)
    (day,) = days(database)
    assert day.estimated_pico == 2000 * 250_000 + 100 * 2_000_000
    assert (restated.tokens_before, restated.tokens_after) == (1100, 2100)
    with database.read() as conn:
        row = conn.execute(text("SELECT * FROM v_restatement")).mappings().one()
        found_at = datetime.fromtimestamp(NOW + 31 * DAY, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (row["day"], row["found_at"]) == ("2026-11-01", found_at)


def test_changed_prices_reprice_every_open_month_and_no_closed_one(database):
    prepare(database, [usage(), usage(DAY0 + 40 * DAY)], days=41)
    refresh(database)
    close_november(database)
    with database.write() as conn:
        conn.execute(text("UPDATE run SET period_end = :t"), {"t": DAY0 + 30 * DAY})
    assert ask(database, "other prices", NOW) == 1
    dearer = replace(CARD, rates=CARD.rates.scaled(10))
    refresh(database, lambda key, at, seconds: dearer)
    november, december = days(database)
    assert december.estimated_pico == 10 * november.estimated_pico


def test_a_closed_month_keeps_the_card_that_priced_it_among_several(database):
    stream = prepare(database, [usage()], closed_through=DAY0 + 3 * DAY)
    fixed = replace(CARD, source="override", rates=CARD.rates.scaled(3))
    refresh(database, lambda key, at, seconds: replace(CARD, valid_from=DAY0 - 99))
    with database.write() as conn:
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage(output=101)])
    refresh(database, lambda key, at, seconds: fixed, now=NOW + 5)
    close_november(database)
    with database.write() as conn:
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage(output=102)])
        put_window(conn, Window(stream, DAY0 + DAY, DAY0 + 2 * DAY), [usage(DAY0 + DAY)])
    refresh(database, lambda key, at, seconds: CARD, now=NOW + 31 * DAY)
    first, late = days(database)
    assert first.estimated_pico == 3 * (1000 * 250_000 + 102 * 2_000_000)
    assert late.rate_id == first.rate_id


def test_a_late_model_in_a_closed_month_stays_unpriced(database):
    stream = prepare(database, [usage()])
    refresh(database)
    close_november(database)
    with database.write() as conn:
        put_window(
            conn,
            Window(stream, DAY0 + DAY, DAY0 + 2 * DAY),
            [usage(DAY0 + DAY, of=dims(model="new"))],
        )
    refresh(database, now=NOW + 31 * DAY)
    assert [d.unpriced_tokens for d in days(database)] == [0, 1100]


def test_a_change_before_the_day_was_closed_is_no_restatement(database):
    stream = prepare(database, [usage()])
    refresh(database)
    with database.write() as conn:
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage(output=9)])
    assert refresh(database) == []


def test_own_engines_have_tokens_and_no_price(database):
    prepare(database, [usage(of=dims(provider="self", model="llama"))])
    refresh(database, lambda key, at, seconds: None)
    (day,) = days(database)
    assert (day.tokens, day.estimated_pico, day.unpriced_tokens) == (1100, 0, 0)
    with database.read() as conn:
        assert conn.scalar(text("SELECT tokens FROM v_tokens_served")) == 1100
        assert conn.scalar(text("SELECT COUNT(*) FROM v_workload_cost")) == 0


def test_the_price_context_follows_tier_and_batch(database):
    asked = []
    prepare(
        database,
        [
            usage(of=dims(tier="flex", batch="true")),
            usage(of=dims(tier="default", batch="false")),
            usage(of=dims(tier="priority")),
        ],
    )
    refresh(database, lambda key, at, seconds: asked.append(key.context) or CARD)
    assert sorted(set(asked)) == [
        "",
        "processing=batch;service_tier=flex",
        "service_tier=priority",
    ]


def test_workload_rules_assign_series_and_history_follows_changed_rules(database):
    def workloads():
        with database.read() as conn:
            return conn.execute(text("SELECT DISTINCT workload FROM v_usage_daily")).scalars().all()

    prepare(database, [usage(of=dims(project="proj_bot"))])
    refresh(database)
    assert workloads() == ["unassigned"]
    rules = [Rule("bot", project="proj_*")]
    bot = setup.WorkloadSetup("bot", "", "", "api")
    with database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (bot,), (), rules))
    assert workloads() == ["bot"]


def test_an_absurd_day_is_unpriced_and_stops_no_other(database):
    absurd = usage(of=dims(model="absurd"), uncached_input=10**15)
    prepare(database, [usage(), absurd])
    refresh(database)
    sane, odd = sorted(days(database), key=lambda day: day.tokens)
    assert sane.unpriced_tokens == 0
    assert (odd.estimated_pico, odd.unpriced_tokens) == (0, 10**15 + 100)
    assert "amount_too_large" in odd.flags
