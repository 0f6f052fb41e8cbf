"""Reports for their readers: an order of sections each, a run each, and nothing that is not theirs."""

import email
import json
import re
import shlex
from email.policy import default
from functools import partial

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.config import from_tables
from monitor.domain.errors import ConfigError, InputError
from monitor.domain.links import Place
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import editions, plan, report, watching
from monitor.storage import people, work
from monitor.storage.engine import Database
from monitor.storage.figures import period, rows
from monitor.wiring.reporting import audiences, calendar, report_issues
from reports.audiences import SECTIONS, Audience
from reports.language import Second, Style
from tests import seeded
from tests.conftest import FULL
from tests.golden import golden
from tests.integration.test_report import same
from tests.mail_checker import problems
from tests.weekly_facts import visible

ENGINEERING = Audience("platform", "engineering")
SUE = Audience("owner sue@acme.example", "owner", "sue@acme.example")
CONFIG = """[organisation]
name = "Acme"
timezone = "Europe/Berlin"
[database]
url = "{url}"
[report]
to = ["ann@acme.example"]
[[report.audience]]
name = "platform"
kind = "engineering"
to = ["dev@acme.example", "ops@acme.example"]
every = ["weekly"]
[[workload]]
name = "support-bot"
owner = "sue@acme.example"
[[source]]
name = "openai"
kind = "openai"
account = "acme"
admin_key = "env:UNUSED"
"""
FINANCE_KEY = "finance/weekly/2026-W47/1"
PLATFORM_KEY = "platform/weekly/2026-W47/1"
SUE_KEY = "owner sue@acme.example/weekly/2026-W47/1"


@pytest.fixture
def filled(sqlite_url):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        seeded.fill(conn)
    yield opened
    opened.close()


def rendered(database, audience):
    with database.read() as conn:
        return report.render_week(conn, seeded.WEEK, seeded.policy(), seeded.DUE, audience)


GERMAN = Audience(style=Style("de", "Europe/Berlin"))


@pytest.mark.parametrize(
    ("name", "audience"),
    [("engineering", ENGINEERING), ("owner", SUE), ("weekly-german", GERMAN)],
)
def test_each_audience_reads_as_it_did(filled, name, audience):
    found = rendered(filled, audience)
    golden(name, found)
    assert problems(found.html) == []
    assert not found.failed


def test_an_audience_reads_its_sections_in_its_order(filled):
    heads = {"finance": "What moved", "engineering": "Break-even", "owner": "Your workloads"}
    for audience in (Audience(), ENGINEERING, SUE):
        found = re.findall(r"<h2[^>]*>([^<]*)", rendered(filled, audience).html)
        assert found[0] == heads[audience.kind]
        assert len(found) <= len(SECTIONS[audience.kind])


def test_an_owner_is_told_of_no_other_workload_and_of_no_sum_over_all(filled):
    found = rendered(filled, SUE)
    told = f"{found.subject} {found.text} {visible(found.html)}"
    told += b"".join(each.data for each in found.attachments).decode()
    assert "support-bot" in told
    assert "code-review" in told
    with filled.read() as conn:
        every = rows(conn, "workloads", **period(seeded.END)).rows
        total = conn.scalar(text("SELECT SUM(usd) FROM v_spend_daily WHERE day >= '2026-11-01'"))
    assert "search" not in told
    assert "unassigned" not in told
    assert f"{total:,.2f}" not in told
    others = [row for row in every if row["workload"] in ("search", "unassigned")]
    assert len(others) == 2
    for row in others:
        assert f"{row['spend']:,.2f}" not in told


def test_an_owners_total_is_that_of_the_workloads_that_are_theirs(filled):
    with filled.read() as conn:
        every = rows(conn, "workloads", **period(seeded.END)).rows
        found = report.facts(conn, seeded.WEEK, seeded.policy(), seeded.DUE, SUE)
    own = [row for row in every if row["workload"] in ("support-bot", "code-review")]
    assert found.numbers["owner.spend"] == sum(row["spend"] for row in own)
    assert found.numbers["owner.previous"] == sum(row["previous"] for row in own)
    assert found.numbers["owner.tokens"] == sum(row["tokens"] for row in own)
    assert "spend.month_to_date" not in found.numbers


def test_both_engines_give_an_owner_the_same_bytes(filled, postgres_url):
    other = Database(postgres_url)
    with other.write() as conn:
        seeded.fill(conn)
    assert rendered(other, SUE) == rendered(filled, SUE)
    other.close()


@pytest.fixture
def config(filled, tmp_path):
    path = tmp_path / "crossover.toml"
    path.write_text(CONFIG.format(url=filled.shown))
    return path


@pytest.fixture
def crossover(config):
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *words])


@pytest.mark.proof
@pytest.mark.parametrize("audience", ["platform", "sue@acme.example"])
def test_every_figure_that_an_audience_is_shown_is_what_explain_prints(crossover, audience):
    shown = crossover("report", "weekly", "--week", seeded.WEEK, "--audience", audience).stdout
    listed, named, found = shown.partition("\nFIGURES\n-------\n")[2], [], []
    for line in listed.splitlines():
        if line.startswith("--"):
            named = shlex.split(line)
        elif figure := re.fullmatch(r"([\w.]+) =( .*)?", line):
            found.append((figure[1], named, (figure[2] or "").strip()))
    assert len(found) > 80
    chosen = found if FULL else [each for n, each in enumerate(found) if not n % 6]
    for figure, words, value in chosen:
        done = crossover("explain", figure, "--week", seeded.WEEK, *words, "--format", "json")
        answer = json.loads(done.stdout)
        explained = "unknown" if answer["value"] is None else str(answer["value"])
        assert same(explained, value, answer["unit"]), figure


def settings(filled, **report_changes):
    tables = {
        "report": {"to": ["ann@acme.example"], "audience": []} | report_changes,
        "workload": [
            {"name": "support-bot", "owner": "sue@acme.example"},
            {"name": "code-review", "owner": "sue@acme.example"},
            {"name": "search"},
        ],
        "database": {"url": filled.shown},
    }
    return from_tables(tables)


PLATFORM = {"name": "platform", "kind": "engineering", "to": ["dev@acme.example"]}


def test_audiences_are_finance_those_that_are_configured_and_each_owner(filled):
    found = audiences(settings(filled, audience=[PLATFORM]))
    assert [(each.audience.name, each.to) for each in found] == [
        ("finance", ["ann@acme.example"]),
        ("platform", ["dev@acme.example"]),
        ("owner sue@acme.example", ("sue@acme.example",)),
    ]
    without = audiences(settings(filled, owners=False))
    assert [each.audience.name for each in without] == ["finance"]


@pytest.mark.parametrize("name", ["finance", "owner x"])
def test_a_name_that_another_report_has_is_refused(filled, name):
    with pytest.raises(ConfigError, match="is taken"):
        settings(filled, audience=[PLATFORM | {"name": name}])
    with pytest.raises(ConfigError, match="used 2 times"):
        settings(filled, audience=[PLATFORM, PLATFORM])


def planned(database, chosen, now):
    with database.write() as conn:
        plan.plan_due(conn, calendar(chosen), "rules", now)
        conn.execute(text("DELETE FROM run WHERE kind IN ('decide', 'close')"))


def states(database):
    with database.read() as conn:
        found = conn.execute(text("SELECT run_key, state, error FROM run ORDER BY run_key"))
        return {key: (state, error) for key, state, error in found}


def test_each_audience_is_a_run_of_its_own_and_one_that_fails_stops_no_other(filled):
    chosen = settings(filled, audience=[PLATFORM])
    planned(filled, chosen, seeded.DUE + 2 * HOUR)
    issues = report_issues(chosen)

    def fails(*_):
        raise ZeroDivisionError("boom")

    broken = issues["platform", "weekly"]
    issues["platform", "weekly"] = broken._replace(maker=broken.maker._replace(facts=fails))
    handlers = {"weekly": partial(editions.send_any, issues=issues)}
    while plan.carry_out_next(filled, handlers, seeded.DUE + 2 * HOUR, 600):
        pass
    found = states(filled)
    assert found[FINANCE_KEY] == ("done", "")
    assert found[SUE_KEY] == ("done", "")
    assert found[PLATFORM_KEY] == ("due", "ZeroDivisionError: boom")
    with filled.read() as conn:
        sent = conn.execute(text("SELECT recipient FROM outbox ORDER BY recipient")).scalars()
        assert list(sent) == ["ann@acme.example", "sue@acme.example"]


def test_a_report_that_waits_holds_back_the_later_ones_of_its_readers_alone(database):
    with database.write() as conn:
        for name in ("finance", "platform"):
            for week, start in (("2026-W46", seeded.START - 7 * DAY), ("2026-W47", seeded.START)):
                key = f"{name}/weekly/{week}/1"
                run = work.Planned(key, "weekly", start, start + 7 * DAY, start + 8 * DAY)
                work.plan(conn, [run], seeded.DUE)
        conn.execute(
            text("UPDATE run SET next_at = :t WHERE run_key = 'platform/weekly/2026-W46/1'"),
            {"t": seeded.DUE + 30 * DAY},
        )
    done = []
    handlers = {"weekly": plan.at_once(lambda conn, claim, now: done.append(claim.key) or {})}
    while plan.carry_out_next(database, handlers, seeded.DUE + DAY, 600):
        pass
    assert done == ["finance/weekly/2026-W46/1", "finance/weekly/2026-W47/1"]


def test_an_audience_that_is_added_later_is_told_the_last_week_and_none_before(filled):
    planned(filled, settings(filled, owners=False), seeded.DUE - 60 * DAY)
    planned(filled, settings(filled, owners=False, audience=[PLATFORM]), seeded.DUE + 2 * HOUR)
    weekly = [key for key in states(filled) if key.startswith("platform/weekly")]
    assert weekly == [PLATFORM_KEY]
    assert not [key for key in states(filled) if key.startswith("platform/monthly")]
    assert len([key for key in states(filled) if key.startswith("finance/weekly")]) > 5


def test_a_report_of_readers_who_are_configured_no_more_is_skipped(filled):
    planned(filled, settings(filled, audience=[PLATFORM]), seeded.DUE + 2 * HOUR)
    handlers = {
        "weekly": partial(editions.send_any, issues=report_issues(settings(filled, owners=False)))
    }
    while plan.carry_out_next(filled, handlers, seeded.DUE + 2 * HOUR, 600):
        pass
    assert states(filled)[PLATFORM_KEY] == ("skipped", "nobody gets this report any more")
    assert states(filled)[FINANCE_KEY][0] == "done"


def break_comparisons(database):
    with database.write() as conn:
        conn.execute(text("UPDATE assessment SET scenario = '{broken'"))


def test_a_section_that_cannot_be_made_is_missing_and_the_report_leaves(filled):
    break_comparisons(filled)
    issues = report_issues(settings(filled, owners=False))
    planned(filled, settings(filled, owners=False), seeded.DUE + 2 * HOUR)
    handlers = {"weekly": partial(editions.send_any, issues=issues)}
    plan.carry_out_next(filled, handlers, seeded.DUE + 2 * HOUR, 600)
    state, error = states(filled)[FINANCE_KEY]
    assert state == "done"
    assert error.startswith("left without ")
    assert "breakeven (" in error
    with filled.read() as conn:
        raw = conn.scalar(text("SELECT message FROM outbox"))
    mail = email.message_from_bytes(raw, policy=default)
    page = mail.get_body(("html",)).get_content()
    twin = " ".join(mail.get_body(("plain",)).get_content().split())
    for shown in (visible(page), twin):
        assert "PARTS ARE MISSING" in shown
        assert "This part could not be made." in shown
        assert "$28,551.79" in shown
        assert "GPUs, 41.0% utilised" in shown
        assert "broken" not in shown
    assert problems(page) == []


def test_the_operator_is_told_of_a_report_that_left_without_a_part(filled):
    break_comparisons(filled)
    chosen = settings(filled, owners=False)
    planned(filled, chosen, seeded.DUE + 2 * HOUR)
    handlers = {"weekly": partial(editions.send_any, issues=report_issues(chosen))}
    plan.carry_out_next(filled, handlers, seeded.DUE + 2 * HOUR, 600)
    policy = seeded.policy("ops@acme.example")
    policy = policy._replace(rules=policy.rules | {"internal": seeded.BOOK["internal"]})
    watching.hourly(filled, seeded.DUE + 3 * HOUR, policy, 6 * HOUR)
    with filled.read() as conn:
        said = conn.execute(
            text("SELECT rule, became, reason FROM v_alerts WHERE rule LIKE 'internal%'")
        ).one()
    assert said[1] == "firing"
    assert said[2] == "1 report left without a part"


def test_a_table_that_cannot_be_read_takes_only_its_section(filled, monkeypatch):
    from monitor.storage import figures

    real = figures.rows

    def rows_but_one(conn, name, **params):
        if name == "gpu.hosts":
            raise ValueError("a row holds no number")
        return real(conn, name, **params)

    monkeypatch.setattr(figures, "rows", rows_but_one)
    found = rendered(filled, Audience())
    assert [lost.partition(" (")[0] for lost in found.failed] == ["gpus"]
    assert "gpu.hosts: ValueError: a row holds no number" in found.failed[0]
    assert found.text.count("This part could not be made.") == 1
    assert "crosses at 6.34M" in found.text


def test_each_reader_has_a_link_of_their_own_in_both_bodies(filled):
    place = Place("https://crossover.acme.example", "s" * 32, 14)
    policy = seeded.policy("ann@acme.example", "bob@acme.example")
    envelope = policy.envelope._replace(place=place, report="platform")
    issue = editions.Issue(report.weekly_report(ENGINEERING), policy._replace(envelope=envelope))
    made = editions.compose(filled, PLATFORM_KEY, seeded.DUE, issue, late=False)
    links = set()
    for message in made.messages:
        mail = email.message_from_bytes(message.message, policy=default)
        url = mail["List-Unsubscribe"].strip("<>")
        assert f'href="{url}"' in mail.get_body(("html",)).get_content()
        assert mail.get_body(("plain",)).get_content().endswith(f"{url}\r\n")
        assert problems(mail.get_body(("html",)).get_content()) == []
        links.add(url)
    assert len(links) == 2
    with filled.write() as conn:
        people.unsubscribe(conn, "ann@acme.example", "platform", 0)
        assert not people.left(conn, "ann@acme.example", "finance")
    left = editions.compose(filled, PLATFORM_KEY, seeded.DUE, issue, late=False)
    assert [message.recipient for message in left.messages] == ["bob@acme.example"]


def test_the_command_shows_the_report_of_an_audience(crossover, filled):
    words = ("report", "weekly", "--week", seeded.WEEK, "--audience")
    berlin = Style(zone="Europe/Berlin")
    platform = rendered(filled, ENGINEERING._replace(style=berlin)).text
    assert crossover(*words, "platform").stdout == platform
    by_address, by_name = crossover(*words, "sue@acme.example"), crossover(*words, SUE.name)
    assert by_address.stdout == by_name.stdout == rendered(filled, SUE._replace(style=berlin)).text
    refused = crossover(*words, "marketing").exception
    assert isinstance(refused, InputError)
    assert refused.remedy == "Name one of: finance, platform, owner sue@acme.example."


def test_the_command_opens_the_page_in_the_browser_of_the_machine(crossover, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    folder = tmp_path / "out"
    words = ("report", "weekly", "--week", seeded.WEEK, "--open", "--output", str(folder))
    import webbrowser

    monkeypatch.setattr(webbrowser, "_tryorder", None)
    done = crossover(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert seen.read_text().strip() == (folder / "report.html").resolve().as_uri()


def test_the_command_speaks_german_where_it_is_asked_or_configured(crossover, config, filled):
    words = ("report", "weekly", "--week", seeded.WEEK)
    german = rendered(filled, GERMAN).text
    assert crossover(*words, "--language", "de").stdout == german
    config.write_text(config.read_text().replace('name = "Acme"', 'name = "Acme"\nlanguage = "de"'))
    assert crossover(*words).stdout == german


def spending(currency, language="en"):
    return Audience(style=Style(language, second=Second(currency, None, "")))


def test_figures_at_the_top_are_told_in_the_organisations_currency_too(filled):
    found = rendered(filled, spending("EUR"))
    text = " ".join(found.text.split())
    # 28,551.79025 and 39,239.977415 dollars by 1.0865.
    assert "November to date $28,551.79 €26,278.68; 88.2% billed" in text
    assert "November projection $39,240 €36,115.95; 80% range" in text
    assert "EUR by the rate of 2 Nov 2026: EUR 1 is $1.0865." in text
    assert "--currency EUR fx.usd = 1.0865 rate fx.day = 2026-11-02" in text
    german = " ".join(rendered(filled, spending("EUR", "de")).text.split())
    assert "26.278,68 €; 88,2 % abgerechnet" in german


def test_without_a_rate_nothing_is_converted_and_the_report_says_so(filled):
    text = " ".join(rendered(filled, spending("CHF")).text.split())
    assert "No rate of CHF is known: nothing is converted." in text
    assert "CHF " not in text.partition("FIGURES")[0].replace("No rate of CHF is", "")
    assert "fx.usd = unknown" in text


def test_the_rate_is_the_one_of_the_last_day_told_and_explain_has_it(filled, crossover):
    with filled.write() as conn:
        conn.execute(
            text("INSERT INTO fx (currency, day, usd_nano, source) VALUES ('EUR', :d, 1, 'later')"),
            {"d": seeded.END},
        )
    assert "EUR 1 is $1.0865" in " ".join(rendered(filled, spending("EUR")).text.split())
    words = ("--currency", "EUR", "--week", seeded.WEEK, "--format", "json")
    assert json.loads(crossover("explain", "fx.usd", *words).stdout)["value"] == "1.086500000"
    refused = crossover("explain", "fx.usd", "--week", seeded.WEEK).exception
    assert refused.remedy == "Add --currency."
