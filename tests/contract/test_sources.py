"""What every kind of source must do, shown on its recorded answers; a new kind needs no line here."""

import inspect
import json
import logging
import re
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from collectors import registry
from monitor.config import from_tables
from monitor.domain.errors import ConfigError, SourceError
from monitor.domain.money import PICO
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, BillRow, Dimensions
from monitor.wiring import usage
from tests.contract import kinds
from tests.contract.conftest import QUICK
from tests.contract.kinds import KEY
from tests.fake_api import FakeApi, Refusal

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs/sources.md"
# Libraries that a source may use and that a plain installation lacks.
OPTIONAL = ("boto3", "botocore", "google", "azure", "pyarrow", "opentelemetry", "psycopg")


def recording(kind):
    return json.loads((ROOT / "tests/fixtures" / kind / "recorded.json").read_text())


RECORDED = [kind for kind in sorted(registry.REGISTRY) if not kinds.own(kind)]
PAGED = [kind for kind in RECORDED if recording(kind)["cursor"]]
every_kind = pytest.mark.parametrize("kind", sorted(registry.REGISTRY))


class Recorded(FakeApi):
    """Answers with what is recorded; `spoil` changes an answer that names a next page."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.found = recording(kind)
        self.now = int(datetime.fromisoformat(self.found["now"]).timestamp())
        day = datetime.fromisoformat(self.found["day"]).replace(tzinfo=UTC)
        self.start = int(day.timestamp())
        self.truth = self.found["truth"]
        self.spoil = None

    def page(self, request):
        for recorded in self.found["exchanges"]:
            asked = {name: request.all(name) for name in recorded["query"]}
            wanted = {n: [v] if v is not None else [] for n, v in recorded["query"].items()}
            if (request.path, asked) == (recorded["path"], wanted) and (
                "document" not in recorded or request.document == recorded["document"]
            ):
                body = json.loads(json.dumps(recorded["body"]))
                if self.spoil and body.get(self.found["cursor"]):
                    self.spoil(body, self.found["cursor"])
                return body
        if self.spoil:
            return self.spoil_again(request)
        raise Refusal(404, f"nothing is recorded of {request.path} {dict(request.query)}")

    def spoil_again(self, request):
        """The first page once more, whatever cursor is followed."""
        first = next(e for e in self.found["exchanges"] if e["path"] == request.path)
        body = json.loads(json.dumps(first["body"]))
        self.spoil(body, self.found["cursor"])
        return body

    def error_body(self, message):
        return json.dumps({"error": {"message": message}}).encode()

    def source(self):
        found = registry.load(self.kind)
        path = urlsplit(inspect.signature(found).parameters["base_url"].default).path
        url = self.url + path
        return found(f"{self.kind}-main", "acme", KEY, base_url=url, limits=QUICK)

    def refuse(self):
        self.page = lambda _: (_ for _ in ()).throw(Refusal(401, f"no such key: {KEY}"))

    def was_used(self):
        return any(KEY in sent(request) for request in self.requests)


def sent(request):
    """All that headers say, a pair of HTTP Basic in the clear."""
    scheme, _, pair = request.headers.get("authorization", "").partition(" ")
    return repr(request.headers) + (b64decode(pair).decode() if scheme == "Basic" else "")


@pytest.fixture
def recorded(kind, request):
    own = kinds.own(kind)
    with own.served(request) if own else Recorded(kind) as server:
        yield server


@pytest.fixture
def source(recorded, opened):
    return opened(recorded.source())


def read_all(source, recorded):
    return {
        spec.name: source.read(spec.name, recorded.start, recorded.start + DAY, recorded.now)
        for spec in source.streams()
    }


def summed(found):
    """Tokens and requests, or dollars by currency, of a read."""
    sums = Counter()
    for row in found.rows:
        if isinstance(row, BillRow):
            sums[row.currency] += row.amount_pico
        else:
            sums += Counter(tokens=row.quantities.tokens, requests=row.quantities.requests or 0)
    return dict(sums)


def true_sums(recorded, stream):
    return {
        name: int(Decimal(value) * PICO) if isinstance(value, str) else value
        for name, value in recorded.truth[stream].items()
    }


@every_kind
def test_its_recorded_answers_give_the_true_totals_and_twice_the_same(source, recorded):
    first, again = read_all(source, recorded), read_all(source, recorded)
    assert first == again
    assert {name: summed(found) for name, found in first.items()} == {
        name: true_sums(recorded, name) for name in recorded.truth
    }
    for found in first.values():
        assert (found.start, found.end) == (recorded.start, recorded.start + DAY)
        assert not found.problems
        keys = [row[:3] for row in found.rows]
        assert len(keys) == len(set(keys))
        assert {row.dims.account for row in found.rows} == {"acme"}


@every_kind
def test_its_rows_are_what_their_stream_feeds_and_stand_where_they_may(source, recorded):
    feeds = {spec.name: spec.feeds for spec in source.streams()}
    assert set(feeds) == set(recorded.truth)
    for name, found in read_all(source, recorded).items():
        json.dumps(found.request)
        for row in found.rows:
            assert isinstance(row, BillRow) == (feeds[name] == "bill")
            assert row.dims == Dimensions(*map(clean_name, row.dims)), "'' where there is none"
            assert found.start <= row[1] < found.end
            if isinstance(row, BillRow):
                assert row.day % DAY == 0
                assert row.line_item
                assert re.fullmatch("[A-Z]{3}", row.currency)
            else:
                assert row.seconds in (HOUR, DAY)
                assert row.start % row.seconds == 0
                assert max(row.quantities.reasoning or 0, 0) <= (row.quantities.output or 0)


def with_new_fields(found):
    if isinstance(found, dict):
        return {name: with_new_fields(value) for name, value in found.items()} | {"x_new": 0}
    return [with_new_fields(each) for each in found] if isinstance(found, list) else found


@pytest.mark.parametrize("kind", RECORDED)
def test_fields_that_nobody_knows_yet_change_nothing(source, recorded):
    before = read_all(source, recorded)
    for exchange in recorded.found["exchanges"]:
        exchange["body"] = with_new_fields(exchange["body"])
    assert read_all(source, recorded) == before


def repeated(body, cursor):
    """It names the same next page for ever."""


def missing(body, cursor):
    """It says that there is more and not where."""
    body[cursor] = None


@pytest.mark.parametrize("kind", PAGED)
@pytest.mark.parametrize("spoil", [repeated, missing])
def test_a_cursor_that_repeats_or_is_missing_is_refused(source, recorded, spoil):
    paged = {
        e["path"] for e in recorded.found["exchanges"] if e["body"].get(recorded.found["cursor"])
    }
    assert paged, "its recording has a stream of two pages"
    recorded.spoil = spoil
    if spoil is repeated:
        recorded.found["exchanges"] = [
            e for e in recorded.found["exchanges"] if e["body"].get(recorded.found["cursor"])
        ]
    refused = []
    for spec in source.streams():
        try:
            source.read(spec.name, recorded.start, recorded.start + DAY, recorded.now)
        except SourceError as error:
            refused.append(str(error))
    said = "came twice|already followed" if spoil is repeated else "gives no cursor"
    assert any(re.search(said, error) for error in refused), refused


@every_kind
def test_missing_credentials_are_reported_as_such(kind, source, recorded):
    item = {"name": "main", "kind": kind, "account": "acme"}
    if registry.needs_key(registry.load(kind)):
        with pytest.raises(ConfigError, match="main"):
            usage.sources(from_tables({"source": [item]}))
    recorded.refuse()
    for ask in (lambda: source.probe(recorded.now), lambda: read_all(source, recorded)):
        with pytest.raises(SourceError) as refused:
            ask()
        assert refused.value.permanent
        assert refused.value.remedy
        assert "CANARY" not in str(refused.value)


@every_kind
def test_no_key_is_in_a_log_a_row_or_the_source(source, recorded, caplog):
    caplog.set_level(logging.DEBUG)
    shown = [repr(read_all(source, recorded)), repr(source), repr(vars(source))]
    shown += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    assert recorded.was_used()
    assert not [text for text in shown if "CANARY" in text]


@every_kind
def test_an_option_that_it_does_not_have_is_refused_by_name(kind):
    item = {"name": "main", "kind": kind, "account": "acme", "admin_key": "env:HOME"}
    item["options"] = {"gruop_by": []}
    with pytest.raises(ConfigError, match=r"main: .* has no option gruop_by"):
        usage.sources(from_tables({"source": [item]}))


@every_kind
def test_it_is_imported_without_any_optional_library(kind):
    module = registry.REGISTRY[kind].partition(":")[0]
    code = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r})); import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@every_kind
def test_the_document_says_what_it_needs_gives_and_cannot_know(kind):
    section = re.search(
        rf"^## `{kind}`\n(.*?)(?=^## |\Z)", DOCS.read_text(), re.MULTILINE | re.DOTALL
    )
    assert section, f"docs/sources.md has no section `{kind}`"
    for told in ("Needs", "Gives", "Fresh", "Cannot know"):
        assert f"**{told}**" in section[1], f"{kind}: {told}"
    for option in registry.options(registry.load(kind)):
        assert f"`{option}`" in section[1], f"{kind}: the option {option}"
