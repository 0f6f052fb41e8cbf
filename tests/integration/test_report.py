"""The weekly report end to end: the same bytes everywhere, posted once, traced by `explain`."""

import email
import json
import os
import re
import shlex
import subprocess
import sys
from email.policy import default
from functools import partial

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain import links
from monitor.domain.errors import InputError
from monitor.domain.links import Place
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import plan, report
from monitor.jobs.plan import NotReady
from monitor.storage import people, work
from monitor.storage.engine import Database
from monitor.storage.write import mark_dirty
from reports import alert
from reports.audiences import FINANCE, Audience
from reports.language import Style
from tests import seeded
from tests.cli import ROOT
from tests.conftest import FULL
from tests.golden import golden
from tests.unit.test_alert_mail import group, notice
from tests.weekly_facts import breakeven, judged

KEY = "finance/weekly/2026-W47/1"
CLAIM = work.Claim(
    "run",
    KEY,
    "t",
    0,
    {
        "period_start": seeded.START,
        "period_end": seeded.END,
        "due_at": seeded.DUE,
        "added_at": seeded.DUE,
    },
)


@pytest.fixture
def filled(sqlite_url):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        seeded.fill(conn)
    yield opened
    opened.close()


def rendered(database, audience=FINANCE):
    with database.read() as conn:
        return report.render_week(conn, seeded.WEEK, seeded.policy(), seeded.DUE, audience)


def test_the_report_reads_as_it_did(filled):
    found = rendered(filled)
    assert not found.failed
    golden("weekly", found)


row = breakeven(**judged())
ALERTS = {
    "alert": [notice(row=row)],
    "alert-group": [
        notice("resolved", kind="crossed_down", workload="old-bot"),
        notice(row=row),
        notice(severity="critical", kind="return_to_api", workload="search"),
    ],
    "alert-resolved": [notice("resolved", kind="crossed_down", advice="stay", row=row)],
    "alert-unstable": [notice("unstable")],
}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_reads_as_it_did(name):
    told = alert.build(group(*ALERTS[name]))
    golden(name, told)


def test_both_engines_give_the_same_bytes(filled, postgres_url):
    other = Database(postgres_url)
    with other.write() as conn:
        seeded.fill(conn)
    assert rendered(other) == rendered(filled)
    other.close()


def test_every_process_gives_the_same_message(filled):
    program = (
        "import hashlib, sys\n"
        "from monitor.jobs import report\n"
        "from monitor.jobs.mail import addressed\n"
        "from monitor.storage.engine import Database\n"
        "from tests import seeded\n"
        "from datetime import UTC, datetime\n"
        "policy = seeded.policy('ann@acme.example')\n"
        "with Database(sys.argv[1]).read() as conn:\n"
        "    found = report.render_week(conn, seeded.WEEK, policy, seeded.DUE)\n"
        "date = datetime.fromtimestamp(seeded.DUE, UTC)\n"
        "(mail,) = addressed(found, policy.envelope, 'report', 'k', date)\n"
        "print(len(found.images), hashlib.sha256(mail.message).hexdigest())\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program, filled.shown],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout
        for seed, zone in (("0", "UTC"), ("4711", "Asia/Tokyo"))
    }
    assert len(seen) == 1
    assert seen.pop().startswith("4 ")


def carry_out(database, now, policy):
    close = report.weekly(database, CLAIM, now, policy)
    with database.write() as conn:
        assert json.loads(close(conn)["told"])["head"]


def test_a_report_is_posted_once_to_each_recipient_with_its_tables(filled):
    policy = seeded.policy("ann@acme.example", "Bob <bob@acme.example>")
    for _ in range(2):
        carry_out(filled, seeded.DUE, policy)
    messages = posted(filled)
    assert [row["dedup_key"] for row in messages] == [
        f"report/{KEY}/{to}" for to in policy.envelope.recipients
    ]
    mail = email.message_from_bytes(messages[0]["message"], policy=default)
    assert mail["Subject"].startswith("Move support-bot: saves $4,830 a month (Nov projection")
    assert mail["Date"] == "Mon, 23 Nov 2026 07:00:00 +0000"
    files = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert list(files) == ["workloads.csv", "breakevens.csv", "budgets.csv"]
    assert files["workloads.csv"].splitlines()[0].startswith("workload,spend,previous,change")
    assert len(files["breakevens.csv"].splitlines()) == 3


def test_a_reader_leaves_by_the_link_in_the_head_and_gets_no_more(filled):
    place = Place("https://crossover.acme.example", "", 14)
    policy = seeded.policy("ann@acme.example", "Bob <bob@acme.example>")
    policy = policy._replace(envelope=policy.envelope._replace(place=place, report="finance"))
    with filled.write() as conn:
        people.draw_link_secret(conn)
        secret = people.link_secret(conn)
        people.unsubscribe(conn, "ann@acme.example", "finance", 0)
    carry_out(filled, seeded.DUE, policy)
    carry_out(filled, seeded.DUE, policy)
    (row,) = posted(filled)
    assert row["recipient"] == "Bob <bob@acme.example>"
    mail = email.message_from_bytes(row["message"], policy=default)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = mail["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://crossover.acme.example/unsubscribe/")
    link = links.read(secret, url.rpartition("/")[2], seeded.DUE)
    assert link[:3] == ("unsubscribe", "finance", "bob@acme.example")
    with filled.write() as conn:
        people.unsubscribe(conn, link.recipient, link.about, 0)
    close = report.weekly(filled, CLAIM, seeded.DUE, policy)
    with filled.write() as conn:
        assert "every reader left" in close(conn)["error"]


def posted(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT * FROM outbox WHERE kind = 'report' ORDER BY id"))
        return list(rows.mappings())


def test_without_recipients_the_run_is_done_and_says_why(filled):
    run(filled, seeded.policy(), seeded.DUE)
    assert state(filled) == ("done", "not rendered: [report] to names nobody")
    assert posted(filled) == []


def run(database, policy, now):
    with database.write() as conn:
        work.plan(
            conn, [work.Planned(KEY, "weekly", seeded.START, seeded.END, seeded.DUE)], seeded.DUE
        )
    handlers = {"weekly": partial(report.weekly, policy=policy)}
    return plan.carry_out_next(database, handlers, now, 600)


def state(database):
    with database.read() as conn:
        row = conn.execute(text("SELECT state, error FROM run WHERE run_key = :k"), {"k": KEY})
        return tuple(row.one())


def test_it_waits_for_its_data_and_goes_out_a_day_late_naming_what_is_missing(filled):
    with filled.write() as conn:
        conn.execute(text("UPDATE watermark SET closed_through = closed_through - 86400"))
        mark_dirty(conn, 1, {seeded.END - DAY: False})
        decided = work.Planned(
            "decide/2026-11-22", "decide", seeded.END - DAY, seeded.END, seeded.END
        )
        work.plan(conn, [decided], seeded.DUE)
    policy = seeded.policy("ann@acme.example")
    with pytest.raises(NotReady) as waits:
        carry_out(filled, seeded.DUE + DAY - 1, policy)
    lacks = (
        "usage of openai usage to the end of the week; the prices of 1 day; the comparison of"
        " 2026-11-22 (due)"
    )
    assert str(waits.value) == f"waits for {lacks}"
    carry_out(filled, seeded.DUE + DAY, policy)
    (message,) = posted(filled)
    assert message["subject"].startswith("Incomplete: Move support-bot")
    mail = email.message_from_bytes(message["message"], policy=default)
    body = " ".join(mail.get_body(("plain",)).get_content().split())
    assert lacks in body


def test_a_run_that_waits_is_due_again(filled):
    with filled.write() as conn:
        conn.execute(text("UPDATE watermark SET closed_through = NULL"))
    assert run(filled, seeded.policy("ann@acme.example"), seeded.DUE) == KEY
    assert state(filled) == ("due", "waits for usage of openai usage to the end of the week")
    assert posted(filled) == []


@pytest.fixture
def crossover(filled, tmp_path):
    config = tmp_path / "crossover.toml"
    config.write_text(
        f"""[organisation]
name = "Acme"
timezone = "Europe/Berlin"
[database]
url = "{filled.shown}"
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


def test_the_command_prints_the_twin(crossover, filled):
    done = crossover("report", "weekly", "--week", seeded.WEEK)
    assert done.exit_code == 0
    assert done.stdout == rendered(filled, Audience(style=Style(zone="Europe/Berlin"))).text


def test_the_command_writes_files_that_open_on_their_own(crossover, tmp_path):
    folder = tmp_path / "out"
    done = crossover("report", "weekly", "--week", seeded.WEEK, "--output", str(folder))
    assert done.exit_code == 0
    names = [
        "breakevens.csv",
        "budgets.csv",
        "report.eml",
        "report.html",
        "report.txt",
        "workloads.csv",
    ]
    assert sorted(path.name for path in folder.iterdir()) == names
    page = (folder / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 4
    assert "cid:" not in page
    assert page.index("charset") < 100
    mail = email.message_from_bytes((folder / "report.eml").read_bytes(), policy=default)
    assert mail["To"] == "ann@acme.example"


def test_the_command_sends_once_and_says_so(crossover, filled):
    first, second = (crossover("report", "weekly", "--week", seeded.WEEK, "--send") for _ in "12")
    assert "1 message waits in the outbox as finance/weekly/2026-W47/1" in first.stderr
    assert "is in the outbox already" in second.stderr
    assert len(posted(filled)) == 1


def test_what_the_command_sends_the_daemon_does_not_send_again(crossover, filled):
    crossover("report", "weekly", "--week", seeded.WEEK, "--send")
    run(filled, seeded.policy("ann@acme.example"), seeded.DUE)
    assert state(filled) == ("done", "")
    assert len(posted(filled)) == 1


def test_a_week_that_is_not_over_or_no_week_is_refused(crossover):
    unfinished = crossover("report", "weekly", "--week", "2199-W01").exception
    assert isinstance(unfinished, InputError)
    assert unfinished.message == "2199-W01 is not over"
    assert isinstance(crossover("report", "weekly", "--week", "today").exception, InputError)


@pytest.fixture
def empty(sqlite_url, tmp_path):
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{sqlite_url}"\n')
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *words])


def test_a_new_installation_has_a_report_too_and_sends_it_to_nobody(empty):
    done = empty("report", "weekly")
    assert done.exit_code == 0
    assert "Nothing has been read yet" in done.stdout
    refused = empty("report", "weekly", "--send").exception
    assert isinstance(refused, InputError)
    assert refused.message == "[report] to names nobody"


EACH = 1 if FULL else 4
"""Which of the figures are explained: a command each."""


@pytest.mark.proof
def test_every_figure_that_is_shown_is_what_explain_prints(crossover):
    shown = crossover("report", "weekly", "--week", seeded.WEEK).stdout
    listed, named, seen, checked = shown.partition("\nFIGURES\n-------\n")[2], [], 0, 0
    for line in listed.splitlines():
        if line.startswith("--"):
            named = shlex.split(line)
        elif figure := re.fullmatch(r"([\w.]+) =( .*)?", line):
            seen += 1
            if seen % EACH:
                continue
            done = crossover(
                "explain", figure[1], "--week", seeded.WEEK, *named, "--format", "json"
            )
            found = json.loads(done.stdout)
            value = "unknown" if found["value"] is None else str(found["value"])
            assert same(value, (figure[2] or "").strip(), found["unit"]), line
            checked += 1
    assert (seen > 80, checked) == (True, seen // EACH)


def same(explained, listed, unit):
    """The listed value without its unit, and numbers without trailing zeros."""
    listed = listed.removesuffix(f" {unit}")
    if re.fullmatch(r"-?\d+\.\d+", explained):
        explained = explained.rstrip("0").rstrip(".")
    return explained == listed


def test_explain_prints_the_statement_its_parameters_and_the_value(crossover):
    shown = crossover("explain", "spend.week", "--week", seeded.WEEK).stdout
    assert shown == (
        "spend.week\n"
        "Spend of the week: billed where final, else estimated.\n"
        "As of 2026-11-23, exclusive, in UTC.\n\n"
        "SELECT ROUND(SUM(usd), 6) FROM v_spend_daily WHERE day >= :week_first AND day < :as_of\n"
        "with\n  week_first = 2026-11-16\n  as_of = 2026-11-23\n\n"
        "9446.569750 usd\n"
    )


def test_explain_lists_the_catalogue_and_prints_tables(crossover):
    assert "projection.usd.q50" in crossover("explain", "--format", "csv").stdout
    rows = crossover("explain", "workloads", "--week", seeded.WEEK, "--format", "csv").stdout
    assert len(rows.splitlines()) == 5
    table = json.loads(
        crossover("explain", "breakevens", "--week", seeded.WEEK, "--format", "json").stdout
    )
    assert [row["workload"] for row in table["rows"]] == ["search", "support-bot"]


def test_a_name_that_a_spreadsheet_would_calculate_is_text_in_the_attachment(filled):
    with filled.write() as conn:
        conn.execute(text("UPDATE workload SET name = '=1+1' WHERE name = 'search'"))
    found = {attached.filename: attached.data for attached in rendered(filled).attachments}
    assert b"\r\n'=1+1," in found["workloads.csv"]


def test_the_daemons_due_instant_is_the_commands(crossover, tmp_path):
    folder = tmp_path / "out"
    crossover("report", "weekly", "--week", seeded.WEEK, "--output", str(folder))
    mail = email.message_from_bytes((folder / "report.eml").read_bytes(), policy=default)
    assert mail["Date"] == "Mon, 23 Nov 2026 07:00:00 +0000"
    assert seeded.DUE == seeded.END + 7 * HOUR
