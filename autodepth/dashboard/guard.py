"""Access control of the server: host names, token, and headers for browsers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "autodepth_dashboard"
LOGIN = "/login"
_LONGEST_BODY = 1_000_000  # bytes; the numbers of a hundred thousand trials
_PAUSE_SECONDS = 1.0  # after a wrong token: guessing takes long
# Scripts come from here alone, and none is made from text: plotly's WebGL plots would need that,
# so none is used. Plotly writes style rules and attributes of its own, which can run nothing.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "connect-src 'self'; img-src 'self' data: blob:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOGIN_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>autodepth</title></head>
<body><main><h1>autodepth</h1>{problem}<form method="post" action="/login">
<p><label>Token of this dashboard<br>
<input type="password" name="token" autofocus required autocomplete="current-password"></label></p>
<p><button>Open</button></p></form></main></body></html>"""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask.

    Args:
        host: the address the server was told to listen on.
        token: what has to be shown; None where everybody who reaches the server may ask.
    """

    host: str
    token: str | None = None

    def names_us(self, host: str) -> bool:
        """Whether a Host header names this server.

        A page elsewhere whose name was pointed at this address (DNS rebinding) asks under its own
        name, never under an address; so any address will do.
        """
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in {"localhost", self.host.lower(), socket.gethostname().lower()}
        return True

    def admits(self, headers: Headers) -> bool:
        """Whether a request shows the token, in its cookie or as `Authorization: Bearer`."""
        if self.token is None:
            return True
        shown = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        return self.is_token(shown) | _same(cookie.value if cookie else "", self.pass_of())

    def is_token(self, shown: str) -> bool:
        """Compare tokens in constant time."""
        return _same(shown, self.token or "")

    def pass_of(self) -> str:
        """Return what the cookie holds: it outlives a restart, and does not tell the token."""
        return hmac.new(
            (self.token or "").encode(), b"autodepth dashboard", hashlib.sha256
        ).hexdigest()


class Guard:
    """Stands before the app: checks Host and token, and adds the headers.

    Args:
        app: what is guarded.
        access: who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have the app answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer: ASGIApp = self._app
        if not self._access.names_us(headers.get("host", "")):
            answer = PlainTextResponse("this server is asked under another name", 421)
        elif not _short(headers):
            answer = PlainTextResponse("the request is too long", 413)
        elif self._access.token is not None and scope["path"] == LOGIN:
            answer = await self._login(scope, receive)
        elif not self._access.admits(headers):
            page = scope["path"] == "/"
            answer = _login_page() if page else PlainTextResponse("a token is needed", 401)
        await answer(scope, receive, send_with_headers)

    async def _login(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            return RedirectResponse("/", 303)
        fields = parse_qs((await _body(receive)).decode(errors="replace"))
        if not self._access.is_token(fields.get("token", [""])[0]):
            await asyncio.sleep(_PAUSE_SECONDS)
            return _login_page("<p role='alert'>This is not the token.</p>")
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, self._access.pass_of(), httponly=True, samesite="strict")
        return response


def _login_page(problem: str = "") -> Response:
    return HTMLResponse(_LOGIN_PAGE.format(problem=problem), 401)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= _LONGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _short(headers: Headers) -> bool:
    """Whether a request says that its body is short; one sent in chunks says nothing."""
    length = headers.get("content-length", "0")
    return length.isdigit() and int(length) <= _LONGEST_BODY and "transfer-encoding" not in headers


def _same(shown: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(shown.encode(), wanted.encode())
