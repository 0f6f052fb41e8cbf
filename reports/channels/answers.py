"""What a web service's answer to a message means, the same for every channel that posts."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.domain.names import clean_name
from monitor.ports import Delivery, Outcome, Post, Posted

_SETTINGS = (401, 403, 404, 405, 410)
"""The address or the key is wrong, not the message."""
_PASSING = (408, 425, 429)
_SHOWN = 200


def deliver(
    post: Post,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    *,
    repeatable: bool,
) -> Delivery:
    """Post once and say what became of it; the address stands in no text.

    Args:
        post: one attempt over HTTP.
        url: where to; it may hold the service's key.
        body: the exact bytes.
        headers: sent with it.
        timeout: seconds for all of it.
        repeatable: the far side recognises a repeat, so an attempt without an answer may simply be
            made again; else it is `ambiguous`.
    """
    try:
        answer = post(url, body, headers, timeout)
    except ConnectionError:
        return Delivery("transient", "connect", None, "no connection to the service")
    except OSError as error:
        kind = error.strerror or type(error).__name__
        outcome: Outcome = "transient" if repeatable else "ambiguous"
        return Delivery(outcome, "body", None, f"no answer from the service ({kind})")
    return judged(answer)


def judged(answer: Posted) -> Delivery:
    """An answer as a delivery: 2xx took it; what passes by itself is tried again."""
    status, text = answer.status, clean_name(answer.body, _SHOWN)
    if 200 <= status < 300:
        return Delivery("sent", "done", status, text)
    if 300 <= status < 400:
        # A body that was posted is not sent on to another address.
        return Delivery("misconfigured", "done", status, "the address redirects elsewhere")
    if status in _SETTINGS:
        return Delivery("misconfigured", "done", status, text or "the service refuses this address")
    if status >= 500 or status in _PASSING:
        wait = f" (asks to wait {answer.retry_after:g} s)" if answer.retry_after else ""
        return Delivery("transient", "done", status, f"{text}{wait}".strip())
    return Delivery("permanent", "done", status, text)
