"""Prices that people set, and days priced again: nothing closed moves unless it is reopened."""

import json
import sys
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import text

from monitor.config import from_tables
from monitor.domain.errors import ConfigError, CrossoverError, InputError
from monitor.domain.periods import month_bounds
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.usage import DAY
from monitor.jobs import reprice, rollup
from monitor.jobs.check import no_price_waits
from monitor.jobs.repricing import Order
from monitor.jobs.repricing import reprice as reprice_days
from monitor.storage import price_changes, setup, work
from monitor.storage.engine import Database
from monitor.storage.migrate import upgrade
from monitor.storage.write import Window, put_window
from monitor.wiring import rows
from tests.cli import Ended
from tests.conftest import FULL
from tests.factories import dims, make_stream, usage

OCTOBER, NOVEMBER = month_bounds("2026-10"), month_bounds("2026-11")
NOW = NOVEMBER[0] + 20 * DAY
CARD = RateCard(
    "openai", "m", "", 0, usd_per_million(uncached_input="0.25", output=2), source="test"
)
NOTHING = setup.Setup((), (), (), (), ())
DEAR = replace(CARD, rates=CARD.rates.scaled(Decimal(10)))


EURO = {"currency": "EUR", "day": "2026-11-02", "usd": Decimal("1.08"), "source": "ecb.europa.eu"}


def of(card):
    return lambda key, at, seconds: card


@pytest.fixture
def filled(database):
    """Two days of October, which is closed, and two of November."""
    with database.write() as conn:
        setup.apply(conn, NOTHING)
        _, stream = make_stream(conn)
        days = [OCTOBER[0], OCTOBER[0] + DAY, NOVEMBER[0], NOVEMBER[0] + DAY]
        rows = [usage(day, DAY, dims(model=m)) for day in days for m in ("m", "gpt-5")]
        put_window(conn, Window(stream, OCTOBER[0], NOVEMBER[1], NOVEMBER[0] + 2 * DAY), rows)
    rollup.roll_up(database, of(CARD), (), NOVEMBER[0])
    with database.write() as conn:
        close = work.Planned("close/2026-10", "close", *OCTOBER, OCTOBER[1], "done")
        work.plan(conn, [close], NOVEMBER[0])
        conn.execute(text("UPDATE run SET finished_at = :t"), {"t": NOVEMBER[0] + 5 * DAY})
    return database


def stored(database, month):
    with database.read() as conn:
        rows = conn.execute(
            text("SELECT * FROM usage_day WHERE day >= :a AND day < :b ORDER BY series_id, day"),
            dict(zip("ab", month, strict=True)),
        )
        return [tuple(row) for row in rows]


def order(month=NOVEMBER, **changed):
    plain = {"by": "ada", "why": "", "reopen": False, "apply": True}
    return Order(*month, **(plain | changed))


def records(database):
    with database.read() as conn:
        return list(conn.execute(text("SELECT * FROM v_repricing ORDER BY repricing")).mappings())


def test_days_are_priced_again_with_the_cards_known_now_and_the_record_adds_up(filled):
    found = reprice_days(filled, of(DEAR), NOTHING, order(why="new contract"), NOW)
    day = 1000 * 250_000 + 100 * 2_000_000
    assert (found.days, found.pico_before, found.pico_after) == (2, 4 * day, 40 * day)
    assert sum(one.after.pico - one.before.pico for one in found.differences) == 36 * day
    assert {one.key.model for one in found.differences} == {"m", "gpt-5"}
    (row,) = records(filled)
    assert (row["ordered_by"], row["why"], row["days"]) == ("ada", "new contract", 2)
    assert (row["first_day"], row["last_day"]) == ("2026-11-01", "2026-11-30")
    assert Decimal(str(row["usd_before"])) == Decimal(4 * day) / 10**12
    assert Decimal(str(row["usd_after"])) == Decimal(40 * day) / 10**12


def test_without_apply_the_difference_is_shown_and_nothing_changes(filled):
    before = stored(filled, NOVEMBER)
    found = reprice_days(filled, of(DEAR), NOTHING, order(apply=False), NOW)
    assert found.pico_after == 10 * found.pico_before
    assert stored(filled, NOVEMBER) == before
    assert records(filled) == []
    with filled.read() as conn:
        assert conn.scalar(text("SELECT COUNT(*) FROM dirty")) == 0
        assert conn.scalar(text("SELECT COUNT(*) FROM rate")) == 2


def test_a_closed_month_is_refused_and_reopened_only_on_request(filled):
    both = (OCTOBER[0], NOVEMBER[1])
    before = stored(filled, both)
    with pytest.raises(InputError, match="2026-10 is closed"):
        reprice_days(filled, of(DEAR), NOTHING, order(both), NOW)
    assert stored(filled, both) == before
    shown = reprice_days(filled, of(DEAR), NOTHING, order(both, reopen=True, apply=False), NOW)
    assert shown.editions == ["close/2026-10/2"]
    with filled.read() as conn:
        assert work.closed_at(conn, "2026-10") == NOVEMBER[0] + 5 * DAY
    done = reprice_days(filled, of(DEAR), NOTHING, order(both, reopen=True), NOW)
    assert (done.editions, done.pico_after) == (["close/2026-10/2"], 10 * done.pico_before)
    with filled.read() as conn:
        assert work.closed_at(conn, "2026-10") == NOW
        states = work.run_states(conn, "close")
    assert states == {"close/2026-10": "done", "close/2026-10/2": "done"}
    assert records(filled)[0]["editions"] == "close/2026-10/2"
    again = reprice_days(filled, of(CARD), NOTHING, order(OCTOBER, reopen=True), NOW + 1)
    assert again.editions == ["close/2026-10/3"]


def test_late_rows_of_a_month_that_was_closed_again_take_its_new_rates(filled):
    reprice_days(filled, of(DEAR), NOTHING, order(OCTOBER, reopen=True), NOW)
    with filled.write() as conn:
        _, stream = make_stream(conn)
        late = [usage(OCTOBER[0], DAY, dims(model="m"), uncached_input=2000)]
        put_window(conn, Window(stream, OCTOBER[0], OCTOBER[0] + DAY), late)
    rollup.roll_up(filled, of(CARD), (), NOW + DAY)
    day = [row for row in stored(filled, OCTOBER) if row[1] == OCTOBER[0]]
    with filled.read() as conn:
        pico = conn.scalar(
            text("SELECT SUM(estimated_pico) FROM usage_day WHERE day = :d"), {"d": OCTOBER[0]}
        )
    assert len(day) == 1
    assert pico == 2000 * 2_500_000 + 100 * 20_000_000


@pytest.mark.proof
def test_no_price_change_moves_a_bit_of_a_closed_month(filled):
    closed = stored(filled, OCTOBER)
    rng = Random(7)
    for n in range(100 if FULL else 10):
        factor = Decimal(rng.randrange(1, 10**6)) / 10**4
        card = replace(CARD, rates=CARD.rates.scaled(factor), valid_from=rng.choice([0, *OCTOBER]))
        resolve = of(None if rng.random() < 0.1 else card)
        now = NOW + n * rng.choice([1, DAY])
        with filled.write() as conn:
            price_changes.add(conn, [json.dumps({"multiplier": str(factor), "n": n})], now)
        reprice.ask(filled, str(n), now)
        rollup.roll_up(filled, resolve, (), now)
        reprice_days(filled, resolve, NOTHING, order(apply=rng.random() < 0.5), now)
        with pytest.raises(InputError):
            reprice_days(filled, resolve, NOTHING, order((OCTOBER[1] - DAY, NOVEMBER[1])), now)
        assert stored(filled, OCTOBER) == closed


def test_a_stored_price_is_added_and_ended_and_may_be_set_again(database):
    with database.write() as conn:
        price_changes.add(conn, ["a", "b"], 1)
        first, second = price_changes.in_force(conn)
        assert price_changes.end(conn, first.id, 2)
        assert not price_changes.end(conn, first.id, 3)
        assert price_changes.in_force(conn) == [second]
        price_changes.add(conn, ["a"], 4)
        assert [s.document for s in price_changes.in_force(conn)] == ["b", "a"]
        assert conn.scalar(text("SELECT COUNT(*) FROM price_override")) == 3


# A price list that changes its word


LISTED = replace(CARD, source="genai-prices", source_version="1")


def rolled(database, card, now):
    reprice.ask(database, repr(card), now)
    rollup.roll_up(database, of(card), (), now)
    with database.read() as conn:
        return conn.scalar(
            text("SELECT SUM(estimated_pico) FROM usage_day WHERE day >= :d"), {"d": NOVEMBER[0]}
        )


def test_a_large_change_of_the_list_waits_and_a_small_one_is_taken(filled):
    listed = rolled(filled, LISTED, NOW)
    small = replace(LISTED, rates=LISTED.rates.scaled(Decimal("1.5")), source_version="2")
    assert rolled(filled, small, NOW + 1) == listed * 3 / 2
    wrong = replace(LISTED, rates=LISTED.rates.scaled(Decimal(100)), source_version="3")
    assert rolled(filled, wrong, NOW + 2) == listed * 3 / 2
    with pytest.raises(CrossoverError, match="openai gpt-5, by 6567%"):
        no_price_waits(filled)
    found = reprice.refresh(filled, of(wrong), NOW + 3)
    assert found.taken == 0
    assert {(one.model, one.percent, one.source_version) for one in found.waiting} == {
        ("m", 6567, "3"),
        ("gpt-5", 6567, "3"),
    }
    assert reprice.confirm(filled, NOW + 4) == 2
    assert no_price_waits(filled) == "no change of a list price waits"
    assert rolled(filled, wrong, NOW + 5) == listed * 100


def test_a_change_that_is_taken_back_waits_for_nobody_and_overrides_never_wait(filled):
    listed = rolled(filled, LISTED, NOW)
    gone = replace(LISTED, rates=LISTED.rates._replace(output=None))
    assert rolled(filled, gone, NOW + 1) == listed
    assert rolled(filled, LISTED, NOW + 2) == listed
    assert {one.percent for one in reprice.refresh(filled, of(gone), NOW + 3).waiting} == {None}
    assert reprice.refresh(filled, of(LISTED), NOW + 4).waiting == []
    own = replace(DEAR, source="override")
    assert rolled(filled, own, NOW + 5) == listed * 10


THEN = NOVEMBER[0] + DAY


def until_then(version, after, *, source=LISTED.source):
    """A list that changes at THEN to so many times the price."""
    first = replace(LISTED, valid_until=THEN, source_version=version, source=source)
    rates = first.rates.scaled(Decimal(after))
    second = replace(first, valid_from=THEN, valid_until=None, rates=rates)
    return lambda key, at, seconds: second if at >= THEN else first


def spent(database, resolve, now):
    reprice.ask(database, str(now), now)
    rollup.roll_up(database, resolve, (), now)
    with database.read() as conn:
        rows = conn.execute(
            text("SELECT SUM(estimated_pico) FROM usage_day WHERE day >= :d GROUP BY day"),
            {"d": NOVEMBER[0]},
        )
        return sorted(row[0] for row in rows)


def test_a_change_that_was_announced_does_not_wait_on_its_day(filled):
    day = 2 * (1000 * 250_000 + 100 * 2_000_000)
    found = reprice.refresh(filled, until_then("1", "3"), NOVEMBER[0])
    assert (found.taken, found.waiting) == (4, []), "two models, today's price and the next"
    assert reprice.refresh(filled, until_then("1", "3"), NOVEMBER[0] + 60).taken == 0
    assert spent(filled, until_then("2", "3"), NOW) == [day, 3 * day]
    assert no_price_waits(filled)


def test_on_that_day_another_price_is_compared_with_the_announced_one(filled):
    day = 2 * (1000 * 250_000 + 100 * 2_000_000)
    reprice.refresh(filled, until_then("1", "3"), NOVEMBER[0])
    assert spent(filled, until_then("2", "4"), NOW) == [day, 4 * day], "by a third of it"
    assert spent(filled, until_then("3", "30"), NOW + 1) == [day, 4 * day]
    found = reprice.refresh(filled, until_then("3", "30"), NOW + 2)
    assert {one.percent for one in found.waiting} == {650}


def test_after_a_price_has_ended_a_far_one_of_another_version_waits(filled):
    day = 2 * (1000 * 250_000 + 100 * 2_000_000)
    early = until_then("1", "3")
    reprice.ask(filled, "early", NOVEMBER[0] + 60)
    rollup.roll_up(filled, lambda key, at, seconds: early(key, min(at, THEN - 1), 0), (), NOW)
    assert spent(filled, until_then("2", "30"), NOW) == [day, day]
    with pytest.raises(CrossoverError, match="by 2900%"):
        no_price_waits(filled)
    assert reprice.confirm(filled, NOW + 1) == 2
    assert spent(filled, until_then("2", "30"), NOW + 2) == [day, 30 * day]


def test_one_version_of_the_list_may_tell_of_a_large_change_in_the_past(filled):
    day = 2 * (1000 * 250_000 + 100 * 2_000_000)
    assert spent(filled, until_then("1", "30"), NOW) == [day, 30 * day]
    assert no_price_waits(filled)


def test_what_a_factor_of_ours_made_of_a_list_price_waits_too(filled):
    composed = replace(LISTED, source="genai-prices x 0.5 page")
    listed = rolled(filled, composed, NOW)
    wrong = replace(composed, rates=composed.rates.scaled(Decimal(100)), source_version="3")
    assert rolled(filled, wrong, NOW + 2) == listed


def test_the_list_is_asked_once_a_day(filled):
    assert reprice.refresh_daily(filled, of(LISTED), NOW).taken == 2
    assert reprice.refresh_daily(filled, of(LISTED), NOW + 60) is None
    assert reprice.refresh_daily(filled, of(LISTED), NOW + DAY) == (0, [])


# The commands


@pytest.fixture
def folder(tmp_path):
    """A folder with a database in which gpt-5 was used on the first of the month."""
    database = Database(f"sqlite:///{tmp_path}/crossover.db")
    upgrade(database)
    with database.write() as conn:
        setup.apply(conn, NOTHING)
        _, stream = make_stream(conn)
        rows = [usage(day, DAY, dims(model="gpt-5")) for day in (NOVEMBER[0], NOVEMBER[0] + DAY)]
        put_window(conn, Window(stream, *NOVEMBER, None), rows)
    rollup.roll_up(database, of(CARD), (), NOVEMBER[0])
    yield tmp_path
    database.close()


@pytest.fixture
def asked(folder, monkeypatch, capsys):
    """The command in this process: the price list is loaded once for all calls."""
    from monitor.cli import main

    monkeypatch.chdir(folder)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["crossover", "prices", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return run


SET = ("set", "openai", "gpt-5*", "--input", "1.10", "--output", "8.5", "--from", "2026-11-02")


def test_a_price_is_set_quoted_used_for_open_days_and_ended(asked):
    refused = asked(*SET)
    assert refused.code == 2
    assert "add --yes" in refused.err.lower()
    done = asked(*SET, "--yes", "--format", "json")
    assert done.code == 0, done.err
    assert "stored as 1" in done.err
    changed = {row["tokens"]: row["usd_per_million_after"] for row in done.rows}
    assert changed == {"input": "1.1", "output": "8.5", "cached": ""}
    quote = ("quote", "--provider", "openai", "--model", "gpt-5", "--uncached-input", "1000000")
    at = ("--at", "2026-11-02T00:00:00Z", "--format", "csv")
    assert ",1.1," in asked(*quote, *at).out
    range_ = ("reprice", "--from", "2026-11-01", "--to", "2026-11-30", "--format", "json")
    shown = asked(*range_)
    second = next(row for row in shown.rows if row["day"] == "2026-11-02")
    assert second["usd_after"] == "0.00195"
    assert "nothing was changed" in shown.err
    assert asked(*range_, "--yes", "--why", "contract").rows == shown.rows
    assert asked(*range_).rows == []
    assert "in force already, as 1" in asked(*SET, "--yes").err
    assert asked("end", "1").code == 0
    assert "no stored price 1 is in force" in asked("end", "1").err
    assert "changes that wait: 0" in asked("refresh").err
    assert "changes confirmed: 0" in asked("refresh", "--confirm").err


BAD_FILE = """\
provider,model,input,output,multiplier,from,to
openai,gpt-5,1,2,,,
openai,gpt-5,1,2,0.5,,
openai,gpt-6,-1,2,,,
openai,gpt-7,x,2,,,
openai,gpt-8,,,0.9,2026-13-01,
openai,gpt-9,,,0.9,2026-12-01,2026-11-01
openai,gpt-9,,,,,
,,,,0.9,,
"""


def test_a_file_of_prices_is_stored_whole_or_not_at_all(folder, asked):
    path = folder / "prices.csv"
    path.write_text(BAD_FILE)
    refused = asked("import", path, "--yes")
    assert (refused.code, refused.out) == (2, "")
    assert all(f"line {n}:" in refused.err for n in (3, 4, 5, 6, 7, 8, 9))
    assert "line 2:" not in refused.err
    path.write_text("\n".join(BAD_FILE.splitlines()[:2]) + "\nazure,*,,,0.8,2026-12-01,\n")
    assert "stored as 1, 2" in asked("import", path, "--yes").err
    toml = folder / "prices.toml"
    toml.write_text(
        '[[override]]\nprovider = "openai"\nmultiplier = 0.5\n[[override]]\nmodel = 1\n'
    )
    refused = asked("import", toml, "--yes")
    assert "prices.toml line 4: provider: this key is required" in refused.err
    toml.write_text('[[override]]\nprovider = "openai"\nmultiplier = 0.5\n')
    assert "stored as 3" in asked("import", toml, "--yes").err
    for text_ in (
        "provider,model,price\nopenai,a,1\n",
        "model,input\na,1\n",
        "",
        "provider,model\na\n",
    ):
        path.write_text(text_)
        refused = asked("import", path, "--yes")
        assert (refused.code, refused.out) == (2, ""), text_
        assert "Traceback" not in refused.err


def test_a_rate_of_a_currency_is_stored_once_with_its_source(asked):
    euro = ("fx", "EUR", "1.08", "--day", "2026-11-02", "--source", "ecb.europa.eu")
    assert asked(*euro).code == 0
    assert asked(*euro).code == 0
    other = asked("fx", "EUR", "1.09", *euro[3:])
    assert other.code == 2
    assert "EUR has a rate of 2026-11-02 already: 1.08 from ecb.europa.eu" in other.err
    for bad in (("EUR", "0"), ("EUR", "x"), ("EUR", "nan"), ("eur", "1"), ("USD", "1")):
        assert asked("fx", *bad, *euro[3:]).code == 2, bad
    assert "day" in asked(*euro[:4], "2 November", *euro[5:]).err
    assert asked(*euro[:-1], " ").code == 2


def test_configured_rates_of_a_currency_convert_bills_and_are_kept(database):
    settings = from_tables({"fx": [EURO, EURO | {"day": "2026-11-10", "usd": Decimal("1.2")}]})
    with database.write() as conn:
        setup.apply(conn, rows.setup(settings))
        setup.apply(conn, rows.setup(from_tables({})))
        setup.apply(conn, rows.setup(settings))
        found = conn.execute(text("SELECT day, usd_nano, source FROM fx ORDER BY day")).all()
    assert [tuple(row) for row in found] == [
        (NOVEMBER[0] + DAY, 1_080_000_000, "ecb.europa.eu"),
        (NOVEMBER[0] + 9 * DAY, 1_200_000_000, "ecb.europa.eu"),
    ]
    other = rows.setup(from_tables({"fx": [EURO | {"usd": Decimal("1.09")}]}))
    with database.write() as conn, pytest.raises(InputError, match=r"2026-11-02 already: 1\.08"):
        setup.apply(conn, other)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"currency": "USD"}, "USD is what the others are converted to"),
        ({"currency": "euro"}, "currency"),
        ({"usd": 0}, "usd"),
        ({"usd": Decimal("1.0000000001")}, "usd"),
        ({"usd": "much"}, "usd"),
        ({"day": "soon"}, "day"),
        ({"source": " "}, "source"),
        ({"rate": 1}, "rate"),
    ],
)
def test_a_configured_rate_that_is_none_is_refused_by_its_key(changed, cause):
    with pytest.raises(ConfigError, match=cause):
        from_tables({"fx": [EURO | changed]})


def test_two_configured_rates_of_one_day_are_refused():
    with pytest.raises(ConfigError, match="fx: EUR has 2 rates of 2026-11-02"):
        from_tables({"fx": [EURO, EURO]})


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("set", "openai", "", "--input", "1"), "this price: model"),
        (("set", "", "gpt-5", "--input", "1"), "this price: provider"),
        (("set", "openai", "gpt-5"), "give either multiplier or usd_per_million"),
        (("set", "openai", "gpt-5", "--input", "1", "--multiplier", "0.5"), "give either"),
        (("set", "openai", "gpt-5", "--input", "nan"), "uncached_input"),
        (("set", "openai", "gpt-5", "--input", "-1"), "-1 is no rate"),
        (("set", "openai", "gpt-5", "--input", "1", "--context", "batch"), "context: 'batch' is"),
        (("set", "openai", "gpt-5", "--input", "1", "--from", "2026-13-01"), "valid_from"),
    ],
)
def test_a_price_that_is_none_is_refused_and_not_stored(asked, arguments, cause):
    done = asked(*arguments, "--yes")
    assert (done.code, done.out) == (2, "")
    assert cause in done.err
    assert "no stored price 1 is in force" in asked("end", "1").err


def test_an_empty_cell_is_not_every_model(asked, tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("provider,model,input\nopenai,gpt-5,1\nopenai,,1\n")
    done = asked("import", str(file), "--yes")
    assert done.code == 2
    assert f"{file} line 3: model" in done.err
    assert "line 2" not in done.err


def test_a_table_that_is_no_table_is_named_by_its_place(asked, tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text("override = [1]\n")
    assert f"{file} override 1: provider" in asked("import", str(file), "--yes").err


@pytest.mark.parametrize(
    ("first", "last", "cause"),
    [
        ("0001-01-01", "9999-12-31", "so old or so new"),
        ("2026-11-01", "9999-12-31", "so old or so new"),
        ("1970-01-01", "2026-11-30", "more than 3700 days"),
        ("2026-11-30", "2026-11-01", "is before --from"),
        ("soon", "2026-11-01", "--from 'soon' is no day"),
    ],
)
def test_days_that_cannot_be_priced_again_are_refused(asked, first, last, cause):
    done = asked("reprice", "--from", first, "--to", last)
    assert (done.code, done.out) == (2, "")
    assert cause in done.err
