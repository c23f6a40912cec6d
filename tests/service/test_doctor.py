"""The doctor tries each part for real, and says plainly what is wrong with it."""

import os
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from autodepth.service import doctor
from autodepth.service.doctor import examine


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch, request):
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(doctor, "_ray", lambda: ("ok", "not tried"))


@pytest.fixture
def server():
    """Answers as an MLflow server does on /health, and with 403 where told to."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 403)
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def told(part, tracking_uri=None):
    (finding,) = [f for f in examine(tracking_uri) if f.part == part]
    return finding


def test_this_machine_can_search():
    findings = list(examine())

    assert [f.part for f in findings if f.verdict == "problem"] == []
    assert "torch 2." in findings[0].text


def test_an_mlflow_server_is_reached_or_its_absence_said(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = f"http://user:secret@127.0.0.1:{free.getsockname()[1]}"
    found, missing = told("MLflow", server), told("MLflow", away)

    assert (found.verdict, found.text) == ("ok", f"{server} answers")
    assert missing.verdict == "problem"
    assert "cannot be reached" in missing.text
    assert "autodepth sync" in missing.text
    assert "secret" not in missing.text
    assert told("MLflow", f"{server}/other").text.endswith("answers with status 403")


def test_a_file_as_store_is_a_place_to_write(tmp_path):
    assert told("MLflow", f"sqlite:///{tmp_path}/mlflow.db").verdict == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system, needs root")
def test_a_full_disk_and_one_that_cannot_be_written(tmp_path, monkeypatch):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        monkeypatch.setenv("AUTODEPTH_HOME", str(place / "studies"))
        little = told("studies")
        (place / "rest").write_bytes(b"0" * 65536)
        full = told("studies")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        read_only = told("studies")
    finally:
        subprocess.run(["umount", str(place)], check=True)

    assert little.verdict == "problem"
    assert "too little" in little.text
    assert "No space left" in full.text
    assert "Read-only" in read_only.text


def test_what_breaks_while_looking_is_a_problem_of_that_part_alone(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: 1 / 0)

    assert told("CPUs").verdict == "problem"
    assert told("CPUs").text == "ZeroDivisionError: division by zero"
    assert told("studies").verdict == "ok"


@pytest.mark.long
def test_a_ray_is_started():
    assert told("Ray").text == "a local Ray starts and computes"
