"""Anthropic's two APIs into one database: whichever answers, each token and cent stands there once."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from collectors.anthropic import Anthropic
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import collect
from monitor.storage.setup import put_stream
from tests.fake_anthropic import ADMIN_KEY, Cost, FakeAnthropic, Use

START = 1_793_491_200  # 2026-11-01
NOW = START + 20 * DAY + 7 * HOUR


@pytest.fixture
def fake():
    uses = [
        Use(START + n * 5 * HOUR, 100 + n, 20 * n, 3 * n, n, 7 + n, requests=1 + n % 3)
        for n in range(96)
    ]
    costs = [Cost(START + n * DAY, Decimal("123.456789") + n) for n in range(20)]
    with FakeAnthropic(uses, costs) as server:
        yield server


def run(database, fake, day=0, **options):
    """Read on a later day, when all of the last weeks is read again."""
    source = Anthropic("claude", "acme", ADMIN_KEY, base_url=fake.url, **options)
    with database.write() as conn:
        for spec in source.streams():
            put_stream(conn, "claude", "anthropic", spec)
    pace = collect.Pace(HOUR, 3, 35, 6 * HOUR, {"claude": 30}, 600)
    found = collect.collect_all(database, source, pace, NOW + day * DAY)
    source.close()
    assert [each.error for each in found] == ["", ""]


def stored(database):
    classes = ["uncached_input", "cache_read", "cache_write", "cache_write_long", "output"]
    sums = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in classes)
    with database.read() as conn:
        tokens = tuple(conn.execute(text(f"SELECT {sums} FROM usage")).one())
        requests = conn.scalar(text("SELECT CAST(SUM(requests) AS BIGINT) FROM usage"))
        bill = conn.scalar(text("SELECT CAST(SUM(amount_pico) AS BIGINT) FROM bill"))
    return tokens, requests, bill


def truth(fake):
    tokens = tuple(sum(each) for each in zip(*(use[1:6] for use in fake.truth), strict=True))
    requests = sum(use.requests for use in fake.truth)
    bill = int(sum(cost.cents for cost in fake.costs) / 100 * PICO)
    return tokens, requests, bill


def test_the_database_holds_the_truth_through_both_apis(database, fake):
    tokens, requests, bill = truth(fake)
    fake.no_analytics = 404
    run(database, fake)
    assert stored(database) == (tokens, None, bill)
    fake.no_analytics = 0
    run(database, fake, day=1)
    assert stored(database) == (tokens, requests, bill)
    fake.page_size = 9
    run(database, fake, day=2)
    assert stored(database) == (tokens, requests, bill)


def test_a_group_that_vanishes_and_a_restated_one_are_followed(database, fake):
    run(database, fake)
    del fake.truth[3]
    fake.truth[5] = fake.truth[5]._replace(output=1)
    fake.costs[0] = fake.costs[0]._replace(cents=Decimal("0.01"))
    run(database, fake, day=1)
    assert stored(database) == truth(fake)
