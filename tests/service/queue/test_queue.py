"""A real server and real searches: in order, each once, whatever is killed."""

from __future__ import annotations

import os
import signal
import zipfile
from contextlib import contextmanager

import pytest
from queue_under_kills import IN_PROCESS, run, serving, wait_for
from service.queue.queues import SMALL

from autodepth.errors import InputError, StudyInUseError
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import EXPORTS, QUEUE, StudyFolder, find_study, studies_root
from autodepth.service.queue.carrying.commands import Place
from autodepth.service.queue.queue import open_queue


@pytest.fixture
def in_process(monkeypatch):
    """Searches of the queue run their trials in their drivers: this is not about Ray."""
    found = [str(IN_PROCESS), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(found))


@pytest.fixture
def server(tmp_path, make_store):
    make_store()
    with serving(tmp_path) as server:
        yield server


def runs(name):
    return driver_of(StudyFolder(studies_root() / name))


def is_whole(name, trials):
    assert broken_invariants(find_study(name)) == []
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        assert sum(record.counts for record in ledger.trials()) == trials
        return ledger.spent()


@contextmanager
def opened(slots=1):
    with open_queue(Place.of(studies_root()), (), slots=slots) as steering:
        yield steering


def test_a_folder_has_one_server():
    with opened(), pytest.raises(StudyInUseError, match="has one server"), opened():
        pass
    with opened(), pytest.raises(InputError, match="at least 1, but got 0"), opened(slots=0):
        pass


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_is_carried_out_once_though_server_and_driver_are_killed(server):
    alice = server.client("alice")
    alice.search("a", budget="1cpu-h,2trials", settings=SMALL, key="a")
    driver = wait_for(lambda: runs("a"))
    server.kill()
    os.kill(driver.pid, signal.SIGKILL)
    server.start()
    assert alice.search("a", budget="1cpu-h,2trials", settings=SMALL, key="a")["number"] == 1
    work = alice.wait("a")
    assert work["state"] == "done", work["told"]
    assert work["charged"] == is_whole("a", 2)
    assert alice.accounts()[0]["charged"] == work["charged"]
    assert len(work["answer"]["front"]) >= 1


@pytest.mark.usefixtures("in_process")
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_searches_of_several_clients_keep_their_order_and_allowances(server):
    """Servers and drivers are killed at random; 50 searches of 8 clients are a benchmark."""
    tally = run(server, searches=4, clients=2, slots=2, kills=3, seed=4)
    assert tally.server_kills + tally.driver_kills >= 1
    assert (tally.done, tally.carried_out, tally.in_order) == (4, 4, True)
    assert tally.account_off_s == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("in_process")
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_more_budget_and_an_export_outlive_a_server_that_dies_in_the_middle(server, tmp_path):
    bob = server.client("bob")
    bob.search("a", budget="2trials", settings=SMALL)
    assert bob.wait("a")["state"] == "done"

    more = bob.add_budget("a", "2trials", key="more")["number"]
    wait_for(lambda: runs("a"))
    server.kill()
    server.start()
    assert bob.add_budget("a", "2trials", key="more")["number"] == more
    assert bob.wait("a")["state"] == "done"
    is_whole("a", 4)  # not six

    exports = studies_root() / EXPORTS
    wanted = {"formats": ["torch", "onnx"], "key": "out"}
    work = bob.export("a", "out", **wanted)["number"]
    wait_for(lambda: list(exports.glob(".out.*")))
    server.kill()
    os.killpg(int((studies_root() / QUEUE / str(work) / "lock").read_text()), signal.SIGKILL)
    server.start()
    assert bob.export("a", "out", **wanted)["number"] == work
    ended = bob.wait("a")
    assert (ended["number"], ended["state"], ended["attempt"]) == (work, "done", 2)
    assert [path.name for path in exports.iterdir()] == ["out"]
    with zipfile.ZipFile(bob.download("out", tmp_path / "out.zip")) as archive:
        assert {"out/model.onnx", "out/verification.json"} <= set(archive.namelist())
    assert [each["kind"] for each in bob.queue()] == ["search", "resume", "export"]


@pytest.mark.usefixtures("in_process")
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_study_is_steered_from_its_beginning_to_its_export(server, tmp_path):
    bob = server.client("bob")
    wide = "search={p_L: {min: 0.2, max: 1.0}, macs_target: {min: 0.4, max: 0.9}}"
    bob.search("a", budget="400trials", settings=[*SMALL[:-1], wide])
    wait_for(lambda: runs("a") and bob.studies())
    wait_for(lambda: bob.status("a")["trials"].get("complete", 0) >= 1)
    policy = {"fine_tune_epochs": 1, "branches_removed": 1, "train": {"epochs": 1}}
    hand = bob.enqueue("a", policy)["number"]
    bob.pause("a")
    server.kill()
    server.start()
    wait_for(lambda: bob.work(1)["state"] == "paused")
    work = wait_for(lambda: bob.work(hand)["ended_at"] and bob.work(hand))
    assert work["state"] == "done"  # by the driver, or by itself after that
    bob.go_on("a")
    wait_for(lambda: runs("a"))
    bob.stop("a")
    server.kill()
    server.start()
    wait_for(lambda: bob.work(1)["state"] == "stopped")
    with Ledger.open(find_study("a").ledger_path, read_only=True) as ledger:
        by_hand = [r for r in ledger.trials() if r.asked_for and r.result is not None]
        assert len(by_hand) == 1
    assert broken_invariants(find_study("a")) == []
    bob.export("a", "out", formats=["torch"])
    assert bob.wait("a")["state"] == "done"
    assert bob.download("out", tmp_path / "out.zip").stat().st_size > 1000
    bob.delete("a")
    assert bob.studies() == []
