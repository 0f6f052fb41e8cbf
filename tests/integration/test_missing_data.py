"""Missing, late and partial data: no rule takes it for a change, whatever is missing."""

import random

import pytest
from sqlalchemy import text

from monitor.domain.rulebook import BOOK
from monitor.domain.usage import DAY, HOUR
from monitor.jobs.notify import Telling
from monitor.jobs.replay import Span, replay
from tests import seeded
from tests.conftest import FULL

TO = "ann@acme.example"
SPAN = Span(seeded.END - 8 * DAY, seeded.END)
RULES = {
    name: BOOK[name]
    for name in (
        *("spend_anomaly", "unpriced_spend", "unreconciled_spend", "price_change"),
        *("model_change", "expiry", "gpu_idle", "failover_spend"),
    )
}
"""Rules that look at measurements anew each day; those on missing data are about it."""
MOST = 200 if FULL else 12


@pytest.fixture
def calm(autumn):
    """An autumn of which nothing is told; a workload runs on own engines in part."""
    with autumn.write() as conn:
        conn.execute(text("UPDATE workload SET runs_on = 'hybrid' WHERE name = 'search'"))
        conn.execute(
            text(
                "UPDATE series SET workload_id = (SELECT id FROM workload WHERE name = 'search')"
                " WHERE provider = 'self'"
            )
        )
    return autumn


def told(conn):
    policy = seeded.policy(TO, rules=RULES, live_sources=["openai", "vllm"])
    found = replay(conn, SPAN, policy, Telling("Acme", seeded.ENVELOPE), 6 * HOUR)
    return [(row.rule, row.fired) for row in found.rules if row.fired]


def lose(conn, chance):
    """Let each stream fall behind by some days, of which a part came, and readings be missing."""
    for stream, feeds in conn.execute(text("SELECT id, feeds FROM stream")).all():
        closed = seeded.END - chance.randint(0, 9) * DAY
        bound = {"s": stream, "t": closed, "part": chance.choice([0, 1, 3, 9])}
        conn.execute(
            text(
                "UPDATE watermark SET closed_through = :t WHERE stream_id = :s"
                " AND closed_through > :t"
            ),
            bound,
        )
        of = " WHERE day >= :t AND series_id IN (SELECT id FROM series WHERE stream_id = :s)"
        if feeds == "bill":
            conn.execute(text(f"UPDATE bill SET amount_pico = amount_pico / 10 * :part{of}"), bound)
        else:
            conn.execute(
                text(
                    "UPDATE usage_day SET tokens = tokens / 10 * :part,"
                    f" estimated_pico = estimated_pico / 10 * :part{of}"
                ),
                bound,
            )
    for modulus in chance.sample(range(2, 9), 2):
        conn.execute(text("DELETE FROM gpu_hour WHERE hour / 3600 % :m = 0"), {"m": modulus})
    if chance.random() < 0.5:
        sql = "UPDATE gpu_hour SET util_mean = NULL, minutes_measured = 0 WHERE hour >= :t"
        conn.execute(text(sql), {"t": seeded.END - chance.randint(1, 7) * DAY})


@pytest.mark.proof
def test_no_alert_comes_from_data_that_is_missing_late_or_partial(calm, record_property):
    with calm.read() as conn:
        assert told(conn) == []
    for seed in range(MOST):
        with calm.write() as conn:
            trial = conn.begin_nested()
            lose(conn, random.Random(seed))
            assert told(conn) == [], seed
            trial.rollback()
    record_property("said", f"{MOST} ways to lose data, {len(RULES)} rules")


def test_the_same_numbers_as_closed_days_are_told(calm):
    """The proof can fail: what is missing is told once a source calls it complete."""
    with calm.write() as conn:
        conn.execute(
            text("UPDATE usage_day SET estimated_pico = 0 WHERE day >= :t"),
            {"t": seeded.END - 3 * DAY},
        )
        conn.execute(text("UPDATE gpu_hour SET util_mean = 3"))
        assert {rule for rule, _ in told(conn)} >= {"spend_anomaly", "gpu_idle"}
