"""An alert and its advice never contradict each other: every kind of advice through the real job."""

import email
import itertools
import json
import re
from email.policy import default
from fractions import Fraction

import pytest
from sqlalchemy import text

from monitor.domain.advice import Advice, Kind
from monitor.domain.breakeven import assess
from monitor.domain.rulebook import BOOK
from monitor.domain.usage import DAY
from monitor.jobs import crossings
from monitor.jobs.alerting import raise_signals
from monitor.jobs.basis import Basis, at_volume
from monitor.storage import demand, results
from tests import seeded
from tests.weekly_facts import scenario

MOVES = {"self_host", "self_host_with_fallback", "hybrid", "pilot"}
POLICY = seeded.policy(
    "ann@acme.example", rules={name: BOOK[name] for name in ("move", "return_to_api")}
)
CHEAP, DEAR = scenario(people=1000), scenario(people=40_000)
ON_API = [kind for kind in Kind if kind is not Kind.RETURN_TO_API]


@pytest.fixture
def filled(sqlite_url):
    from monitor.storage.engine import Database

    opened = Database(sqlite_url)
    with opened.write() as conn:
        seeded.fill(conn, decided=False)
    yield opened
    opened.close()


class Days:
    """One workload day by day: what the daily decision hands to the alerts."""

    def __init__(self, database, of):
        self.database, self.day = database, itertools.count(seeded.END, DAY)
        self.found = {
            q: assess(at_volume(of, round(of.workload.requests_per_month * Fraction(factor))))
            for q, factor in (("q10", "0.9"), ("q50", "1"), ("q90", "1.1"))
        }
        self.basis = Basis(of, [], ["energy"])

    def advise(self, kind, runs_on="api", held=""):
        """A day of this advice, with a stored comparison behind it; ten make an edge of each."""
        as_of = next(self.day)
        with self.database.write() as conn:
            workload = next(w for w in demand.workloads(conn) if w.name == "support-bot")
            workload = workload._replace(runs_on=runs_on, must_stay_in_house=held)
            (deployment,) = demand.deployments(conn, workload.id)
            advice = Advice(kind, f"The reason of {kind}.", as_of)
            row = {"workload_id": workload.id, "deployment_id": deployment.id, "as_of": as_of}
            said = {"kind": str(kind), "reason": advice.reason, "since": as_of, "state": "{}"}
            results.put_advice(conn, row | said | {"document": json.dumps({"assumed_zero": []})})
            seen = crossings.Seen(workload, deployment, as_of, advice, "2026-11")
            signals = crossings.signals(conn, seen, self.found, self.basis, {}, POLICY)
            quiet = crossings.quiet(conn, seen, POLICY, as_of)
            raise_signals(conn, signals, as_of, POLICY, quiet)
        seeded.tell(self.database, as_of)

    def messages(self):
        with self.database.read() as conn:
            found = conn.execute(
                text("SELECT message FROM outbox WHERE kind = 'alert' ORDER BY id")
            )
            mails = [email.message_from_bytes(row, policy=default) for row in found.scalars()]
        return [(m["Subject"], m.get_body(("plain",)).get_content()) for m in mails]


def says(subject, body, kind):
    """Where a message tells the reader to go, checked against the advice."""
    body = " ".join(body.split())
    leaves = re.search(r"should leave the API|Move it, keep|Move the share", body)
    if kind not in MOVES:
        assert not leaves
        assert not re.match("Move|Pilot", subject)
    if kind == "pilot":
        assert subject.startswith("Pilot ")
        assert not leaves
    if kind in MOVES:
        assert "Stay" not in subject
        assert "Advice: Stay" not in body
    if kind == "return_to_api":
        assert subject.startswith("Return ")
        assert "own GPUs save" not in subject
    assert f"The reason of {kind}." in body


@pytest.mark.parametrize("of", [CHEAP, DEAR], ids=["saves", "costs"])
@pytest.mark.parametrize("kind", ON_API)
def test_what_an_edge_says_is_what_is_advised(filled, kind, of):
    days = Days(filled, of)
    other = Kind.SELF_HOST if kind in (Kind.STAY, Kind.STAY_BUT_CHANGE) else Kind.STAY
    for _ in range(10):
        days.advise(other)
    before = len(days.messages())
    for _ in range(10):
        days.advise(kind)
    told = days.messages()[before:]
    assert len(told) == 1
    says(*told[0], str(kind))


@pytest.mark.parametrize("of", [CHEAP, DEAR], ids=["saves", "costs"])
def test_a_return_says_what_it_costs_where_own_servers_are_cheaper(filled, of):
    days = Days(filled, of)
    for _ in range(10):
        days.advise(Kind.RETURN_TO_API, "self_host")
    (told,) = days.messages()
    says(*told, "return_to_api")
    assert ("that costs" in told[0]) == (of is CHEAP)


@pytest.mark.parametrize("runs_on", ["self_host", "hybrid"])
def test_who_follows_the_advice_is_not_told_to_stay_after_all(filled, runs_on):
    days = Days(filled, CHEAP)
    for _ in range(10):
        days.advise(Kind.SELF_HOST)
    for _ in range(10):
        days.advise(Kind.SELF_HOST, runs_on)
    assert [subject.partition(":")[0] for subject, _ in days.messages()] == ["Move support-bot"]


@pytest.mark.parametrize("kind", [Kind.SELF_HOST, Kind.PILOT])
def test_what_may_not_leave_the_house_is_told_no_step_on_an_api(filled, kind):
    days = Days(filled, DEAR)
    for _ in range(10):
        days.advise(kind, held="The data may not leave the network")
    ((_, body),) = days.messages()
    body = " ".join(body.split())
    assert "made-up or cleared data" in body
    assert not re.search("both sides|API as fallback", body)


@pytest.mark.parametrize("choice", ["accept", "defer", "reject"])
def test_what_was_decided_is_not_alerted(filled, choice):
    from datetime import UTC, datetime

    from monitor.jobs.decisions import decide

    with filled.write() as conn:
        at = datetime.fromtimestamp(seeded.END, UTC)
        until = seeded.END + 90 * DAY if choice == "defer" else None
        decide(conn, "support-bot", "", choice, until, "the budget", "ann", at)
    days = Days(filled, CHEAP)
    for _ in range(10):
        days.advise(Kind.SELF_HOST)
    assert days.messages() == []
