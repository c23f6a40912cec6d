"""A study on a real Ray whose trials compute on two processes each."""

import os
import signal
import threading

import psutil
import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two processes need two CPUs"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
RANK = "_Rank"  # Ray's name for an actor that trains with the first
SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "train.precision=float32",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
)


class Followers:
    """Notes which processes train with the first; ends one once an epoch was told, if asked to."""

    def __init__(self, driver, *, kill=False):
        self.driver, self.kill = driver, kill
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.wait(0.2):
            there = [p for p in psutil.Process().children(recursive=True) if RANK in p.name()]
            seen.update(process.pid for process in there)
            if self.kill and there and self.epochs():
                os.kill(there[0].pid, signal.SIGKILL)
                return

    def epochs(self):
        return any(self.driver.ledger.epochs(t.number) for t in self.driver.ledger.trials())

    def __enter__(self):
        seen.clear()
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


seen = set()


def trials_of(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.trials(), {t.number: ledger.epochs(t.number) for t in ledger.trials()}


def test_trials_on_two_processes_come_to_what_they_come_to_on_one():
    two = search(
        budget="4trials", study="two", settings=SMALL, concurrency=1, per_trial="2x1cpu",
        watch=Followers,
    )  # fmt: skip
    assert len(seen) == 1  # it stays from trial to trial
    search(budget="4trials", study="one", settings=SMALL, concurrency=1, per_trial="1cpu")
    trials, epochs = trials_of("two")
    straight, wanted = trials_of("one")

    assert two.complete == 4
    assert find_study("two").plan["devices"] == 2
    assert find_study("two").plan["per_trial"] == "2x1cpu"
    for trial, other in zip(trials, straight, strict=True):
        assert trial.policy == other.policy
        assert trial.result.removed == other.result.removed
        losses = [epoch.train_loss for epoch in epochs[trial.number]]
        assert losses == pytest.approx([e.train_loss for e in wanted[other.number]], abs=1e-4)


def test_a_trial_that_loses_a_process_is_tried_again():
    result = search(
        budget="2trials", study="lost", settings=[*SMALL, "train.epochs=6"],
        concurrency=1, per_trial="2x1cpu", watch=lambda driver: Followers(driver, kill=True),
    )  # fmt: skip
    trials, _ = trials_of("lost")
    (lost,) = [trial for trial in trials if trial.state is TrialState.FAILED]
    again = next(t for t in trials if t.number > lost.number and t.policy == lost.policy)

    assert lost.reason.startswith("its worker died")
    assert "rank 1 of 2 is gone" in lost.reason
    assert again.state is TrialState.COMPLETE
    assert result.complete == 2
