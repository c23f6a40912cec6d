"""Who may ask, and what browsers are told to allow."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from dashboard.servers import serving
from dashboard.test_server import ask

from autodepth.dashboard.guard import Access

TOKEN = "correct horse battery staple"
TRIALS = ((0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0))


def test_only_what_is_asked_under_our_name_is_answered(make_recorded):
    make_recorded("digits", TRIALS)
    with serving(Access(host="127.0.0.1")) as port:
        for host in (f"127.0.0.1:{port}", "localhost", "[::1]:80", "10.0.0.7"):
            assert ask(port, "/api/v1/studies", Host=host)[0].status == 200, host
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
            response, text = ask(port, "/api/v1/studies", Host=host)
            assert (response.status, "digits" in text) == (421, False), host


def test_answers_carry_the_policy_and_name_no_other_host(make_recorded):
    make_recorded("digits", TRIALS)
    with serving(Access(host="127.0.0.1")) as port:
        for path in ("/", "/explorer.js", "/api/v1/studies", "/nothing", "/plotly.js"):
            response, _ = ask(port, path)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self';" in policy
            assert "unsafe-eval" not in policy
            assert "http" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        for path in (
            *("/docs", "/openapi.json", "/redoc", "/../pyproject.toml"),
            *("/%2e%2e/%2e%2e/pyproject.toml", "/api/v1/studies/..%2f..%2fx/trials"),
        ):
            assert ask(port, path)[0].status == 404, path


def test_a_token_is_asked_for_and_a_cookie_shows_it_from_then_on(make_recorded):
    make_recorded("digits", TRIALS)
    with serving(Access(host="0.0.0.0", token=TOKEN)) as port:
        page, text = ask(port, "/")
        assert (page.status, 'name="token"' in text) == (401, True)
        for path in (
            "/api/v1/studies",
            "/explorer.js",
            "/plotly.js",
            "/api/v1/events?study=digits",
        ):
            assert ask(port, path)[0].status == 401, path
        for shown in ("", "wrong", "Bearer wrong", f"Basic {TOKEN}"):
            assert ask(port, "/api/v1/studies", Authorization=shown)[0].status == 401
        assert ask(port, "/api/v1/studies", Authorization=f"Bearer {TOKEN}")[0].status == 200

        start = time.monotonic()
        wrong, _ = ask(port, "/login", "POST", urlencode({"token": "guess"}))
        assert (wrong.status, wrong.headers["Set-Cookie"]) == (401, None)
        assert time.monotonic() - start >= 1  # guessing takes long
        right, _ = ask(port, "/login", "POST", urlencode({"token": TOKEN}))
        cookie = right.headers["Set-Cookie"]
        assert (right.status, right.headers["Location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert ask(port, "/api/v1/studies", Cookie=cookie.partition(";")[0])[0].status == 200
        assert ask(port, "/api/v1/studies", Cookie="autodepth_dashboard=")[0].status == 401
