"""A service on a bare socket that answers as no service should."""

import socket
import struct
import threading
import time
from contextlib import suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LARGE = 50 * 2**20


class Odd:
    """Listens while the block runs; each connection is handed to `answer(self, connection)`."""

    def __init__(self, answer):
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.sent = 0
        """Bytes of answers that were handed to the system."""
        self.calls = 0
        self.over = threading.Event()
        self._threads = []

    def __enter__(self):
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.calls += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        connection.settimeout(10)
        with connection, suppress(OSError):
            self._answer(self, connection)

    def send(self, connection, data):
        connection.sendall(data)
        self.sent += len(data)

    def drip(self, connection, data):
        """A byte a second, until the far side hangs up."""
        for byte in data:
            self.send(connection, bytes([byte]))
            if self.over.wait(1):
                return


def read_head(connection):
    """The request's lines, as far as its empty line; what came of the body with it."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        more = connection.recv(1)
        if not more:
            return seen
        seen += more
    return seen


def read_all(connection):
    """The whole request."""
    head = read_head(connection).decode().lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
    while length and (more := connection.recv(length)):
        length -= len(more)


def answering(*parts):
    """The whole request is read; then these bytes, and the end of the connection."""

    def answer(odd, connection):
        read_all(connection)
        for part in parts:
            odd.send(connection, part)

    return answer


def large(odd, connection):
    read_all(connection)
    odd.send(connection, HEAD + f"Content-Length: {LARGE}\r\n\r\n".encode())
    for _ in range(LARGE // 2**16):
        odd.send(connection, b"x" * 2**16)


def large_head(odd, connection):
    read_all(connection)
    odd.send(connection, HEAD)
    for _ in range(LARGE // 2**16):
        odd.send(connection, b"X-Filler: " + b"x" * 2**16 + b"\r\n")


def dripping_body(odd, connection):
    read_all(connection)
    odd.send(connection, HEAD + b"Content-Length: 600\r\n\r\n")
    odd.drip(connection, b"x" * 600)


def dripping_head(odd, connection):
    read_all(connection)
    odd.drip(connection, HEAD + b"Content-Length: 2\r\n\r\nok")


def deaf(odd, connection):
    """Takes the head of the request and resets the connection before the body."""
    read_head(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stalled(odd, connection):
    """Reads nothing at all, so that a large request cannot even be written."""
    del connection
    odd.over.wait(30)


def timed(work):
    """Its result, and the seconds that it took."""
    start = time.monotonic()
    return work(), time.monotonic() - start
