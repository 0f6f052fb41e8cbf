"""Which amounts count: one source for each account's tokens, one for its money, on both engines."""

from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from monitor.domain.money import MAX_PICO, PICO
from monitor.domain.usage import DAY
from monitor.storage import bulk
from monitor.storage.engine import Database
from monitor.storage.export import number
from tests.factories import DAY0

# The last two days of November and the first three of December.
DAYS = [DAY0 + n * DAY for n in range(28, 33)]
SOURCES = (1, 2, 3)
ACCOUNTS = (1, 2)
PROVIDERS = ("openai", "self")
# Two bill streams each: a day is billed when the slower one is closed too.
STREAMS = {
    10 * s + n: (s, feeds) for s in SOURCES for n, feeds in enumerate(("usage", "bill", "bill"))
}
SERIES = {
    10 * stream + 2 * account + self_hosted: (stream, account, PROVIDERS[self_hosted])
    for stream in STREAMS
    for account in ACCOUNTS
    for self_hosted in (0, 1)
}
HALF_A_MICRO = Decimal("0.0000005")


class Priced(NamedTuple):
    tokens: int
    pico: int
    unpriced: int


class Billed(NamedTuple):
    pico: int
    currency: str


class World(NamedTuple):
    """What sources reported, and whom each account believes."""

    tokens_from: Mapping[int, int | None] = dict.fromkeys(ACCOUNTS)
    money_from: Mapping[int, int | None] = dict.fromkeys(ACCOUNTS)
    usage: Mapping[tuple[int, int], Priced] = {}
    """By series and day."""
    bills: Mapping[tuple[int, int], Billed] = {}
    closed: Mapping[int, int | None] = {}
    """By stream; one that is absent was never read."""
    rates: Mapping[tuple[str, int], int] = {}
    """Nano-dollars by currency and day."""


def feeding(feeds):
    return [key for key, (stream, _, _) in SERIES.items() if STREAMS[stream][1] == feeds]


def cells(feeds, values):
    return st.dictionaries(
        st.tuples(st.sampled_from(feeding(feeds)), st.sampled_from(DAYS)), values, max_size=40
    )


# Foreign amounts and rates are such that their product is a whole number of pico-dollars.
money = st.one_of(
    st.builds(Billed, st.integers(-(10**7), MAX_PICO), st.just("USD")),
    st.builds(Billed, st.integers(-(10**9), 9 * 10**14).map(lambda n: n * 10**4), st.sampled_from(["EUR", "CHF"])),
)  # fmt: skip
chosen = st.fixed_dictionaries({a: st.sampled_from([None, *SOURCES]) for a in ACCOUNTS})
worlds = st.builds(
    World,
    tokens_from=chosen,
    money_from=chosen,
    usage=cells("usage", st.builds(Priced, *[st.integers(0, n) for n in (10**12, MAX_PICO, 10**12)])),
    bills=cells("bill", money),
    closed=st.dictionaries(
        st.sampled_from([s for s, (_, feeds) in STREAMS.items() if feeds == "bill"]),
        st.none() | st.sampled_from([*DAYS, DAYS[-1] + DAY]),
    ),
    rates=st.dictionaries(
        st.tuples(st.sampled_from(["EUR", "CHF"]), st.sampled_from([DAY0, *DAYS])),
        st.integers(1, 2000).map(lambda n: n * 10**6),
    ),
)  # fmt: skip


# --- the model: the same rules over plain dictionaries ---


def believed(authority, key, default=False):
    stream, account, _ = SERIES[key]
    named = authority[account]
    return default if named is None else named == STREAMS[stream][0]


def is_closed(world, account, day):
    streams = [s for s, of in STREAMS.items() if of == (world.money_from[account], "bill")]
    return bool(streams) and all((world.closed.get(s) or 0) >= day + DAY for s in streams)


def in_dollars(world, bill, day):
    if bill.currency == "USD":
        return Decimal(bill.pico) / PICO
    known = [at for currency, at in world.rates if currency == bill.currency and at <= day]
    if not known:
        return None
    return Decimal(bill.pico) * world.rates[bill.currency, max(known)] / 10**9 / PICO


def total(amounts):
    """Unknown amounts add nothing; of none but such the sum is unknown."""
    known = [a for a in amounts if a is not None]
    return sum(known, Decimal(0)) if known else None


class Spent(NamedTuple):
    closed: bool
    usd: Decimal | None
    final: Decimal
    billed: Decimal | None
    estimated: Decimal | None
    unpriced: int
    unconverted: Decimal | None


def expected_day(world, account, day):
    """The spend of an account and day; None: nothing that counts was reported."""
    used = [
        u for (key, at), u in world.usage.items()
        if at == day and SERIES[key][1:] == (account, "openai")
        and believed(world.tokens_from, key, default=True)
    ]  # fmt: skip
    bills = [
        b for (key, at), b in world.bills.items()
        if at == day and SERIES[key][1] == account and believed(world.money_from, key)
    ]  # fmt: skip
    if not used and not bills:
        return None
    dollars = [(b, in_dollars(world, b, day)) for b in bills]
    # A bill that did not come is no bill of nothing.
    closed = is_closed(world, account, day) and bool(bills)
    billed = total([usd for _, usd in dollars])
    estimated = total([Decimal(u.pico) / PICO for u in used])
    return Spent(
        closed,
        billed if closed else estimated,
        (billed or Decimal(0)) if closed else Decimal(0),
        billed,
        estimated,
        0 if closed else sum(u.unpriced for u in used),
        total([Decimal(b.pico) / PICO for b, usd in dollars if usd is None]),
    )


def expected(world, length):
    """Spend by period (the first `length` letters of a day) and account."""
    periods: dict[tuple[str, str], list[Spent]] = {}
    for day in DAYS:
        for account in ACCOUNTS:
            if found := expected_day(world, account, day):
                name = datetime.fromtimestamp(day, UTC).date().isoformat()[:length]
                periods.setdefault((name, f"a{account}"), []).append(found)
    return {key: combined(days) for key, days in periods.items()}


def combined(days):
    closed = {d.closed for d in days}
    basis = "mixed" if len(closed) == 2 else "billed" if closed == {True} else "estimated"
    sums = [total([d[n] for d in days]) for n in range(1, len(Spent._fields))]
    return basis, *sums


# --- the engines ---


@pytest.fixture(scope="module")
def engines(request, tmp_path_factory):
    """A database of each engine, its sources and series made: examples leave nothing behind."""
    path = tmp_path_factory.mktemp("views") / "crossover.db"
    path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
    server = Database(request.getfixturevalue("postgres_template"))
    name = "views_test"
    with server.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
        admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE crossover_template")
        both = [
            Database(f"sqlite:///{path}"),
            Database(server.url.set(database=name).render_as_string(hide_password=False)),
        ]
        for database in both:
            with database.write() as conn:
                found(conn)
        yield both
        for database in both:
            database.close()
        admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()


def found(conn):
    put(conn, "source", "id name kind", [(s, f"s{s}", "test") for s in SOURCES])
    put(conn, "stream", "id source_id name feeds", [(i, s, f"t{i}", f) for i, (s, f) in STREAMS.items()])  # fmt: skip
    put(conn, "account", "id name", [(a, f"a{a}") for a in ACCOUNTS])
    empty = "model project api_key actor tier batch region label"
    rows = [(key, *of, *[""] * 8) for key, of in SERIES.items()]
    put(conn, "series", f"id stream_id account_id provider {empty}", rows)


def put(conn, table, columns, rows):
    bulk.insert(conn, table, columns.split(), rows)


@contextmanager
def holding(database, world):
    """A transaction in which the database holds this world; rolled back."""
    with database.writer.connect() as conn, conn.begin() as transaction:
        for a in ACCOUNTS:
            conn.execute(
                text("UPDATE account SET tokens_from = :t, money_from = :m WHERE id = :a"),
                {"t": world.tokens_from[a], "m": world.money_from[a], "a": a},
            )
        columns = "series_id day rate_id tokens estimated_pico unpriced_tokens"
        put(conn, "usage_day", columns, [(*at, 1, *u) for at, u in world.usage.items()])
        bills = [(*at, "", *b) for at, b in world.bills.items()]
        put(conn, "bill", "series_id day line_item amount_pico currency", bills)
        put(conn, "watermark", "stream_id closed_through", list(world.closed.items()))
        rates = [(*at, nano, "test") for at, nano in world.rates.items()]
        put(conn, "fx", "currency day usd_nano source", rates)
        yield conn
        transaction.rollback()


def read(conn, sql):
    """Rows in order, their numbers the same Decimal from either engine."""
    rows = conn.execute(text(sql)).all()
    return sorted(tuple(v if isinstance(v, str) else number(v) for v in row) for row in rows)


def read_both(engines, world, sql):
    """The rows, which both engines must agree on."""
    answers = []
    for database in engines:
        with holding(database, world) as conn:
            answers.append(read(conn, sql))
    assert answers[0] == answers[1]
    return answers[0]


def spend(engines, world, view="v_spend_daily"):
    """Basis and amounts by period and account."""
    return {row[:2]: row[2:] for row in read_both(engines, world, f"SELECT * FROM {view}")}


# --- the claims ---


def assert_same(shown, wanted):
    assert shown.keys() == wanted.keys()
    for key, (basis, *amounts) in wanted.items():
        assert shown[key][0] == basis
        for here, exact in zip(shown[key][1:], amounts, strict=True):
            assert (here is None) == (exact is None), key
            assert exact is None or abs(here - exact) <= HALF_A_MICRO, key


@pytest.mark.proof
@given(world=worlds)
def test_spend_counts_exactly_the_named_sources_whatever_overlaps(engines, world):
    assert_same(spend(engines, world), expected(world, 10))
    assert_same(spend(engines, world, "v_spend_monthly"), expected(world, 7))


@pytest.mark.proof
@given(world=worlds)
def test_usage_counts_exactly_the_named_source_whatever_overlaps(engines, world):
    shown = read_both(
        engines, world, "SELECT source, account, provider, day, tokens, unpriced_tokens FROM v_usage_daily"
    )  # fmt: skip
    wanted = []
    for (key, day), used in world.usage.items():
        stream, account, provider = SERIES[key]
        if believed(world.tokens_from, key, default=True):
            iso = datetime.fromtimestamp(day, UTC).date().isoformat()
            source = f"s{STREAMS[stream][0]}"
            wanted.append((source, f"a{account}", provider, iso, used.tokens, used.unpriced))
    assert shown == sorted(wanted)


def series(source, feeds="usage", account=1, provider="openai"):
    """The first such series."""
    return next(
        key for key, (stream, *of) in SERIES.items()
        if of == [account, provider] and STREAMS[stream] == (source, feeds)
    )  # fmt: skip


def dollars(amount):
    return int(Decimal(amount) * PICO)


DAY_ONE = ("2026-11-29", "a1")
BOTH_REPORT = World(
    tokens_from={1: 1, 2: None},
    money_from={1: 2, 2: None},
    usage={(series(s), DAYS[0]): Priced(100 * s, dollars(s), 10 * s) for s in (1, 2)},
    bills={(series(s, "bill"), DAYS[0]): Billed(dollars(10 * s), "USD") for s in (1, 2)},
    closed={21: DAYS[1], 22: DAYS[1]},
)


def test_two_sources_of_one_account_are_each_believed_for_what_the_account_names(engines):
    (basis, *amounts) = spend(engines, BOTH_REPORT)[DAY_ONE]
    assert (basis, amounts) == ("billed", [20, 20, 20, 1, 0, None])
    neither = BOTH_REPORT._replace(tokens_from={1: None, 2: None}, money_from={1: None, 2: None})
    assert spend(engines, neither)[DAY_ONE] == ("estimated", 3, 0, None, 3, 30, None)


@pytest.mark.parametrize(
    "closed", [{}, {21: DAYS[1]}, {21: DAYS[1], 22: None}, {21: DAYS[1], 22: DAYS[0]}]
)
def test_a_day_is_an_estimate_until_every_bill_stream_is_closed_through_it(engines, closed):
    world = BOTH_REPORT._replace(closed=closed)
    assert spend(engines, world)[DAY_ONE] == ("estimated", 1, 0, 20, 1, 10, None)


def test_a_bill_that_did_not_come_is_no_bill_of_nothing(engines):
    world = BOTH_REPORT._replace(bills={})
    assert spend(engines, world)[DAY_ONE] == ("estimated", 1, 0, None, 1, 10, None)


def test_an_open_day_without_a_rate_is_unknown(engines):
    unknown = BOTH_REPORT._replace(usage={}, closed={})
    assert spend(engines, unknown)[DAY_ONE] == ("estimated", None, 0, 20, None, 0, None)


def test_a_month_with_open_days_says_how_much_of_it_is_certain(engines):
    usage = {(series(1), day): Priced(100, dollars(3), 7) for day in DAYS[:2]}
    world = BOTH_REPORT._replace(usage=usage)
    assert spend(engines, world, "v_spend_monthly") == {
        ("2026-11", "a1"): ("mixed", 23, 20, 20, 6, 7, None)
    }


def test_what_own_engines_serve_is_usage_and_never_spend(engines):
    own = {(series(1, provider="self"), DAYS[0]): Priced(100, dollars(5), 0)}
    assert spend(engines, World(usage=own)) == {}
    served = read_both(engines, World(usage=own), "SELECT source, tokens FROM v_tokens_served")
    assert served == [("s1", 100)]


def foreign(rates):
    day = DAYS[2]
    bills = {(series(2, "bill"), day): Billed(dollars("7.5"), "EUR")}
    bills[series(2, "bill") + 10, day] = Billed(dollars(2), "USD")
    return BOTH_REPORT._replace(
        usage={}, bills=bills, rates=rates, closed={21: day + DAY, 22: day + DAY}
    )


@pytest.mark.parametrize(
    ("rates", "usd", "unconverted"),
    [
        ({}, 2, Decimal("7.5")),
        ({3: 10**9}, 2, Decimal("7.5")),
        ({0: 10**9, 1: 2 * 10**9, 3: 3 * 10**9}, 17, None),
        ({1: 10**9, 2: 1_160_000_001}, Decimal("10.7"), None),
    ],
)
def test_foreign_money_is_converted_with_the_newest_rate_that_is_not_later(
    engines, rates, usd, unconverted
):
    world = foreign({("EUR", DAYS[n]): nano for n, nano in rates.items()})
    (shown,) = spend(engines, world).values()
    assert shown == ("billed", usd, usd, usd, None, 0, unconverted)


def test_a_source_without_an_account_that_names_one_counts_and_says_so(engines):
    world = BOTH_REPORT._replace(tokens_from={1: 1, 2: 1}, money_from={1: 2, 2: 2})
    counts = "SELECT DISTINCT source, counts FROM v_data_quality"
    assert read_both(engines, world, counts) == [("s1", "yes"), ("s2", "yes"), ("s3", "no")]
    unnamed = world._replace(tokens_from={1: 1, 2: None})
    assert read_both(engines, unnamed, counts) == [(f"s{n}", "yes") for n in SOURCES]


def test_totals_beyond_nine_million_dollars_do_not_overflow(engines):
    usage = {
        (series(s, provider="openai"), day): Priced(10**15, MAX_PICO, 0)
        for s in SOURCES
        for day in DAYS
    }
    usd = Decimal(15 * MAX_PICO) / PICO
    november = usd * 2 / 5
    shown = spend(engines, World(usage=usage), "v_spend_monthly")
    assert abs(shown["2026-11", "a1"][1] - november) <= HALF_A_MICRO
    for view in ("v_workload_cost", "v_usage_daily"):
        (row,) = read_both(
            engines, World(usage=usage), f"SELECT SUM(estimated_usd), SUM(tokens) FROM {view}"
        )
        assert abs(row[0] - usd) < Decimal("0.001")
        assert row[1] == 15 * 10**15


@pytest.mark.parametrize(
    "parts",
    [[1_500_000], [-1_500_000], [9 * 10**18] * 2 + [9 * 10**18 + 499_999], [9 * 10**18, 500_000]],
)
def test_a_half_and_what_is_just_below_are_rounded_alike_however_large_the_sum(engines, parts):
    usage = {
        (series(s), DAYS[0]): Priced(1, pico, 0) for s, pico in zip(SOURCES, parts, strict=False)
    }
    ((_, usd, *_),) = spend(engines, World(usage=usage)).values()
    assert usd == (Decimal(sum(parts)) / PICO).quantize(Decimal("0.000001"), ROUND_HALF_UP)
