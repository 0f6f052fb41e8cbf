"""The pages that links of mails lead to: GET shows, POST acts.

Programs that read mail follow links, with GET and HEAD, to look for harm: neither changes
anything. Nobody logs in: the signed link is the permission, for one thing and one time.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import FileSystemLoader
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from monitor.domain import links
from monitor.domain.errors import CrossoverError, InputError, LinkError
from monitor.domain.links import Link
from monitor.domain.names import clean_name
from monitor.domain.silences import LONGEST_BY_LINK, Window, suppressed
from monitor.domain.usage import DAY
from monitor.jobs import answers, recommendation
from monitor.jobs.alerting import Policy
from monitor.storage import people
from monitor.storage.engine import Database
from monitor.web.guard import POLICY, content_policy, with_form
from reports import render
from reports.language import AS_IT_COMES, Style

log = logging.getLogger("crossover.web")

_HERE = Path(__file__).parent / "templates"
STYLE = (_HERE / "page.css").read_text("utf-8")
_PAGES = render.environment(FileSystemLoader(_HERE))

_STATUS = {"unreadable": 404, "forged": 403, "expired": 410}

_BUTTON = {
    "acknowledge": "Acknowledge",
    "silence": "Silence",
    "snooze": "Snooze",
}
_DOES = {
    "acknowledge": "The alert is marked as taken care of by you. It stays as it is and ends by "
    "itself; who looks at it sees your name.",
    "snooze": "No message about this alert leaves until the end that you choose. The alert itself "
    "goes on being watched.",
    "silence": "No message about this rule and subject leaves until the end that you choose, in "
    "any period. The alert itself goes on being watched.",
}
_STYLES = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_ONE_CLICK = ("List-Unsubscribe", "One-Click")
"""The body that RFC 8058 lets mail programs send."""


class Desk(NamedTuple):
    """What answering links needs."""

    database: Database
    secret: Callable[[], str]
    """What links are signed with."""
    clock: Callable[[], float]
    organisation: str
    timezone: str = "UTC"
    windows: Sequence[Window] = ()
    policy: Policy | None = None
    """What recommendations are shown with; None: they are not."""
    style: Style = AS_IT_COMES

    def routes(self) -> list[Route]:
        """`/act/TOKEN`, `/unsubscribe/TOKEN` and `/report/TOKEN`."""
        act, unsubscribe = self._endpoint(self._act), self._endpoint(self._unsubscribe)
        return [
            Route("/report/{token}", self._endpoint(self._report), methods=["GET"]),
            Route("/act/{token}", act, methods=["GET", "POST"]),
            Route("/unsubscribe/{token}", unsubscribe, methods=["GET", "POST"]),
        ]

    def _endpoint(self, handle: Callable[[Request, Mapping[str, str], Link], Response]) -> Any:
        def read(request: Request, form: Mapping[str, str]) -> Response:
            try:
                token = request.path_params["token"]
                return handle(request, form, links.read(self.secret(), token, self._now()))
            except LinkError as error:
                return self._refused(error)
            except InputError as error:
                return self._page(
                    "said.html", 400, title=_sentence(error.message), lines=[error.remedy]
                )
            except CrossoverError as error:
                log.warning("a link could not be answered: %s", error)
            except Exception:
                log.exception("a link could not be answered")
            return self._page(
                "said.html",
                503,
                title="This cannot be answered just now.",
                lines=["Nothing changed. Try again in a few minutes."],
            )

        return with_form(read, self._too_large)

    def _now(self) -> int:
        return int(self.clock())

    def _page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        html = _PAGES.get_template(template).render(
            style=STYLE, organisation=self.organisation, **values
        )
        return HTMLResponse(html, status)

    def _too_large(self) -> HTMLResponse:
        return self._page("said.html", 413, title="That is more than this page takes.", lines=[])

    def _refused(self, error: LinkError) -> HTMLResponse:
        command = _command(error.link) if error.link else "crossover alerts list"
        return self._page(
            "said.html",
            _STATUS[error.cause],
            title=_sentence(error.message),
            lines=["Nothing changed. Where Crossover runs, this does the same:"],
            command=command,
        )

    # -- alerts ---------------------------------------------------------------------------------

    def _act(self, request: Request, form: Mapping[str, str], link: Link) -> Response:
        if link.action not in links.ANSWERS:
            raise LinkError("unreadable")
        if request.method != "POST":
            with self.database.read() as conn:
                return self._shown(conn, link, form)
        zone = ZoneInfo(self.timezone)
        try:
            with self.database.write() as conn:
                done = answers.by_link(conn, link, form, self._now(), zone)
        except InputError as error:
            with self.database.read() as conn:
                return self._shown(conn, link, form, str(error))
        if done.changed:
            log.info("%s by link of %s: %s", link.action, link.recipient, link.about)
        return self._page(
            "said.html",
            200 if done.changed else 409,
            title=done.said,
            lines=["This takes it back where Crossover runs:"] if done.undo else [],
            command=done.undo or ("" if done.changed else _command(link)),
        )

    def _shown(
        self, conn: Connection, link: Link, form: Mapping[str, str], problem: str = ""
    ) -> Response:
        now, zone = self._now(), ZoneInfo(self.timezone)
        alert = answers.find(conn, link.about)
        used = people.link_used_at(conn, link.nonce)
        quiet = suppressed(alert.rule, alert.subject, people.unended(conn, now), self.windows, now)
        longest = LONGEST_BY_LINK.get(link.action, 0)
        open_ = used is None and (alert.firing or link.action != "acknowledge")
        return self._page(
            "answer.html",
            422 if problem else 200,
            title=f"{_BUTTON[link.action]}: {alert.rule} of {alert.subject}",
            problem=problem,
            facts=_facts(alert, link, quiet, zone),
            does=_DOES[link.action],
            used=answers.moment(used, zone) if used is not None else "",
            open=open_,
            choices=answers.CHOICES.get(link.action, {}),
            needs_why=link.action == "silence",
            button=_BUTTON[link.action],
            form={"why": form.get("why", ""), "date": form.get("date", "")},
            chosen=form.get("duration", "1d"),
            longest_days=longest // DAY,
            zone=self.timezone,
            command=_command(link),
            why_cap=answers.WHY_CAP,
        )

    # -- reports --------------------------------------------------------------------------------

    def _report(self, _request: Request, _form: Mapping[str, str], link: Link) -> Response:
        """The recommendation of a day, as who got the report may read it."""
        if link.action != "report" or self.policy is None:
            raise LinkError("unreadable")
        with self.database.read() as conn:
            html = recommendation.page(conn, links.read_about(link.about), self.policy, self.style)
        (style,) = _STYLES.findall(html)
        return HTMLResponse(html, headers={POLICY: content_policy(style)})

    def _unsubscribe(self, request: Request, form: Mapping[str, str], link: Link) -> Response:
        if link.action != "unsubscribe":
            raise LinkError("unreadable")
        if request.method == "POST":
            self._subscription(form, link)
        with self.database.read() as conn:
            left = people.left(conn, link.recipient, link.about)
        return self._page("unsubscribe.html", link=link, left=left, title=_left_title(link, left))

    def _subscription(self, form: Mapping[str, str], link: Link) -> None:
        leave = form.get(_ONE_CLICK[0]) == _ONE_CLICK[1] or form.get("do") == "unsubscribe"
        if not leave and form.get("do") != "subscribe":
            raise InputError("nothing was chosen", "Use a button of the page.")
        with self.database.write() as conn:
            if leave:
                changed = people.unsubscribe(conn, link.recipient, link.about, self._now())
            else:
                changed = people.subscribe(conn, link.recipient, link.about)
        if changed:
            what = "unsubscribed from" if leave else "subscribed to"
            log.info("%s %s %s by link", link.recipient, what, link.about)


def _left_title(link: Link, left: bool) -> str:
    if left:
        return f"{link.recipient} no longer gets the report {link.about}."
    return f"{link.recipient} gets the report {link.about}."


def _facts(alert: people.Alert, link: Link, quiet: str, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Label and value of each line that says what the link is about."""
    said = json.loads(alert.said or "{}")
    state = alert.status
    if alert.since is not None and alert.firing:
        state += f" since {answers.moment(alert.since, zone)}"
    taken = ""
    if alert.acknowledged:
        taken = alert.acknowledged_by
        taken += f": {alert.acknowledged_why}" if alert.acknowledged_why else ""
    rows = [
        ("For", link.recipient),
        ("Alert", str(said.get("title", ""))),
        ("Period", alert.period),
        ("State", f"{state} ({alert.severity})"),
        ("Acknowledged", taken),
        ("Quiet", quiet),
        ("Link works until", answers.moment(link.expires, zone)),
    ]
    return [(label, clean_name(value, 400)) for label, value in rows if value]


def _command(link: Link) -> str:
    about, who = quote(link.about), quote(link.recipient)
    if link.action == "acknowledge":
        return f"crossover alerts ack {about}"
    if link.action == "unsubscribe":
        return f"crossover report unsubscribe {who} {about}"
    if link.action == "report":
        return _report_command(link)
    # A silence from the command line takes patterns; of one alert it is a snooze.
    return f"crossover alerts snooze {about} --for 1d"


def _report_command(link: Link) -> str:
    try:
        about = links.read_about(link.about)
    except LinkError:
        return "crossover report weekly"
    return f"crossover report recommendation {quote(clean_name(about.workload))}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
