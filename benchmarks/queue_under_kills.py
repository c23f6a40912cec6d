"""Kills a server and its drivers at random while searches of several clients wait and run.

Whether each search is carried out once, in the order of asking, and whether accounts are exact.
Searches are real, and small: one trial of a ResNet-8 on digits, in the driver's process.

    python benchmarks/queue_under_kills.py                   # 50 searches of 8 clients, 2 slots
    python benchmarks/queue_under_kills.py --runner ray      # each search with a Ray of its own

Writes benchmarks/results/queue_under_kills.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from autodepth.client import Client
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import QUEUE, StudyFolder, find_study, studies_root
from autodepth.service.queue.carrying.carrier import is_carried_out

RESULTS = Path(__file__).parent / "results"
IN_PROCESS = Path(__file__).parent / "in_process"
SETTINGS = (
    "network.name=resnet8",
    "data.train_images=48",
    "data.validation=60",
    "train.epochs=1",
    "search={macs_target: {min: 0.4, max: 0.9}, fine_tune_epochs: 1}",
)
OWNERS = {"alice": "alices-long-token", "bob": "bobs-very-long-token"}
ALLOWANCE = "100cpu-h"
BUDGET = "1cpu-h,1trials"
T = TypeVar("T")


@dataclass(kw_only=True)
class Tally:
    """What became of the searches.

    Args:
        searches: that were asked for, twice each under one key.
        clients: that asked at once.
        slots: of the server.
        server_kills: how often the server was killed.
        driver_kills: how often a driver was.
        attempts: processes of works; a supervisor's drivers are not counted.
        done: works that are done.
        not_done: state of the others, and what is told of it, in words.
        carried_out: searches whose ledger is whole, with one trial that counts.
        in_order: whether they started in the order of their numbers.
        device_s: device seconds by all ledgers together.
        account_off_s: by which an account is off from its owner's ledgers, at most.
        wall_s: seconds from the first question to the last end.
    """

    searches: int
    clients: int
    slots: int
    server_kills: int = 0
    driver_kills: int = 0
    attempts: int = 0
    done: int = 0
    not_done: list[str] = field(default_factory=list)
    carried_out: int = 0
    in_order: bool = False
    device_s: float = 0.0
    account_off_s: float = 0.0
    wall_s: float = 0.0


class Server:
    """`autodepth serve` as a process; whoever asks finds it again where it was."""

    def __init__(self, tokens: Path, slots: int = 2) -> None:
        self._tokens, self._slots, self.port = tokens, slots, 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        words = ["serve", "--slots", str(self._slots), "--port", str(self.port), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autodepth", *words, "--tokens", str(self._tokens)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["address"].rpartition(":")[2])

    def kill(self) -> None:
        """Kill it with no word to anybody."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def client(self, owner: str) -> Client:
        """Return a client of an owner; it waits for servers that are away."""
        return Client(f"http://127.0.0.1:{self.port}", OWNERS[owner], patience=600)


@contextmanager
def serving(folder: Path, slots: int = 2) -> Iterator[Server]:
    """Run a server of two owners; at the end nothing of it runs.

    Args:
        folder: for the file of tokens.
        slots: of the server.
    """
    tokens = folder / "tokens.toml"
    alice, bob = OWNERS.values()
    tokens.write_text(
        f'[alice]\ntoken = "{alice}"\nrole = "steer"\nallowance = "{ALLOWANCE}"\n'
        f'[bob]\ntoken = "{bob}"\nrole = "steer"\n'
    )
    tokens.chmod(0o600)
    server = Server(tokens, slots)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        for lock in (studies_root() / QUEUE).glob("*/lock"):
            while is_carried_out(lock.parent):  # after an error alone
                with suppress(OSError, ValueError):
                    os.killpg(int(lock.read_text()), signal.SIGTERM)
                time.sleep(0.2)


def wait_for(condition: Callable[[], T], seconds: float = 3600) -> T:
    """Return what a condition gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def driven(names: Sequence[str]) -> list[int]:
    """Return the processes that drive studies of these names now."""
    drivers = (driver_of(StudyFolder(studies_root() / name)) for name in names)
    return [driver.pid for driver in drivers if driver is not None]


def spent_if_whole(name: str, trials: int) -> float | None:
    """Return what a study spent; None where its ledger is not whole, or has other trials."""
    folder = find_study(name)
    if broken_invariants(folder):
        return None
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        counted = sum(record.counts for record in ledger.trials())
        return ledger.spent() if counted == trials else None


def run(server: Server, *, searches: int, clients: int, slots: int, kills: int, seed: int) -> Tally:
    """Have clients ask at once, kill while works wait and run, and count what became of them."""
    tally = Tally(searches=searches, clients=clients, slots=slots)
    names = [f"s{number}" for number in range(searches)]
    begun, looking = time.monotonic(), server.client("bob")
    with ThreadPoolExecutor(clients) as pool:
        asked = [pool.submit(ask, server, names, place, clients) for place in range(clients)]
        kill_at_random(server, names, kills, random.Random(seed), tally)
        for each in asked:
            each.result()
    works = looking.queue()
    while any(work["state"] in {"waiting", "running"} for work in works):
        time.sleep(0.5)
        works = looking.queue()
    tally.wall_s = time.monotonic() - begun
    count(works, looking.accounts(), tally)
    return tally


def ask(server: Server, names: Sequence[str], place: int, clients: int) -> None:
    """Ask for every so-manieth search, twice each, as whoever loses an answer does."""
    client = server.client(list(OWNERS)[place % len(OWNERS)])
    for name in names[place::clients]:
        told = {"budget": BUDGET, "settings": SETTINGS, "key": name}
        number = client.search(name, **told)["number"]
        assert client.search(name, **told)["number"] == number


def kill_at_random(
    server: Server, names: Sequence[str], kills: int, draw: random.Random, tally: Tally
) -> None:
    """Kill so many times, spread over all searches: the server, a driver, or both."""
    looking = server.client("bob")
    for number in range(kills):
        due = len(names) * number // kills
        while sum(work["ended_at"] is not None for work in looking.queue()) < due:
            time.sleep(0.1)
        while not (drivers := driven(names)) and looking.queue(unfinished=True):
            time.sleep(0.1)
        time.sleep(draw.uniform(0.0, 5.0))
        what = draw.choice(("server", "driver", "both"))
        if what != "server" and drivers:
            with suppress(ProcessLookupError):
                os.kill(draw.choice(drivers), signal.SIGKILL)
                tally.driver_kills += 1
        if what != "driver":
            server.kill()
            server.start()
            tally.server_kills += 1


def count(works: list[dict[str, Any]], accounts: list[dict[str, Any]], tally: Tally) -> None:
    """Enter what became of works and accounts."""
    spent = {work["study"]: spent_if_whole(work["study"], 1) for work in works}
    starts = [work["started_at"] for work in works]
    tally.attempts = sum(work["attempt"] for work in works)
    tally.done = sum(work["state"] == "done" for work in works)
    tally.not_done = [f"{w['state']}: {w['told']}" for w in works if w["state"] != "done"]
    tally.carried_out = sum(seconds is not None for seconds in spent.values())
    tally.in_order = starts == sorted(starts)
    tally.device_s = sum(seconds or 0.0 for seconds in spent.values())
    for account in accounts:
        own = [spent[work["study"]] or 0.0 for work in works if work["owner"] == account["name"]]
        off = abs(account["charged"] - sum(own)) + account["reserved"]
        tally.account_off_s = max(tally.account_off_s, off)


def main() -> None:
    """Run what is asked for, and write it down beside what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--runner", choices=("in-process", "ray"), default="in-process")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if told.runner == "in-process":
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(IN_PROCESS), *([before] if before else [])])
    with tempfile.TemporaryDirectory(prefix="queue-under-kills-") as home:
        os.environ["AUTODEPTH_HOME"] = home
        with serving(Path(home), told.slots) as server:
            tally = run(
                server, searches=told.searches, clients=told.clients, slots=told.slots,
                kills=told.kills, seed=told.seed,
            )  # fmt: skip
    _write(tally, told.runner, told.seed)


def _write(tally: Tally, runner: str, seed: int) -> None:
    path = RESULTS / "queue_under_kills.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    versions = {name: version(name) for name in ("torch", "ray", "optuna")}
    machine = {"python": platform.python_version(), "processors": len(os.sched_getaffinity(0))}
    key = f"{tally.searches} searches, {tally.clients} clients, {runner}"
    rows[key] = {**asdict(tally), "runner": runner, "seed": seed, **machine, **versions}
    path.write_text(json.dumps(rows, indent=2, sort_keys=True) + "\n")
    lines = [
        "A server and its drivers killed by SIGKILL at random; see queue_under_kills.py.", "",
        "| searches | kills of servers | of drivers | attempts | done | carried out once | in "
        "order | device time | accounts off by | wall time |", "|---" * 10 + "|",
    ]  # fmt: skip
    for name, row in sorted(rows.items()):
        lines.append(
            f"| {name} | {row['server_kills']} | {row['driver_kills']} | {row['attempts']} | "
            f"{row['done']} | {row['carried_out']} | {'yes' if row['in_order'] else 'no'} | "
            f"{row['device_s']:.1f} s | {row['account_off_s']:.2g} s | {row['wall_s']:.0f} s |"
        )
    (RESULTS / "queue_under_kills.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
