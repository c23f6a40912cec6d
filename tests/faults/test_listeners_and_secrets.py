"""What listens while a search runs, and where what must stay secret does not turn up."""

import logging
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from crash_loop import SETTINGS

from autodepth.records.studies import studies_root
from autodepth.service.search.search import search
from autodepth.study.cluster.token import keep_token_private

CANARIES = {
    "RAY_AUTH_TOKEN": "canary" + "7a" * 29,
    "MLFLOW_TRACKING_PASSWORD": "canary-of-mlflow-81b2",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-bucket-93c4",
}
IN_THE_ADDRESS = "canary-in-the-address-05d6"
LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.")


class Witness:
    """Notes what the processes below one listen on, and what they were called with."""

    def __init__(self, pid):
        self.listening, self.arguments, self.sessions = set(), set(), set()
        self.root = psutil.Process(pid)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.over.wait(0.2):
            try:
                below = self.root.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            for process in below:
                try:
                    self.note(process)
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue

    def note(self, process):
        line = " ".join(process.cmdline())
        self.arguments.add(line)
        self.sessions |= set(re.findall(r"/\S*?/session_[0-9_-]+", line))
        for each in process.net_connections(kind="inet"):
            if each.status == psutil.CONN_LISTEN:
                self.listening.add((process.name(), each.laddr.ip))


def texts_below(folder):
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("with_a_store")
def test_a_search_listens_on_loopback_alone_and_tells_no_secret():
    """Rows 25 and 29, and the canaries of the security contract, against a search on Ray."""
    found = subprocess.Popen(
        [sys.executable, "-m", "autodepth", "search", "--budget=2trials", "--study=quiet",
         "--concurrency=1",
         *(f"--set={setting}" for setting in SETTINGS)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, **CANARIES},
    )  # fmt: skip
    witness = Witness(found.pid)
    said, _ = found.communicate(timeout=240)
    witness.over.set()
    witness.thread.join()

    assert found.returncode == 0, said
    assert any(name == "raylet" for name, _ in witness.listening), "nothing was seen of Ray"
    elsewhere = {each for each in witness.listening if not LOOPBACK.match(each[1])}
    assert elsewhere == set()
    assert witness.sessions
    for name, canary in CANARIES.items():
        assert canary not in said, name
        assert not [line for line in witness.arguments if canary in line], name
        for folder in (studies_root(), *map(Path, witness.sessions)):
            kept = [path for path, content in texts_below(folder) if canary.encode() in content]
            assert kept == [], name
    left = [p for p in psutil.process_iter() if group_of(p.pid) == found.pid]
    assert left == []


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.slow
def test_a_password_in_the_address_of_mlflow_is_neither_kept_nor_told(monkeypatch, caplog, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://me:{IN_THE_ADDRESS}@127.0.0.1:9"  # where nothing answers
    with caplog.at_level(logging.DEBUG):
        search(
            budget="1trials", study="told", settings=SETTINGS, runner="in-process",
            tracking_uri=uri,
        )  # fmt: skip
    said = caplog.text + "".join(capfd.readouterr())

    assert "does not take the trials" in said
    assert IN_THE_ADDRESS not in said
    for path, content in texts_below(studies_root()):
        assert IN_THE_ADDRESS.encode() not in content, path


def test_rays_token_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    made = [threading.Thread(target=keep_token_private, args=(tmp_path,)) for _ in range(8)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    path = tmp_path / ".ray" / "auth_token"
    token = path.read_text()

    assert re.fullmatch(r"[0-9a-f]{64}", token)
    assert [each.name for each in path.parent.iterdir()] == ["auth_token"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)  # as Ray leaves it
    keep_token_private(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == token


def test_a_token_that_a_person_keeps_elsewhere_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    keep_token_private(tmp_path)
    assert list(tmp_path.iterdir()) == []
