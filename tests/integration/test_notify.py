"""From signals to messages: who is told what, once, by real rows on both engines."""

import email
import json
import threading
from email.policy import default

import pytest
from sqlalchemy import text

from monitor.domain.alerts import Rule
from monitor.domain.grouping import Rhythm
from monitor.domain.links import Place
from monitor.domain.notices import Said
from monitor.domain.routing import Route, Routes
from monitor.domain.signals import Signal
from monitor.domain.silences import Silence
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import notify
from monitor.jobs.alerting import raise_signals
from monitor.jobs.notify import Telling
from monitor.storage import people, work
from monitor.storage.engine import Database
from reports.channels.kinds import COMPOSERS
from tests import seeded

NOW = seeded.END
TO, OTHER = "ann@acme.example", "bob@acme.example"
RULES = {
    "budget": Rule("budget", 1, "warning", owner="finance", runbook="https://wiki/b"),
    "source_stale": Rule("source_stale", 1, "critical", cadence="hourly"),
}
SAID = Said("Budget support reached 80%", "$32,000 of $40,000 are spent.", query="SELECT 1")


def signal(holds, day=0, rule="budget", subject="support", **changes):
    found = Signal(rule, subject, NOW + day * DAY, holds, SAID, workload="support-bot")
    return found._replace(**changes)


def policy(**changes):
    return seeded.policy(TO, rules=RULES, **changes)


def see(database, *signals, now=None, **changes):
    quiet, late = changes.pop("quiet", None), changes.pop("late", ())
    with database.write() as conn:
        at = max(s.as_of for s in signals) if now is None else now
        raise_signals(conn, signals, at, policy(**changes), quiet, late)


def tell(database, day=0.0, **changes):
    return seeded.tell(database, NOW + round(day * DAY), **changes)


def rows(database, sql):
    with database.read() as conn:
        return [dict(row) for row in conn.execute(text(sql)).mappings()]


def mails(database):
    with database.read() as conn:
        found = conn.scalars(text("SELECT message FROM outbox ORDER BY id"))
        return [email.message_from_bytes(raw, policy=default) for raw in found]


def subjects(database):
    return [(m["To"], m["Subject"]) for m in mails(database)]


def test_an_edge_is_told_once_and_its_end_to_those_who_heard_it(database):
    see(database, signal(True))
    assert tell(database) == 1
    assert tell(database) == 0
    see(database, signal(True, 1))
    assert tell(database, 1) == 0
    see(database, signal(False, 2))
    tell(database, 2)
    assert subjects(database) == [(TO, SAID.title), (TO, f"Resolved: {SAID.title}")]
    (alert,) = rows(database, "SELECT DISTINCT rule, severity, workload, status_now FROM v_alerts")
    assert alert == {
        "rule": "budget v1",
        "severity": "warning",
        "workload": "support-bot",
        "status_now": "resolved",
    }
    assert [r["state"] for r in rows(database, "SELECT state FROM v_notices")] == ["told", "told"]


def test_alerts_of_one_round_are_one_message_and_the_next_waits_its_time(database):
    see(database, signal(True), signal(True, subject="search"))
    rhythm = Rhythm()
    assert tell(database, rhythm=rhythm) == 1
    see(database, signal(True, subject="third"))
    assert tell(database, 0.2, rhythm=rhythm) == 0
    assert tell(database, 0.25, rhythm=rhythm) == 1
    assert [s for _, s in subjects(database)] == [f"{SAID.title} (and 1 more)", SAID.title]


def test_a_message_waits_for_the_round_that_is_under_way(database):
    run = work.Planned("decide/x", "decide", NOW - DAY, NOW, NOW)
    with database.write() as conn:
        work.plan(conn, [run], NOW)
    see(database, signal(True))
    assert tell(database) == 0
    assert tell(database, 601 / DAY) == 1


def test_what_began_and_ended_untold_is_told_to_nobody(database):
    see(database, signal(True))
    see(database, signal(False, 1))
    assert tell(database, 1) == 0
    assert {r["state"] for r in rows(database, "SELECT state FROM v_notices")} == {"dropped"}


def test_unknown_and_late_data_change_no_state(database):
    see(database, signal(True))
    tell(database)
    see(database, signal(None, 1))
    see(database, signal(False, 2, sources=("openai",)), late={"openai"})
    assert rows(database, "SELECT status_now FROM v_alerts") == [{"status_now": "firing"}]


def test_a_silence_that_ends_lets_the_alert_be_told_after_all(database):
    with database.write() as conn:
        people.add_silence(
            conn, Silence(0, "silence", "bud*", "*", NOW, NOW + 2 * DAY, "me", "a test")
        )
    see(database, signal(True))
    assert tell(database) == 0
    see(database, signal(True, 1))
    assert tell(database, 1) == 0
    see(database, signal(True, 3))
    assert tell(database, 3) == 1


def test_who_took_it_up_is_not_told_again_but_hears_of_the_end(database):
    see(database, signal(True))
    tell(database)
    with database.write() as conn:
        people.acknowledge(conn, people.alert(conn, "1").id, "ann", "known", NOW + HOUR)
    see(database, signal(True, 1, rank=0))
    assert tell(database, 1) == 0
    see(database, signal(False, 2))
    assert tell(database, 2) == 1


def test_a_higher_threshold_is_told_while_the_alert_stands(database):
    for day, rank in enumerate((0, 0, 2, 1)):
        see(database, signal(True, day, rank=rank, period="2026-11"))
        tell(database, day)
    assert len(mails(database)) == 2


def test_a_new_period_and_a_new_version_begin_afresh_and_end_the_old_in_silence(database):
    see(database, signal(True, period="2026-10"))
    tell(database)
    see(database, signal(True, 1, period="2026-11"))
    tell(database, 1)
    changed = {**RULES, "budget": Rule("budget", 2, "warning")}
    with database.write() as conn:
        again = signal(True, 2, period="2026-11")
        raise_signals(conn, [again], again.as_of, policy()._replace(rules=changed))
    tell(database, 2)
    assert len(mails(database)) == 3
    ended = rows(database, "SELECT reason FROM v_alerts WHERE became = 'resolved' ORDER BY at")
    assert [row["reason"] for row in ended] == ["Its period ended.", "The rule was changed."]


def test_routes_send_it_to_the_owner_and_to_channels_each_in_a_message_of_its_own(database):
    routes = Routes([Route(["pager"], rule="source_*"), Route([OTHER], owner=True)], [TO])
    owners = {"support-bot": TO}
    see(
        database,
        signal(True),
        signal(True, rule="source_stale", subject="openai"),
        signal(True, rule="source_stale", subject="other"),
        routes=routes,
        owners=owners,
    )
    composers = {"pager": COMPOSERS["pagerduty"]}
    assert tell(database, composers=composers) == 4
    sent = rows(database, "SELECT channel, recipient FROM outbox ORDER BY channel, recipient")
    assert [row["recipient"] for row in sent] == ["pager", "pager", TO, OTHER]
    with database.read() as conn:
        raw = conn.scalars(text("SELECT message FROM outbox WHERE channel = 'pager'")).all()
    assert {json.loads(bytes(each))["payload"]["component"] for each in raw} == {"openai", "other"}


def test_a_channel_that_is_configured_no_more_keeps_its_notices(database):
    see(database, signal(True), routes=Routes((), ["gone"]))
    assert tell(database) == 0
    assert rows(database, "SELECT state FROM v_notices") == [{"state": "waiting"}]


def test_links_act_in_the_name_of_who_gets_them(database):
    see(database, signal(True), routes=Routes((), [TO, OTHER]))
    place = Place("https://crossover.acme.example", "s3cret", 14)
    tell(database, envelope=seeded.ENVELOPE._replace(place=place))
    links = [
        {w for w in m.get_body(("plain",)).get_content().split() if "/act/" in w}
        for m in mails(database)
    ]
    assert all(len(found) == 3 for found in links)
    assert not links[0] & links[1]


def test_two_daemons_tell_once(postgres_url):
    first, second = Database(postgres_url), Database(postgres_url)
    see(first, signal(True), signal(True, subject="search"), routes=Routes((), [TO, OTHER]))
    ready = threading.Barrier(2)

    def go(database):
        ready.wait()
        notify.tell(database, Telling("Acme", seeded.ENVELOPE), NOW)

    threads = [threading.Thread(target=go, args=(d,)) for d in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(to for to, _ in subjects(first)) == [TO, OTHER]
    first.close()
    second.close()


def test_one_target_whose_message_fails_keeps_no_other_waiting(database):
    def broken(_group):
        raise RuntimeError("template")

    see(database, signal(True), routes=Routes((), ["chat", TO]))
    composers = {"chat": COMPOSERS["slack"]._replace(compose=broken)}
    assert tell(database, composers=composers) == 1
    states = rows(database, "SELECT recipient, state FROM v_notices ORDER BY recipient")
    assert states == [
        {"recipient": TO, "state": "told"},
        {"recipient": "chat", "state": "waiting"},
    ]


def test_an_unstable_alert_is_told_once_and_then_by_the_digest(database):
    for day in range(9):
        see(database, signal(day % 2 == 0, day))
        tell(database, day + 0.1)
    loud = [s for _, s in subjects(database) if not s.startswith("Digest")]
    assert [s.partition(":")[0] for s in loud[1::1]][-1] == "Unstable"
    assert len(loud) == 5
    tell(database, 20)
    assert subjects(database)[-1][1].startswith("Digest: ")


@pytest.mark.parametrize("off", [{}, {"other": Rule("other", 1, "warning")}])
def test_a_rule_that_is_off_raises_nothing(database, off):
    with database.write() as conn:
        raise_signals(conn, [signal(True)], NOW, policy()._replace(rules=off))
    assert rows(database, "SELECT * FROM v_alerts") == []
