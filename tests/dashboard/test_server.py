"""The server: who may ask, what browsers are told to allow, and how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from contextlib import contextmanager

import pytest
from dashboard.servers import serving, start

from autodepth.dashboard.guard import Access
from autodepth.dashboard.server import serve
from autodepth.errors import InputError

TOKEN = "correct horse battery staple"
TRIALS = ((0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0))


def ask(port, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=names)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content.decode(errors="replace")


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/api/v1/studies/nothing/trials", 404, "no study is called 'nothing'"),
        ("/api/v1/studies/digits/trials/9", 400, "numbered from 0, but got 9"),
        ("/api/v1/studies/digits/trials/x", 422, "number: input should be a valid integer"),
        ("/api/v1/hypervolume?study=digits&study=other", 400, "start from equal networks"),
    ],
)
def test_what_cannot_be_answered_is_said(make_recorded, path, status, told):
    make_recorded("digits", TRIALS)
    make_recorded("other", TRIALS, unpruned={"macs": 41e6})
    with serving(Access(host="127.0.0.1")) as port:
        response, text = ask(port, path)
        assert (response.status, told in text) == (status, True)
        long = ask(port, "/api/v1/studies/digits/branches", "POST", "x", Content_Length="9999999")
        assert long[0].status == 413


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_it_ends_on_a_signal_without_a_traceback_while_a_page_listens(
    make_recorded, number, status
):
    make_recorded("digits", TRIALS)
    server = start("--port", "0")
    port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
    stream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        stream.request("GET", "/api/v1/events?study=digits")
        first = stream.getresponse().readline()
        server.send_signal(number)
        _, told = server.communicate(timeout=60)
    finally:
        server.kill()
        stream.close()

    assert first == b"event: change\n"
    assert server.returncode == status
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_script_is_told_where_it_is_and_not_the_token(make_recorded):
    folder = make_recorded("digits", TRIALS)
    server = start("--port", "0", "--json", AUTODEPTH_DASHBOARD_TOKEN=TOKEN)
    try:
        told = json.loads(server.stdout.readline())
        port = int(told["address"].rpartition(":")[2])
        answer, _ = ask(port, "/api/v1/studies", Authorization=f"Bearer {TOKEN}")
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=60)
    finally:
        server.kill()

    assert told == {
        "address": f"127.0.0.1:{port}",
        "url": f"http://127.0.0.1:{port}/",
        "studies": str(folder.path.parent),
    }
    assert (answer.status, out) == (200, "")


@pytest.mark.slow
def test_a_taken_port_is_one_message_and_status_2():
    with taken_port() as port:
        server = start("--port", str(port))
        out, told = server.communicate(timeout=60)
    assert (server.returncode, out) == (2, "")
    assert f"port {port} of 127.0.0.1 must be free" in " ".join(told.split())
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("host", "token", "message"),
    [
        ("0.0.0.0", None, "needs a token"),
        ("127.0.0.1", "short", "must be 16 characters or longer$"),
        ("203.0.113.1", TOKEN, "of 203.0.113.1 must be free and ours"),
        ("no host", TOKEN, "must be an address or a name, but got 'no host'"),
    ],
)
def test_what_it_cannot_listen_on_is_refused(host, token, message):
    with pytest.raises(InputError, match=message):
        serve(host, 0, token, told=lambda address: pytest.fail(f"it serves at {address}"))


@contextmanager
def taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]
