"""Mischief that real and other fake servers make, drawn by a seeded dice, one piece a request.

`Mischief` stands in for a fake's `faults`. While it is wild it refuses, cuts, drips, spoils and
changes the truth between two pages; tamed, it still writes what is true in every odd way that JSON
and HTTP allow.
"""

import copy
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import formatdate
from typing import Any

from tests import fake_api
from tests.fake_api import Fault, Handler, Refusal

Page = dict[str, Any]
MARK = "spoiled"
"""Stands in each row that was made unreadable, so that quarantine can be told from loss."""
DRIPS = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"
COUNTS = ("tokens", "requests", "total")


class Mischief:
    """An endless queue of faults.

    Args:
        rng: the dice.
        change: changes the truth while an answer is read.
        measures: names of fields without which a row cannot be counted.
    """

    def __init__(self, rng: random.Random, change: Callable[[], None], measures: tuple[str, ...]):
        self._rng = rng
        self._change = change
        self._measures = measures
        self._last: tuple[object, list[Any]] = ((), [])
        self.wildness = 0.0
        self.style: Sequence[Callable[..., None]] = ()

    def __bool__(self) -> bool:
        return True

    def popleft(self) -> Fault:
        if self._rng.random() >= self.wildness:
            return self._answer
        return self._rng.choice(
            [
                self._refused,
                self._refused,
                self._broken,
                self._useless,
                self._spoiled,
                self._spoiled,
                self._part,
                self._moved,
            ]
        )

    # --- No answer ---

    def _refused(self, handler: Handler) -> None:
        limited = [
            {"Retry-After": "1"},
            {"Retry-After": formatdate(time.time() + 2, usegmt=True)},
            {"Retry-After": formatdate(time.time() - 60, usegmt=True)},
            {"retry-after-ms": "20"},
            {"Retry-After": "soon"},
            {},
        ]
        status = self._rng.choice([429, 429, 429, 500, 502, 503, 504, 529, 408])
        headers = self._rng.choice(limited) if status in (429, 503) else {}
        fake_api.failing(status, "Not now", headers)(handler)

    def _broken(self, handler: Handler) -> None:
        body = self._body(handler)
        half = body[: self._rng.randrange(len(body))]
        self._rng.choice(
            [
                lambda: fake_api.hanging_up(handler),
                lambda: handler.wfile.write(head(len(body)) + half),
                lambda: handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + half),
                lambda: handler.wfile.write(chunked_head() + chunk(half)),
                lambda: handler.wfile.write(b"HTTP/1.1 2"),
                lambda: fake_api.dripping(DRIPS, b" ")(handler),
            ]
        )()
        handler.close_connection = True

    def _useless(self, handler: Handler) -> None:
        gzip = {"Content-Encoding": "gzip"}
        status, body, headers = self._rng.choice(
            [
                (200, b"<html>Please log in</html>", {}),
                (200, b"", {}),
                (204, b"", {}),
                (200, b"null", {}),
                (200, b"[" * 5_000, {}),
                (200, b"{}", {}),
                (200, fake_api.bomb(100), gzip),
                (200, b"\x1f\x8b not at all", gzip),
                (200, b"{}", {"Content-Encoding": "br"}),
                (200, b" " * 3_000_000, {}),
                (302, b"", {"Location": "http://127.0.0.1:9/"}),
                (403, b'{"error": {"message": "no"}}', {}),
                (404, b"", {}),
                (401, b'{"error": "no"}', {}),
                (418, b"\xff\xfe", {}),
            ]
        )
        handler.send(status, body, headers)

    # --- Answers that cannot be true ---

    def _spoiled(self, handler: Handler) -> None:
        """Some rows cannot be read; the others are as true as ever."""

        def spoil(page: Page) -> None:
            rows = list(rows_of(page))
            for row in self._rng.sample(rows, min(len(rows), 2)):
                name = self._rng.choice([name for name in self._measures if name in row])
                wrong = self._rng.choice([-1, "many", 10**30, True, [1], {}, float("nan")])
                whole = {MARK: True, **row, name: wrong}
                row.clear()
                row.update(whole)

        self._answer(handler, spoil)

    def _part(self, handler: Handler) -> None:
        """Something is missing that a careful reader notices, or a bucket that none can."""
        self._answer(
            handler,
            self._rng.choice(
                [
                    lambda page: page.pop("data"),
                    lambda page: page.update(data=None),
                    lambda page: page.update(has_more=True, next_page=None, total_pages=99),
                    lambda page: page.update(has_more=True, next_page="", total="x"),
                    lambda page: page.update(has_more=True, next_page=7, total=10**9),
                    lambda page: page["data"] and page["data"].pop(),
                    lambda page: page.update(data=page["data"] * 2),
                ]
            ),
        )

    def _moved(self, handler: Handler) -> None:
        """The truth changes between two pages."""
        self._change()
        self._answer(handler)

    # --- Answers that are true, written oddly ---

    def _answer(
        self, handler: Handler, change: Callable[[Page], object] = lambda page: None
    ) -> None:
        try:
            body = self._body(handler, change)
        except Refusal as refusal:
            fake_api.failing(refusal.status, str(refusal))(handler)
            return
        self._send(handler, body)

    def _body(
        self, handler: Handler, change: Callable[[Page], object] = lambda page: None
    ) -> bytes:
        request = handler.request_seen
        page = copy.deepcopy(handler.fake.page(request))
        asked = (request.path, sorted(pair for pair in request.query if pair[0] != "page"))
        before = self._last[1] if self._last[0] == asked and request.all("page") else []
        self._last = (asked, copy.deepcopy(page["data"]))
        for odd in self.style:
            if self._rng.random() < 0.4:
                odd(self._rng, page, request, before)
        change(page)
        odd = self._rng.random() < 0.5 and overlapping not in self.style
        return dumps(self._rng, page) if odd else fake_api.dumps(page)

    def _send(self, handler: Handler, body: bytes) -> None:
        if self._rng.random() >= 0.3:
            handler.send(200, body)
            return
        how = self._rng.choice(["gzip", "deflate", "chunked", "closing", "slow"])
        if how in ("gzip", "deflate"):
            handler.send(200, fake_api.packed(body, how), {"Content-Encoding": how})
        elif how == "chunked":
            pieces = [body[at : at + 997] for at in range(0, len(body), 997)]
            handler.wfile.write(chunked_head() + b"".join(map(chunk, pieces)) + b"0\r\n\r\n")
        elif how == "closing":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
            handler.close_connection = True
        else:
            handler.wfile.write(head(len(body)))
            step = -(-len(body) // 4)
            for at in range(0, len(body), step):
                handler.wfile.write(body[at : at + step])
                time.sleep(0.002)


def head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()


def chunked_head() -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if piece else b""


def rows_of(page: Page) -> Iterator[dict[str, Any]]:
    """The objects that hold the measures, whatever the page is shaped like."""
    for each in page["data"]:
        if "results" in each:
            yield from each["results"]
        elif "group" in each:
            yield each.get("usage") or each["cost"]
        else:
            yield each


def dumps(rng: random.Random, page: Page) -> bytes:
    """Amounts with an exponent or in quotes."""

    def written(number: Decimal) -> str:
        return str(number.normalize()) if len(number.as_tuple().digits) < 28 else f"{number:f}"

    quoted = rng.random() < 0.5
    text = json.dumps(
        page, default=lambda n: written(n) if quoted else f"\0{written(n)}\0", ensure_ascii=False
    )
    return text.replace('"\\u0000', "").replace('\\u0000"', "").encode("utf-8", "replace")


# --- Oddities: (dice, page, request, the page before it) ---


def unknown_fields(rng: random.Random, page: Page, *_: Any) -> None:
    page["x_new"] = {"deep": [1, None, {"tokens": 5}]}
    for each in (*page["data"], *rows_of(page)):
        each["x_new"] = rng.choice([None, 1, {}, [{"input_tokens": 9}]])


def out_of_order(rng: random.Random, page: Page, *_: Any) -> None:
    rng.shuffle(page["data"])
    for each in page["data"]:
        if "results" in each:
            rng.shuffle(each["results"])


def counts_in_quotes(rng: random.Random, page: Page, *_: Any) -> None:
    change_counts(page, rng.choice([str, float]))


def change_counts(found: Any, change: Callable[[int], Any]) -> None:
    for name, value in found.items() if isinstance(found, dict) else enumerate(found):
        counts = isinstance(name, str) and name.endswith(COUNTS) and name != "total_is_capped"
        if counts and type(value) is int and value < 10**15:
            found[name] = change(value)
        elif isinstance(value, dict | list):
            change_counts(value, change)


def without_nulls(rng: random.Random, page: Page, *_: Any) -> None:
    for row in rows_of(page):
        for name in [name for name, value in row.items() if value is None]:
            del row[name]


def neighbours(rng: random.Random, page: Page, request: Any, *_: Any) -> None:
    """A bucket beside the window, which another question asks for."""
    if "has_more" not in page or request.all("page") or not page["data"]:
        return
    beside = copy.deepcopy(rng.choice(page["data"]))
    (width,) = request.all("bucket_width") or request.all("time_bucket_width")
    end = window_start(request)
    start = end - {"1h": 3600, "1d": 86_400}[width]
    if "start_time" in beside:
        beside.update(start_time=start, end_time=end)
    else:
        beside.update(starting_at=rfc(start), ending_at=rfc(end))
    page["data"].insert(0, beside)


def window_start(request: Any) -> int:
    for at in request.all("start_time"):
        return int(at)
    (at,) = request.all("starting_at")
    return int(datetime.fromisoformat(at).timestamp())


def rfc(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def overlapping(rng: random.Random, page: Page, request: Any, before: list[Any]) -> None:
    """The page begins with the end of the one before."""
    if "has_more" in page and len(before) > 2 and page["data"]:
        page["data"][:0] = copy.deepcopy(before[-1:])


def nothing_yet(rng: random.Random, page: Page, request: Any, before: list[Any]) -> None:
    """An empty page before the first."""
    if "has_more" in page and not request.all("page"):
        page.update(data=[], has_more=True, next_page=fake_api.cursor(request, start_of(request)))


def start_of(request: Any) -> int:
    """Where a cursor of the first page leads: a bucket, or row 0."""
    return 0 if "/analytics/" in request.path else window_start(request)


def elsewhere(rng: random.Random, page: Page, *_: Any) -> None:
    """Instants in other words: with another zone, or with none where the table has none."""
    for each in page["data"]:
        if "startTime" in each:
            at = datetime.fromisoformat(each["startTime"])
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            east = timedelta(hours=rng.choice([0, 2]))
            each["startTime"] = rng.choice(
                [
                    at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
                    at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                    at.astimezone(timezone(east)).isoformat(),
                ]
            )
            if rng.random() < 0.3 and isinstance(each.get("metadata"), dict):
                each["metadata"] = json.dumps(each["metadata"])
        elif "starting_at" in each:
            for name in ("starting_at", "ending_at"):
                each[name] = each[name].replace("Z", "+00:00")


WRITTEN_ODDLY = (
    neighbours,
    nothing_yet,
    unknown_fields,
    out_of_order,
    counts_in_quotes,
    without_nulls,
    elsewhere,
)
# An overlap is one only where both pages write their rows alike.
STYLES = ((), (overlapping,), WRITTEN_ODDLY)
