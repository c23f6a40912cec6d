"""Serving the explorer from one process until it is told to end."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from autodepth.dashboard.explorer import explorer
from autodepth.dashboard.guard import Access
from autodepth.errors import InputError

_SHORTEST_TOKEN = 16
_SECONDS_TO_END = 3


def serve(host: str, port: int, token: str | None, told: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, which are then raised anew.

    Args:
        host: address or name to listen on.
        port: 0 for any that is free.
        token: what browsers have to show; None only on a loopback address.
        told: called with the page's address as soon as it can be opened.

    Raises:
        InputError: the address or the port cannot be had, or a token is missing or too short.
    """
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise InputError(f"a token must be {_SHORTEST_TOKEN} characters or longer")
    listening = _listen(host, port)
    address, port = listening.getsockname()[:2]
    if token is None and not ipaddress.ip_address(address).is_loopback:
        listening.close()
        raise InputError(
            f"an address other machines reach needs a token, but got --host {host} alone: set "
            "$AUTODEPTH_DASHBOARD_TOKEN, or keep to 127.0.0.1 and reach it by ssh -L"
        )
    server: uvicorn.Server
    app = explorer(Access(host=host, token=token), lambda: server.should_exit)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    server = uvicorn.Server(config)
    shown = f"[{host}]" if ":" in host else host
    told(f"http://{shown}:{port}/")
    with listening:
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            f"--host must be an address or a name, but got {host!r}: {error}"
        ) from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(
            f"port {port} of {host} must be free and ours to take, but: {error}; "
            "choose another with --port, or 0 for any that is free"
        ) from error
    return listening
