"""Polls of mischievous servers, and one when they are calm: the database holds the truth."""

import random

import pytest
from sqlalchemy import text

from collectors.http import Limits
from monitor.domain.usage import DAY, HOUR, QUANTITY_FIELDS, Dimensions, Quantities, add
from monitor.jobs import collect
from monitor.storage.engine import Database
from monitor.storage.setup import put_stream
from monitor.storage.tables import SERIES_DIMENSIONS
from tests.conftest import FULL
from tests.mischief import STYLES
from tests.mischievous import PROVIDERS

RUNS = 50 if FULL else 1
POLLS = 3
START = 1_795_176_000  # 2026-11-20, noon
HURRIED = Limits(
    connect_s=2,
    read_s=1,
    total_s=0.4,
    body_bytes=2_000_000,
    attempts=4,
    backoff_s=0.0,
    pace=lambda _: 0.0,
)
PATIENT = HURRIED._replace(read_s=30, total_s=60)
PACE = collect.Pace(HOUR, 3, 35, 6 * HOUR, {"main": 25}, 600)


@pytest.fixture
def database(request, kind, run):
    """One run in five on PostgreSQL, each time of another kind."""
    engine = "postgres" if (list(PROVIDERS).index(kind) + run) % 5 == 4 else "sqlite"
    opened = Database(request.getfixturevalue(f"{engine}_url"))
    yield opened
    opened.close()


def poll(database, provider, limits):
    url = provider.fake.url + provider.rng.choice(["", "/"])
    source = provider.source("main", url, limits=limits)
    with database.write() as conn:
        for spec in source.streams():
            put_stream(conn, "main", "any", spec)
    found = collect.collect_all(database, source, PACE, provider.now)
    source.close()
    return found


def usage(database):
    """Quantities by series and day."""
    sums = {}
    for dims, at, quantities in rows(database, "usage", ("bucket_start", *QUANTITY_FIELDS)):
        key, one = (dims, at - at % DAY), Quantities(*quantities)
        sums[key] = add(sums[key], one) if key in sums else one
    return sums


def bill(database):
    columns = ("day", "line_item", "currency", "amount_pico")
    return {
        (dims, day, item, currency): pico
        for dims, day, (item, currency, pico) in rows(database, "bill", columns)
    }


def rows(database, table, columns):
    named = ", ".join(f"s.{name}" for name in SERIES_DIMENSIONS)
    query = text(
        f"SELECT a.name, {named}, {', '.join(f'f.{c}' for c in columns)} FROM {table} f"
        " JOIN series s ON s.id = f.series_id JOIN account a ON a.id = s.account_id"
    )
    with database.read() as conn:
        for row in conn.execute(query):
            dims = Dimensions(*row[: len(Dimensions._fields)])
            at, *rest = row[len(Dimensions._fields) :]
            yield dims, at, rest


def unspoiled(database, provider):
    """Rows in quarantine that nothing was wrong with."""
    with database.read() as conn:
        kept = conn.execute(text("SELECT payload, reason FROM quarantine")).all()
    return [row for row in kept if not provider.is_spoiled(*row)]


@pytest.mark.proof
@pytest.mark.postgres
@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("kind", PROVIDERS)
def test_after_any_mischief_the_database_equals_the_truth_to_the_token_and_cent(
    database, kind, run
):
    rng = random.Random(f"{kind} {run}")
    provider = PROVIDERS[kind](rng, START)
    with provider.fake:
        for _ in range(POLLS):
            provider.mischief.wildness = rng.choice([0.02, 0.1, 0.3])
            provider.mischief.style = rng.choice(STYLES)
            provider.prepare()
            poll(database, provider, HURRIED)
            for key, quantities in usage(database).items():
                assert quantities.tokens <= provider.most[key], "something was doubled"
            for _ in range(rng.randrange(5)):
                provider.change()
            provider.pass_time(rng.randrange(30 * HOUR))
        provider.mischief.wildness = 0.0
        provider.pass_time(26 * HOUR)  # so that the deep read is due
        provider.prepare()
        errors = [each.error for each in poll(database, provider, PATIENT)]
    assert not any(errors), errors
    assert usage(database) == provider.usage()
    assert bill(database) == provider.bill()
    assert unspoiled(database, provider) == []
