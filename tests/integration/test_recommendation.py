"""The recommendation end to end: one document everywhere, traced, sent, linked, and with its alert."""

import email
import http.client
import json
import re
import shlex
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor import library
from monitor.cli import app
from monitor.domain import links
from monitor.domain.cost_lines import fill_in
from monitor.domain.errors import InputError
from monitor.domain.links import About, Place
from monitor.domain.notices import from_json
from monitor.domain.rulebook import BOOK
from monitor.domain.scenario import parse_tables, to_document
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import recommendation as job
from monitor.jobs import report
from monitor.jobs.recommendation import Enclosing
from monitor.storage import setup
from monitor.storage.engine import Database
from monitor.web.app import serving
from monitor.web.desk import Desk
from monitor.web.guard import content_policy
from reports import pdf
from tests import needs, seeded
from tests.golden import golden

ABOUT = About("2026-11-23", "support-bot", "own-h100")
TO = "ann@acme.example"
SECRET = "s" * 32
PLACE = Place("https://crossover.acme.example", SECRET, 14)
RULES = {name: BOOK[name] for name in (*job.CARRIES, "about_to_cross", "internal")}
POLICY = seeded.policy(TO, guide=library.guide(), rules=RULES)


def document(people=7_975):
    """A deployment as the configuration stores it: what it leaves out is assumed, with its source."""
    cost = {**seeded._COST, "people_usd_per_month": people}
    moving = {"setup_usd": 30_000, "lead_days": 45}
    filling = fill_in(library.costs(), cost, moving, hardware={})
    tables = {
        "workload": {"requests_per_month": 1, "input_tokens": 1, "output_tokens": 1},
        "api": {"input_usd_per_million": 1, "output_usd_per_million": 1},
        "deployment": filling.cost,
        "migration": filling.migration,
    }
    return json.dumps(
        {
            "scenario": to_document(parse_tables(tables)),
            "peak_given": False,
            "assumed": list(filling.assumed),
            "lines": list(filling.lines),
            "facts": {"options": {"batch_share": 0.1}},
        }
    )


def fill(conn):
    """Traffic, and the week's last four days decided, with everything that advice can rest on."""
    deployments = [
        setup.DeploymentSetup("own-h100", "support-bot", document()),
        setup.DeploymentSetup("own-dear", "support-bot", document(people=40_000)),
        setup.DeploymentSetup("own-h100-search", "search", document()),
    ]
    setup.apply(conn, seeded.configured()._replace(deployments=deployments))
    seeded.put_traffic(conn)
    seeded.refresh(conn)
    seeded.decide_days(conn, 4, POLICY)


@pytest.fixture(scope="module")
def template(sqlite_template, tmp_path_factory):
    path = tmp_path_factory.mktemp("recommendation") / "filled.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = Database(f"sqlite:///{path}")
    with opened.write() as conn:
        fill(conn)
    with opened.writer.connect() as conn:
        conn.connection.cursor().execute("VACUUM INTO ?", (f"{path}.copy",))
    opened.close()
    return Path(f"{path}.copy")


@pytest.fixture
def filled(template, tmp_path):
    path = tmp_path / "crossover.db"
    path.write_bytes(template.read_bytes())
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


def rendered(database, about=ABOUT):
    with database.read() as conn:
        return job.render(conn, about, POLICY)


def test_the_recommendation_reads_as_it_did(filled):
    found = rendered(filled)
    golden("recommendation", found)
    assert [image.cid for image in found.images] == ["cost"]


@pytest.mark.postgres
def test_both_engines_give_the_same_document(filled, postgres_url):
    other = Database(postgres_url)
    with other.write() as conn:
        fill(conn)
    assert rendered(other) == rendered(filled)
    other.close()


def test_a_day_is_shown_as_it_stood_whatever_came_later(filled):
    before = rendered(filled)
    with filled.write() as conn:
        row = {"period_end": seeded.END + DAY, "due_at": 0, "added_at": 0}
        conn.execute(text("UPDATE watermark SET closed_through = closed_through + 86400"))
        seeded.decide(
            conn, seeded.work.Claim("run", "d", "t", 0, row), seeded.END + 30 * HOUR, POLICY
        )
    assert rendered(filled) == before
    with filled.read() as conn:
        assert job.choose(conn, POLICY, "support-bot").day == "2026-11-24"


def test_the_deployment_that_asks_for_most_is_chosen(filled):
    with filled.read() as conn:
        assert job.choose(conn, POLICY, "support-bot") == ABOUT
        assert job.choose(conn, POLICY, "support-bot", "own-dear").deployment == "own-dear"
        for wrong in (("nobody",), ("support-bot", "nowhere"), ("support-bot", "", "yesterday")):
            with pytest.raises(InputError):
                job.choose(conn, POLICY, *wrong)
        with pytest.raises(InputError, match="nothing was advised"):
            job.choose(conn, POLICY, "support-bot", "", "2026-10-01")


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def crossover(filled, tmp_path):
    config = tmp_path / "crossover.toml"
    config.write_text(
        f"""[organisation]
name = "Acme"
[database]
url = "{filled.shown}"
[report]
to = ["{TO}", "bob@acme.example"]
"""
    )
    return lambda *words: CliRunner().invoke(app, ["--config", str(config), *map(str, words)])


def test_the_command_prints_text_page_and_figures(crossover, filled):
    told = crossover("report", "recommendation", "support-bot").stdout
    assert told == rendered(filled).text
    page = crossover("report", "recommendation", "support-bot", "--format", "html").stdout
    assert page.count('src="data:image/png;base64,') == 1
    found = json.loads(
        crossover("report", "recommendation", "support-bot", "--format", "json").stdout
    )
    assert (found["deployment"], found["as_of"]) == ("own-h100", "2026-11-23")
    assert found["figures"]["recommendation.setup_usd"] == "30000.000000"
    assert len(found["tables"]["plan"]) == len(found["recommendation"]["plan"]) == 4


@pytest.mark.parametrize(("ending", "begins"), [("html", b"<!"), ("txt", b"Acme")])
def test_the_command_writes_the_form_that_the_ending_names(crossover, tmp_path, ending, begins):
    path = tmp_path / "new" / f"found.{ending}"
    assert crossover("report", "recommendation", "search", "--output", path).exit_code == 0
    assert path.read_bytes().startswith(begins)
    wrong = crossover("report", "recommendation", "search", "--output", "x.docx").exception
    assert isinstance(wrong, InputError)
    assert wrong.message == "x.docx ends in none of .html, .txt, .pdf"


def test_the_command_sends_it_once_to_each_reader(crossover, filled):
    first, second = (crossover("report", "recommendation", "support-bot", "--send") for _ in "12")
    assert "2 messages wait in the outbox" in first.stderr
    assert "is in the outbox already" in second.stderr
    mail = mails(filled)[0]
    assert mail["Subject"].startswith("Move support-bot: saves")
    assert mail["Date"] == "Mon, 23 Nov 2026 00:00:00 +0000"
    assert attached(mail)[0] == "recommendation-support-bot.html"


def mails(database):
    with database.read() as conn:
        found = conn.scalars(text("SELECT message FROM outbox ORDER BY id"))
        return [email.message_from_bytes(raw, policy=default) for raw in found]


def attached(mail):
    return [part.get_filename() for part in mail.iter_attachments() if part.get_filename()]


@pytest.mark.proof
def test_every_figure_of_it_is_what_explain_prints(crossover):
    shown = crossover("report", "recommendation", "support-bot").stdout
    named, checked = [], 0
    for line in shown.partition("\nFIGURES\n-------\n")[2].splitlines():
        if line.startswith("--"):
            named = shlex.split(line)
        elif figure := re.fullmatch(r"([\w.]+) =( .*)?", line):
            done = crossover(
                "explain", figure[1], "--as-of", "2026-11-23", *named, "--format", "json"
            )
            found = json.loads(done.stdout)
            assert "FROM v_" in found["sql"]
            assert said(found) == (figure[2] or "").strip(), figure[1]
            checked += 1
    assert checked > 65


def said(found):
    """What the list says of a figure that `explain` printed."""
    if "rows" in found:
        return f"{len(found['rows'])} row{'' if len(found['rows']) == 1 else 's'}"
    if found["value"] is None:
        return "unknown"
    shown = str(found["value"])
    if found["unit"] in ("text", "day", "month", "instant"):
        return shown
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"{shown} {found['unit']}"


def test_explain_takes_one_period(crossover):
    two = crossover("explain", "spend.week", "--as-of", "2026-11-23", "--week", "2026-W47")
    assert two.exception.message == "--week and --as-of are two periods"
    plain = crossover("explain", "recommendation.plan", "--as-of", "2026-11-23")
    assert plain.exception.remedy == "Add --workload --deployment."


# --- the page --------------------------------------------------------------------------------


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    found = reply.status, reply.headers, reply.read().decode()
    connection.close()
    return found


def test_the_weekly_report_links_to_a_page_that_shows_it_under_a_strict_policy(filled):
    envelope = POLICY.envelope._replace(place=PLACE, report="finance")
    with filled.read() as conn:
        weekly = report.render_week(
            conn, seeded.WEEK, POLICY._replace(envelope=envelope), seeded.DUE
        )
    urls = re.findall(r'href="([^"]+)"', weekly.html)
    assert len(urls) == 3
    assert all(url in weekly.text for url in urls)
    desk = Desk(filled, lambda: SECRET, lambda: seeded.DUE, "Acme", policy=POLICY)
    with serving(lambda: {"ok": True}, "127.0.0.1", 0, desk) as port:
        paths = [url.removeprefix(PLACE.url) for url in urls]
        status, headers, page = ask(port, paths[0])
        assert ask(port, paths[0])[2] == page
        forged = ask(port, paths[0][:-1] + ("A" if paths[0][-1] != "A" else "B"))[0]
        late = Desk(filled, lambda: SECRET, lambda: seeded.DUE + 93 * DAY, "Acme", policy=POLICY)
    assert status == 200
    assert "Move support-bot: saves" in page
    assert "style=" not in page
    assert not re.search(r"<script|<img|src=|url\(", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert headers["content-security-policy"] == content_policy(style)
    assert headers["cache-control"] == "no-store"
    assert forged == 403
    with serving(lambda: {"ok": True}, "127.0.0.1", 0, late) as port:
        status, _, page = ask(port, paths[0])
    assert status == 410
    assert "crossover report recommendation support-bot" in page


def test_a_link_for_one_thing_opens_no_other(filled):
    desk = Desk(filled, lambda: SECRET, lambda: seeded.DUE, "Acme", policy=POLICY)

    def path(action, about):
        link = links.Link(action, about, "finance", seeded.DUE + DAY)
        return f"/report/{links.sign(SECRET, link)}"

    with serving(lambda: {"ok": True}, "127.0.0.1", 0, desk) as port:
        assert ask(port, path("acknowledge", ABOUT.text))[0] == 404
        assert ask(port, path("report", "finance"))[0] == 404
        assert ask(port, path("report", '["recommendation"]'))[0] == 404
        gone = ask(port, path("report", ABOUT._replace(workload="<b>").text))
        assert gone[0] == 400
        assert "<b>" not in gone[2].partition("</head>")[2]
        assert ask(port, path("report", ABOUT.text))[0] == 200


# --- with an alert ---------------------------------------------------------------------------


def test_the_alert_of_a_move_brings_it_along(filled):
    seeded.tell(filled, seeded.END + 7 * HOUR, enclosing=Enclosing(POLICY))
    (mail,) = mails(filled)
    assert mail["Subject"].startswith("Move support-bot")
    assert attached(mail)[0] == "recommendation-support-bot.html"
    part = next(iter(mail.iter_attachments()))
    assert part.get_content_type() == "text/html"
    assert "Move support-bot: saves" in part.get_content()
    body = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "Attached: recommendation-support-bot.html" in body


def test_without_the_job_nothing_is_attached_and_nothing_is_said(filled):
    seeded.tell(filled, seeded.END + 7 * HOUR)
    (mail,) = mails(filled)
    assert attached(mail) == []
    assert "recommendation" not in mail.get_body(("plain",)).get_content()


def test_an_alert_leaves_without_what_cannot_be_made_and_says_so(filled, monkeypatch):
    def broken(*_):
        raise RuntimeError("the \u202eprinter\nis out of paper")

    enclosing = Enclosing(POLICY)
    with monkeypatch.context() as patched:
        patched.setattr(job, "render", broken)
        seeded.tell(filled, seeded.END + 7 * HOUR, enclosing=enclosing)
    (mail,) = mails(filled)
    assert attached(mail) == []
    body = " ".join(mail.get_body(("plain",)).get_content().split())
    assert (
        "The recommendation for support-bot on own-h100 is not attached in full (the printer is out"
        in body
    )
    assert internal(filled) == ["firing"]
    seeded.tell(filled, seeded.END + 8 * HOUR)
    assert "1 recommendation could not be made" in mails(filled)[-1]["Subject"]
    with filled.read() as conn:
        (notice,) = [n for n in notices(conn) if job.carries(n)][:1]
        made = enclosing.make(conn, [notice])
    enclosing.report(filled, made, seeded.END + 9 * HOUR)
    assert internal(filled) == ["resolved"]


def test_an_alert_leaves_even_where_looking_for_what_it_brings_fails(filled, monkeypatch):
    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(Enclosing, "make", broken)
    assert seeded.tell(filled, seeded.END + 7 * HOUR, enclosing=Enclosing(POLICY)) == 1
    body = " ".join(mails(filled)[0].get_body(("plain",)).get_content().split())
    assert "is not attached in full (it was not made): crossover report recommendation" in body


def notices(conn):
    return [
        from_json(row) for row in conn.scalars(text("SELECT document FROM notice ORDER BY id DESC"))
    ]


def internal(database):
    with database.read() as conn:
        return list(
            conn.scalars(
                text(
                    "SELECT DISTINCT status_now FROM v_alerts WHERE subject = 'recommendations'"
                    " ORDER BY 1"
                )
            )
        )


def test_an_alert_whose_recommendation_is_fine_raises_nothing(filled):
    seeded.tell(filled, seeded.END + 7 * HOUR, enclosing=Enclosing(POLICY))
    assert internal(filled) == []


@pytest.mark.proof
def test_the_alert_brings_a_pdf_where_the_extra_is_there(filled):
    needs.pango()
    seeded.tell(filled, seeded.END + 7 * HOUR, enclosing=Enclosing(POLICY, as_pdf=True))
    (mail,) = mails(filled)
    names = attached(mail)
    assert [name.rpartition(".")[2] for name in names] == ["html", "pdf"] * (len(names) // 2)
    last = list(mail.iter_attachments())[-1]
    assert last.get_content_type() == "application/pdf"
    assert last.get_content().startswith(b"%PDF-")


def test_a_pdf_that_fails_leaves_the_page(filled, monkeypatch):
    monkeypatch.setattr(pdf, "available", lambda: False)
    with filled.read() as conn:
        found = job.files(job.render(conn, ABOUT, POLICY), ABOUT, as_pdf=True)
    assert [file.filename for file in found.files] == ["recommendation-support-bot.html"]
    assert found.failed.startswith("its PDF: a PDF needs the extra `pdf`")
