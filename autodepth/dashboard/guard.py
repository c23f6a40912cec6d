"""Access control of the server: host names, tokens, origins, bodies, and headers for browsers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autodepth.dashboard.rates import Rates
from autodepth.service.queue.owners import LOCAL, Owner

COOKIE = "autodepth_dashboard"
LOGIN = "/login"
CALLER = "autodepth.caller"
"""Where a request's scope says who asks: an `Owner`."""
_LONGEST_BODY = 1_000_000  # bytes; the numbers of a hundred thousand trials
_BODY_SECONDS = 10.0  # for all of a body to arrive
_PAUSE_SECONDS = 1.0  # after a wrong token: guessing takes long
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
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
<body><main><h1>autodepth</h1>{problem}<form method="post" action="{root}/login">
<p><label>Token of this dashboard<br>
<input type="password" name="token" autofocus required autocomplete="current-password"></label></p>
<p><button>Open</button></p></form></main></body></html>"""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask.

    Args:
        host: the address the server was told to listen on.
        token: what has to be shown to look; None where everybody who reaches the server may.
        owners: who may ask by tokens of their own.
        steers: whether everybody who reaches a server without tokens may steer.
        root_path: where a proxy shows the server, such as `/autodepth`; empty for the top.
        name: under which name a proxy shows it; None for this machine's own.
    """

    host: str
    token: str | None = None
    owners: tuple[Owner, ...] = ()
    steers: bool = False
    root_path: str = ""
    name: str | None = None

    @property
    def closed(self) -> bool:
        """Whether a token is needed."""
        return bool(self._known)

    @property
    def _known(self) -> tuple[Owner, ...]:
        reader = [] if self.token is None else [_reader(self.token)]
        return (*self.owners, *reader)

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
            ours = {"localhost", self.host.lower(), socket.gethostname().lower()}
            return name in ours or self.is_shown_as(name)
        return True

    def is_shown_as(self, name: str) -> bool:
        """Whether a proxy shows the server under a name."""
        return self.name is not None and name == self.name.lower()

    def is_from_here(self, headers: Headers) -> bool:
        """Whether a request that changes something is not from a page of another origin.

        Browsers say whose page asks; programs that are none say nothing.
        """
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return False
        if (origin := headers.get("origin")) is None:
            return True
        asking = urlsplit(origin)
        if asking.netloc.lower() == headers.get("host", "").lower():
            return True
        return self.is_shown_as((asking.hostname or "").lower())

    def caller(self, headers: Headers) -> Owner | None:
        """Return who asks, by the token in its cookie or as `Authorization: Bearer`."""
        if not self.closed:
            return LOCAL if self.steers else _reader(None)
        shown = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        kept = cookie.value if cookie else ""
        return self._whose(shown, kept)

    def owner_of(self, token: str) -> Owner | None:
        """Return whose token it is."""
        return self._whose(token, "")

    def _whose(self, token: str, kept: str) -> Owner | None:
        """Return whose token, or what is kept of it, was shown; all are compared, each as long."""
        found = None
        for owner in self._known:
            if _same(token, owner.token or "") | _same(kept, pass_of(owner.token or "")):
                found = owner
        return found


def pass_of(token: str) -> str:
    """Return what a cookie holds: it outlives a restart, and does not tell the token."""
    return hmac.new(token.encode(), b"autodepth dashboard", hashlib.sha256).hexdigest()


class Guard:
    """Stands before the app: checks who asks, under which name, how often and how much.

    Args:
        app: what is guarded.
        access: who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._asked = Rates(a_second=100.0, at_once=500)
        self._changed = Rates(a_second=10.0, at_once=100)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have the app answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        path = _below(self._access.root_path, scope["path"])
        scope = {**scope, "path": self._access.root_path + path}
        scope["root_path"] = self._access.root_path
        answer = self._refusal(scope, path)
        if answer is None:
            answer = await self._admit(scope, receive, path)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
            return
        if scope["method"] in _CHANGING:
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    receive = _again(await _body(receive))
            except TimeoutError:
                late = _refused(path, 408, "the request took too long to arrive")
                await late(scope, receive, send_with_headers)
                return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, path: str) -> Response | None:
        """Return what is said to a request that nobody may make, whoever asks."""
        headers = Headers(scope=scope)
        client = (scope.get("client") or ("", 0))[0]
        if not self._access.names_us(headers.get("host", "")):
            return _refused(path, 421, "this server is asked under another name")
        if not self._asked.allows(client):
            return _refused(path, 429, "that is too often: wait a second")
        if not _short(headers):
            return _refused(path, 413, "the request is too long")
        if scope["method"] not in _CHANGING:
            return None
        return self._refusal_to_change(path, headers)

    def _refusal_to_change(self, path: str, headers: Headers) -> Response | None:
        if not self._access.is_from_here(headers):
            return _refused(path, 403, "a page of another origin may not ask for this")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if (
            path != LOGIN
            and kind != "application/json"
            and headers.get("content-length", "0") != "0"
        ):
            return _refused(path, 415, "a body must be application/json")
        return None

    async def _admit(self, scope: Scope, receive: Receive, path: str) -> Response | None:
        """Find out who asks; return what is said to who may not."""
        if self._access.closed and path == LOGIN:
            return await self._login(scope, receive)
        caller = self._access.caller(Headers(scope=scope))
        if caller is None:
            page = path == "/"
            return self._login_page() if page else _refused(path, 401, "a token is needed")
        if scope["method"] in _CHANGING and not self._changed.allows(caller.name):
            return _refused(path, 429, "that is too often: wait a second")
        scope[CALLER] = caller
        return None

    async def _login(self, scope: Scope, receive: Receive) -> Response:
        home = f"{self._access.root_path}/"
        if scope["method"] != "POST":
            return RedirectResponse(home, 303)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                fields = parse_qs((await _body(receive)).decode(errors="replace"))
        except TimeoutError:
            return _refused(LOGIN, 408, "the request took too long to arrive")
        owner = self._access.owner_of(fields.get("token", [""])[0])
        if owner is None:
            await asyncio.sleep(_PAUSE_SECONDS)
            return self._login_page("<p role='alert'>This is not the token.</p>")
        response = RedirectResponse(home, 303)
        response.set_cookie(
            COOKIE, pass_of(owner.token or ""), httponly=True, samesite="strict", path=home
        )
        return response

    def _login_page(self, problem: str = "") -> Response:
        page = _LOGIN_PAGE.format(problem=problem, root=self._access.root_path)
        return HTMLResponse(page, 401)


def _reader(token: str | None) -> Owner:
    return Owner(name="reader", role="read", token=token)


def _refused(path: str, status: int, told: str) -> Response:
    if path.startswith("/api/"):
        return Response(json.dumps({"error": told}), status, media_type="application/json")
    return PlainTextResponse(told, status)


def _below(root: str, path: str) -> str:
    """Return a path below the root, whether or not a proxy has taken the root away."""
    return path.removeprefix(root) or "/" if path == root or path.startswith(f"{root}/") else path


def _again(body: bytes) -> Receive:
    """Return what gives a body that was received already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    over = asyncio.Event()

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await over.wait()  # whoever asks again waits for the client to leave
        return {"type": "http.disconnect"}

    return receive


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
