"""A real server and real searches: in order, each once, whatever is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from service.queue.queues import SMALL, steered

from autodepth.client import Client
from autodepth.errors import InputError, StudyInUseError
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study, studies_root
from autodepth.service.queue.carrying.carrier import is_carried_out
from autodepth.service.queue.carrying.commands import Place
from autodepth.service.queue.queue import open_queue

TOKENS = """
[alice]
token = "alices-long-token"
role = "steer"
allowance = "{allowance}"
[bob]
token = "bobs-very-long-token"
role = "steer"
"""


TOKEN_OF = ("alices-long-token", "bobs-very-long-token")


class Server:
    """`autodepth serve` as a process; whoever asks finds it again where it was."""

    def __init__(self, tokens, slots=2):
        self._tokens, self._slots, self.port = tokens, slots, 0
        self.process = None

    def start(self):
        words = ["serve", "--slots", str(self._slots), "--port", str(self.port), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autodepth", *words, "--tokens", str(self._tokens)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(json.loads(self.process.stdout.readline())["address"].rpartition(":")[2])

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def client(self, token):
        return Client(f"http://127.0.0.1:{self.port}", token, patience=300)


@pytest.fixture
def server(tmp_path, make_store):
    make_store()
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(TOKENS.format(allowance="100cpu-h"))
    tokens.chmod(0o600)
    server = Server(tokens)
    server.start()
    yield server
    server.kill()
    place = Place.of(studies_root())
    with steered() as steering:
        for work in steering.store.works():
            with suppress(OSError, ValueError):  # whatever a failed test left running
                os.killpg(int((place.folder(work.number) / "lock").read_text()), signal.SIGTERM)
            while is_carried_out(place.folder(work.number)):
                time.sleep(0.1)


def wait_for(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


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
    alice = server.client(TOKEN_OF[0])
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


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("searches", "clients"), [(4, 2), (50, 8)])
def test_searches_of_several_clients_keep_their_order_and_allowances(
    server, capsys, searches, clients
):
    """Servers and drivers are killed at random while searches wait and run on two slots."""
    killed = dict.fromkeys(("servers", "drivers"), 0)
    draw = random.Random(searches)
    names = [f"s{number}" for number in range(searches)]
    asking = [server.client(TOKEN_OF[number % 2]) for number in range(clients)]

    def ask(client):
        for number in range(client, searches, clients):
            name = names[number]
            asked = {"budget": "1cpu-h,1trials", "settings": SMALL, "key": name}
            work = asking[client].search(name, **asked)
            assert asking[client].search(name, **asked)["number"] == work["number"]

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    driver = wait_for(lambda: next(filter(None, map(runs, names)), None))
    for _ in range(searches // 2):
        if draw.random() < 0.5:
            server.kill()
            server.start()
            killed["servers"] += 1
        if driver is not None:
            with suppress(ProcessLookupError):
                os.kill(driver.pid, signal.SIGKILL)
                killed["drivers"] += 1
        time.sleep(draw.uniform(0.0, 10.0))
        driver = next(filter(None, map(runs, names)), None)
    for thread in threads:
        thread.join()
    works = asking[0].queue()
    while any(work["state"] in {"waiting", "running"} for work in works):
        time.sleep(0.5)
        works = asking[0].queue()
    assert sorted(work["study"] for work in works) == sorted(names)
    assert [work["state"] for work in works] == ["done"] * searches
    starts = [work["started_at"] for work in works]
    assert starts == sorted(starts)
    spent = {work["study"]: is_whole(work["study"], 1) for work in works}
    assert {work["study"]: work["charged"] for work in works} == pytest.approx(spent)
    off = 0.0
    for account in asking[0].accounts():
        own = [spent[work["study"]] for work in works if work["owner"] == account["name"]]
        assert account["charged"] == pytest.approx(sum(own))
        assert account["reserved"] == 0
        off = max(off, abs(account["charged"] - sum(own)))
    attempts = sum(work["attempt"] for work in works)
    with capsys.disabled():  # the figures of docs/reliability.md
        sys.stdout.write(
            f"\n{searches} searches of {clients} clients, {attempts} attempts; killed: {killed}; "
            f"{sum(spent.values()):.1f} device seconds, an account off by at most {off:.2g}\n"
        )


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_study_is_steered_from_its_beginning_to_its_export(server, tmp_path):
    bob = server.client(TOKEN_OF[1])
    wide = "search={p_L: {min: 0.2, max: 1.0}, macs_target: {min: 0.4, max: 0.9}}"
    bob.search("a", budget="400trials", settings=[*SMALL[:-1], wide])
    wait_for(lambda: runs("a"))
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
    wait_for(lambda: bob.work(1)["state"] == "stopped")
    with Ledger.open(find_study("a").ledger_path, read_only=True) as ledger:
        by_hand = [r for r in ledger.trials() if r.asked_for and r.result is not None]
        assert len(by_hand) == 1
        assert broken_invariants(ledger) == []
    bob.export("a", "out", formats=["torch"])
    assert bob.wait("a")["state"] == "done"
    assert bob.download("out", tmp_path / "out.zip").stat().st_size > 1000
    bob.delete("a")
    assert bob.studies() == []
