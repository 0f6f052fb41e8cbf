"""One POST or GET to wherever a channel sends: one attempt, whose answer is only words."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping

import httpx

from collectors.http.addresses import callable_address
from collectors.http.exchange import Deadline
from collectors.http.waits import retry_after
from monitor.domain.names import clean_name
from monitor.ports import Posted

_ANSWER_BYTES = 8192
_ANSWER_CAP = 2000


def post(url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> Posted:
    """One POST, or a GET where `body` is None: no redirects, no repeat, at most `timeout` seconds.

    The status is the answer. Its body is only words, so one that breaks off, drips or never comes
    changes nothing; no more than its beginning is read.

    The address may hold a key, so nothing that is raised quotes it; a key in it goes over https or
    stays on this machine.

    Raises:
        ConnectionError: no connection came about, so that nothing can have arrived.
        OSError: nothing was answered, or the address cannot be called.
    """
    answered = b""
    answer: httpx.Response | None = None
    failure = OSError(errno.EPROTO, "no answer")
    if not callable_address(url):
        raise OSError(errno.EINVAL, "the address is neither https nor on this machine")
    sent = {"accept-encoding": "identity", "user-agent": "crossover", **headers}
    with (
        Deadline(timeout) as deadline,
        httpx.Client(timeout=timeout, follow_redirects=False) as client,
    ):
        try:
            with client.stream(
                "GET" if body is None else "POST",
                url,
                content=body,
                headers=sent,
                extensions={"trace": deadline.trace},
            ) as answer:
                for chunk in answer.iter_raw():
                    answered += chunk[:_ANSWER_BYTES]
                    if len(answered) >= _ANSWER_BYTES:
                        break
        except httpx.HTTPError as error:
            failure = _without_answer(error, late=deadline.passed)
    if answer is None:
        raise failure
    wait = retry_after(answer.headers, time.time())
    text = clean_name(answered.decode(errors="replace"), _ANSWER_CAP)
    return Posted(answer.status_code, text, wait)


def _without_answer(error: httpx.HTTPError, *, late: bool) -> OSError:
    """Only the kind of a failure: the client's error quotes the address."""
    kind = type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return OSError(errno.ECONNREFUSED, kind)
    if late or isinstance(error, httpx.TimeoutException):
        return OSError(errno.ETIMEDOUT, "not in time")
    return OSError(errno.EPROTO, kind)
