"""Bills and estimates in a real database: compared, told by the command, kept for reports."""

import json
from decimal import Decimal

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.config import Settings
from monitor.domain.errors import CrossoverError, InputError
from monitor.domain.periods import day_of
from monitor.domain.reconciled import total
from monitor.domain.rulebook import BOOK
from monitor.domain.usage import DAY
from monitor.jobs import check, reconcile, watching
from monitor.ports import StreamSpec
from monitor.storage import figures, rollup, setup
from monitor.storage.engine import Database
from monitor.storage.write import Window, put_window
from monitor.wiring import alerting
from tests import odd_bills, seeded
from tests.conftest import FULL

START, END, MONTH = odd_bills.START, odd_bills.END, odd_bills.MONTH
KINDS = {"openai": "openai", "anthropic": "anthropic", "mistral": "openai", "gateway": "litellm"}
READ = list(KINDS)
EVERY = [*odd_bills.CAUSES, "unit"]


def put(conn, made):
    """A month as its sources would have written it; all of it is final."""
    costs = StreamSpec("costs", "bill", 31)
    specs = [setup.SourceSetup("bills", "openai", "acme", [costs])]
    account = setup.AccountSetup("acme", "USD", "", "bills")
    setup.apply(conn, setup.Setup(specs, [account], [], [], []))
    for name, kind in KINDS.items():
        rows = [row for source, row in made.usage if source == name]
        if rows:
            _, stream = setup.put_stream(conn, name, kind, StreamSpec("usage", "usage", 31))
            put_window(conn, Window(stream, START, END, END, END), rows)
    _, stream = setup.put_stream(conn, "bills", "openai", costs)
    put_window(conn, Window(stream, START, END, END, END), made.bills)
    rollup.refresh(conn, rollup.waiting(conn), odd_bills.card, [], END)


def compared(database, made):
    with database.write() as conn:
        put(conn, made)
    with database.read() as conn:
        return reconcile.compare(conn, "acme", START, END, READ)


def sums(conn):
    """Bill and estimate of the month, by the public views."""
    sql = "SELECT SUM(billed_usd), SUM(estimated_usd) FROM v_spend_daily WHERE account = 'acme'"
    return [Decimal(str(value)) for value in conn.execute(text(sql)).one()]


def test_each_difference_of_a_month_is_found_in_the_database_to_the_cent(database):
    made = odd_bills.month(7, EVERY)
    found = compared(database, made)
    rows = found.found.compared
    assert odd_bills.apart(made, rows) == {}
    with database.read() as conn:
        billed, estimated = sums(conn)
    cents = sum(reconcile.in_dollars(rows).values())
    assert abs(cents - (billed - estimated)) < Decimal("0.01")
    assert sum(total(rows).values()) == sum(row.billed - row.estimated for row in rows)


def holds(url, seed):
    opened = Database(url)
    made = odd_bills.month(seed)
    found = compared(opened, made).found.compared
    opened.close()
    return odd_bills.apart(made, found) == {} and sum(total(found).values()) == sum(
        row.billed - row.estimated for row in found
    )


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1000, 1200 if FULL else 1003))
def test_random_months_in_a_file_are_reconciled_as_they_were_made(sqlite_url, seed):
    assert holds(sqlite_url, seed)


@pytest.mark.proof
@pytest.mark.postgres
@pytest.mark.parametrize("seed", range(2000, 2010 if FULL else 2001))
def test_random_months_in_postgresql_are_reconciled_as_they_were_made(postgres_url, seed):
    assert holds(postgres_url, seed)


def from_first(made):
    """Whether the first day is billed below its list price."""
    bill = sum(row.amount_pico for row in made.bills if row.day == START)
    return bill < sum(each.pico for each in odd_bills.uses(made) if each.day == START)


@pytest.mark.parametrize(
    ("causes", "written"),
    [
        (["discount"], "write a [[contract]]: "),
        (["discount", "clean", "clean"], "write a [[prices.override]]: "),
    ],
)
def test_a_steady_share_of_everything_from_the_first_on_is_a_contract(sqlite_url, causes, written):
    made = next(m for m in (odd_bills.month(n, causes) for n in range(99)) if from_first(m))
    opened = Database(sqlite_url)
    found = compared(opened, made)
    opened.close()
    (told,) = [each for each in found.found.findings if each.cause == "discount"]
    assert written in reconcile.suggestion(found, told)


def change(database, sql, **bound):
    with database.write() as conn:
        conn.execute(text(sql), bound)


def test_a_bill_that_is_not_final_and_tokens_that_changed_since_are_late(database):
    made = odd_bills.month(1, ["clean"])
    compared(database, made)
    third, fourth = START + 2 * DAY, START + 3 * DAY
    change(database, "UPDATE bill SET amount_pico = amount_pico / 3 WHERE day = :d", d=third)
    change(
        database,
        "UPDATE watermark SET closed_through = :d WHERE stream_id IN"
        " (SELECT id FROM stream WHERE feeds = 'bill')",
        d=END - DAY,
    )
    change(database, "UPDATE bill SET amount_pico = amount_pico / 3 WHERE day = :d", d=END - DAY)
    change(
        database,
        "INSERT INTO restatement (stream_id, day, found_at, tokens_before, tokens_after,"
        " pico_before, pico_after) SELECT id, :d, '2026-11-05 00:00:00', 1, 2, 1, 2 FROM stream"
        " WHERE feeds = 'usage'",
        d=fourth,
    )
    change(database, "UPDATE bill SET amount_pico = amount_pico / 3 WHERE day = :d", d=fourth)

    def late():
        with database.read() as conn:
            found = reconcile.compare(conn, "acme", START, END, READ)
        return {day_of(r.day) for r in found.found.compared if "late data" in r.causes}

    assert late() == {"2026-10-31"}
    change(
        database,
        'INSERT INTO "fetch" (stream_id, started_at, finished_at, status)'
        " SELECT id, '2026-11-04 00:00:00', '2026-11-04 00:00:00', 'ok' FROM stream"
        " WHERE feeds = 'bill'",
    )
    assert late() == {"2026-10-04", "2026-10-31"}


def test_a_bill_in_another_currency_is_compared_at_its_rate_or_left_out(sqlite_url):
    database = Database(sqlite_url)
    made = odd_bills.month(1, ["clean"])
    compared(database, made)
    change(database, "UPDATE bill SET currency = 'EUR', amount_pico = amount_pico / 2")
    with database.read() as conn:
        found = reconcile.compare(conn, "acme", START, END, READ)
        assert [currency for currency, _ in found.unconverted] == ["EUR"]
    change(
        database,
        "INSERT INTO fx (currency, day, usd_nano, source) VALUES ('EUR', :d, 2000000000, 'x')",
        d=START - DAY,
    )
    with database.read() as conn:
        found = reconcile.compare(conn, "acme", START, END, READ)
    assert found.unconverted == []
    assert set(total(found.found.compared)) <= {"rounding"}


@pytest.fixture
def crossover(sqlite_url, tmp_path):
    opened = Database(sqlite_url)
    compared(opened, odd_bills.month(7, EVERY))
    opened.close()
    config = tmp_path / "crossover.toml"
    sources = "".join(
        f'[[source]]\nname = "{name}"\nkind = "openai"\naccount = "{account}"\n'
        'admin_key = "env:X"\n'
        for name, account in [*((name, f"of {name}") for name in READ), ("bills", "acme")]
    )
    config.write_text(f'[database]\nurl = "{sqlite_url}"\n{sources}')
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *words])


def test_the_command_tells_days_models_causes_and_what_to_write(crossover):
    shown = crossover("reconcile", "--month", MONTH)
    assert shown.exit_code == 0, shown.exception
    for part in (
        *("By provider and model", "Days that differ", "tokens_from", "multiplier = 0."),
        *("in US dollars", "lines below zero: credits, refunds, corrections", "discount -$"),
    ):
        assert part in shown.stdout


def test_the_document_adds_up_on_every_level(crossover):
    done = crossover("reconcile", "--month", MONTH, "--account", "acme", "--format", "json")
    assert done.exit_code == 0, done.exception
    (account,) = json.loads(done.stdout)["accounts"]
    for level in ([account], account["by_provider"], account["by_model"], account["by_day"]):
        for row in level:
            apart = Decimal(row["billed_usd"]) - Decimal(row["estimated_usd"])
            assert apart == Decimal(row["difference_usd"])
            assert apart == sum(map(Decimal, row["causes"].values()))
        assert sum(Decimal(row["difference_usd"]) for row in level) == Decimal(
            account["difference_usd"]
        )
    discounts = [each for each in account["findings"] if each["cause"] == "discount"]
    assert discounts
    assert all("multiplier = 0." in each["remedy"] for each in discounts)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--account", "nobody"], "no bill of account"), (["--format", "csv"], "there is no CSV")],
)
def test_what_cannot_be_compared_is_refused(crossover, words, said):
    refused = crossover("reconcile", "--month", MONTH, *words).exception
    assert isinstance(refused, InputError)
    assert said in refused.message


def test_a_closed_month_keeps_its_causes_for_queries_and_figures(database):
    made = odd_bills.month(7, EVERY)
    compared(database, made)
    with database.write() as conn:
        reconcile.store_month(conn, MONTH, READ)
        reconcile.store_month(conn, MONTH, READ)
        rows = conn.execute(text("SELECT cause, SUM(usd) FROM v_reconciliation GROUP BY cause"))
        stored = {cause: round(float(usd) * 100) for cause, usd in rows}
        told = figures.rows(conn, "reconciliation", **figures.period(END)).rows
    by_cause = {}
    for (_, cause), pico in made.truth.items():
        by_cause[cause] = by_cause.get(cause, 0) + pico
    for cause, pico in by_cause.items():
        assert abs(stored[cause] - odd_bills.in_cents(pico)) <= 1
    assert {row["cause"] for row in told} == set(stored)


NOW = END + 3600


def test_the_alert_knows_two_sources_that_count_alike_by_configured_names(database):
    made = odd_bills.month(3, ["double count"])
    compared(database, made)
    change(database, "UPDATE series SET model = 'our-chat' WHERE model LIKE '%/%'")
    named = Settings(names={"openai": {"our-chat": "model-0"}})
    names = alerting.policy(named).names
    policy = seeded.policy("ann@acme.example", live_sources=READ, names=names)
    rule = {"unreconciled_spend": BOOK["unreconciled_spend"]}
    with database.write() as conn:
        for as_of in range(END - 2 * DAY, END + DAY, DAY):
            assert watching.daily(conn, as_of, as_of, policy._replace(rules=rule)) == []
        said = conn.scalar(text("SELECT said FROM alert WHERE status = 'firing'"))
    assert "Name the one that counts: `tokens_from` in `[account.NAME]`." in said


def test_the_check_names_two_sources_that_count_alike_and_the_remedy(database):
    compared(database, odd_bills.month(3, ["double count"]))
    with pytest.raises(CrossoverError) as raised:
        check.nothing_twice(database, NOW)
    assert raised.value.message.startswith(
        "gateway and openai both count model-0, 28 days from 2026-10-04 to 2026-10-31: "
    )
    assert raised.value.remedy == (
        "If it is the same traffic, let its tokens_from name one of gateway and openai in"
        " [account.acme]."
    )
    change(
        database, "UPDATE account SET tokens_from = (SELECT id FROM source WHERE name = 'openai')"
    )
    assert check.nothing_twice(database, NOW) == "no two sources count alike over 28 days"


def test_the_check_is_content_with_workloads_of_their_own(sqlite_url):
    database = Database(sqlite_url)
    compared(database, odd_bills.month(3, ["clean", "rounded", "discount"]))
    assert check.nothing_twice(database, NOW).startswith("no two sources")
    assert "discount" in check.compare_bills(database, NOW, READ)


@pytest.mark.parametrize("times", ["/ 1000", "* 1000", "* 100", "/ 100"])
def test_the_check_names_amounts_in_another_unit(sqlite_url, times):
    database = Database(sqlite_url)
    compared(database, odd_bills.month(3, ["clean"]))
    change(database, f"UPDATE bill SET amount_pico = amount_pico {times}")
    with pytest.raises(CrossoverError, match="unit"):
        check.compare_bills(database, NOW, READ)
