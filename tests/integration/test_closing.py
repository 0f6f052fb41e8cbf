"""The monthly closing report end to end: due after its closing, the same everywhere, traced."""

import re
import shlex
from functools import partial

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import InputError
from monitor.domain.periods import Schedule, month_bounds
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import closing, editions, plan
from monitor.jobs.close import close_month
from monitor.storage import work
from monitor.storage.engine import Database
from tests import seeded
from tests.conftest import FULL
from tests.golden import golden

MONTH = "2026-10"
START, END = month_bounds(MONTH)
DUE = END + 5 * DAY + 8 * HOUR
KEY = f"finance/monthly/{MONTH}/1"
POLICY = seeded.policy("ann@acme.example")


def fill(conn, *, closed=True):
    """Traffic to November, October's last days decided, and October closed."""
    seeded.apply_setup(conn)
    seeded.put_traffic(conn)
    seeded.refresh(conn)
    for as_of in (END - 14 * DAY, END - 7 * DAY, END):
        row = {"period_end": as_of, "due_at": as_of + 6 * HOUR, "added_at": as_of}
        seeded.decide(conn, work.Claim("run", "d", "t", 0, row), as_of + 6 * HOUR, POLICY)
    work.plan(conn, [work.Planned(f"close/{MONTH}", "close", START, END, END + 5 * DAY)], DUE)
    if closed:
        claim = work.claim(conn, "run", DUE, 60)
        further = close_month(conn, claim, DUE, POLICY.live_sources)
        work.finish(conn, claim, state="done", finished_at=DUE, **further)


@pytest.fixture
def filled(database):
    with database.write() as conn:
        fill(conn)
    return database


def rendered(database):
    with database.read() as conn:
        return closing.render_month(conn, MONTH, POLICY, DUE)


def test_the_closing_reads_as_it_did_on_both_engines(filled):
    found = rendered(filled)
    golden("monthly", found)
    assert len(found.html.encode()) < 80_000
    names = [attached.filename for attached in found.attachments]
    assert names == [
        *("bills.csv", "reconciliation.csv", "budgets.csv", "cost_centres.csv", "labels.csv"),
        "contracts.csv",
    ]


def test_the_subject_has_the_total_and_both_differences(filled):
    assert re.fullmatch(
        r"October 2026: \$[\d,.]+ spent, bills \$62\.00 above estimate,"
        r" [\d.]+% of the 2026-10 budget",
        rendered(filled).subject,
    )


def run(database, now):
    with database.write() as conn:
        work.plan(conn, [work.Planned(KEY, "monthly", START, END, DUE)], DUE)
    issue = editions.Issue(closing.monthly_report(), POLICY)
    handlers = {
        "monthly": partial(editions.send, issue=issue),
        "correct": partial(editions.correct, issues={("finance", "monthly"): issue}),
        "close": plan.at_once(partial(close_month, live_sources=POLICY.live_sources)),
    }
    done = []
    while (key := plan.carry_out_next(database, handlers, now, 600)) is not None:
        done.append(key)
    return done


def posted(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT dedup_key, subject FROM outbox ORDER BY id"))
        return [tuple(row) for row in rows if row[0].startswith("report/")]


def test_it_is_sent_once(filled):
    run(filled, DUE)
    run(filled, DUE + HOUR)
    ((key, subject),) = posted(filled)
    assert key == f"report/{KEY}/ann@acme.example"
    assert subject.startswith("October 2026: ")


def test_it_waits_for_the_closing_and_is_corrected_when_that_comes(sqlite_url):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        fill(conn, closed=False)
        conn.execute(text("UPDATE watermark SET closed_through = :t"), {"t": END - DAY})
    run(opened, DUE)
    assert posted(opened) == []
    with opened.read() as conn:
        waits = closing.missing(conn, MONTH, POLICY)
    assert waits == [
        "usage of openai usage to the end of the month",
        "the closing of 2026-10 (due)",
    ]
    run(opened, DUE + DAY)
    assert [subject.partition(":")[0] for _, subject in posted(opened)] == ["Incomplete"]
    with opened.write() as conn:
        conn.execute(text("UPDATE watermark SET closed_through = :t"), {"t": seeded.END})
    run(opened, DUE + 2 * DAY)
    assert [subject.partition(":")[0] for _, subject in posted(opened)] == [
        "Incomplete",
        "Corrected",
    ]
    opened.close()


def test_it_falls_due_on_the_morning_after_the_closing(sqlite_url):
    monthly = Schedule("monthly", "Europe/Berlin", 8, 0, day=6, settle_seconds=5 * DAY)
    calendar = plan.Calendar(Schedule("weekly", "UTC", 8, 0), 0, 2, 5, monthly)
    opened = Database(sqlite_url)
    with opened.write() as conn:
        plan.plan_due(conn, calendar, "h", START)
        plan.plan_due(conn, calendar, "h", DUE - 2 * HOUR)
        assert KEY not in work.run_states(conn, "monthly")
        plan.plan_due(conn, calendar, "h", DUE - HOUR)
        assert work.run_states(conn, "monthly")[KEY] == "due"
    opened.close()


@pytest.fixture
def crossover(sqlite_url, tmp_path):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        fill(conn)
    opened.close()
    config = tmp_path / "crossover.toml"
    config.write_text(
        f"""[organisation]
name = "Acme"
timezone = "Europe/Berlin"
[database]
url = "{sqlite_url}"
[report]
to = ["ann@acme.example"]
[[source]]
name = "openai"
kind = "openai"
account = "acme"
admin_key = "env:UNUSED"
"""
    )
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *words])


def test_the_commands_show_it_and_the_budgets(crossover, tmp_path):
    shown = crossover("report", "monthly", "--month", MONTH)
    assert shown.exit_code == 0, shown.exception
    assert "BILL AGAINST ESTIMATE" in shown.stdout
    assert "<h2>Budgets</h2>" in re.sub(r' style="[^"]*"', "", html(crossover))
    assert '"closing.difference": "62"' in json_of(crossover).replace(".000000", "")
    folder = tmp_path / "out"
    assert crossover("report", "monthly", "--month", MONTH, "--output", str(folder)).exit_code == 0
    assert (folder / "budgets.csv").read_text().startswith("budget,every,period")
    listed = crossover("budgets", "--as-of", "2026-10-31", "--format", "csv")
    assert listed.exit_code == 0, listed.exception
    assert "models,2026-10,45000.00," in listed.stdout
    refused = crossover("report", "monthly", "--month", "2199-01").exception
    assert isinstance(refused, InputError)


def html(crossover):
    return crossover("report", "monthly", "--month", MONTH, "--format", "html").stdout


def json_of(crossover):
    return crossover("report", "monthly", "--month", MONTH, "--format", "json").stdout


@pytest.mark.proof
def test_every_figure_of_the_closing_is_what_explain_prints(crossover):
    shown = crossover("report", "monthly", "--month", MONTH).stdout
    named, seen, each = [], 0, 1 if FULL else 4
    for line in shown.partition("\nFIGURES\n-------\n")[2].splitlines():
        if line.startswith("--"):
            named = shlex.split(line)
        elif line:
            seen += 1
            if seen % each:
                continue
            id_, _, value = line.partition(" = ")
            done = crossover("explain", id_, "--month", MONTH, *named)
            assert done.exit_code == 0, (id_, named, done.exception)
            said = done.stdout.rstrip("\n").rpartition("\n\n")[2].split(" ")[0]
            assert same(said, value.split(" ")[0]), (id_, named, said, value)
    assert seen > 100


def same(said, shown):
    try:
        return float(said) == float(shown)
    except ValueError:
        return said == shown
