"""The same study on a real Ray: workers, budget, a worker that dies."""

import os
import random
import shutil
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study, studies_root
from autodepth.service.search.search import search
from autodepth.study.driver import driver as study_driver
from autodepth.trial.context import TrialContext
from autodepth.trial.result import TrialState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
WORKER = "ImplicitFunc"  # Ray's name for an actor that carries trials out
SMALL = (
    "network.name=resnet8",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
)


def records(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.trials(), ledger.spent()


class WatchMemory:
    """Takes the file of the data away, then looks at the shared memory that workers map."""

    def __init__(self, file):
        self.file, self.over = file, threading.Event()
        self.seen = {}  # by worker: what it maps of Ray's object store, when it was most
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    if WORKER not in process.name():
                        continue
                    mapped = object_store(process.pid)
                except (psutil.NoSuchProcess, OSError):
                    continue
                known = self.seen.get(process.pid, mapped)
                self.seen[process.pid] = max(known, mapped, key=lambda m: m["resident"])

    def __enter__(self):
        self.file.unlink()
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def object_store(pid):
    """Return which files a process maps of Ray's object store, and bytes of it it holds."""
    found, inode = {"files": set(), "resident": 0, "private": 0}, None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, *words = line.split()
        if not key.endswith(":"):  # the first line of a mapping
            inode = words[3] if "plasma" in line else None
            found["files"] |= {inode} - {None}
        elif inode is not None and key in {"Rss:", "Private_Clean:", "Private_Dirty:"}:
            found["resident" if key == "Rss:" else "private"] += 1024 * int(words[0])
    return found


@pytest.fixture(scope="module")
def watched(grey_npz, tmp_path_factory):
    """A study on Ray of images in a file, and what was seen of its workers' memory."""
    place = tmp_path_factory.mktemp("watched")
    file = Path(shutil.copy(grey_npz, place / "grey.npz"))
    memory = WatchMemory(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPTH_HOME", str(place / "studies"))
        result = search(
            budget="6trials", study="ray", data=f"npz:{file}", concurrency=2,
            settings=[SMALL[0], "data.train_images=400", "train.epochs=1", SMALL[-1]],
            watch=lambda _: memory,
        )  # fmt: skip
        return result, memory, find_study("ray"), records("ray")


def test_a_study_on_ray_uses_its_workers_again_and_keeps_to_the_budget(watched):
    result, memory, folder, (trials, spent) = watched

    assert (result.trials, result.complete, result.unsent) == (6, 6, 0)
    assert all(trial.state is TrialState.COMPLETE for trial in trials)
    assert len(memory.seen) <= 2
    assert result.spent_device_seconds == spent
    assert sum(trial.device_seconds for trial in trials) < spent
    assert result.front
    assert all(
        (folder.trial_folder(point.trial) / "model.safetensors").exists() for point in result.front
    )


def test_images_are_read_once_and_lie_once_in_the_memory_of_a_node(watched):
    memory = watched[1]
    images = 400 * 28 * 28

    assert not memory.file.exists()  # whoever had read it again would have failed
    one, other = memory.seen.values()
    assert one["files"] == other["files"] != set()
    for worker in (one, other):
        assert worker["resident"] > images
        assert worker["private"] < images / 10


class SignalOneWorker:
    """Sends a signal to the worker that computes, once an epoch was told."""

    def __init__(self, number, driver):
        self.number, self.driver = number, driver
        self.thread = threading.Thread(target=self.send, daemon=True)

    def send(self):
        while not any(self.driver.ledger.epochs(t.number) for t in self.driver.ledger.trials()):
            time.sleep(0.1)
        workers = [p for p in psutil.Process().children(recursive=True) if WORKER in p.name()]
        busiest = max(workers, key=lambda process: process.cpu_times().user)
        os.kill(busiest.pid, self.number)  # the other may only be getting ready
        self.sent = datetime.now(UTC)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()


def test_a_trial_whose_worker_is_killed_is_tried_again(observed):
    killers = []

    def watch(driver):
        killers.append(SignalOneWorker(signal.SIGKILL, driver))
        return killers[0]

    result = search(
        budget="4trials", study="killed", settings=[*SMALL, "train.epochs=20"],
        concurrency=2, watch=watch,
    )  # fmt: skip
    trials, _ = records("killed")
    (lost,) = [trial for trial in trials if trial.state is TrialState.FAILED]
    again = [t for t in trials if t.state is TrialState.COMPLETE and t.policy == lost.policy]

    assert lost.reason.startswith("its worker died")
    assert lost.device_seconds > 0
    assert len(again) == 1
    assert result.complete == 4
    begun = datetime.fromisoformat(again[0].started_at)
    seconds = (begun - killers[0].sent).total_seconds()
    observed("a worker is killed", "until its policy is tried again", seconds)


class KillWorkers:
    """Kills the one worker, for each moment in the life of another trial.

    Args:
        moments: as many epochs as the trial has then told, at least; the rest is a part of one.
        driver: of the study.
    """

    def __init__(self, moments, driver):
        self.moments, self.driver = moments, driver
        self.killed = {}  # when, by the number of the trial
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.kill, daemon=True)

    def kill(self):
        for moment in self.moments:
            while not self.kill_at(moment):
                if self.over.wait(0.05):
                    return

    def kill_at(self, moment):
        """Kill the worker if now is the moment; return whether that ended its trial."""
        trial = self.running()
        worker = self.caught(trial.number, moment) if trial else None
        if worker is None:
            return False
        worker.kill()
        at = datetime.now(UTC)
        while not (ended := self.driver.ledger.trials()[trial.number]).state.ended:
            if self.over.wait(0.01):
                return False
        if ended.state is TrialState.FAILED:
            self.killed[trial.number] = at
        return trial.number in self.killed

    def running(self):
        """Return the trial that runs, unless it is an attempt after one that was killed."""
        trials = self.driver.ledger.trials()
        killed = [trials[number].policy for number in self.killed]
        running = [t for t in trials if not t.state.ended and t.policy not in killed]
        return running[0] if running else None

    def caught(self, number, moment):
        """Return the worker, if it is there and the moment too."""
        epochs = self.driver.ledger.epochs(number)
        if len(epochs) < int(moment):
            return None
        self.over.wait(moment % 1 * (epochs[-1].seconds if epochs else 1))
        return the_worker()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def the_worker():
    """Return the process that carries trials out, if it is there."""
    found = [p for p in psutil.Process().children(recursive=True) if WORKER in p.name()]
    return found[0] if found else None


def seconds(since, complete):
    return (datetime.fromisoformat(complete.ended_at) - since).total_seconds()


def attempts_after(name, killed):
    """Check that trials were lost with their workers; return what completed for each of them."""
    trials, _ = records(name)
    lost = [trial for trial in trials if trial.state is TrialState.FAILED]
    # One that was killed just after its trial is missed by the next, which nobody had in mind.
    assert killed.keys() <= {trial.number for trial in lost}
    assert all(trial.reason.startswith("its worker died") for trial in lost)
    assert broken_invariants(find_study(name)) == []
    others = [trial for trial in trials if trial not in lost]
    assert all(trial.state is TrialState.COMPLETE for trial in others)
    return {n: [each for each in others if each.policy == trials[n].policy] for n in killed}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_workers_killed_at_five_random_moments_of_a_trials_life_cost_an_attempt_each(observed):
    """Row 1: from before the first epoch to the last."""
    chance, killers = random.Random(), []
    moments = [chance.uniform(fifth, fifth + 4) for fifth in range(0, 20, 4)]

    def watch(driver):
        killers.append(KillWorkers(moments, driver))
        return killers[0]

    result = search(
        budget="14trials", study="moments", settings=[*SMALL, "train.epochs=20", "rungs.stages=[]"],
        concurrency=1, watch=watch,
    )  # fmt: skip
    killed = killers[0].killed
    attempts = attempts_after("moments", killed)

    assert len(killed) == 5, moments
    assert result.complete == 14  # many, as on a busy machine a trial may end before it is caught
    for number, at in killed.items():
        (again,) = attempts[number]
        observed("a worker is killed", "until the next attempt is complete", seconds(at, again))


class KillWriter(KillWorkers):
    """Kills the one worker while it writes a checkpoint, once it has told so many epochs."""

    def caught(self, number, moment):
        worker = the_worker()
        if worker is None or len(self.driver.ledger.epochs(number)) < moment:
            return None
        # Whoever sees a file being written may come too late on a busy machine: the worker is
        # stopped at one moment after the other until it is stopped within a write.
        while not self.driver.ledger.trials()[number].state.ended:
            worker.suspend()
            while worker.status() != psutil.STATUS_STOPPED:
                time.sleep(0.0005)
            if list(being_written()):
                return worker
            worker.resume()
            self.over.wait(random.uniform(0.0005, 0.005))
        return None


def being_written():
    """Return the files of checkpoints that do not have their names yet."""
    return (studies_root() / "cache").glob(".draft-*/.state.safetensors.*")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_after_a_worker_that_died_writing_a_checkpoint_the_one_before_is_taken(
    monkeypatch, observed
):
    """Row 1: half of a checkpoint is none."""
    monkeypatch.setitem(TrialContext.__init__.__kwdefaults__, "checkpoint_seconds", 0.0)
    killers = []

    def watch(driver):
        killers.append(KillWriter([5], driver))
        return killers[0]

    search(
        budget="3trials", study="writing", settings=[*SMALL, "train.epochs=150", "rungs.stages=[]"],
        concurrency=1, watch=watch,
    )  # fmt: skip
    killed = killers[0].killed
    ((lost, (again,)),) = attempts_after("writing", killed).items()
    observed(
        "a worker is killed while it writes a checkpoint", "until the next attempt is complete",
        seconds(killed[lost], again),
    )  # fmt: skip
    with Ledger.open(find_study("writing").ledger_path, read_only=True) as ledger:
        told, taken_up = ledger.epochs(lost), ledger.epochs(again.number)

    assert len(list(being_written())) == 1  # what it left
    assert len(told) >= 5
    assert [e.step for e in taken_up if e.replayed] == [e.step for e in told]


@pytest.mark.long
def test_a_worker_that_does_not_answer_any_more_cannot_hold_the_budget_up(monkeypatch):
    monkeypatch.setattr(study_driver, "_PATIENCE_SECONDS", 5.0)
    begun = time.monotonic()
    result = search(
        budget="30cpu-s", study="stuck", settings=[*SMALL, "train.epochs=200"],
        concurrency=2, watch=lambda driver: SignalOneWorker(signal.SIGSTOP, driver),
    )  # fmt: skip
    trials, _ = records("stuck")

    assert result.outcome == "the budget was spent"
    assert all(trial.state.ended for trial in trials)
    assert time.monotonic() - begun < 120
