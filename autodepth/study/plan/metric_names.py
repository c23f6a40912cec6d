"""Which figures a running study tells, and where: Ray of its own does so nowhere unless asked."""

from __future__ import annotations

import os
import socket

from autodepth.errors import InputError

PORT_VARIABLE = "AUTODEPTH_METRICS_PORT"
LOOPBACK = "127.0.0.1"
INTERVAL_SECONDS = 5.0  # Ray takes values every 10 s, and forgets after 20 s what is not renewed

METRICS = {
    "autodepth_trials": "trials of the study by state",
    "autodepth_front_points": "networks on the front",
    "autodepth_hypervolume": "of the front, each cost in units of its reference",
    "autodepth_best_accuracy": "highest validation accuracy on the front, a fraction",
    "autodepth_device_seconds": "device time spent, busy or not",
    "autodepth_budget_device_seconds": "device time that the first limit in time allows",
    "autodepth_budget_share": "share of the budget that is used up, a fraction",
    "autodepth_useful_share": "of the device time, what trained, scored or measured; a fraction",
    "autodepth_outbox_events": "epochs and ends of trials that MLflow does not have yet",
}
OWN_TAGS = {
    "autodepth_trials": ("state",),
    "autodepth_device_seconds": ("device",),
    "autodepth_budget_device_seconds": ("device",),
}


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
