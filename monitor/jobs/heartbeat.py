"""A sign of life to the outside: called while all is well, so that somebody notices when it ends.

A daemon that died cannot say so, and neither can its mails. What is called understands
Healthchecks' addresses: the URL itself after a good round, `/start` once, `/fail` with the names of
what is wrong. The URL is a secret and stands in no message, and neither do causes, which may name
what the outside need not know: those are in `/healthz` and in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from monitor.domain.errors import ChannelError
from monitor.ports import Post

_PATIENCE = 2
"""Bad rounds in a row before it is told: one that mends itself need not wake anybody."""
_TIMEOUT = 10.0


class Heartbeat:
    """What one daemon tells one address.

    Args:
        url: where to call.
        every_seconds: between two calls of the same kind, at least.
        post: one attempt over HTTP.
    """

    def __init__(self, url: str, every_seconds: int, post: Post) -> None:
        self._url = url
        self._every = every_seconds
        self._post = post
        self._started = False
        self._bad_rounds = 0
        self._well_at: int | None = None
        self._bad_at: int | None = None

    def beat(self, problems: Sequence[str] | None, now: int) -> None:
        """Tell what is due after one round.

        Args:
            problems: what is wrong, without causes; empty: nothing; None: no round has ended yet.
            now: UTC epoch seconds.

        Raises:
            ChannelError: the call was not answered well; the next round tries again.
        """
        if not self._started:
            self._started = True
            self._call("/start")
        if problems is None:
            return
        if problems:
            self._bad(problems, now)
        else:
            self._well(now)

    def _well(self, now: int) -> None:
        self._bad_rounds = 0
        if self._bad_at is None and not self._due(self._well_at, now):
            return
        self._call()
        self._well_at, self._bad_at = now, None

    def _bad(self, problems: Sequence[str], now: int) -> None:
        self._bad_rounds += 1
        if self._bad_rounds < _PATIENCE or not self._due(self._bad_at, now):
            return
        self._call("/fail", "\n".join(problems))
        self._bad_at = now

    def _due(self, last: int | None, now: int) -> bool:
        # A clock that went back makes nothing wait longer.
        return last is None or not 0 <= now - last < self._every

    def _call(self, suffix: str = "", text: str = "") -> None:
        parts = urlsplit(self._url)
        url = urlunsplit(parts._replace(path=parts.path.rstrip("/") + suffix))
        body, headers = (text.encode(), {"Content-Type": "text/plain; charset=utf-8"})
        failed, remedy = "", "Check heartbeat.url and whether this host may reach it."
        try:
            answer = self._post(url, body if text else None, headers if text else {}, _TIMEOUT)
        except OSError as error:
            # Its text may quote the address.
            failed = f"was not answered ({type(error).__name__})"
        else:
            if not 200 <= answer.status < 300:
                failed = f"was answered with {answer.status}"
        if failed:
            raise ChannelError(f"the heartbeat{f' {suffix}' if suffix else ''} {failed}", remedy)
