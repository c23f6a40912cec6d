"""Where the Ray that a search starts for itself tells its metrics: nowhere unless asked."""

from __future__ import annotations

import os
import socket

from autodepth.errors import InputError

PORT_VARIABLE = "AUTODEPTH_METRICS_PORT"
LOOPBACK = "127.0.0.1"


def metrics_port() -> int | None:
    """Return the port of $AUTODEPTH_METRICS_PORT, on the loopback address; None without one.

    Raises:
        InputError: it is no port.
    """
    text = os.environ.get(PORT_VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise InputError(f"${PORT_VARIABLE} must be a port in [1, 65535], but got {text!r}")
    return int(text)


def check_metrics_port() -> None:
    """Refuse a port that cannot be had; one that is taken would end Ray's agent without a word.

    Raises:
        InputError: it is no port, or another process listens on it.
    """
    port = metrics_port()
    if port is None:
        return
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port))
        except OSError as error:
            raise InputError(
                f"${PORT_VARIABLE} must be free and ours to take, but {port}: {error}; "
                "each search on a machine needs a port of its own"
            ) from error
