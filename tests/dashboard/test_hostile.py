"""Hostile requests of many kinds to a server that can be steered: none is acted on."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager

import pytest
from dashboard.servers import serving
from dashboard.test_server import ask
from service.queue.queues import ALICE, BOB, OWNERS, READER, TRIALS, steered

from autodepth.dashboard import guard
from autodepth.dashboard.guard import Access
from autodepth.records.studies import study_folders
from autodepth.service.queue.wishes import SearchWish

SEARCH = json.dumps({"study": "new", "budget": "1trials"})
STEPS = (
    ("POST", "/queue", SEARCH),
    ("POST", "/queue/1/stop", ""),
    ("POST", "/studies/hers/stop", ""),
    ("POST", "/studies/hers/pause", ""),
    ("POST", "/studies/hers/go-on", ""),
    ("POST", "/studies/hers/concurrency", '{"trials": 1}'),
    ("POST", "/studies/hers/budget", '{"budget": "1trials"}'),
    ("POST", "/studies/hers/policies", '{"policy": {"p_L": 0.5}}'),
    ("POST", "/studies/hers/confirm", "{}"),
    ("POST", "/studies/hers/exports", '{"to": "out"}'),
    ("DELETE", "/studies/hers?confirm=hers", ""),
    ("POST", "/exports/out/register", "{}"),
    ("POST", "/dry-run", '{"budget": "1trials"}'),
)
OF_HERS = STEPS[1:-2]
MARKUP = "<img src=x onerror=alert(1)>"


class Told:
    """What a server that is asked says, and whether it did anything."""

    def __init__(self, port, steering):
        self._port, self._steering = port, steering
        self._before = self._state()

    def _state(self):
        works = [work.to_dict() for work in self._steering.store.works()]
        return works, sorted(folder.name for folder in study_folders())

    def refused(self, method, path, body=None, *, status, token=BOB.token, **headers):
        """Assert that a request is refused, without any effect and without markup."""
        head = {"Content_Type": "application/json", "Idempotency_Key": "key", **headers}
        if token is not None:
            head["Authorization"] = f"Bearer {token}"
        response, text = ask(self._port, f"/api/v1{path}", method, body, **head)
        assert response.status in status, (response.status, path, text)
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Traceback" not in text
        assert self._state() == self._before, (path, text)
        return text


@contextmanager
def hostile(make_recorded, owners=OWNERS):
    make_recorded("hers", TRIALS)
    with steered(owners) as steering:
        # Hers, since she queued it: it is entered as if it had been begun by its name.
        work = steering.store.add(_begun())
        steering.store.change(work.number, state="running", attempt=1, slot=0)
        access = Access(host="127.0.0.1", owners=owners, steers=True)
        with serving(access, steering) as port:
            yield Told(port, steering)


def _begun():
    from autodepth.service.queue.work import NewWork

    arguments = SearchWish(study="hers", budget="1cpu-min").arguments()
    return NewWork(owner=ALICE.name, kind="search", study="hers", arguments=arguments)


def test_nothing_is_done_for_who_may_not(make_recorded):
    with hostile(make_recorded) as told:
        for method, path, body in STEPS:
            told.refused(method, path, body, status={401}, token=None)
            told.refused(method, path, body, status={401}, token="x" * 20)
            words = told.refused(method, path, body, status={403}, token=READER.token)
            assert "carol may look and not steer" in words
        for method, path, body in OF_HERS:
            assert "is alice's" in told.refused(method, path, body, status={403})


def test_nothing_is_done_for_pages_of_others(make_recorded):
    with hostile(make_recorded, owners=()) as told:  # where everybody here may steer
        for method, path, body in STEPS[:4]:
            for headers in (
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
                {"Origin": "http://127.0.0.1:1"},
                {"Sec_Fetch_Site": "cross-site"},
                {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:1"},
            ):
                told.refused(method, path, body, status={403}, token=None, **headers)
            for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"):
                told.refused(method, path, body, status={421}, token=None, Host=host)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            told.refused("POST", "/queue", SEARCH, status={415}, token=None, Content_Type=kind)


@pytest.mark.parametrize(
    "path",
    [
        "/studies/..%2f..%2fetc/stop",
        "/studies/%2e%2e/stop",
        "/studies/-x/stop",
        "/studies/x%00y/stop",
        "/studies/hers%0d%0aX:y/stop",
        f"/studies/{MARKUP.replace(' ', '%20').replace('<', '%3C').replace('>', '%3E')}/stop",
        "/queue/-1/stop",
        "/queue/9999999999999999999999/stop",
        "/queue/1e3/stop",
        "/exports/..%2fqueue/register",
    ],
)
def test_names_are_no_paths(make_recorded, path):
    with hostile(make_recorded) as told:
        told.refused("POST", path, "{}", status={400, 403, 404, 405, 422})
        told.refused("GET", path.replace("/stop", "/log"), status={400, 404, 405, 422})


BAD = (
    "", "{", "[]", "null", '"x"', SEARCH + "}", "{" * 1000, "[" * 100_000, "\\xff",
    '{"study": "new", "budget": "1trials", "study": "<b>"}',
    '{"study": "new"}',
    '{"study": 5, "budget": "1trials"}',
    '{"study": "new", "budget": ["1trials"]}',
    '{"study": "new", "budget": "1trials", "nothing": 1}',
    '{"study": "new", "budget": "1trials", "own_code": true}',
    '{"study": "new", "budget": "1trials", "owner": "alice"}',
    '{"study": "new", "budget": "1trials", "settings": "seed=3"}',
    '{"study": "new", "budget": "1trials", "network": "os:system"}',
    '{"study": "new", "budget": "1trials", "settings": ["task.name=os:system"]}',
    '{"study": "new", "budget": "1trials", "space": "../../etc/passwd"}',
    '{"study": "new", "budget": "1trials", "space_text": "a: &a [*a]"}',
    '{"study": "new", "budget": "1trials", "space_text": "!!python/object:os.system x"}',
    '{"study": "new", "budget": "1trials", "data": "x\\u0000y"}',
    '{"study": "new", "budget": "1trials", "weights": "\\ud800"}',
    '{"study": "new", "budget": "1trials", "seed": -1}',
    '{"study": "new", "budget": "1trials", "seed": 1e400}',
    '{"study": "new", "budget": "1trials", "concurrency": true}',
    '{"study": "new", "budget": "--help"}',
    '{"study": "--help", "budget": "1trials"}',
    '{"study": ".new", "budget": "1trials"}',
    '{"study": "queue", "budget": "1trials"}',
    '{"study": "a/b", "budget": "1trials"}',
    json.dumps({"study": MARKUP, "budget": "1trials"}),
    json.dumps({"study": "x" * 65, "budget": "1trials"}),
)  # fmt: skip


def test_what_is_no_search_is_refused_in_words(make_recorded):
    with hostile(make_recorded) as told:
        for body in BAD:
            words = json.loads(told.refused("POST", "/queue", body, status={400, 409, 422}))
            assert words["error"], body
            if '"study": "new"' in body:
                plan = body.replace('"study": "new", ', "")
                told.refused("POST", "/dry-run", plan, status={400, 422})
        for policy in (
            '{"p_L": NaN}',
            '{"x": 1}',
            '{"p_L": {"a": []}}',
            "[]",
            '{"p_L": "\\ud800"}',
        ):
            told.refused(
                "POST", "/studies/hers/policies", f'{{"policy": {policy}}}',
                status={400, 422}, token=ALICE.token,
            )  # fmt: skip
        for key in ("", "x" * 300, "\xe9"):
            told.refused("POST", "/queue", SEARCH, status={400}, Idempotency_Key=key)


def test_long_and_slow_bodies_are_cut_off(make_recorded, monkeypatch):
    monkeypatch.setattr(guard, "_BODY_SECONDS", 0.3)
    with hostile(make_recorded) as told:
        long = json.dumps({"study": "new", "budget": "1trials", "space_text": "x" * 1_100_000})
        told.refused("POST", "/queue", long, status={413})
        told.refused("POST", "/queue", "{}", status={413}, Content_Length="99999999999")
        wide = json.dumps({"study": "new", "budget": "1trials", "space_text": "#" * 600_000})
        told.refused("POST", "/queue", wide, status={422})
        many = json.dumps({"study": "new", "budget": "1trials", "settings": ["seed=3"] * 60_000})
        told.refused("POST", "/queue", many, status={413, 422})
        for promised, sent in ((500, b""), (500, b"{"), (len(SEARCH) + 1, SEARCH.encode())):
            assert _slowly(told._port, promised, sent).startswith(b"HTTP/1.1 408")
        assert _slowly(told._port, None, b"4\r\n{}{}\r\n").startswith(b"HTTP/1.1 413")
        told.refused("POST", "/queue", "{", status={422})  # it still answers


def _slowly(port, promised, sent):
    """Send a part of a body and wait; return what is said to it."""
    length = "Transfer-Encoding: chunked" if promised is None else f"Content-Length: {promised}"
    head = (
        f"POST /api/v1/queue HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {BOB.token}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: k\r\n{length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + sent)
        return connection.recv(1000)


def test_a_request_that_is_sent_again_is_done_once(make_recorded):
    make_recorded("hers", TRIALS)
    with steered(OWNERS) as steering:
        with serving(Access(host="127.0.0.1", owners=OWNERS, steers=True), steering) as port:
            head = {
                "Authorization": f"Bearer {BOB.token}",
                "Content_Type": "application/json",
                "Idempotency_Key": "once",
            }
            said = [ask(port, "/api/v1/queue", "POST", SEARCH, **head) for _ in range(5)]
            assert [response.status for response, _ in said] == [201, 200, 200, 200, 200]
            other = SEARCH.replace("new", "newer")
            assert ask(port, "/api/v1/queue", "POST", other, **head)[0].status == 409
            hers = {**head, "Authorization": f"Bearer {ALICE.token}"}
            assert ask(port, "/api/v1/queue", "POST", SEARCH, **hers)[0].status in {403, 409}
            del head["Idempotency_Key"]
            assert ask(port, "/api/v1/queue", "POST", other, **head)[0].status == 400
        assert [work.study for work in steering.store.works()] == ["new"]


def test_who_asks_too_often_is_told_to_wait(make_recorded, monkeypatch):
    with hostile(make_recorded) as told:
        statuses = {
            ask(
                told._port, "/api/v1/queue", "POST", "{", Content_Type="application/json",
                Authorization=f"Bearer {BOB.token}",
            )[0].status
            for _ in range(130)
        }  # fmt: skip
        assert statuses <= {422, 429}
        told.refused("GET", "/queue/7", status={404}, token=ALICE.token)  # others go on
