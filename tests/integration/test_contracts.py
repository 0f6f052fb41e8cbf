"""Committed use on the month: the view against the rule, on both engines."""

from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import text

from monitor.config import from_tables
from monitor.domain.contracts import settle
from monitor.domain.errors import ConfigError
from monitor.domain.money import PICO
from monitor.domain.periods import month_bounds
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.usage import DAY
from monitor.jobs import rollup
from monitor.storage import setup
from monitor.storage.write import Window, put_window
from monitor.wiring import prices, rows
from tests.factories import dims, make_stream, usage

MONTHS = [month_bounds(month) for month in ("2026-09", "2026-10", "2026-11")]
CARD = RateCard("openai", "m", "", 0, usd_per_million(uncached_input=1), source="test")


def contract(start, end, commit):
    return setup.ContractSetup("acme", start, end, commit)


def months(database, contracts, used):
    """The view's rows where the account used so many tokens of $1 per million in each month."""
    with database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (), (), (), contracts))
        _, stream = make_stream(conn)
        span = (MONTHS[0][0], MONTHS[-1][1])
        rows = [
            usage(start, DAY, dims(account=account), uncached_input=tokens, output=0)
            for (start, _), count in zip(MONTHS, used, strict=True)
            for account, tokens in (("acme", count), ("other", 5))
            if tokens is not None
        ]
        put_window(conn, Window(stream, *span, None), rows)
    rollup.roll_up(database, lambda key, at, seconds: CARD, (), span[1])
    with database.read() as conn:
        found = conn.execute(text("SELECT * FROM v_contract_monthly ORDER BY month")).mappings()
        return [dict(row) for row in found]


def usd(row, name):
    return Decimal(str(row[name]))


@pytest.mark.parametrize("seed", range(5))
def test_a_month_costs_the_larger_of_commitment_and_use(database, seed):
    rng = Random(seed)
    commit = rng.choice([0, 1, 10**6, rng.randrange(10**12)]) * 10**6
    tokens = [rng.choice([None, 0, commit // 10**6, rng.randrange(2 * 10**12)]) for _ in MONTHS]
    rows = months(database, [contract(MONTHS[0][0], None, commit)], tokens)
    assert [row["month"] for row in rows] == ["2026-09", "2026-10", "2026-11"]
    for row, count in zip(rows, tokens, strict=True):
        used = (count or 0) * 10**6
        settled = settle(commit, used)
        for name, pico in {
            "commit_usd": commit,
            "used_usd": used,
            "shortfall_usd": settled.shortfall,
            "billed_usd": settled.billed,
        }.items():
            assert usd(row, name) == Decimal(pico) / PICO, (name, row)


def test_a_contract_holds_from_its_first_month_until_before_its_end(database):
    both = [
        contract(MONTHS[0][0], MONTHS[1][0], 3 * PICO),
        contract(MONTHS[2][0], None, 5 * PICO),
    ]
    rows = months(database, both, [10**6, 10**6, 10**6])
    assert [(row["month"], usd(row, "billed_usd")) for row in rows] == [
        ("2026-09", 3),
        ("2026-11", 5),
    ]


def settings(*contracts):
    return from_tables({"contract": [{"account": "acme", **c} for c in contracts]})


def test_the_discount_of_a_contract_prices_its_account_while_it_holds():
    held = settings(
        {"valid_from": "2026-10-01", "valid_to": "2026-11-01", "multiplier": Decimal("0.5")}
    )
    resolver = prices.prices(held)

    def rate(at, account):
        return resolver.card("openai", "gpt-5", at, account=account).rates.output

    inside, after = MONTHS[1][0], MONTHS[2][0]
    assert 2 * rate(inside, "acme") == rate(inside, "other") == rate(after, "acme")
    assert rows.setup(held).contracts == [contract(inside, after, 0)]


@pytest.mark.parametrize(
    ("contracts", "problem"),
    [
        ([{"valid_from": "2026-10-02"}], "first days of months"),
        ([{"valid_from": "2026-10-01", "valid_to": "2026-10-15"}], "first days of months"),
        ([{"valid_from": "2026-10-01", "valid_to": "2026-10-01"}], "must be after"),
        ([{"valid_from": "2026-10-01"}, {"valid_from": "2027-01-01"}], "two contracts hold on"),
        ([{"valid_from": "2026-10-01", "commit_usd_per_month": -1}], "commit_usd_per_month"),
        ([{"valid_from": "2026-10-01", "multiplier": 2}], "multiplier"),
        ([{}], "valid_from"),
    ],
)
def test_terms_that_contradict_are_refused(contracts, problem):
    with pytest.raises(ConfigError, match=problem):
        settings(*contracts)
