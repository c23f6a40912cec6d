"""Serving the explorer from one process until it is told to end."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence

import uvicorn

from autodepth.dashboard.explorer import explorer
from autodepth.dashboard.guard import Access
from autodepth.errors import InputError
from autodepth.service.queue.owners import Owner
from autodepth.service.queue.steering import Steering

_SHORTEST_TOKEN = 16
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_WANTED = {False: "set $AUTODEPTH_DASHBOARD_TOKEN", True: "name who may ask by --tokens FILE"}
_SECONDS_TO_END = 3


def serve(
    host: str,
    port: int,
    token: str | None,
    told: Callable[[str], None],
    *,
    steering: Steering | None = None,
    owners: Sequence[Owner] = (),
    root_path: str = "",
    name: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, which are then raised anew.

    Args:
        host: address or name to listen on.
        port: 0 for any that is free.
        token: what browsers have to show; None only on a loopback address.
        told: called with the page's address as soon as it can be opened.
        steering: what people may do; None serves those who look alone.
        owners: who may ask by tokens of their own.
        root_path: where a proxy shows the server, such as `/autodepth`.
        name: under which name it does so; None for this machine's own.

    Raises:
        InputError: the address or the port cannot be had, a token is missing or too short, or the
            path is none.
    """
    if root_path and not _ROOT_PATH.fullmatch(root_path):
        raise InputError(f"--root-path must be like /autodepth, but got {root_path!r}")
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise InputError(f"a token must be {_SHORTEST_TOKEN} characters or longer")
    listening = _listen(host, port)
    address, port = listening.getsockname()[:2]
    if token is None and not owners and not ipaddress.ip_address(address).is_loopback:
        listening.close()
        raise InputError(
            f"an address other machines reach needs a token, but got --host {host} alone: "
            f"{_WANTED[steering is not None]}, or keep to 127.0.0.1 and reach it by ssh -L"
        )
    server: uvicorn.Server
    access = Access(
        host=host, token=token, owners=tuple(owners), steers=steering is not None,
        root_path=root_path, name=name,
    )  # fmt: skip
    app = explorer(access, lambda: server.should_exit, steering)
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
