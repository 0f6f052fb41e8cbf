"""A real HTTP server that keeps what it is sent, and answers as it is told."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    body: str


class Hooks:
    """Listens while the block runs."""

    def __init__(self):
        self.got = []
        self.sent = []
        """The headers of each."""
        self.status = 200
        self.headers = {}
        self.hang = None
        """An event: nothing is answered until it is set."""
        self.cut = False
        """The connection ends without an answer."""
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                hooks.got.append(Request(self.command, self.path, body))
                hooks.sent.append(dict(self.headers))
                if hooks.hang:
                    hooks.hang.wait(5)
                if hooks.cut:
                    self.close_connection = True
                    return
                self.send_response(hooks.status)
                for name, value in hooks.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
