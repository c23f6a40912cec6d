"""Where a study's charts are, and the server that is started to show them."""

from __future__ import annotations

import socket
import sys
import urllib.request

import pytest

from autodepth.errors import InputError, StudyError, TrackingError
from autodepth.service.publish import charts
from autodepth.service.publish.charts import charts_shown

SERVER = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["MLFLOW_BACKEND_STORE_URI"].encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture(autouse=True)
def _study(make_recorded, monkeypatch):
    """A study that every store has as its experiment 7, and a server that starts at once."""
    make_recorded("digits", [(0.9, 20_000_000, 30.0)])
    monkeypatch.setattr(charts, "experiment_of", lambda *_: "7")
    monkeypatch.setattr(charts, "_command", lambda port: [sys.executable, "-c", SERVER, str(port)])


def test_a_server_that_is_there_is_used_and_its_password_is_not_shown():
    with charts_shown("latest", tracking_uri="http://me:secret@host:5000/") as (shown, ended):
        assert ended is None

    assert shown.study == "digits"
    assert shown.url.startswith("http://host:5000/#/experiments/7/runs?")


def test_a_server_is_started_on_the_store_beside_the_studies_and_ends_with_the_context(tmp_path):
    with charts_shown("digits") as (shown, ended):
        answer = urllib.request.urlopen(shown.url.partition("#")[0], timeout=60)
        assert answer.read().decode() == f"sqlite:///{tmp_path}/studies/mlflow.db"

    assert ended() == -15


def test_a_study_that_is_not_in_the_store_is_sent_first(monkeypatch):
    sent = []
    monkeypatch.setattr(charts, "experiment_of", lambda *_: "7" if sent else None)
    monkeypatch.setattr(charts, "sync_study", lambda folder, *_: sent.append(folder.name))
    with charts_shown("digits", tracking_uri="http://host:5000"):
        assert sent == ["digits"]


def test_a_server_that_ends_at_once_says_why(monkeypatch):
    told = "import sys; sys.exit('postgresql://me:secret@host cannot be opened')"
    monkeypatch.setattr(charts, "_command", lambda _: [sys.executable, "-c", told])
    with (
        pytest.raises(TrackingError, match="it ended: postgresql://host cannot be opened"),
        charts_shown("digits"),
    ):
        pass


def test_a_port_that_is_taken_and_a_study_that_is_not_there_are_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} must be free"):
            charts_shown("digits", port=port).__enter__()
    with pytest.raises(StudyError, match="no study is called 'other'"):
        charts_shown("other").__enter__()
