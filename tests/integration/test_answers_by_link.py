"""Links of mails, over real HTTP on both engines: GET shows, POST acts, once."""

import base64
import hashlib
import html
import http.client
import json
import re
import threading
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import pytest
from sqlalchemy import text

from monitor.domain import links
from monitor.domain.links import Link
from monitor.domain.silences import Window
from monitor.storage import people, tables
from monitor.web.app import serving
from monitor.web.desk import Desk
from tests.factories import DAY0

SECRET = "s" * 32
NOW = DAY0 + 3600
EVIL = "<script>alert(1)</script>\"'&*[x] \u202e"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Answer:
    def __init__(self, reply):
        self.status = reply.status
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.raw = reply.read().decode()
        self.text = " ".join(
            html.unescape(
                re.sub(r"<style>.*?</style>|<[^>]+>", " ", self.raw, flags=re.DOTALL)
            ).split()
        )


class Service:
    """The real server, one connection a request."""

    def __init__(self, port, database):
        self.port, self.database, self.now = port, database, NOW

    def ask(self, method, path, body=None, headers=FORM):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            data = urlencode(body) if isinstance(body, dict) else body
            connection.request(method, path, data, dict(headers) if data is not None else {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def link(self, action="acknowledge", about="", recipient="ann@example.org", seconds=86_400):
        place = "unsubscribe" if action == "unsubscribe" else "act"
        link = Link(action, about or "crossing/v1/bot on own", recipient, NOW + seconds)
        return f"/{place}/{links.sign(SECRET, link)}"

    def rows(self, table):
        with self.database.read() as conn:
            return [dict(r) for r in conn.execute(table.select()).mappings()]


@contextmanager
def served(database, **changes):
    service = Service(0, database)
    desk = Desk(database, lambda: SECRET, lambda: service.now, "Acme & <Sons>", "Europe/Berlin")
    with serving(lambda: {"ok": True}, "127.0.0.1", 0, desk._replace(**changes)) as port:
        service.port = port
        yield service


@pytest.fixture
def service(database):
    put_alert(database)
    with served(database) as found:
        yield found


def put_alert(database, **changes):
    said = {"title": "bot crossed: own servers save $21,656 a month"}
    values = {"rule": "crossing v1", "subject": "bot on own", "state": "{}", "status": "firing"}
    values |= {"since": DAY0, "said": json.dumps(said), "updated_at": DAY0} | changes
    with database.write() as conn:
        conn.execute(tables.alert.insert().values(**values))


def test_a_page_says_for_whom_about_what_in_which_state_and_what_the_button_does(service):
    page = service.ask("GET", service.link("silence"))
    assert page.status == 200
    for said in (
        "Silence: crossing of bot on own",
        "For ann@example.org",
        "own servers save $21,656 a month",
        "firing since 2026-11-01 01:00 Europe/Berlin (warning)",
        "Link works until 2026-11-02 02:00 Europe/Berlin",
        "No message about this rule and subject leaves until the end that you choose",
        "1 hour",
        "1 day",
        "1 week",
        "at most 31 days ahead",
        "Crossover of Acme & <Sons>",
    ):
        assert said in page.text
    assert re.search(r'name="why"[^>]* required', page.raw)


def test_every_answer_carries_the_headers_of_a_page_that_runs_nothing(service):
    asked = [
        service.ask("GET", path)
        for path in (service.link(), "/act/forged", "/healthz", "/nowhere", "/act/")
    ]
    asked.append(service.ask("PUT", service.link(), "x"))
    for answer in asked:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers
        assert not re.search(r"<script|src=|href=|url\(|style=|http-equiv", answer.raw)
        for style in re.findall(r"<style>(.*?)</style>", answer.raw, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            assert f"style-src 'sha256-{digest}'" in policy
    assert sum("<style>" in answer.raw for answer in asked) >= 2


@pytest.mark.parametrize("action", ["acknowledge", "snooze", "silence", "unsubscribe"])
def test_programs_that_follow_links_change_nothing(service, action):
    path = service.link(action, "finance" if action == "unsubscribe" else "")
    before = [service.rows(t) for t in (tables.alert, tables.silence, tables.unsubscribed)]
    for method in ("GET", "HEAD", "GET", "OPTIONS", "PUT", "DELETE"):
        service.ask(method, path)
    service.ask("GET", path + "?do=unsubscribe&duration=1d&why=x")
    assert [service.rows(t) for t in (tables.alert, tables.silence, tables.unsubscribed)] == before
    assert service.rows(tables.used_link) == []
    assert service.ask("HEAD", path).raw == ""


def test_an_alert_is_acknowledged_by_who_got_the_mail_and_once(service):
    path = service.link()
    first = service.ask("POST", path, {"why": "contract\r\nends"})
    assert (first.status, "is acknowledged" in first.text) == (200, True)
    (alert,) = service.rows(tables.alert)
    assert alert["acknowledged_by"] == "by link of ann@example.org"
    assert alert["acknowledged_why"] == "contract ends"
    assert alert["acknowledged_at"] == NOW
    service.now += 60
    again = service.ask("POST", path, {"why": "other"})
    assert again.status == 409
    assert "used before. Nothing changed." in again.text
    assert "crossover alerts ack 'crossing/v1/bot on own'" in again.text
    assert service.rows(tables.alert) == [alert]
    shown = service.ask("GET", path)
    assert "was used on 2026-11-01 02:00 Europe/Berlin and does nothing more" in shown.text
    assert "<form" not in shown.raw


def test_an_alert_that_ended_is_not_acknowledged(service):
    with service.database.write() as conn:
        conn.execute(text("UPDATE alert SET status = 'resolved'"))
    path = service.link()
    assert "nothing to acknowledge" in service.ask("GET", path).text
    refused = service.ask("POST", path, {})
    assert refused.status == 422
    assert "crossing of bot on own is resolved" in refused.text
    assert service.rows(tables.used_link) == []


def test_an_acknowledgement_counts_until_the_alert_came_back(service):
    service.ask("POST", service.link(), {"why": "mine"})
    shown = service.ask("GET", service.link("snooze"))
    assert "Acknowledged by link of ann@example.org: mine" in shown.text
    with service.database.write() as conn:
        conn.execute(text("UPDATE alert SET since = :t"), {"t": NOW + 86_400})
    with service.database.read() as conn:
        assert not people.alerts(conn)[0].acknowledged


@pytest.mark.parametrize(
    ("form", "until"),
    [
        ({"duration": "1h"}, NOW + 3600),
        ({"duration": "1d"}, NOW + 86_400),
        ({"duration": "1w"}, NOW + 7 * 86_400),
        # The end of that day in Berlin, in winter.
        ({"duration": "date", "date": "2026-11-03"}, DAY0 + 3 * 86_400 - 3600),
    ],
)
def test_a_silence_has_its_end_its_reason_and_its_author(service, form, until):
    done = service.ask("POST", service.link("silence"), {"why": "load test", **form})
    assert done.status == 200
    (row,) = service.rows(tables.silence)
    assert row["until"] == until
    assert (row["kind"], row["rule"], row["subject"]) == ("silence", "crossing", "bot on own")
    assert (row["by"], row["why"]) == ("by link of ann@example.org", "load test")
    assert f"crossover alerts unsilence {row['id']}" in done.text
    shown = service.ask("GET", service.link("snooze")).text
    assert "Quiet by link of ann@example.org: load test" in shown


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"duration": "1d"}, "a silence needs a reason"),
        ({"duration": "1d", "why": "\u202e\x07"}, "a silence needs a reason"),
        ({"why": "x"}, "no duration is chosen"),
        ({"why": "x", "duration": "100y"}, "no duration is chosen"),
        ({"why": "x", "duration": "date"}, "'' is no day"),
        ({"why": "x", "duration": "date", "date": "9999-12-31"}, "is no day"),
        ({"why": "x", "duration": "date", "date": "2026-12-31"}, "more than 31 days"),
        ({"why": "x", "duration": "date", "date": "2026-10-01"}, "in the past"),
    ],
)
def test_a_form_that_cannot_be_used_is_shown_again_and_the_link_still_works(service, form, said):
    path = service.link("silence")
    refused = service.ask("POST", path, form)
    assert refused.status == 422
    assert said in refused.text
    assert "<form" in refused.raw
    assert service.rows(tables.silence) == service.rows(tables.used_link) == []
    assert service.ask("POST", path, {"why": "x", "duration": "1h"}).status == 200


def test_a_snooze_is_about_one_alert_needs_no_reason_and_ends_within_a_week(service):
    path = service.link("snooze")
    late = service.ask("POST", path, {"duration": "date", "date": "2026-11-09"})
    assert (late.status, "more than 7 days" in late.text) == (422, True)
    assert service.ask("POST", path, {"duration": "1h"}).status == 200
    (row,) = service.rows(tables.silence)
    assert (row["kind"], row["subject"], row["why"]) == ("snooze", "bot on own", "")


@pytest.mark.parametrize("action", ["acknowledge", "silence", "snooze"])
def test_of_many_posts_at_once_one_wins(service, action):
    path, answers = service.link(action), []
    body = {"why": "x", "duration": "1h"}
    threads = [
        threading.Thread(target=lambda: answers.append(service.ask("POST", path, body).status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7
    assert len(service.rows(tables.used_link)) == 1
    assert len(service.rows(tables.silence)) == (0 if action == "acknowledge" else 1)


def test_forged_cut_and_expired_links_are_refused_with_the_command(service):
    path = service.link("snooze")
    forged = service.ask("GET", path[:-1] + ("A" if path[-1] != "A" else "B"))
    assert (forged.status, "not signed by this Crossover" in forged.text) == (403, True)
    assert "crossover alerts list" in forged.text
    assert service.ask("POST", path[:-20], {}).status == 403
    assert service.ask("POST", "/act/v1.x", {}).status == 404
    service.now += 86_400
    for method in ("GET", "POST"):
        old = service.ask(method, path, {"duration": "1h"})
        assert (old.status, "has expired" in old.text) == (410, True)
        assert "crossover alerts snooze 'crossing/v1/bot on own' --for 1d" in old.text
    assert service.rows(tables.silence) == []


def test_a_link_of_one_kind_opens_no_other_door(service):
    report, alert = service.link("unsubscribe", "finance"), service.link("silence")
    assert service.ask("POST", report.replace("/unsubscribe/", "/act/"), {}).status == 404
    crossed = service.ask("POST", alert.replace("/act/", "/unsubscribe/"), {"do": "unsubscribe"})
    assert crossed.status == 404
    assert service.rows(tables.unsubscribed) == service.rows(tables.silence) == []


def test_an_alert_that_is_not_known_is_named(service):
    answer = service.ask("GET", service.link("snooze", "crossing/v1/other"))
    assert answer.status == 400
    assert "There is no alert 'crossing/v1/other'." in answer.text


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (MULTIPART, "multipart/form-data; boundary=x"),
        (b"do=unsubscribe", "application/x-www-form-urlencoded; charset=utf-8"),
    ],
)
def test_one_click_unsubscribes_without_login_and_as_often_as_it_is_sent(service, body, kind):
    path = service.link("unsubscribe", "finance")
    assert "ann@example.org gets the report finance." in service.ask("GET", path).text
    for _ in range(2):
        done = service.ask("POST", path, body, {"Content-Type": kind})
        assert done.status == 200
        assert "no longer gets the report finance." in done.text
        service.now += 5
    (row,) = service.rows(tables.unsubscribed)
    assert row == {"recipient": "ann@example.org", "report": "finance", "at": NOW}
    back = service.ask("POST", path, {"do": "subscribe"})
    assert "gets the report finance." in back.text
    assert service.rows(tables.unsubscribed) == []
    assert service.ask("POST", path, body, {"Content-Type": kind}).status == 200
    assert len(service.rows(tables.unsubscribed)) == 1


@pytest.mark.parametrize("body", [b"", b"x=y", b"List-Unsubscribe=Two", b"\xff\xfe", b"&" * 4000])
def test_a_post_that_says_nothing_unsubscribes_nobody(service, body):
    path = service.link("unsubscribe", "finance")
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=\xff", "x"):
        answer = service.ask("POST", path, body, {"Content-Type": kind})
        assert answer.status == 400
    assert service.rows(tables.unsubscribed) == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused_before_anything_is_done_with_it(service, announced):
    body = b"do=unsubscribe&x=" + b"a" * 5000
    path = service.link("unsubscribe", "finance")
    sent = body if announced else iter([body[:1000], body[1000:]])
    answer = service.ask("POST", path, sent)
    assert answer.status == 413
    assert service.rows(tables.unsubscribed) == []


def test_names_of_any_kind_are_escaped_and_a_silence_takes_no_other(database):
    put_alert(database, subject=EVIL, said=json.dumps({"title": EVIL}))
    put_alert(database, subject=EVIL.replace("*", "star"))
    with served(database, organisation=EVIL) as service:
        about = people_key(database, EVIL)
        path = service.link("silence", about, recipient=EVIL)
        for answer in (
            service.ask("GET", path),
            service.ask("POST", path, {"duration": "1h", "why": ""}),
            service.ask("POST", path, {"duration": "1h", "why": EVIL}),
            service.ask("GET", path),
            service.ask("GET", service.link("unsubscribe", EVIL, recipient=EVIL)),
        ):
            assert "<script" not in answer.raw
            assert "&lt;script&gt;" in answer.raw
        (row,) = service.rows(tables.silence)
        with database.read() as conn:
            quiet = people.standing(conn, [], NOW)
    assert row["subject"].startswith("<script>")
    assert (quiet.firing, quiet.silenced) == (2, 1)


def people_key(database, subject):
    with database.read() as conn:
        return next(a.key for a in people.alerts(conn) if a.subject == subject)


def test_planned_maintenance_is_shown(database):
    put_alert(database)
    window = Window(NOW - 5, NOW + 5, "new racks")
    with served(database, windows=(window,)) as service:
        assert "Quiet maintenance: new racks" in service.ask("GET", service.link()).text


def test_a_database_that_is_gone_is_said_calmly(sqlite_url, tmp_path):
    from monitor.storage.engine import Database

    database = Database(sqlite_url)
    put_alert(database)
    with served(database) as service:
        database.close()
        (tmp_path / "crossover.db").write_bytes(b"no database, but longer than a header" * 200)
        answer = service.ask("POST", service.link(), {})
    assert answer.status == 503
    assert "Nothing changed." in answer.text
    assert str(tmp_path) not in answer.raw


def test_a_link_stands_in_no_log(service, caplog):
    caplog.set_level("DEBUG")
    path = service.link()
    token = urlsplit(path).path.rpartition("/")[2]
    for method in ("GET", "POST", "POST"):
        service.ask(method, path, {})
    # pytest listens to the log of requests too, which the service itself has switched off.
    said = [r.getMessage() for r in caplog.records if r.name != "uvicorn.access"]
    assert "acknowledge by link of ann@example.org: crossing/v1/bot on own" in said
    assert token not in "\n".join(said)
