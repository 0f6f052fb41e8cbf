"""PDFs, laid out by the real engine and read back: A4, numbered, and nothing is fetched for them."""

import email
import http.server
import io
import threading
from email.policy import default
from typing import ClassVar

import pypdf
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.config import Settings
from monitor.domain.errors import CrossoverError, InputError
from monitor.jobs import editions
from monitor.jobs.report import standalone
from monitor.storage.engine import Database
from monitor.wiring import alerting, parts, probes, reporting
from reports import pdf, recommendation, workbook
from tests import needs, seeded
from tests.unit.test_recommendation_report import EVILS, facts, line
from tests.weekly_facts import breakeven, judged

A4 = (595, 842)


@pytest.fixture(autouse=True)
def _library():
    needs.pango()


def read(made):
    return pypdf.PdfReader(io.BytesIO(made))


def words(reader):
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


def test_a_recommendation_is_numbered_pages_of_a4_and_the_same_each_time():
    lines = [line(f"line {n}", source="x" * 200) for n in range(20)]
    html = standalone(recommendation.build(facts(tables={"lines": lines})))
    made = pdf.make(html)
    found = read(made)
    assert len(found.pages) > 2
    for number, page in enumerate(found.pages, 1):
        assert tuple(round(float(side)) for side in page.mediabox[2:]) == A4
        assert f"{number} / {len(found.pages)}" in page.extract_text()
    assert "Move support-bot: saves" in words(found)
    assert pdf.make(html) == made


def test_names_of_any_kind_are_laid_out():
    evil = " ".join(EVILS)
    found = recommendation.build(
        facts(row=breakeven(workload=evil, deployment=EVILS[1], reason=evil, **judged()))
    )
    made = read(pdf.make(standalone(found)))
    assert "What would flip it" in words(made)
    assert not any("/JS" in str(page) or "/URI" in str(page) for page in made.pages)


class Seen(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    "page",
    [
        '<img src="http://127.0.0.1:{port}/pixel">',
        '<link rel="stylesheet" href="http://127.0.0.1:{port}/style">',
        '<p style="background: url(http://127.0.0.1:{port}/ground)">x</p>',
        "<style>@import url(file:///etc/passwd); p {{ color: red }}</style><p>x</p>",
        '<img src="file:///etc/hostname">',
        '<link rel="attachment" href="file:///etc/passwd">',
        '<a rel="attachment" href="file:///etc/passwd">x</a>',
        '<img src="//127.0.0.1:{port}/relative">',
    ],
)
def test_a_page_that_asks_for_anything_gives_no_pdf_of_it(page):
    Seen.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seen)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        html = "<!doctype html><p>1</p>" + page.format(port=server.server_port)
        found = made_or_refused(html)
    finally:
        server.shutdown()
        server.server_close()
    assert Seen.asked == []
    # An address without a base is none, and what is no attachment of a page is not looked at.
    assert "could not be laid out" in found or found in ("1 Crossover 1 / 1", "1 x Crossover 1 / 1")


def made_or_refused(html):
    """The words of a page, or why there is none."""
    try:
        made = read(pdf.make(html))
    except CrossoverError as error:
        return str(error)
    assert not made.attachments
    return words(made)


def test_what_takes_too_long_or_is_too_large_ends_with_a_reason():
    with pytest.raises(CrossoverError, match=r"took more than 0\.01 seconds"):
        pdf.make("<p>1</p>", timeout=0.01)
    with pytest.raises(CrossoverError, match="too large for a PDF"):
        pdf.make("x" * (pdf.MOST_BYTES + 1))


def test_without_the_extra_or_its_library_the_error_names_it(monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(pdf, "find_spec", lambda _: None)
        with pytest.raises(InputError) as refused:
            pdf.make("<p>1</p>")
    assert str(refused.value) == (
        "a PDF needs the extra `pdf`. Install it: pip install 'crossover-monitor[pdf]'."
    )
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')")
    monkeypatch.setattr(pdf, "_PATH", f"{tmp_path}:{pdf._PATH}")
    with pytest.raises(InputError) as refused:
        pdf.make("<p>1</p>")
    assert "the system library Pango: cannot load library libpango-1.0-0" in str(refused.value)
    assert "apt-get install libpango-1.0-0" in str(refused.value)


# --- reports ---------------------------------------------------------------------------------


@pytest.fixture
def filled(sqlite_url):
    opened = Database(sqlite_url)
    with opened.write() as conn:
        seeded.fill(conn)
    yield opened
    opened.close()


def settings(database, **report):
    return Settings.model_validate(
        {
            "organisation": {"name": "Acme"},
            "database": {"url": database.shown},
            "report": {"to": ["ann@acme.example"], **report},
        }
    )


def sent(database, chosen):
    issue = reporting.report_issues(chosen)["finance", "weekly"]
    key = f"finance/weekly/{seeded.WEEK}/1"
    made = editions.compose(database, key, seeded.DUE, issue, late=True)
    mail = email.message_from_bytes(made.messages[0].message, policy=default)
    return {part.get_filename(): part for part in mail.iter_attachments()}


@pytest.mark.proof
def test_the_keys_attach_a_workbook_and_the_report_as_pdf(filled):
    plain = sent(filled, settings(filled))
    found = sent(filled, settings(filled, xlsx=True, pdf=True))
    assert list(found) == [*plain, "weekly.xlsx", "weekly.pdf"]
    assert found["weekly.xlsx"].get_content_type() == workbook.MEDIA_TYPE
    made = read(found["weekly.pdf"].get_content())
    assert "Move support-bot: saves" in words(made)
    assert len(list(made.pages[0].images)) >= 1


def test_a_pdf_that_fails_keeps_no_report_back(filled, monkeypatch):
    chosen = settings(filled, pdf=True)
    monkeypatch.setattr(pdf, "TIMEOUT_SECONDS", 0)

    def late(*_, **__):
        raise CrossoverError("the PDF took more than 0 seconds")

    monkeypatch.setattr(pdf, "make", late)
    assert "weekly.pdf" not in sent(filled, chosen)


@pytest.mark.parametrize("extra", ["pdf", "xlsx"])
def test_a_file_that_needs_what_is_not_installed_is_refused_at_the_start(
    filled, monkeypatch, extra
):
    module = {"pdf": pdf, "xlsx": workbook}[extra]
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=f"needs the extra `{extra}`"):
        parts.handlers(settings(filled, **{extra: True}))
    assert parts.handlers(settings(filled))


def test_the_daemon_s_alerts_bring_what_the_machine_can_make(filled, monkeypatch):
    chosen = settings(filled)
    assert alerting.telling(chosen).enclosing.as_pdf
    monkeypatch.setattr(pdf, "find_spec", lambda _: None)
    found = alerting.telling(chosen, demo=True).enclosing
    assert (found.as_pdf, found.policy.demo) == (False, True)


def test_check_tries_the_files_that_are_asked_for(filled, monkeypatch):
    def said(chosen):
        return {probe.what: probe.attempt for probe in probes.probes(chosen, seeded.DUE)}

    assert "files of reports" not in said(settings(filled))
    assert said(settings(filled, pdf=True))["files of reports"]() == "can be made"
    monkeypatch.setattr(pdf, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="needs the extra `pdf`"):
        said(settings(filled, pdf=True))["files of reports"]()


@pytest.mark.parametrize(
    "command",
    [
        ("weekly", "--week", seeded.WEEK),
        ("monthly", "--month", "2026-10"),
        ("recommendation", "support-bot"),
    ],
)
def test_each_report_can_be_written_as_one(filled, tmp_path, command):
    config = tmp_path / "crossover.toml"
    config.write_text(f'[database]\nurl = "{filled.shown}"\n')
    path = tmp_path / "found.pdf"
    words_ = ["--config", str(config), "report", *command, "--output", str(path)]
    done = CliRunner().invoke(app, words_)
    assert done.exit_code == 0, done.exception
    assert f"wrote {path}" in done.stderr
    assert "Crossover" in words(read(path.read_bytes()))
    with filled.read() as conn:
        assert conn.scalar(text("SELECT COUNT(*) FROM outbox")) == 0
