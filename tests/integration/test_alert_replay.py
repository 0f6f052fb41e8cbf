"""A replay of stored history says what the daemon said, writes nothing, and tries other limits."""

from datetime import UTC, datetime, time

import pytest
from sqlalchemy import text

from monitor.domain.errors import InputError
from monitor.domain.grouping import QuietHours, Rhythm
from monitor.domain.notices import from_json
from monitor.domain.routing import Route, Routes
from monitor.domain.rulebook import BOOK, LIMITS, Limits
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import decisions, notify, watching
from monitor.jobs.decide import decide
from monitor.jobs.notify import Telling
from monitor.jobs.replay import NOT_STORED, Span, replay
from monitor.storage import tables, work
from monitor.storage.engine import Database
from reports.channels.kinds import COMPOSERS
from tests import seeded
from tests.cli import crossover

TO, OPS = "ann@acme.example", "ops@acme.example"
FIRST = seeded.END - 8 * DAY
SETTLE = 6 * HOUR
REPLAYED = {name: rule for name, rule in BOOK.items() if name not in NOT_STORED}
ROUTES = Routes(
    (Route([OPS, "pager"], (), "telemetry_lost"), Route([TO, OPS], ["warning"], "spend*")), [TO]
)
TELLING = Telling(
    "Acme",
    seeded.ENVELOPE,
    composers={"pager": COMPOSERS["pagerduty"]},
    rhythm=Rhythm(quiet=[QuietHours(time(20), time(9), "UTC")]),
)


def policy(**changes):
    return seeded.policy(TO, **{"rules": REPLAYED, "routes": ROUTES, **changes})


def change(conn, sql, **bound):
    conn.execute(text(sql), bound)


def silence(conn, rule, until):
    change(
        conn,
        'INSERT INTO silence (kind, rule, subject, since, until, "by", why)'
        " VALUES ('silence', :r, '*', 0, :u, 'bob', 'asked')",
        r=rule,
        u=until,
    )


def eventful(conn):
    """A week of leaks that end, a bill that differs, GPUs that fall silent, and quiet."""
    seeded.fill(conn, decided=False)
    change(
        conn,
        "UPDATE usage_day SET estimated_pico = estimated_pico * 4 WHERE day IN (:a, :b)"
        " AND series_id IN (SELECT id FROM series WHERE project = 'proj_search')",
        a=seeded.END - 5 * DAY,
        b=seeded.END - 4 * DAY,
    )
    change(conn, "UPDATE bill SET amount_pico = amount_pico / 2")
    silent = seeded.END - 5 * DAY + 4 * HOUR
    change(
        conn,
        "DELETE FROM gpu_hour WHERE hour >= :a AND hour < :b",
        a=silent,
        b=silent + 20 * HOUR,
    )
    change(conn, "UPDATE contract SET valid_to = :t", t=seeded.END + 17 * DAY)
    silence(conn, "gpu_idle", seeded.END + 90 * DAY)
    silence(conn, "unreconciled*", seeded.END - 3 * DAY)


def live(database, chosen, telling):
    """As the daemon's ticks have it: hour by hour, each closed day once it has settled."""
    for hour in range(FIRST + HOUR, seeded.END + SETTLE + 1, HOUR):
        at, as_of = hour + 7, hour - SETTLE
        if as_of % DAY == 0 and as_of > FIRST:
            _decide(database, as_of, at, chosen)
        watching.hourly(database, at, chosen, SETTLE)
        notify.tell(database, telling, at)


def _decide(database, as_of, at, chosen):
    key = f"decide/{as_of}"
    row = {"period_end": as_of, "due_at": at, "added_at": as_of}
    with database.write() as conn:
        work.plan(conn, [work.Planned(key, "decide", as_of - DAY, as_of, at, "due")], at)
        decide(conn, work.Claim("run", key, "t", 0, row), at, chosen)
        done = "UPDATE run SET state = 'done', finished_at = :t WHERE run_key = :k"
        change(conn, done, t=at, k=key)


def sent(database):
    """What left, by the minute: recipient, subject and alerts of each message."""
    with database.read() as conn:
        messages = conn.execute(text("SELECT * FROM outbox WHERE kind IN ('alert', 'digest')"))
        messages = messages.mappings().all()
        told = "SELECT dedup_key, document, recipient FROM notice WHERE state = 'told' ORDER BY id"
        notices = [(key, from_json(said), to) for key, said, to in conn.execute(text(told))]
    return sorted(
        (
            row["created_at"] // 60,
            row["recipient"],
            row["subject"],
            tuple(
                (said.key, said.edge)
                for key, said, to in notices
                if to == row["recipient"] and row["dedup_key"].startswith(key)
            ),
        )
        for row in messages
    )


def replayed(database, chosen, telling=TELLING, **options):
    with database.read() as conn:
        return replay(conn, Span(FIRST, seeded.END), chosen, telling, SETTLE, **options)


def plain(found):
    return sorted((m.at // 60, m.recipient, m.subject, m.alerts) for m in found.messages)


def everything(database):
    """Every row of every table."""
    with database.read() as conn:
        return {
            table.name: sorted(map(repr, conn.execute(table.select())))
            for table in tables.metadata.sorted_tables
        }


def test_a_replay_gives_the_messages_that_were_sent_over_the_same_history(database):
    with database.write() as conn:
        eventful(conn)
    chosen = policy()
    live(database, chosen, TELLING)
    with database.write() as conn:
        # What people decide and silence later is not known before.
        at = datetime.fromtimestamp(seeded.END + DAY, UTC)
        decisions.decide(conn, "support-bot", "", "reject", None, "not now", "bob", at)
        change(
            conn,
            'INSERT INTO silence (kind, rule, subject, since, until, "by", why)'
            " VALUES ('silence', '*', '*', :s, :u, 'bob', 'tired')",
            s=seeded.END + DAY,
            u=seeded.END + 9 * DAY,
        )
    before = everything(database)
    found = replayed(database, chosen)
    assert found.notes == []
    assert plain(found) == sent(database)
    assert everything(database) == before
    _is_worth_replaying(found)


def _is_worth_replaying(found):
    counted = {row.rule: row for row in found.rules}
    assert {edge for m in found.messages for _, edge in m.alerts} == {"firing", "resolved"}
    for rule in ("budget", "spend_anomaly", "unreconciled_spend", "expiry", "move"):
        assert counted[rule].messages, rule
    # Told to people and to the pager, and its end too; the second time it is night.
    assert counted["telemetry_lost"][1:4] == (2, 1, 5)
    assert {m.recipient for m in found.messages} == {TO, OPS, "pager"}
    assert found.waiting
    # Silenced throughout.
    assert counted["gpu_idle"].messages == 0


@pytest.fixture
def history(database):
    """The same week without the daemon's own hours: days are looked at once they have settled."""
    with database.write() as conn:
        eventful(conn)
    return database


def test_one_rule_is_told_alone_and_other_limits_are_tried(history):
    alone = replayed(history, policy(), only="spend_anomaly")
    assert [row.rule for row in alone.rules] == ["spend_anomaly"]
    named = {key.partition("/")[0] for m in alone.messages for key, _ in m.alerts}
    assert named == {"spend_anomaly"}
    assert {m.at % DAY // HOUR for m in alone.messages} == {9}
    patient = LIMITS | {"spend_anomaly": Limits(percent=900, least_usd=LIMITS["spend_anomaly"][2])}
    assert replayed(history, policy(limits=patient), only="spend_anomaly").messages == []


def test_what_cannot_be_replayed_says_so(history):
    found = replayed(history, policy(rules=BOOK))
    assert found.notes == [
        "8 of 8 days were not decided: the rules about moving and about budgets see nothing of them"
    ]
    remarks = {row.rule: row.remark for row in found.rules if row.remark}
    assert set(remarks) == {*NOT_STORED, "expiry"}
    assert remarks["internal"].startswith("not replayed: ")
    for rule, said in (
        ("source_stale", "cannot be replayed"),
        ("bugdet", "there is no rule 'bugdet'"),
        ("budget", "the rule budget is off"),
    ):
        rules = {} if rule == "budget" else BOOK
        with pytest.raises(InputError, match=said):
            replayed(history, policy(rules=rules), only=rule)
    with history.read() as conn, pytest.raises(InputError, match="the span is empty"):
        replay(conn, Span(seeded.END, seeded.END), policy(), TELLING, SETTLE)


def test_the_command_prints_messages_and_counts(sqlite_url, tmp_path):
    database = Database(sqlite_url)
    with database.write() as conn:
        eventful(conn)
    database.close()
    (tmp_path / "crossover.toml").write_text(
        f'[database]\nurl = "{sqlite_url}"\n[alerts]\nto = ["{TO}"]\n'
    )
    asked = ("alerts", "replay", "--since", "2026-11-16", "--until", "2026-11-22")
    whole = crossover(*asked, "--format", "json", cwd=tmp_path).rows
    assert set(whole) == {"messages", "rules", "waiting", "notes"}
    first = whole["messages"][0]
    assert first["recipient"] == TO
    assert first["alerts"][0]["edge"] == "firing"
    rules = {row["rule"]: row for row in whole["rules"]}
    assert rules["unreconciled_spend"]["fired"] == 1
    table = crossover(*asked, "--rule", "expiry", cwd=tmp_path)
    assert "The contract with acme ends in 21 days" in table.out
    assert "without certificates" in table.out
    lines = crossover(*asked, "--format", "csv", cwd=tmp_path).out.splitlines()
    assert lines[0] == "at,channel,recipient,subject,alerts"
    assert len(lines) == len(whole["messages"]) + 1
    wrong = crossover("alerts", "replay", "--since", "yesterday", cwd=tmp_path)
    assert (wrong.code, "Traceback" in wrong.err) == (2, False)
    late = crossover(
        "alerts", "replay", "--since", "2999-01-01", "--until", "2999-01-09", cwd=tmp_path
    )
    assert late.code == 2
    assert "are not closed yet" in late.err
