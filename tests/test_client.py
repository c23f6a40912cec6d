"""The client: each method is one request, done once, with the server's words where it cannot be."""

from __future__ import annotations

import sys
import zipfile

import pytest
from dashboard.servers import serving
from service.queue.queues import BOB, OWNERS, READER, TRIALS, steered

from autodepth.client import Client
from autodepth.dashboard.guard import Access
from autodepth.errors import AutodepthError, InputError, NotAllowedError, NotNowError, StudyError
from autodepth.records.studies import find_study
from autodepth.service.agents import commands


@pytest.fixture
def steering(make_recorded):
    make_recorded("digits", TRIALS)
    with steered(OWNERS) as steering:
        yield steering


@pytest.fixture
def address(steering):
    access = Access(host="127.0.0.1", owners=OWNERS, steers=True, root_path="/depth")
    with serving(access, steering) as port:
        yield f"http://127.0.0.1:{port}/depth/"


def test_studies_are_looked_at(address):
    client = Client(address, READER.token)
    assert [line["study"] for line in client.studies()] == ["digits"]
    assert client.status("digits")["front"] == 2
    assert [member["trial"] for member in client.front("digits")] == [0, 1]
    assert client.trial("digits", 1)["on_front"]
    assert client.accounts()[0] == {
        "name": "alice", "device": "cpu", "allowed": 600.0, "charged": 0.0, "reserved": 0.0,
        "left": 600.0,
    }  # fmt: skip


def test_a_dry_run_is_asked_for_and_queues_nothing(address, steering, monkeypatch):
    printed = "import json, sys; print(json.dumps({'words': sys.argv[1:]}))"
    program = [sys.executable, "-c", printed]
    monkeypatch.setattr(commands, "_program", lambda *words: [*program, *words])
    told = Client(address, BOB.token).dry_run(budget="1trials", settings=["seed=3"])
    assert told["words"][:4] == ["search", "--budget=1trials", "--set=seed=3", "--dry-run"]
    assert steering.store.works() == []
    with pytest.raises(NotAllowedError):
        Client(address, READER.token).dry_run(budget="1trials")
    with pytest.raises(InputError, match="has no unit"):
        Client(address, BOB.token).dry_run(budget="1")


def test_studies_are_steered(address, steering, tmp_path):
    client = Client(address, BOB.token)
    work = client.search("new", budget="1trials", settings=["seed=3"], key="k")
    assert client.search("new", budget="1trials", settings=["seed=3"], key="k") == work
    assert (work["state"], work["place"], work["owner"]) == ("waiting", 0, "bob")
    assert work["command"].startswith("autodepth search --study=new --budget=1trials")
    assert client.pause("new")[0]["state"] == "paused"
    assert client.go_on("new")["state"] == "waiting"
    assert client.stop("new")[0]["state"] == "stopped"
    assert client.wait("new")["state"] == "stopped"

    assert client.add_budget("digits", "2cpu-min")["kind"] == "resume"
    assert client.confirm("digits", seeds=3, controls=("all",))["arguments"]["seeds"] == 3
    assert client.enqueue("digits", {"p_L": 0.5})["arguments"]["policy"]["p_L"] == 0.5
    assert client.export("digits", "out", formats=["torch"])["place"] == 3
    assert [work["kind"] for work in client.queue(unfinished=True)] == [
        "resume", "confirm", "policy", "export",
    ]  # fmt: skip
    client.stop("digits")
    folder = steering.scheduler.place.export("out")
    folder.mkdir(parents=True)
    (folder / "verification.json").write_text("{}")
    with zipfile.ZipFile(client.download("out", tmp_path / "out.zip")) as archive:
        assert archive.namelist() == ["out/verification.json"]
    assert client.register("out")["kind"] == "register"
    client.stop("digits")
    client.delete("digits")
    with pytest.raises(StudyError):
        find_study("digits")


def test_errors_are_those_of_the_server(address):
    bob, carol = Client(address, BOB.token), Client(address, READER.token)
    with pytest.raises(StudyError, match="no study is called 'nothing'"):
        bob.status("nothing")
    with pytest.raises(NotNowError, match="is taken"):
        bob.search("digits", budget="1trials")
    with pytest.raises(InputError, match="nothing: extra inputs"):
        bob.search("new", budget="1trials", nothing=1)
    with pytest.raises(NotAllowedError, match="carol may look"):
        carol.stop("digits")
    with pytest.raises(NotAllowedError, match="a token is needed"):
        Client(address).studies()
    with pytest.raises(StudyError, match="has nothing of 'x'"):
        bob.wait("x")
    with pytest.raises(NotNowError, match="only a study that runs"):
        bob.set_concurrency("digits", 1)
    with pytest.raises(AutodepthError, match="nothing answers at http"):
        Client("http://127.0.0.1:9", patience=0.1).studies()
