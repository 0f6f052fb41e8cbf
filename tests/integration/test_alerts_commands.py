"""`crossover alerts`, `runs` and leaving reports, as a person types them."""

import json

import pytest

from monitor import cli
from monitor.domain.errors import InputError
from monitor.storage import people, tables
from monitor.storage.engine import Database
from tests.cli import crossover
from tests.factories import DAY0, give_up

NAMES = ["bot on own", "search on own", "a/b [x]"]


WINDOW = (
    "[[alerts.maintenance]]\nstart = 2026-11-01T00:00:00Z\nend = 2030-01-01T00:00:00Z\n"
    'why = "racks"\nsubject = "search*"\n'
)


@pytest.fixture
def folder(database, tmp_path):
    """A folder whose configuration names a database with three alerts."""
    return prepared(database, tmp_path)


@pytest.fixture
def sqlite_folder(sqlite_url, tmp_path):
    database = Database(sqlite_url)
    yield prepared(database, tmp_path), database
    database.close()


def prepared(database, folder):
    url = database.url.render_as_string(hide_password=False)
    (folder / "crossover.toml").write_text(f'[database]\nurl = "{url}"\n{WINDOW}')
    with database.write() as conn:
        for number, subject in enumerate(NAMES):
            said = json.dumps({"title": f"{subject} crossed"})
            values = {"rule": "crossing v1", "subject": subject, "state": "{}", "said": said}
            values |= {"status": "firing", "since": DAY0, "updated_at": DAY0 + number}
            (alert,) = conn.execute(tables.alert.insert().values(**values)).inserted_primary_key
            step = {"alert_id": alert, "seq": 1, "at": DAY0, "was": "inactive"}
            step |= {"became": "firing", "reason": "it costs less"}
            conn.execute(tables.alert_transition.insert().values(**step))
    return folder


def listed(folder, *words):
    return {row["subject"]: row for row in rows(folder, "alerts", "list", *words)}


def rows(folder, *words):
    ended = crossover(*words, "--format", "json", cwd=folder)
    assert ended.code == 0, ended.err
    return ended.rows


def done(folder, *words):
    ended = crossover(*words, cwd=folder)
    assert ended.code == 0, ended.err
    return ended


def refused(folder, *words):
    ended = crossover(*words, cwd=folder)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    return ended.err


def test_an_alert_is_listed_shown_acknowledged_and_snoozed(folder):
    before = listed(folder, "--firing")
    assert list(before) == NAMES[::-1]
    assert [before[name]["quiet"] for name in NAMES] == ["", "maintenance: racks", ""]
    key = before["a/b [x]"]["key"]
    assert key == "crossing/v1/a%2Fb [x]"

    done(folder, "alerts", "ack", key, "--why", "mine", "--by", "ann")
    assert "until 2" in done(folder, "alerts", "snooze", key, "--for", "1d", "--by", "ann").err
    after = listed(folder)
    assert (after["a/b [x]"]["acknowledged"], after["bot on own"]["acknowledged"]) == ("ann", "")
    assert after["a/b [x]"]["quiet"] == "ann: snooze"
    assert after["bot on own"]["quiet"] == ""

    shown = crossover("alerts", "show", key, "--format", "json", cwd=folder).rows
    assert shown["said"]["title"] == "a/b [x] crossed"
    assert [s["became"] for s in shown["states"]] == ["firing"]
    assert (shown["acknowledged_by"], shown["acknowledged_why"]) == ("ann", "mine")
    assert [s["kind"] for s in shown["silences"]] == ["snooze"]
    table = crossover("alerts", "show", shown["id"], cwd=folder).out
    for said in ("a/b [x] crossed", "it costs less", "states", "silences"):
        assert said in table


def test_a_silence_takes_what_its_patterns_take_until_it_is_ended(folder):
    said = done(
        folder, "alerts", "silence", "cross*", "* on own", "--for", "3d", "--why", "load test"
    )
    assert "it takes 2 of the alerts seen yet" in said.err
    quiet = listed(folder)
    assert quiet["bot on own"]["quiet"].endswith(": load test")
    assert quiet["a/b [x]"]["quiet"] == ""
    (silence, window) = rows(folder, "alerts", "silences")
    assert (silence["rule"], silence["subject"], silence["why"]) == (
        "cross*",
        "* on own",
        "load test",
    )
    assert (window["kind"], window["by"]) == ("maintenance", "the configuration")
    done(folder, "alerts", "unsilence", silence["id"])
    assert listed(folder)["bot on own"]["quiet"] == ""
    assert len(rows(folder, "alerts", "silences")) == 1
    assert len(rows(folder, "alerts", "silences", "--all")) == 2
    assert "has ended" in refused(folder, "alerts", "unsilence", silence["id"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("silence", "crosing", "*", "--for", "1d", "--why", "x"), "Did you mean crossing?"),
        (("silence", "*", "*", "--for", "1d"), "a silence needs a reason"),
        (("silence", "*", "*", "--why", "x"), "say until when"),
        (("silence", "*", "*", "--why", "x", "--for", "1d", "--until", "2030-01-01"), "say until"),
        (("silence", "*", "*", "--why", "x", "--until", "2020-01-01"), "in the past"),
        (("silence", "*", "*", "--why", "x", "--for", "90w"), "more than 366 days"),
        (("silence", "*", "*", "--why", "x", "--until", "2030-01-01T10:00"), "names no zone"),
        (("silence", "*", "*", "--why", "x", "--for", "soon"), "'soon' is no duration"),
        (("snooze", "crossing/v1/bot on owm", "--for", "1d"), "crossing/v1/bot on own"),
        (("ack", "99"), "there is no alert '99'"),
        (("show", "nonsense"), "See `crossover alerts list --all`."),
    ],
)
def test_what_cannot_be_done_is_said_with_its_remedy_and_changes_nothing(
    sqlite_folder, words, said, monkeypatch
):
    folder, database = sqlite_folder
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as raised:
        cli.app(["alerts", *words], standalone_mode=False)
    assert said in str(raised.value)
    with database.read() as conn:
        assert people.silences(conn) == []


def test_a_run_that_was_given_up_is_tried_again(sqlite_url, tmp_path):
    (tmp_path / "crossover.toml").write_text(f'[database]\nurl = "{sqlite_url}"\n')
    give_up(tmp_path)
    (dead,) = rows(tmp_path, "runs", "list", "--dead")
    assert (dead["run_key"], dead["error"]) == ("decide/2026-11-08", "KeyError: 'bot'")
    err = refused(tmp_path, "runs", "retry", "decide/2026-11-80")
    assert "Did you mean decide/2026-11-08?" in err
    done(tmp_path, "runs", "retry", "decide/2026-11-08")
    (due,) = rows(tmp_path, "runs", "list")
    assert (due["state"], due["attempts"]) == ("due", 0)
    database = Database(sqlite_url)
    with database.write() as conn:
        conn.execute(tables.run.update().values(state="done"))
    database.close()
    assert "is done" in refused(tmp_path, "runs", "retry", "decide/2026-11-08")


def test_a_retried_run_is_carried_out_by_the_daemon_and_one_at_work_is_left_alone(database):
    from monitor.jobs.plan import at_once, carry_out_next
    from monitor.storage import work

    run = work.Planned("decide/2026-11-08", "decide", DAY0, DAY0 + 86_400, DAY0)

    def fails(conn, claim, now):
        raise KeyError("bot")

    with database.write() as conn:
        work.plan(conn, [run], DAY0)
    for tries in range(8):
        carry_out_next(database, {"decide": at_once(fails)}, DAY0 + tries * 100_000, 60)
    now = DAY0 + 900_000
    works = {"decide": at_once(lambda conn, claim, now: {})}
    assert carry_out_next(database, works, now, 60) is None
    with database.write() as conn:
        assert work.set_run(conn, run.run_key, now)
        claim = work.claim(conn, "run", now, 60)
        assert not work.set_run(conn, run.run_key, now)
        work.finish(conn, claim)
    assert carry_out_next(database, works, now, 60) == run.run_key
    with database.read() as conn:
        assert [r["state"] for r in work.runs(conn)] == ["done"]


def test_a_reader_leaves_a_report_and_comes_back(folder):
    assert "no longer gets" in done(folder, "report", "unsubscribe", "a@b.example", "finance").err
    assert "had left" in done(folder, "report", "unsubscribe", "a@b.example", "finance").err
    (left,) = rows(folder, "report", "unsubscribed")
    assert (left["recipient"], left["report"]) == ("a@b.example", "finance")
    done(folder, "report", "subscribe", "a@b.example", "finance")
    assert rows(folder, "report", "unsubscribed") == []
    assert "had not left" in refused(folder, "report", "subscribe", "a@b.example", "finance")


def test_the_link_secret_is_drawn_once(database):
    with database.write() as conn:
        assert people.link_secret(conn) == ""
        people.draw_link_secret(conn)
        first = people.link_secret(conn)
        people.draw_link_secret(conn)
        assert people.link_secret(conn) == first
    assert len(first) == 64
