"""Secrets: which can be sent, and how none is shown."""

from __future__ import annotations

import base64
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name

REDACTED = "[redacted]"
DETAIL_CAP = 300

# A filter sits on the logger that writes the record; a parent's filters are not asked.
_LOGGERS = (
    *("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"),
    # Libraries that sign requests or fetch tokens.
    *("botocore.credentials", "urllib3.connectionpool", "google.auth.transport"),
    *("azure.core.pipeline.policies.http_logging_policy", "msal.application", "msal.token_cache"),
)

_SENDABLE = re.compile(r"(?:(?:Bearer|Basic) )?[!-~]+")
SIGNED = re.compile("[ -~]+")
_LEARNED = 32
"""Secrets of signed requests that are still looked for: those of the last few."""

# Providers quote a refused key in part, such as `sk-admin-****abcd`.
_KEY_LIKE = re.compile(r"\bsk-[\w*.-]{4,}")


def basic(pair: str) -> str:
    """The header `authorization` for a `user:password`."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def checked_headers(
    source: str, headers: Mapping[str, str], sendable: re.Pattern[str] = _SENDABLE
) -> Mapping[str, str]:
    """The headers, if each can be sent; the client's own complaint would quote the secret."""
    for name, value in headers.items():
        if not sendable.fullmatch(value):
            raise SourceError(
                source,
                f"the key for the header {name} is empty or holds a space, a line break or a "
                "letter outside ASCII",
                "Store the key again, as one word",
                permanent=True,
            )
    return headers


_LEAST_IN_BODY = 8
"""Characters: a shorter secret may be part of a name or a number, which must stay as it is."""


class Scrub(logging.Filter):
    """Takes secrets out of log records, error texts and bodies.

    A secret is the last word of a header's value: `Bearer` before it is none. That of `Basic` is
    the pair that it encodes too, and the password of the pair.
    """

    def __init__(self, values: Iterable[str]) -> None:
        super().__init__()
        self._kept = [secret for value in values for secret in _readings(value)]
        self._learned: deque[str] = deque(maxlen=_LEARNED)

    def learn(self, values: Iterable[str]) -> None:
        """Take in what one request was signed with; the newest are enough."""
        self._learned.extend(value for value in values if value not in self._learned)

    def attach(self) -> None:
        """Hear what the libraries log, until `detach`."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def detach(self) -> None:
        """Leave their loggers as they were."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    @property
    def _secrets(self) -> list[str]:
        return [*self._kept, *self._learned]

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes, without secrets."""
        record.msg, record.args = self.text(record.getMessage()), None
        return True

    def text(self, text: str) -> str:
        """A text without them, and without what looks like a key."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _KEY_LIKE.sub(REDACTED, text)

    def words(self, text: str) -> str:
        """Foreign words fit for an error message."""
        return clean_name(self.text(text), DETAIL_CAP)

    def body(self, body: bytes) -> bytes:
        """An answer without those that are long enough to be no part of a name."""
        for secret in self._secrets:
            if len(secret) < _LEAST_IN_BODY:
                continue
            body = body.replace(secret.encode(), REDACTED.encode())
        return body


def _readings(value: str) -> Iterator[str]:
    """A header's secret in every form in which the far side may repeat it, the longest first."""
    scheme, _, secret = value.rpartition(" ")
    yield secret
    if scheme == "Basic":
        pair = base64.b64decode(secret).decode()
        yield pair
        yield from filter(None, [pair.partition(":")[2]])
