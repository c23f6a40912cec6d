"""Servers of the explorer: in a thread of this process, and in a process of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import uvicorn

from autodepth.dashboard.explorer import explorer


@contextmanager
def serving(access, steering=None):
    """Serve in a thread of this process; give the port."""
    server: uvicorn.Server
    app = explorer(access, lambda: server.should_exit, steering)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
    assert not thread.is_alive()


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "autodepth", "dashboard", *arguments],
        env={**os.environ, "COLUMNS": "80", **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
