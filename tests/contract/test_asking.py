"""Questions that are asked as a document: sent whole, repeated, refused like any other."""

import json

import pytest

from collectors.http import Http, HttpError, recorded
from tests.contract.conftest import QUICK
from tests.fake_api import FakeApi, dumps, failing


class Echo(FakeApi):
    def page(self, request):
        return {"asked": request.document}

    def error_body(self, message):
        return dumps({"error": {"message": message}})


@pytest.fixture
def echo():
    with Echo() as server:
        yield server


@pytest.fixture
def client(echo, opened):
    return opened(Http("main", echo.url, {"authorization": "Bearer k"}, limits=QUICK))


def test_a_document_is_sent_with_its_parameters_and_again_after_a_failure(echo, client):
    echo.faults.append(failing(503, "busy"))
    body = client.post("/query", {"from": "2026-11-18"}, params=[("page", "2")])
    assert b'"2026-11-18"' in body
    first, second = echo.requests
    assert (first.document, first.query) == (second.document, second.query)
    assert second.query == (("page", "2"),)
    assert second.headers["content-type"] == "application/json"


def test_a_refused_document_is_an_error_with_the_providers_words(echo, client):
    echo.faults.append(failing(400, "no such filter"))
    with pytest.raises(HttpError, match="HTTP 400 from /query: no such filter"):
        client.post("/query", {})
    assert len(echo.requests) == 1


def test_who_listens_gets_each_page_with_what_was_asked_and_no_secret(echo, opened):
    heard = []
    client = opened(Http("main", echo.url, {"authorization": "Bearer CANARY1"}, limits=QUICK))
    with recorded(heard.append):
        echo.faults.append(failing(503, "busy"))
        answered = client.post("/query", {"token": "of CANARY1"}, params=[("page", "2")])
        client.get("/plain")
    client.get("/unheard")
    assert [page.body for page in heard] == [answered, b'{"asked": null}']
    assert json.loads(heard[0].request) == {
        "base_url": echo.url,
        "method": "POST",
        "path": "/query",
        "params": [["page", "2"]],
        "document": '{"token": "of [redacted]"}',
    }
