"""A workload that moved, from own engines' tokens through the month's closing to what is told."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.attribution import saving
from monitor.domain.money import to_cents
from monitor.domain.periods import day_bounds, month_bounds
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.scenario import from_document
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import decisions, report
from monitor.jobs.aftermath import settle_month
from monitor.jobs.close import close_month
from monitor.jobs.repricing import Order, reprice
from monitor.ports import StreamSpec
from monitor.storage import rollup, setup, work
from monitor.storage.engine import Database
from monitor.storage.write import Window, put_window
from tests import seeded
from tests.factories import dims, usage

MONTH = "2026-12"
FIRST, END = month_bounds(MONTH)
MOVED = day_bounds("2026-11-24")[0]
LATER = day_bounds("2026-12-11")[0]
"""From here on the API asks more."""
BOT = dims(account="own", provider="self", model="llama-3.3-70b", project="proj_support")
REQUESTS = 250_000
"""Of a day, each with 1,000 tokens read and 250 written."""


def card(key, instant, _seconds):
    """gpt-5 becomes dearer on the eleventh of December."""
    if key.model != "gpt-5":
        return None
    output = "12" if instant >= LATER else "10"
    rates = usd_per_million(uncached_input="1.25", cache_read="0.125", output=output)
    begins = LATER if instant >= LATER else 0
    return RateCard(key.provider, key.model, "", begins, rates, source="own")


def prices(_stored):
    return card, "h"


def configured(runs_on="self_host", deployments=seeded.DEPLOYMENTS):
    return seeded.configured(deployments, **{"support-bot": runs_on})


def decide(conn, as_of):
    row = {"period_end": as_of, "due_at": as_of + 6 * HOUR, "added_at": as_of}
    claim = work.Claim("run", f"decide/{as_of}", "t", 0, row)
    seeded.decide(conn, claim, as_of + 6 * HOUR, seeded.policy())


def serve(conn, first, end, closed=None):
    """Own engines serve the bot on the days [first, end), and nobody until `closed`."""
    _, own = setup.put_stream(conn, "vllm", "engines", StreamSpec("usage", "usage", 31))
    rows = [
        usage(
            day,
            DAY,
            BOT,
            requests=REQUESTS,
            uncached_input=REQUESTS * 700,
            cache_read=REQUESTS * 300,
            output=REQUESTS * 250,
        )
        for day in range(first, end, DAY)
    ]
    put_window(conn, Window(own, first, closed or end, closed or end, END), rows)
    refresh(conn)


def refresh(conn):
    rollup.refresh(conn, rollup.waiting(conn), card, seeded.RULES, END)


def close(conn, month=MONTH):
    start, end = month_bounds(month)
    claim = work.Claim("run", f"close/{month}", "t", 0, {"period_start": start, "period_end": end})
    close_month(conn, claim, end + 5 * DAY, ["openai"], prices)


def rows(conn, sql="SELECT * FROM v_after_move ORDER BY month"):
    return [dict(row) for row in conn.execute(text(sql)).mappings()]


def move(conn, runs_on="self_host", deployments=seeded.DEPLOYMENTS):
    """Advised on the API, then seen in own service; other workloads go on as before."""
    seeded.fill(conn, decided=False)
    for as_of in (MOVED - DAY, MOVED):
        decide(conn, as_of - DAY)
    setup.apply(conn, configured(runs_on, deployments))
    _, api = setup.put_stream(conn, "openai", "openai", StreamSpec("usage", "usage", 31))
    put_window(conn, Window(api, seeded.END, END, END, END), [])
    refresh(conn)
    serve(conn, seeded.END, MOVED + DAY)
    decide(conn, MOVED)


@pytest.fixture
def moved(database):
    with database.write() as conn:
        move(conn)
    return database


def test_a_month_is_the_tokens_at_its_dated_prices_less_the_fleet(moved):
    with moved.write() as conn:
        serve(conn, FIRST, END)
        close(conn)
        (row,) = rows(conn)
    assert (row["workload"], row["deployment"]) == ("support-bot", "own-h100")
    assert (row["month"], row["since"], row["status"]) == (MONTH, "2026-11-24", "measured")
    assert (row["known_days"], row["own_requests"]) == (31, 31 * REQUESTS)
    # The API had read a fifth of the input from its cache; own engines' caches are their own.
    day = REQUESTS * (Fraction(800) * 125 + 200 * Fraction(25, 2)) / 10**8
    output = REQUESTS * Fraction(250) / 10**6 * (10 * 10 + 21 * 12)
    expected = 31 * day + output
    assert round(Fraction(str(row["counterfactual_usd"])), 2) == round(expected, 2)
    parts = sum(Fraction(str(row[f"by_{n}_usd"])) for n in ("volume", "mix", "price", "own_cost"))
    assert abs(parts - Fraction(str(row["saved_usd"])) + Fraction(str(row["promised_usd"]))) < (
        Fraction(1, 10**5)
    )
    found = from_document(json.loads(row["scenario"]))
    assert abs(Fraction(str(row["saved_usd"])) - saving(found)) < Fraction(1, 10**5)
    assert float(row["by_price_usd"]) > 0


def test_the_promise_is_the_last_comparison_before_the_move(moved):
    with moved.write() as conn:
        serve(conn, FIRST, END)
        close(conn)
        (row,) = rows(conn)
        told = conn.scalar(
            text(
                "SELECT savings_usd FROM v_assessment WHERE workload = 'support-bot'"
                " AND volume = 'q50' AND as_of <= '2026-11-24' ORDER BY as_of DESC LIMIT 1"
            )
        )
    assert row["promised_usd"] == told
    assert float(row["moving_usd"]) == 30_000


def test_a_month_without_own_measurements_is_unknown_and_no_zero(moved):
    with moved.write() as conn:
        close(conn)
        (row,) = rows(conn)
    assert row["status"] == "unknown"
    assert "was measured" in row["reason"]
    for name in ("saved_usd", "own_usd", "counterfactual_usd", "promised_usd", "by_price_usd"):
        assert row[name] is None, name
    assert (row["known_days"], row["months_known"], row["cumulated_usd"]) == (0, 0, None)


def test_the_month_of_the_move_and_a_hole_are_marked_as_partial(moved):
    with moved.write() as conn:
        serve(conn, MOVED, FIRST)
        close(conn, "2026-11")
        serve(conn, FIRST + 5 * DAY, END)
        # A stream is closed only up to what it lacks: nobody knows whether nothing was served.
        close(conn)
        november, december = rows(conn)
    assert (november["status"], november["known_days"]) == ("partial", 7)
    assert november["reason"] == "It ran in own service on 7 of 30 days."
    assert (december["status"], december["known_days"]) == ("partial", 26)
    assert "5 of these were not measured" in december["reason"]
    both = float(november["saved_usd"]) + float(december["saved_usd"])
    assert float(december["cumulated_usd"]) == pytest.approx(both, abs=1e-5)
    assert december["months_known"] == 2


def test_a_closed_day_without_use_is_a_day_of_an_idle_fleet(moved):
    with moved.write() as conn:
        serve(conn, MOVED, END - 10 * DAY, END)
        close(conn)
        (row,) = rows(conn)
    assert (row["status"], row["own_requests"]) == ("measured", 21 * REQUESTS)


def test_closing_twice_changes_nothing_and_a_reopened_month_is_made_anew(moved):
    with moved.write() as conn:
        serve(conn, FIRST, END)
        close(conn)
        before = rows(conn)
        serve(conn, END - 9 * DAY, END - 9 * DAY, END)
        close(conn)
        assert rows(conn) == before
        serve(conn, FIRST, END)
        run = {"run_key": f"close/{MONTH}", "kind": "close", "state": "done"}
        times = {"period_start": FIRST, "period_end": END, "due_at": END, "added_at": END}
        names = {**run, **times, "finished_at": END + 5 * DAY}
        conn.execute(
            text(
                f"INSERT INTO run ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"
            ),
            names,
        )

    def halved(key, instant, seconds):
        found = card(key, instant, seconds)
        return found and RateCard(
            found.provider, found.model, "", 0, usd_per_million(output="1", uncached_input="1")
        )

    order = Order(FIRST, END, "ann", "why", reopen=True, apply=True)
    reprice(moved, halved, configured(), order, END + 6 * DAY)
    with moved.read() as conn:
        (after,) = rows(conn)
    assert float(after["counterfactual_usd"]) < float(before[0]["counterfactual_usd"]) / 2
    assert after["promised_usd"] == before[0]["promised_usd"]


def test_who_returned_within_a_month_is_accounted_for_up_to_that_day(moved):
    back = FIRST + 12 * DAY
    with moved.write() as conn:
        serve(conn, MOVED, back)
        setup.apply(conn, configured("api"))
        close(conn)
        (row,) = rows(conn)
        assert settle_month(conn, "2027-01", card, END + 36 * DAY) == 0
    assert (row["status"], row["known_days"]) == ("partial", 12)
    assert row["reason"] == "It ran in own service on 12 of 31 days."


def test_who_was_never_seen_on_the_api_moved_when_own_engines_began(database):
    """There was no promise and no API: a saving that nobody can know is not told."""
    with database.write() as conn:
        setup.apply(conn, seeded.configured(**{"support-bot": "self_host"}))
        _, api = setup.put_stream(conn, "openai", "openai", StreamSpec("usage", "usage", 31))
        put_window(conn, Window(api, FIRST, END, END, END), [])
        serve(conn, FIRST + 3 * DAY, END)
        close(conn)
        (row,) = rows(conn)
    assert (row["since"], row["status"]) == ("2026-12-04", "unknown")
    assert "no API ever served it" in row["reason"]


def test_without_a_comparison_before_it_a_saving_was_measured_and_nothing_promised(moved):
    with moved.write() as conn:
        conn.execute(text("DELETE FROM assessment"))
        serve(conn, FIRST, END)
        close(conn)
        (row,) = rows(conn)
    assert (row["status"], row["promised_usd"], row["by_price_usd"]) == ("measured", None, None)
    assert row["moving_usd"] is None
    assert float(row["saved_usd"]) > 0


def test_a_share_that_stays_on_the_api_costs_the_same_on_both_sides(moved):
    with moved.write() as conn:
        serve(conn, FIRST, END)
        _, api = setup.put_stream(conn, "openai", "openai", StreamSpec("usage", "usage", 31))
        kept = dims(model="gpt-5", project="proj_support")
        many = {"requests": 50_000, "uncached_input": 40_000_000, "output": 12_500_000}
        days = range(FIRST, END, DAY)
        put_window(
            conn,
            Window(api, FIRST, END, END, END),
            [usage(day, DAY, kept, **many) for day in days],
        )
        refresh(conn)
        close(conn)
        (row,) = rows(conn)
    usd = {name: Fraction(str(value)) for name, value in row.items() if name.endswith("_usd")}
    rest = 31 * Fraction(40) * Fraction("1.25") + Fraction("12.5") * (10 * 10 + 21 * 12)
    assert usd["api_usd"] == rest
    assert usd["actual_usd"] == usd["own_usd"] + rest
    assert abs(usd["saved_usd"] - usd["counterfactual_usd"] + usd["actual_usd"]) < Fraction(
        1, 10**5
    )
    found = from_document(json.loads(row["scenario"]))
    assert found.workload.share_moved == Fraction(5, 6)


def test_who_never_moved_has_no_account(database):
    with database.write() as conn:
        seeded.fill(conn)
        _, api = setup.put_stream(conn, "openai", "openai", StreamSpec("usage", "usage", 31))
        put_window(conn, Window(api, seeded.END, END, END, END), [])
        refresh(conn)
        serve(conn, FIRST, END)
        close(conn)
        assert rows(conn) == []


def test_where_several_deployments_could_be_meant_an_accepted_one_is(database):
    two = [*seeded.DEPLOYMENTS, ("own-b200", "support-bot")]
    with database.write() as conn:
        move(conn, deployments=two)
        serve(conn, FIRST, END)
        close(conn)
        (row,) = rows(conn)
        assert row["status"] == "unknown"
        assert "crossover decide support-bot accept --deployment" in row["reason"]
        at = datetime.fromtimestamp(END, UTC)
        decisions.decide(conn, "support-bot", "own-h100", "accept", None, "w", "ann", at)
        conn.execute(text("DELETE FROM after_move"))
        close(conn)
        (row,) = rows(conn)
    assert (row["status"], row["deployment"]) == ("measured", "own-h100")


def test_an_accepted_move_is_worth_what_was_measured_since(moved):
    with moved.write() as conn:
        at = datetime.fromtimestamp(MOVED, UTC)
        decisions.decide(conn, "support-bot", "own-h100", "accept", None, "w", "ann", at)
        assert decisions.worths(conn)[0]["measured_saving_usd"] is None
        serve(conn, FIRST, END)
        close(conn)
        (row,) = rows(conn)
        (decided,) = decisions.worths(conn)
    assert decided["measured_saving_usd"] == str(to_cents(Decimal(str(row["saved_usd"]))))


def test_the_weekly_report_and_its_file_tell_it(moved):
    with moved.write() as conn:
        serve(conn, FIRST, END)
        close(conn)
    with moved.read() as conn:
        (row,) = rows(conn)
        told = report.render_week(conn, "2027-W01", seeded.policy(), END + 10 * DAY)
    text_ = " ".join(told.text.split())
    assert "support-bot on own-h100, December 2026" in text_
    saved = to_cents(Decimal(str(row["saved_usd"])))
    assert f"It {'saved' if saved > 0 else 'lost'} ${abs(saved):,}; " in text_
    (table,) = [a for a in told.attachments if a.filename == "moves.csv"]
    assert table.data.decode().splitlines()[1].startswith("support-bot,own-h100,2026-11-24,2026-12")


def test_the_command_shows_the_months_beside_the_advice(sqlite_url, tmp_path):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        move(conn)
        serve(conn, MOVED, FIRST)
        close(conn, "2026-11")
        close(conn)
    opened.close()
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{sqlite_url}"\n')
    words = ["--config", str(config), "advise", "--workload", "support-bot"]
    (document,) = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert [month["status"] for month in document["after_move"]] == ["partial", "unknown"]
    assert document["after_move"][1]["saved_usd"] is None
    shown = " ".join(CliRunner().invoke(app, words).stdout.split())
    assert "moved, 2026-11" in shown
    assert "partial: It ran in own service" in shown
