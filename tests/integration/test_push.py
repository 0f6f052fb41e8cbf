"""What programs send to the daemon, over real HTTP on both engines."""

import codecs
import gzip
import http.client
import json
import logging
import re
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest
import zstandard
from sqlalchemy import text
from typer.testing import CliRunner

from collectors import otlp
from collectors import push as bodies
from monitor import cli
from monitor.domain.errors import InputError
from monitor.domain.intake import Answer, Limits
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import intake, push, telemetry
from monitor.jobs.intake import Reading, Signal
from monitor.jobs.rollup import roll_up
from monitor.storage import setup, tables, tokens
from monitor.storage.engine import Database
from monitor.web.app import serving
from monitor.web.intake import Intake
from tests.factories import DAY0, make_stream

NOW = DAY0 + 9 * DAY + 12 * HOUR
SETTLE = 6 * HOUR
JSON, LINES = "application/json", "application/x-ndjson"


def event(name="r1", **changes):
    said = {"id": name, "at": NOW - 60, "provider": "openai", "model": "gpt-5-mini"}
    return said | {"uncached_input": 100, "cache_read": 20, "output": 10} | changes


def lines(*events):
    return b"\n".join(json.dumps(one).encode() for one in events)


class Reply:
    def __init__(self, reply):
        self.status = reply.status
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.raw = reply.read().decode()

    @property
    def said(self):
        return json.loads(self.raw)

    @property
    def counts(self):
        return self.said["accepted"], self.said["repeated"], len(self.said["refused"])


class Service:
    """The real server, one connection a request."""

    def __init__(self, database, now=NOW):
        self.database, self.now, self.port, self.secret = database, now, 0, ""

    def token(self, name="t", source="team", scopes=("usage",), **fixed):
        with self.database.write() as conn:
            wanted = tokens.TokenSetup(name, source, scopes, **fixed)
            return tokens.create(conn, wanted, {}, self.now)

    def post(self, body, kind=JSON, secret=None, encoding="", path="/v1/usage", **headers):
        data = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body)
        headers |= {"Content-Type": kind} if kind else {}
        headers |= {"Content-Encoding": encoding} if encoding else {}
        secret = self.secret if secret is None else secret
        headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, data, headers)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def rows(self, sql, **values):
        with self.database.read() as conn:
            return [tuple(row) for row in conn.execute(text(sql), values)]

    def totals(self):
        found = self.rows(
            "SELECT a.name, SUM(u.uncached_input), SUM(u.requests) FROM usage u"
            " JOIN series s ON s.id = u.series_id JOIN account a ON a.id = s.account_id"
            " GROUP BY a.name ORDER BY a.name"
        )
        return [(name, int(tokens), int(requests)) for name, tokens, requests in found]


@contextmanager
def opened(url):
    database = Database(url)
    yield database
    database.close()


@contextmanager
def served(database, signals=(), **limits):
    if isinstance(database, str):
        with opened(database) as found, served(found, signals, **limits) as service:
            yield service
        return
    service = Service(database)
    service.secret = service.token()
    found = Limits(**limits)
    usage = push.signal(partial(bodies.parse, most=found.events), bodies.CONTENT_TYPES, SETTLE)
    intake = Intake(database, lambda: service.now, [usage, *signals], found)
    with serving(lambda: {"ok": True}, "127.0.0.1", 0, None, intake) as port:
        service.port, service.intake = port, intake
        yield service


@pytest.fixture
def service(database):
    with served(database) as found:
        yield found


@pytest.fixture
def on_sqlite(sqlite_url):
    """For what the engine has no part in."""
    with served(sqlite_url) as found:
        yield found


def test_what_is_sent_counts_once_however_often_and_however_written_it_comes(service):
    nulls = dict.fromkeys(("output", "project", "batch"))
    sent = [event("a"), event("b", at="2026-11-10T11:59:00.5+00:00"), event("c", **nulls)]
    assert service.post(sent).counts == (3, 0, 0)
    again = [
        service.post(sent),
        service.post(lines(*sent), LINES),
        service.post(gzip.compress(json.dumps(sent).encode()), encoding="gzip"),
        service.post(zstandard.compress(lines(*sent)), LINES + "; charset=utf-8", encoding="zstd"),
        service.post(sent, kind=""),
        service.post(codecs.BOM_UTF8 + json.dumps(sent).encode()),
    ]
    assert {reply.status for reply in again} == {200}
    assert {reply.counts for reply in again} == {(0, 3, 0)}
    assert service.totals() == [("team", 300, 3)]
    assert service.post([event("a", output=11), event("d"), event("d")]).counts == (2, 1, 0)
    assert service.totals() == [("team", 400, 4)]
    assert service.rows("SELECT kind FROM source") == [("push",)]
    assert service.rows("SELECT a.name, o.name FROM account a JOIN source o ON o.id = tokens_from")
    (row,) = service.rows("SELECT closed_through, seen_at FROM watermark")
    assert row == (DAY0 + 9 * DAY, NOW)
    assert (DAY0 + 9 * DAY,) in service.rows("SELECT day FROM dirty")
    assert service.post([]).counts == (0, 0, 0)


def test_what_cannot_be_used_is_refused_by_place_id_and_reason_and_the_rest_is_stored(service):
    wrong = {
        "missing required field `provider`": {
            k: v for k, v in event("w0").items() if k != "provider"
        },
        "unknown field `prompt`": event("w1", prompt="say nothing of this"),
        "future": event("w2", at=NOW + 2 * DAY),
        "seconds": event("w3", at=NOW * 1000),
        "62 days ago": event("w4", at=NOW - 63 * DAY),
        "`int` <= 1000000000": event("w5", output=10**9 + 1),
        ">= 0": event("w6", output=-1),
        "got `float`": event("w7", output=1.5),
        "part of output, and is larger": event("w8", reasoning=11),
        "no token class": event("w9", uncached_input=None, cache_read=None, output=None),
        "timezone": event("w10", at="2026-11-10T11:59:00"),
        "control characters": event("w11\u202e"),
        "provider and model": event("w12", model="\u200b"),
        "length <= 200": event("w13", project="x" * 201),
        "got `str`": "w14",
        "is not JSON": event("w15", output=float("nan")),
        "not JSON": event("w16", model="half of a pair \ud83d"),
    }
    mixed = [one for each in wrong.values() for one in (each, event(f"ok{id(each)}"))]
    reply = service.post(mixed)
    assert reply.status == 200
    assert reply.counts == (len(wrong), 0, len(wrong))
    assert [each["index"] for each in reply.said["refused"]] == list(range(0, len(mixed), 2))
    assert reply.said["refused"][2] == {
        "index": 4,
        "id": "w2",
        "reason": "at lies in the future; a number is in seconds",
    }
    reasons = [each["reason"] for each in reply.said["refused"]]
    for said, reason in zip(wrong, reasons, strict=True):
        assert said in reason
    assert service.totals() == [("team", 100 * len(wrong), len(wrong))]
    assert service.post(mixed).counts == (0, len(wrong), len(wrong))
    kept = dict(service.rows("SELECT reason, count FROM quarantine"))
    assert kept["an unknown field"] == 2
    assert kept["at lies in the future"] == 4
    assert sum(kept.values()) == 2 * len(wrong)


def test_what_was_sent_is_rolled_up_and_told_like_that_of_any_source(service):
    late = NOW - 3 * DAY
    with service.database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (), (), ()))
    assert service.post([event("a"), event("b", at=late), event("c", at=-1)]).counts == (2, 0, 1)
    roll_up(service.database, lambda *_: None, (), NOW)
    assert service.rows(
        "SELECT day, tokens, unpriced_tokens, source FROM v_usage_daily ORDER BY day"
    ) == [
        ("2026-11-07", 130, 130, "team"),
        ("2026-11-10", 130, 130, "team"),
    ]
    assert service.rows(
        "SELECT source, kind, stream, quarantined_rows, unpriced_tokens, counts FROM v_data_quality"
    ) == [("team", "push", "events", 1, 260, "yes")]
    assert service.post([event("d", at=late)]).counts == (1, 0, 0)
    roll_up(service.database, lambda *_: None, (), NOW)
    assert service.rows("SELECT day, tokens_before, tokens_after FROM v_restatement") == [
        ("2026-11-07", 130, 260)
    ]


def test_a_day_is_complete_once_a_sender_has_sent_later_and_not_all_was_refused(on_sqlite):
    def closed():
        return on_sqlite.rows("SELECT MAX(closed_through) FROM watermark")

    assert on_sqlite.post([event("a", at=1)]).counts == (0, 0, 1)
    assert closed() == [(None,)]
    assert on_sqlite.post([]).status == 200
    assert closed() == [(DAY0 + 9 * DAY,)]
    on_sqlite.now = DAY0 + 10 * DAY + SETTLE - 1
    on_sqlite.post([])
    assert closed() == [(DAY0 + 9 * DAY,)]
    on_sqlite.now += 1
    on_sqlite.post([event("b")])
    assert closed() == [(DAY0 + 10 * DAY,)]


def test_a_line_that_is_no_json_costs_no_other(on_sqlite):
    body = lines(event("a")) + b'\n{"id": "b", "at": \n\n' + lines(event("c")) + b"\n"
    reply = on_sqlite.post(body, LINES)
    assert reply.counts == (2, 0, 1)
    assert reply.said["refused"] == [{"index": 1, "id": "", "reason": "this is not JSON"}]


def test_an_answer_names_a_hundred_and_counts_the_others(on_sqlite):
    reply = on_sqlite.post([event("x" * 300, **{"y" * 5000: 1})] * 130)
    assert (len(reply.said["refused"]), reply.said["refused_unnamed"]) == (100, 30)
    assert all(len(each["reason"]) <= 200 for each in reply.said["refused"])
    assert len(reply.raw) < 60_000


def test_every_class_and_name_arrives_where_it_belongs(on_sqlite):
    names = {n: f"the {n}" for n in tables.SERIES_DIMENSIONS if n != "batch"} | {"account": "acme"}
    counts = {name: 100 + i for i, name in enumerate(tables.QUANTITY_FIELDS)}
    counts |= {"reasoning": 3, "requests": 2}
    assert on_sqlite.post([event("a", batch=True, **names, **counts)]).counts == (1, 0, 0)
    (row,) = on_sqlite.rows(
        f"SELECT {', '.join('u.' + n for n in counts)}, s.batch, a.name,"
        f" {', '.join('s.' + n for n in names if n != 'account')}"
        " FROM usage u JOIN series s ON s.id = u.series_id JOIN account a ON a.id = s.account_id"
    )
    shown = [names[n] for n in names if n != "account"]
    assert row == (*counts.values(), "true", "acme", *shown)
    assert bodies.FIELDS[2:12] == tables.Dimensions._fields
    assert bodies.FIELDS[12:] == tables.QUANTITY_FIELDS


def test_a_long_id_is_known_by_its_digest(on_sqlite):
    long = "resp_" + "a" * 425
    assert on_sqlite.post([event(long), event(long + "b")]).counts == (2, 0, 0)
    assert on_sqlite.post([event(long)]).counts == (0, 1, 0)


def test_names_beyond_the_most_are_one_and_lose_no_token(service, monkeypatch):
    monkeypatch.setattr(intake, "MAX_SERIES", 3)
    monkeypatch.setattr(intake, "_SPARE", 1)
    for at in (60, 61):
        events = [event(f"{at}-{n}", label=f"session {n}", at=NOW - at) for n in range(5)]
        events += [event(f"{at}-m{n}", model=f"m{n}", at=NOW - at) for n in range(3)]
        assert service.post(events).counts == (8, 0, 0)
        assert service.post(events).counts == (0, 8, 0)
    assert service.rows("SELECT COUNT(*) FROM series") == [(5,)]
    assert sum(tokens for _, tokens, _ in service.totals()) == 16 * 100
    ((reason, times),) = service.rows("SELECT reason, count FROM quarantine")
    assert ("combinations" in reason, times) == (True, 4)


def test_a_token_that_fixes_names_speaks_for_nobody_else(service):
    bound = service.token("host-7", "hosts", account="acme", project="ci", label="blue")
    other = event("other", project="search")
    sent = [event("plain"), event("same", account="acme", project="ci", label="blue"), other]
    reply = service.post([*sent, event("w", account="evil"), event("v", label="x")], secret=bound)
    assert reply.counts == (2, 0, 3)
    assert [each["reason"].split(":")[0] for each in reply.said["refused"]] == [
        "project",
        "account",
        "label",
    ]
    assert service.rows("SELECT DISTINCT project, label FROM series") == [("ci", "blue")]
    assert service.totals() == [("acme", 200, 2)]
    # The same id from another source is another request, and another source does not count.
    assert service.post([event("plain", account="acme")]).counts == (1, 0, 0)
    assert service.rows("SELECT o.name FROM account a JOIN source o ON o.id = a.tokens_from") == [
        ("hosts",)
    ]


def test_a_token_is_kept_as_a_digest_used_scoped_and_revoked(service):
    narrow = service.token("narrow", "narrow", scopes=("otlp",))
    assert service.post([event()], secret=narrow).status == 403
    for forged in ("", "xo_" + "a" * 43, service.secret + "a", service.secret[:-1], "x" * 5000):
        reply = service.post([event()], secret=forged)
        assert (reply.status, reply.said) == (401, {"error": "no valid token"})
        assert reply.headers["www-authenticate"] == "Bearer"
    assert service.rows("SELECT COUNT(*) FROM request_log") == [(0,)]
    service.post([event()])
    service.now += 59
    service.post([event()])
    used = {t.name: t.last_used_at for t in listed(service)}
    assert (used["t"].timestamp(), used["narrow"]) == (NOW, None)
    service.now += 1
    service.post([event()])
    assert {t.last_used_at.timestamp() for t in listed(service) if t.name == "t"} == {NOW + 60}
    stored = str(service.rows("SELECT * FROM access_token"))
    assert service.secret not in stored
    assert re.search("[0-9a-f]{64}", stored)
    with service.database.write() as conn:
        tokens.revoke(conn, "t", service.now)
    assert service.post([event()]).status == 401


def listed(service):
    with service.database.read() as conn:
        return tokens.listed(conn)


def test_a_token_sends_so_often_and_no_more(sqlite_url):
    with served(sqlite_url, requests_per_minute=6) as service:
        other = service.token("other", "other")
        assert [service.post([]).status for _ in range(7)] == [200] * 6 + [429]
        assert service.post([]).headers["retry-after"] == "10"
        assert service.post([], secret=other).status == 200
        service.now += 10
        assert [service.post([]).status for _ in range(2)] == [200, 429]


def test_what_is_too_large_is_refused_before_it_is_read(sqlite_url):
    small = {"body_bytes": 2000, "inflated_bytes": 10_000, "events": 5}
    with served(sqlite_url, **small) as service:
        announced = service.post(b" " * 2001, secret="")
        assert (announced.status, announced.said) == (
            413,
            {"error": "a body has at most 2000 bytes"},
        )
        # In pieces, of which none says how many come.
        assert service.post(iter([b" " * 500] * 5)).status == 413
        assert service.post([event(str(i)) for i in range(5)]).status == 200
        many = [event(str(i)) for i in range(6)]
        assert service.post(many).said == {"error": "a request brings at most 5 events"}
        assert service.post(lines(*many), LINES).status == 413
        assert service.post(b"\n" * 1900, LINES).status == 200
        assert service.post(gzip.compress(b" " * 10_001), encoding="gzip").status == 413
        assert service.post(zstandard.compress(b" " * 10_001), encoding="zstd").status == 413
        assert service.rows("SELECT COUNT(*) FROM request_log") == [(5,)]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_without_being_inflated(on_sqlite, encoding):
    import tracemalloc

    zeros = b"\0" * 200_000_000
    bomb = gzip.compress(zeros, 9) if encoding == "gzip" else zstandard.compress(zeros)
    nested = bomb * (8_000_000 // len(bomb)) if encoding == "zstd" else bomb
    del zeros
    tracemalloc.start()
    reply = on_sqlite.post(nested, encoding=encoding)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (reply.status, len(nested) < 8_388_608) == (413, True)
    assert peak < 90_000_000
    assert on_sqlite.post([event()]).status == 200


NO_BODIES = [
    (b"", JSON, "", 400),
    (b"{}", JSON, "", 400),
    (b"null", JSON, "", 400),
    (b'[{"id": "a"}', JSON, "", 400),
    (b"\xff\xfe", JSON, "", 400),
    (b"[" * 200_000, JSON, "", 400),
    (b"[", JSON, "", 400),
    (b"[NaN", JSON, "", 400),
    (b"[NaN,]", JSON, "", 400),
    (b"[NaN]]", JSON, "", 400),
    (b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", JSON, "", 400),
    (b"[1" + b",1" * 3_000_000 + b"]", JSON, "", 413),
    (b"\n" * 8_000_000, LINES, "", 413),
    (b"id,at\n", "text/csv", "", 415),
    (b"[]", JSON, "br", 415),
    (b"[]", JSON, "gzip", 400),
    (b"[]", JSON, "zstd", 400),
    (gzip.compress(b"[]")[:-4], JSON, "gzip", 400),
    (zstandard.compress(b"[]" * 500)[:-2], JSON, "zstd", 400),
    (gzip.compress(b"[]") + b"more", JSON, "gzip", 400),
    (zstandard.compress(b"[]") + b"more", JSON, "zstd", 400),
    (b"", JSON, "gzip", 400),
    (b"", JSON, "zstd", 400),
    (gzip.compress(b"") * 400_000, JSON, "gzip", 400),
    (zstandard.compress(b"") * 600_000, JSON, "zstd", 400),
    (b"[]\n" * 20_000, LINES, "", 413),
]


def test_a_body_that_is_none_is_refused_as_a_whole(on_sqlite):
    for body, kind, encoding, status in NO_BODIES:
        reply = on_sqlite.post(body, kind, encoding=encoding)
        assert (reply.status, list(reply.said)) == (status, ["error"]), (body[:20], encoding)
    members = gzip.compress(b"[") + gzip.compress(b"]")
    assert on_sqlite.post(members, encoding="x-gzip").status == 200
    assert on_sqlite.post([], **{"Content-Encoding": ""}).status == 200
    # No answer leads elsewhere, and the token with it.
    assert on_sqlite.post([], path="/v1/usage/").status == 404


def test_a_body_that_does_not_arrive_is_not_waited_for(sqlite_url):
    with served(sqlite_url, body_seconds=0.2) as service:
        head = f"POST /v1/usage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.secret}\r\n"
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as slow:
            slow.sendall(f"{head}Content-Length: 100\r\n\r\n[".encode())
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as odd:
            odd.sendall(f"{head}Content-Length: -5\r\n\r\n".encode())
            assert odd.recv(1000).startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))


def test_a_body_of_otlp_that_does_not_arrive_is_asked_for_again(sqlite_url):
    wire = telemetry.Wire("/v1/traces", otlp.CONTENT_TYPES, None, None, otlp.refused)
    with served(sqlite_url, [telemetry.signal(wire, SETTLE)], body_seconds=0.2) as service:
        secret = service.token("otel", scopes=("otlp",))
        head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as slow:
            slow.sendall(f"{head}Content-Type: {JSON}\r\nContent-Length: 100\r\n\r\n{{".encode())
            answer = slow.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 5\r\n" in answer.lower()
    assert b'"code":4' in answer


def test_what_comes_while_the_service_ends_is_asked_for_again(sqlite_url):
    with served(sqlite_url) as service:
        with service.intake.running():
            assert service.post([]).status == 200
        late = service.post([event("a")])
        assert (late.status, late.said) == (503, {"error": "the service is ending"})
        assert int(late.headers["retry-after"]) > 0


CANARY = "canary-7c1d-say-this-to-nobody"


def test_neither_tokens_nor_prompts_are_logged_stored_or_answered(service, caplog):
    caplog.set_level(logging.DEBUG)
    broken = f'[{{"id": "a", "prompt": "{CANARY}'
    sent = [
        event("a", prompt=CANARY),
        event("b", messages=[{"content": CANARY}]),
        event("c", at=CANARY),
        event("d", output=CANARY),
        event("e", **{CANARY: 1}),
        {"prompt": CANARY},
        CANARY,
        event("fine"),
    ]
    replies = [
        service.post(sent),
        service.post(lines(*sent) + b"\n" + broken.encode(), LINES),
        service.post(broken.encode()),
        service.post(sent, kind=f"text/{CANARY}"),
        service.post(sent, encoding=CANARY),
        service.post(sent, secret=f"xo_{CANARY}"),
        service.post(sent, secret=f"xo_{CANARY:a<43}"[:46]),
    ]
    assert [reply.status for reply in replies] == [200, 200, 400, 415, 415, 401, 401]
    assert [reply.counts for reply in replies[:2]] == [(1, 0, 7), (0, 1, 8)]
    with service.database.read() as conn:
        stored = "\n".join(
            str(tuple(row))
            for t in tables.metadata.sorted_tables
            for row in conn.execute(t.select())
        )
    told = "".join(reply.raw for reply in replies)
    # The name of a field is told to its sender, so that the mistake is found, and kept nowhere.
    told = told.replace(f"unknown field `{CANARY}`", "")
    assert "fine" in stored
    for secret in (CANARY, service.secret):
        for place in (stored, told, caplog.text):
            assert secret not in place


def hang(release):
    """A signal whose transaction lasts until it is released."""

    def put(_conn, parcels, _now):
        assert release.wait(20)
        return [Answer(200, b"{}", JSON) for _ in parcels]

    def refuse(status, reason, kind):
        return Answer(status, reason.encode(), kind)

    return Signal("/v1/hang", "usage", [JSON], lambda b, *_: Reading(b, len(b)), put, refuse)


class Beside(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.reply = ask, None
        self.start()

    def run(self):
        self.reply = self.ask()

    def ended(self):
        self.join(20)
        return self.reply


def wait_until(holds):
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_full_queue_is_answered_at_once_and_what_was_taken_is_stored(sqlite_url):
    release = threading.Event()
    with served(sqlite_url, [hang(release)], waiting_events=6, open_requests=4) as service:

        def depth():
            said = service.get("/healthz").said
            return said["intake_requests"], said["intake_waiting"]

        held = [Beside(lambda: service.post(b"1234", path="/v1/hang"))]
        wait_until(lambda: depth() == (1, 4))
        held.append(Beside(lambda: service.post([event("a"), event("b")])))
        wait_until(lambda: depth() == (2, 6))
        full = service.post([event("c")])
        assert (full.status, full.said) == (429, {"error": "too much waits to be stored"})
        assert int(full.headers["retry-after"]) > 0
        held += [Beside(lambda: service.post([])) for _ in range(2)]
        wait_until(lambda: depth() == (4, 6))
        assert service.post([]).said == {"error": "too many requests are being read"}
        release.set()
        assert [each.ended().status for each in held] == [200] * 4
        assert depth() == (0, 0)
        assert service.totals() == [("team", 200, 2)]


def test_what_was_taken_before_the_end_is_stored_and_answered(sqlite_url):
    release = threading.Event()
    with opened(sqlite_url) as database, served(database, [hang(release)]) as service:
        first = Beside(lambda: service.post(b"1234", path="/v1/hang"))
        wait_until(lambda: service.get("/healthz").said["intake_waiting"] == 4)
        second = Beside(lambda: service.post([event("a")]))
        wait_until(lambda: service.get("/healthz").said["intake_waiting"] == 5)
        threading.Timer(0.2, release.set).start()
    assert (first.ended().status, second.ended().status) == (200, 200)
    with opened(sqlite_url) as service.database:
        assert service.totals() == [("team", 100, 1)]


def test_one_parcel_that_cannot_be_stored_costs_no_other(database, caplog):
    release = threading.Event()

    def put(_conn, parcels, _now):
        if any(parcel.found == b"bad" for parcel in parcels):
            raise KeyError("of a program")
        return [Answer(200, b"{}", JSON) for _ in parcels]

    bad = hang(release)._replace(path="/v1/bad", put=put)
    with served(database, [hang(release), bad]) as service:
        held = [Beside(lambda: service.post(b"x", path="/v1/hang"))]
        wait_until(lambda: service.get("/healthz").said["intake_waiting"] == 1)
        held += [Beside(lambda b=b: service.post(b, path="/v1/bad")) for b in (b"bad", b"well")]
        held.append(Beside(lambda: service.post([event("a")])))
        wait_until(lambda: service.get("/healthz").said["intake_waiting"] == 9)
        release.set()
        assert [each.ended().status for each in held] == [200, 500, 200, 200]
        assert service.totals() == [("team", 100, 1)]
    assert "what t sent cannot be stored" in caplog.text


def refusing(sql):
    def put(conn, parcels, now):
        conn.execute(text(sql))
        return [Answer(200, b"{}", JSON) for _ in parcels]

    def read(body, kind, sender, now):
        return Reading(body, 1)

    def refuse(status, said, kind):
        return Answer(status, said.encode(), JSON)

    return Signal("/v1/refused", "usage", (JSON,), read, put, refuse)


def test_a_value_that_the_database_refuses_is_not_worth_another_try(database):
    large = "CAST(9223372036854775807 AS BIGINT)"
    sql = f"SELECT SUM(n) FROM (SELECT {large} AS n UNION ALL SELECT {large}) t"
    if database.dialect == "postgresql":
        sql = f"SELECT {large} + {large}"
    with served(database, [refusing(sql)]) as service:
        reply = service.post([], path="/v1/refused")
    assert (reply.status, reply.headers.get("retry-after")) == (500, None)


def test_two_senders_at_once_are_stored_each_request_once(service):
    other = service.token("other", "team")
    third = service.token("third", "third")
    sent = [event(f"r{i}", account="acme") for i in range(400)]

    def send(secret, start):
        return [service.post(sent[i : i + 50], secret=secret) for i in range(start, 400 - 50, 25)]

    senders = [
        Beside(partial(send, secret, start))
        for secret, start in ((service.secret, 0), (other, 0), (third, 0), (third, 25))
    ]
    replies = [each.ended() for each in senders]
    assert {reply.status for found in replies for reply in found} == {200}
    accepted = [sum(reply.counts[0] for reply in found) for found in replies]
    assert accepted[0] + accepted[1] == 375
    assert accepted[2] + accepted[3] == 375
    assert service.rows("SELECT COUNT(*) FROM request_log") == [(750,)]
    assert service.totals() == [("acme", 75_000, 750)]


@pytest.mark.postgres
def test_a_database_that_is_gone_is_answered_with_another_try(postgres_url, postgres_template):
    from tests.conftest import _administer

    name = re.search(r"/(t[0-9a-f]+)\?", postgres_url)[1]
    with served(postgres_url) as service:
        assert service.post([event("a")]).status == 200
        _administer(postgres_template, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        _administer(
            postgres_template,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{name}' AND pid <> pg_backend_pid()",
        )
        gone = [service.post([event("b")]) for _ in range(3)]
        assert {reply.status for reply in gone} == {503}
        assert int(gone[0].headers["retry-after"]) > 0
        assert gone[0].said == {"error": "the database does not answer"}
        _administer(postgres_template, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        assert service.post([event("b")]).counts == (1, 0, 0)
        assert service.totals() == [("team", 200, 2)]


def test_a_database_that_takes_nothing_is_answered_with_another_try(on_sqlite):
    with on_sqlite.database.write() as conn:
        conn.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON request_log BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
    assert on_sqlite.post([event("a")]).status in (500, 503)
    with on_sqlite.database.write() as conn:
        conn.exec_driver_sql("DROP TRIGGER full")
    assert on_sqlite.post([event("a")]).counts == (1, 0, 0)


def test_tokens_are_made_listed_and_revoked_on_the_command_line(sqlite_url, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSOVER_DATABASE__URL", sqlite_url)

    def ran(*args):
        done = CliRunner().invoke(cli.app, ["tokens", *args])
        return done.exception if done.exit_code else done

    made = ran("create", "host-7", "--source", "hosts", "--project", "ci")
    with served(sqlite_url) as service:
        service.secret = made.stdout.strip()
        assert "not shown again" in made.stderr
        assert service.post([event("a"), event("b", project="other")]).counts == (1, 0, 1)
        (other,) = json.loads(ran("create", "host-8", "--scope", "otlp", "--format", "json").stdout)
        assert service.post([event("a")], secret=other["token"]).status == 403
        assert "there is a token 'host-7' already" in str(ran("create", "host-7"))
        assert "Scopes are usage" in str(ran("create", "x", "--scope", "all"))
        assert "name is no name" in str(ran("create", " x"))
        assert "there is no token 'nobody' in force" in str(ran("revoke", "nobody"))
        assert "token host-7 is revoked" in ran("revoke", "host-7").stderr
        assert service.post([event("a")]).status == 401
        shown = ran("list", "--format", "json").stdout
    rows = {row["name"]: row for row in json.loads(shown)}
    assert list(rows) == ["host-7", "host-8", "t"]
    assert rows["host-7"]["revoked_at"] is not None
    assert rows["host-7"]["last_used_at"] == "2026-11-10T12:00:00Z"
    assert (rows["host-8"]["source"], rows["host-8"]["scopes"]) == ("host-8", "otlp")
    assert not re.search("xo_|[0-9a-f]{64}", shown)


def test_a_token_is_not_made_for_a_source_that_is_read(database):
    with database.write() as conn:
        make_stream(conn, "openai")
        for wanted, configured in (("openai", {}), ("new", {"new": "anthropic"})):
            with pytest.raises(InputError, match="would count twice"):
                tokens.create(conn, tokens.TokenSetup("t", wanted, ("usage",)), configured, NOW)
