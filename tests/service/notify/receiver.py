"""A real receiver of webhooks on this machine, which can be down, slow or refuse."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Listens on a port of its own once `start` was called; before that the port is closed.

    `status` is what it answers, after `delay` seconds; `taken` the messages it took in, `asked` how
    often it was called at all.
    """

    def __init__(self) -> None:
        self.status, self.delay = 200, 0.0
        self.taken: list[dict] = []
        self.keys: list[str] = []
        self.asked = 0
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self._server = None

    @property
    def url(self) -> str:
        return f"http://me:{SECRET}@127.0.0.1:{self.port}/hooks/{SECRET}"

    def start(self) -> None:
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked += 1
                status = receiver.status  # it may change meanwhile
                if status < 300:
                    receiver.taken.append(json.loads(body))
                    receiver.keys.append(self.headers["Idempotency-Key"])
                time.sleep(receiver.delay)
                self.send_response(status)
                self.send_header("Location", receiver.url)  # of a redirect
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):  # whoever asked did not wait for the answer
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def until(self, holds, seconds: float = 120) -> None:
        """Wait until something holds; the machine may be busy."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, (self.asked, self.taken)
            time.sleep(0.01)


SECRET = "s3cret-t0ken"
