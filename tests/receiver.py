"""The real OTLP receiver on a port of this machine, and what it counted."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from collectors import otlp
from monitor.config import Settings
from monitor.domain.intake import Sender
from monitor.domain.usage import Quantities
from monitor.jobs import telemetry
from monitor.storage import rollup, setup, tokens
from monitor.storage.engine import Database
from monitor.web.app import serving
from monitor.web.intake import Intake
from monitor.wiring.intake import intake_limits, signals

RECORDED = Path(__file__).parent / "fixtures" / "otlp"
SCENARIOS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir())
THEN = 1_795_212_900
"""Just after the recordings."""
SETTLE = 6 * 3600
TOTALS = ("input", "output", "cache_read", "cache_write", "requests")


class Sent(NamedTuple):
    """One recorded request."""

    path: str
    kind: str
    encoding: str | None
    body: bytes

    @property
    def signal(self) -> str:
        return self.path.rpartition("/")[2]


def recorded(scenario: str) -> list[Sent]:
    """The requests of a scenario in the order of arrival."""
    found = []
    for head in sorted((RECORDED / scenario).glob("0*.json")):
        said = json.loads(head.read_text())
        body = head.with_suffix(".bin").read_bytes()
        found.append(Sent(said["path"], said["content-type"], said["content-encoding"], body))
    return found


def expected(scenario: str) -> dict:
    return json.loads((RECORDED / scenario / "expected.json").read_text())


class Receiver:
    """A database, and the service before it while `listening`."""

    def __init__(self, url: str, now: int = THEN, settings: Settings | None = None) -> None:
        self.database = Database(url)
        self.settings = settings or Settings()
        self.now, self.port, self.secret = now, 0, ""
        with self.database.write() as conn:
            setup.apply(conn, setup.Setup((), (), (), (), ()))

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        if not self.secret:
            with self.database.write() as conn:
                wanted = tokens.TokenSetup(f"t{time.monotonic_ns()}", "otel", ("otlp",))
                self.secret = tokens.create(conn, wanted, {}, self.now)
        intake = Intake(
            self.database, lambda: self.now, signals(self.settings), intake_limits(self.settings)
        )
        with serving(lambda: {"ok": True}, "127.0.0.1", 0, intake=intake) as self.port:
            yield self

    def post(self, sent: Sent) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer."""
        headers = {"Content-Type": sent.kind, "Authorization": f"Bearer {self.secret}"}
        headers |= {"Content-Encoding": sent.encoding} if sent.encoding else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", sent.path, sent.body, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheader("content-type", ""), reply.read()
        finally:
            connection.close()

    def read(self, sent: Sent, body: bytes) -> telemetry.Telemetry:
        """What an inflated body says."""
        return otlp.Reader(sent.signal).read(body, sent.kind, self.now)

    def store(self, *found: telemetry.Telemetry, source: str = "otel", choices=()) -> None:
        """As one transaction of the service would."""
        sender = Sender(1, "t", source, frozenset({"otlp"}))
        with self.database.write() as conn:
            telemetry.store(conn, [(sender, each) for each in found], self.now, SETTLE, choices)

    def rows(self, sql: str, **values):
        with self.database.read() as conn:
            return [tuple(row) for row in conn.execute(text(sql), values)]

    def streams(self) -> dict[str, dict[str, dict[str, int]]]:
        """What each stream has seen by model, whether it counts or not; input is gross."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        names = ", ".join(f"SUM(u.{name})" for name in Quantities._fields)
        for stream, model, *sums in self.rows(
            f"SELECT t.name, s.model, {names} FROM usage u JOIN series s ON s.id = u.series_id"
            " JOIN stream t ON t.id = s.stream_id GROUP BY t.name, s.model"
        ):
            used = Quantities(*(int(n or 0) for n in sums))
            found.setdefault(stream, {})[model] = gross(used, disjoint="claude_code" in stream)
        return found

    def counted(self) -> dict[str, dict[str, int]]:
        """What counts by model, in disjoint classes, once it is rolled up."""
        with self.database.write() as conn:
            waiting = rollup.waiting(conn)
            rollup.refresh(conn, waiting, lambda *_: None, (), self.now)
        names = ("uncached_input", "cache_read", "cache_write", "output", "requests")
        return {
            model: dict(zip(names, (int(n or 0) for n in sums), strict=True))
            for model, *sums in self.rows(
                f"SELECT model, {', '.join(f'SUM({name})' for name in names)}"
                " FROM v_usage_daily GROUP BY model"
            )
        }

    def close(self) -> None:
        self.database.close()


def gross(used: Quantities, *, disjoint: bool) -> dict[str, int]:
    n = used._asdict()
    written = n["cache_write"] + n["cache_write_long"]
    whole = n["uncached_input"] + (0 if disjoint else n["cache_read"] + written)
    values = (whole, n["output"], n["cache_read"], written, n["requests"])
    return dict(zip(TOTALS, values, strict=True))
