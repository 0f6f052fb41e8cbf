"""A report that left without its data is corrected once, whatever crashes and however many work."""

import email
import json
import re
from email.policy import default
from functools import partial

import pytest
from sqlalchemy import text

from monitor.domain.errors import DatabaseBusy
from monitor.domain.periods import Schedule
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import editions, plan, report
from monitor.jobs.decide import decide
from monitor.storage import work
from monitor.storage.engine import Database
from reports.model import Rendered
from reports.render import Image
from tests import seeded
from tests.golden import golden
from tests.mail_checker import problems

USAGE = "stream_id IN (SELECT id FROM stream WHERE feeds = 'usage')"
KEY = "finance/weekly/2026-W47"
POLICY = seeded.policy("ann@acme.example", "bob@acme.example")
LATE = seeded.DUE + DAY
CAME = seeded.DUE + 4 * DAY
ISSUE = editions.Issue(report.weekly_report(), POLICY)


def handlers(issue=ISSUE):
    return {
        "decide": plan.at_once(partial(decide, policy=issue.policy)),
        "weekly": partial(editions.send, issue=issue),
        "correct": partial(editions.correct, issues={("finance", "weekly"): issue}),
    }


def carry_out(database, now, issue=ISSUE):
    """Everything that is due; each run once, as a tick does."""
    done = []
    while (key := plan.carry_out_next(database, handlers(issue), now, 600)) is not None:
        done.append(key)
    return done


def week(conn):
    planned = work.Planned(f"{KEY}/1", "weekly", seeded.START, seeded.END, seeded.DUE)
    work.plan(conn, [planned], seeded.DUE)


def decided(conn):
    day = (seeded.END - DAY, seeded.END, seeded.END + 6 * HOUR)
    work.plan(conn, [work.Planned("decide/2026-11-22", "decide", *day)], seeded.END + 6 * HOUR)


@pytest.fixture
def late(database):
    """All of the week but its last day, which the source has not told yet."""
    with database.write() as conn:
        seeded.apply_setup(conn)
        seeded.put_traffic(conn, end=seeded.END - DAY)
        seeded.refresh(conn)
        day = seeded.END - DAY
        row = {"period_end": day, "due_at": day + 6 * HOUR, "added_at": day}
        decide(conn, work.Claim("run", "decide", "t", 0, row), day + 6 * HOUR, POLICY)
        decided(conn)
        week(conn)
    return database


def comes(database):
    """The source tells the last day after all."""
    with database.write() as conn:
        seeded.put_traffic(conn, seeded.END - 2 * DAY, seeded.END)
        seeded.refresh(conn)


def posted(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT dedup_key, subject, message FROM outbox ORDER BY id"))
        return [tuple(row) for row in rows if row[0].startswith("report/")]


def state(database, key):
    with database.read() as conn:
        found = conn.execute(text("SELECT state, error FROM run WHERE run_key = :k"), {"k": key})
        row = found.first()
        return tuple(row) if row else None


def test_late_data_makes_one_incomplete_report_one_corrected_one_and_no_more(late):
    carry_out(late, seeded.DUE)
    assert posted(late) == []
    carry_out(late, LATE)
    first = posted(late)
    assert [key for key, *_ in first] == [
        f"report/{KEY}/1/{to}" for to in POLICY.envelope.recipients
    ]
    assert all(subject.startswith("Incomplete: ") for _, subject, _ in first)
    carry_out(late, LATE + DAY)
    assert state(late, f"{KEY}/2")[0] == "due"
    assert len(posted(late)) == 2
    comes(late)
    carry_out(late, CAME)
    second = posted(late)[2:]
    assert [key for key, *_ in second] == [
        f"report/{KEY}/2/{to}" for to in POLICY.envelope.recipients
    ]
    assert all(subject.startswith("Corrected: ") for _, subject, _ in second)
    body = " ".join(second[0][2].decode().replace("=\n", "").split())
    assert "CORRECTED. Data that the first edition lacked has come." in body
    for edition, (*_, message) in (("incomplete", first[0]), ("correction", second[0])):
        mail = email.message_from_bytes(message, policy=default)
        page = mail.get_body(("html",)).get_content().replace("\r\n", "\n")
        twin = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        assert problems(page) == []
        shown = re.sub(r"cid:([\w-]+)\.[^\"]+", r"cid:\1", page)
        images = [
            Image(part["Content-ID"].strip("<>").partition(".")[0], part.get_content(), "")
            for part in mail.walk()
            if part.get_content_type() == "image/png"
        ]
        golden(edition, Rendered(mail["Subject"], twin, shown, images))
    assert "Spend of the week: told as $" in body
    # Later changes of the same week are restatements; nobody is mailed a third time.
    with late.write() as conn:
        seeded.put_traffic(conn, seeded.END - 2 * DAY, seeded.END, seeded.END)
        seeded.refresh(conn)
    carry_out(late, CAME + DAY)
    assert len(posted(late)) == 4
    assert state(late, f"{KEY}/3") is None


def test_the_correction_says_what_was_told_and_what_it_is_now(late):
    carry_out(late, LATE)
    with late.read() as conn:
        told = json.loads(work.told(conn, f"{KEY}/1")[0])
    was = {id_: value for id_, _, value, _ in told["head"]}
    assert told["missing"][0] == "usage of openai usage to the end of the week"
    comes(late)
    carry_out(late, CAME)
    with late.read() as conn:
        now = json.loads(work.told(conn, f"{KEY}/2")[0])
    assert now["missing"] == []
    is_ = {id_: value for id_, _, value, _ in now["head"]}
    assert float(is_["spend.week"]) > float(was["spend.week"])
    # The day was decided without the data: what it is heading for is told with it.
    assert is_["projection.usd.q50"] != was["projection.usd.q50"]


def test_nothing_is_sent_where_no_amount_in_the_head_changed_by_a_cent(database):
    with database.write() as conn:
        seeded.fill(conn)
        conn.execute(
            text(f"UPDATE watermark SET closed_through = closed_through - 86400 WHERE {USAGE}")
        )
        week(conn)
    carry_out(database, LATE)
    assert len(posted(database)) == 2
    with database.write() as conn:
        conn.execute(
            text(f"UPDATE watermark SET closed_through = closed_through + 86400 WHERE {USAGE}")
        )
    carry_out(database, CAME)
    assert len(posted(database)) == 2
    assert state(database, f"{KEY}/2") == (
        "done",
        "not sent: no amount in its head changed by a cent",
    )


def test_data_that_never_comes_is_given_up_visibly(late):
    carry_out(late, LATE)
    carry_out(late, LATE + 14 * DAY + 1)
    assert state(late, f"{KEY}/2") == ("skipped", "its data did not come within 14 days")
    assert len(posted(late)) == 2


def test_without_correct_days_there_is_no_correction(late):
    carry_out(late, LATE, ISSUE._replace(correct_days=0))
    assert state(late, f"{KEY}/2") is None


def test_the_deadline_is_the_configured_one(late):
    carry_out(late, seeded.DUE + HOUR, ISSUE._replace(deadline=HOUR))
    # The decision of the day waits a day for its sources: the report does not wait for it longer.
    assert len(posted(late)) in (0, 2)
    carry_out(late, LATE, ISSUE._replace(deadline=HOUR))
    assert len(posted(late)) == 2


def test_a_complete_report_is_never_corrected(database):
    with database.write() as conn:
        seeded.fill(conn)
        week(conn)
    carry_out(database, seeded.DUE)
    with database.write() as conn:
        seeded.put_traffic(conn, seeded.END - 2 * DAY, seeded.END, seeded.END)
        conn.execute(text("UPDATE usage SET output = output * 2 WHERE output IS NOT NULL"))
        conn.execute(
            text(
                "INSERT INTO dirty (stream_id, day, n, restates) VALUES (1, :d, 1, :yes)"
                " ON CONFLICT DO NOTHING"
            ),
            {"d": seeded.END - DAY, "yes": True},
        )
        seeded.refresh(conn)
    carry_out(database, CAME)
    assert len(posted(database)) == 2
    assert state(database, f"{KEY}/2") is None


class Crash(BaseException):
    """The process ends here."""


def test_a_crash_between_rendering_and_posting_loses_and_repeats_nothing(late, monkeypatch):
    carry_out(late, LATE)
    comes(late)

    def ends(*_args, **_values):
        raise Crash

    for place in ("post", "finish"):
        with monkeypatch.context() as broken:
            broken.setattr(work, place, ends)
            with pytest.raises(Crash):
                carry_out(late, CAME)
        assert len(posted(late)) == 2
        with late.write() as conn:
            work.forget_claims(conn)
    carry_out(late, CAME)
    assert len(posted(late)) == 4


def finish(database, claim, close):
    """The closing transaction of a run, as `carry_out_next` has it."""
    with database.write() as conn:
        work.finish(conn, claim, state="done", **close(conn))


def test_two_daemons_send_one_correction(late):
    other = Database(late.url.render_as_string(hide_password=False))
    carry_out(late, LATE)
    comes(late)
    with late.write() as conn:
        mine = work.claim(conn, "run", CAME, 600)
    assert mine.key == f"{KEY}/2"
    close = handlers()["correct"](late, mine, CAME)
    # The claim expired; another one took the run over and was faster.
    carry_out(other, CAME + 601)
    with pytest.raises(DatabaseBusy):
        finish(late, mine, close)
    assert len(posted(late)) == 4
    other.close()


def test_a_correction_that_waits_holds_no_later_report_up(late):
    carry_out(late, LATE)
    following = work.Planned(
        "finance/weekly/2026-W48/1", "weekly", seeded.END, seeded.END + 7 * DAY, LATE
    )
    with late.write() as conn:
        work.plan(conn, [following], LATE)
    assert "finance/weekly/2026-W48/1" in carry_out(late, LATE + 1)


def test_the_next_report_says_which_were_never_sent(database):
    with database.write() as conn:
        seeded.fill(conn)
        weeks = [
            (f"finance/weekly/2026-W{n}/1", seeded.START - (47 - n) * 7 * DAY, kind)
            for n, kind in ((43, "skipped"), (44, "done"), (45, "skipped"), (46, "skipped"))
        ]
        work.plan(
            conn,
            [
                work.Planned(key, "weekly", start, start + 7 * DAY, start + 8 * DAY, was)
                for key, start, was in weeks
            ],
            seeded.DUE,
        )
        rendered = report.render_week(conn, seeded.WEEK, POLICY, seeded.DUE)
    said = "W45 and W46 were not sent: the daemon was not running."
    assert said in rendered.text
    assert said in rendered.html


def test_weeks_that_catch_up_leaves_out_are_recorded_for_that(database):
    calendar = plan.Calendar(Schedule("weekly", "UTC", 8, 0), 0, 2, 5)
    with database.write() as conn:
        plan.plan_due(conn, calendar, "h", seeded.END - 40 * DAY)
        plan.plan_due(conn, calendar, "h", seeded.DUE + HOUR)
        skipped = work.unsent(conn, "finance", "weekly", seeded.START - 7 * DAY)
    assert skipped == ["2026-W42", "2026-W43", "2026-W44", "2026-W45"]


def test_without_catching_up_the_newest_report_is_sent_all_the_same(sqlite_url):
    opened = Database(sqlite_url)
    calendar = plan.Calendar(Schedule("weekly", "UTC", 8, 0), 0, 0, 5)
    with opened.write() as conn:
        plan.plan_due(conn, calendar, "h", seeded.END - 20 * DAY)
        plan.plan_due(conn, calendar, "h", seeded.DUE + HOUR)
        states = work.run_states(conn, "weekly")
    assert states[f"{KEY}/1"] == "due"
    assert states["finance/weekly/2026-W46/1"] == "skipped"
    opened.close()
