"""What people decided: recorded with its facts, left alone while it stands, told when it lapses."""

import json
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import InputError
from monitor.domain.periods import day_of
from monitor.domain.usage import DAY
from monitor.jobs import decisions, report
from monitor.storage import decisions as stored
from monitor.storage.engine import Database
from tests import seeded
from tests.seeded import END

AT = datetime.fromtimestamp(END - 4 * DAY, UTC)


@pytest.fixture
def filled(autumn):
    return autumn


def defer(conn, until, deployment="own-h100"):
    decisions.decide(conn, "support-bot", deployment, "defer", until, "a contract", "ann", AT)


def subjects(database):
    with database.read() as conn:
        return [row[0] for row in conn.execute(text("SELECT subject FROM outbox"))]


@pytest.mark.parametrize("deployment", ["own-h100", ""])
def test_what_was_deferred_is_not_told_and_the_report_shows_the_decision(filled, deployment):
    with filled.write() as conn:
        defer(conn, END + 90 * DAY, deployment)
        seeded.decide_days(conn, 4, seeded.policy("a@acme.example"))
    assert subjects(filled) == []
    with filled.read() as conn:
        shown = report.render_week(conn, seeded.WEEK, seeded.policy(), seeded.DUE)
    assert "deferred until 2027-02-21 because a contract (ann)" in " ".join(shown.text.split())
    assert not shown.subject.startswith("Move")


def test_it_comes_back_when_its_date_has_passed_and_says_so(filled):
    with filled.write() as conn:
        defer(conn, END)
        seeded.decide_days(conn, 4, seeded.policy("a@acme.example"))
    seeded.tell(filled, END + 4 * DAY)
    (subject,) = subjects(filled)
    assert "support-bot" in subject
    with filled.read() as conn:
        shown = report.render_week(conn, seeded.WEEK, seeded.policy(), seeded.DUE)
    assert "that is open again: its date has passed" in " ".join(shown.text.split())
    assert shown.subject.startswith("Move support-bot")


def test_a_decision_keeps_what_was_known_and_what_was_decided_before(filled):
    with filled.write() as conn:
        seeded.decide_days(conn, 4)
        later = datetime.fromtimestamp(END, UTC)
        for kind in ("defer", "reject"):
            decisions.decide(conn, "support-bot", "", kind, None, "why", "ann", later)
        rows = list(conn.execute(text("SELECT * FROM v_decision ORDER BY decision_id")).mappings())
        listed = stored.listed(conn)
    assert [(row["kind"], row["superseded"]) for row in rows] == [("defer", 1), ("reject", 0)]
    facts = json.loads(rows[0]["facts"])["own-h100"]
    assert facts["verdict"] == "self_host"
    assert facts["savings"][0] < facts["savings"][2]
    assert [row["kind"] for row in listed] == ["reject", "defer"]
    assert {row["months_since"] for row in listed} == {0}


def test_a_decision_is_worth_the_days_on_which_it_stood_as_modelled(filled):
    """Deferred four days before the end, and accepted two days later: each stands for its own."""
    with filled.write() as conn:
        defer(conn, END + 90 * DAY)
        later = datetime.fromtimestamp(END - 2 * DAY, UTC)
        decisions.decide(conn, "support-bot", "own-h100", "accept", None, "w", "ann", later)
        seeded.decide_days(conn, 4)
        accepted, deferred = decisions.worths(conn)
        saved = dict(
            conn.execute(
                text(
                    "SELECT as_of, savings_usd FROM v_assessment WHERE workload = 'support-bot'"
                    " AND volume = 'q50'"
                )
            ).all()
        )
    days = [Fraction(str(saved[day_of(END - n * DAY)])) for n in (3, 2, 1, 0)]
    expected = [usd / Fraction("30.4375") for usd in (days[2] + days[3], -days[0] - days[1])]
    assert [row["assessed_days"] for row in (accepted, deferred)] == [2, 2]
    for row, usd in zip((accepted, deferred), expected, strict=True):
        assert abs(Fraction(row["modelled_worth_usd"]) - usd) <= Fraction(1, 100)
    assert accepted["measured_saving_usd"] is None


def test_an_unknown_name_or_a_day_that_is_past_is_refused(filled):
    with filled.write() as conn:
        with pytest.raises(InputError, match="has no deployment 'x'"):
            defer(conn, None, "x")
        with pytest.raises(InputError, match="not ahead"):
            defer(conn, END - 9 * DAY)
        with pytest.raises(InputError, match="no workload 'x'"):
            decisions.decide(conn, "x", "", "defer", None, "w", "ann", AT)
        with pytest.raises(InputError, match="all workloads has no deployment, so that"):
            decisions.decide(conn, "all workloads", "", "defer", None, "w", "ann", AT)


@pytest.fixture
def crossover(sqlite_url, tmp_path):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        seeded.fill(conn)
    opened.close()
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{sqlite_url}"\n')

    def call(*words):
        return CliRunner().invoke(app, ["--config", str(config), *words])

    return call


def test_the_command_records_and_lists(crossover):
    words = ("decide", "support-bot", "defer", "--until", "2199-01-01", "--why", "a contract")
    assert crossover(*words, "--by", "ann").exit_code == 0
    listed = crossover("decide", "--list", "--format", "json")
    assert "is modelled" in listed.stderr
    (row,) = json.loads(listed.stdout)
    assert (row["assessed_days"], row["modelled_worth_usd"]) == (0, None)
    shown = {name: row[name] for name in ("workload", "kind", "until", "why", "decided_by")}
    assert list(shown.values()) == ["support-bot", "defer", "2199-01-01", "a contract", "ann"]


def test_a_decision_for_a_program_is_the_row_that_was_recorded(crossover):
    none = crossover("decide", "--list")
    assert (none.stdout, none.stderr) == ("", "nothing was decided yet\n")
    words = ("decide", "support-bot", "reject", "--why", "it is small", "--format", "json")
    (row,) = json.loads(crossover(*words).stdout)
    assert (row["kind"], row["why"], row["superseded"]) == ("reject", "it is small", 0)
    assert crossover(*words[:-2]).stdout == ""


@pytest.mark.parametrize(
    "words", [(), ("support-bot",), ("support-bot", "defer"), ("x", "defer", "--why", "w")]
)
def test_half_a_decision_is_refused_with_an_example(crossover, words):
    found = crossover("decide", *words)
    assert isinstance(found.exception, InputError)


def test_the_record_of_nothing_is_said_and_an_unknown_workload_is_refused(crossover):
    nothing = crossover("project", "--score", "--format", "json")
    assert (nothing.stdout, nothing.exit_code) == ("[]\n", 0)
    assert "no month was scored yet" in nothing.stderr
    assert isinstance(crossover("project", "--score", "--workload", "x").exception, InputError)


@pytest.mark.parametrize("words", [("--why", "\x07"), ("--why", "w", "--by", "\x1b\u202e")])
def test_a_decision_without_a_readable_word_is_refused(crossover, words):
    ended = crossover("decide", "support-bot", "defer", *words)
    assert isinstance(ended.exception, InputError)
    assert "no readable character" in str(ended.exception)
