"""The bounds of one exchange: its time, and the bytes that its answer may inflate to."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

_GZIP = ("gzip", "x-gzip", "deflate")
READ_ENCODINGS = ("identity", *_GZIP)


def encoding_of(headers: Mapping[str, str]) -> str:
    """How an answer is compressed; `identity`: not at all."""
    return headers.get("content-encoding", "").strip().lower() or "identity"


def inflating(headers: Mapping[str, str], most: int) -> Callable[[bytes], bytes]:
    """What turns the chunks of a body into what they hold, at most `most` bytes of each."""
    if encoding_of(headers) not in _GZIP:
        return bytes
    # The header of gzip or zlib, whichever comes.
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    return lambda chunk: inflater.decompress(chunk, most)


class Deadline:
    """Ends one exchange after `seconds`, wherever it is stuck.

    A socket's timeout counts from the last byte, so a server that drips never meets it. Here a
    timer shuts the connection down, which wakes any read.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The client's report of each step: keeps the newest connection."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
            if self.passed:
                self._end()

    def _end(self) -> None:
        self.passed = True
        if self._stream is not None:
            with suppress(OSError):
                # The plain socket's method: TLS would first have to be unwrapped by the reader.
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)
