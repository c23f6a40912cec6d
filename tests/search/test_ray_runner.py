"""The same study on a real Ray: workers, budget, a worker that dies."""

import os
import signal
import threading
import time

import psutil
import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.search import study_driver
from autodepth.service.searching import search
from autodepth.trial.result import TrialState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
WORKER = "ImplicitFunc"  # Ray's name for an actor that carries trials out
SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
)


def records(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.trials(), ledger.spent()


def test_a_study_on_ray_uses_its_workers_again_and_keeps_to_the_budget():
    workers = set()

    class NoteWorkers:
        def __init__(self, _):
            self.over = threading.Event()
            self.thread = threading.Thread(target=self.look, daemon=True)

        def look(self):
            while not self.over.wait(0.3):
                for process in psutil.Process().children(recursive=True):
                    try:
                        name = process.name()
                    except psutil.NoSuchProcess:
                        continue
                    if WORKER in name:
                        workers.add(process.pid)

        def __enter__(self):
            self.thread.start()

        def __exit__(self, *_):
            self.over.set()
            self.thread.join()

    result = search(budget="8trials", study="ray", settings=SMALL, concurrency=2, watch=NoteWorkers)
    trials, spent = records("ray")

    assert (result.trials, result.complete, result.unsent) == (8, 8, 0)
    assert all(trial.state is TrialState.COMPLETE for trial in trials)
    assert len(workers) <= 2
    assert result.spent_device_seconds == spent
    assert sum(trial.device_seconds for trial in trials) < spent
    assert result.front
    assert all(
        (find_study("ray").trial_folder(point.trial) / "model.safetensors").exists()
        for point in result.front
    )


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

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()


def test_a_trial_whose_worker_is_killed_is_tried_again():
    result = search(
        budget="4trials", study="killed", settings=[*SMALL, "train.epochs=20"],
        concurrency=2, watch=lambda driver: SignalOneWorker(signal.SIGKILL, driver),
    )  # fmt: skip
    trials, _ = records("killed")
    (lost,) = [trial for trial in trials if trial.state is TrialState.FAILED]
    again = [t for t in trials if t.state is TrialState.COMPLETE and t.policy == lost.policy]

    assert lost.reason.startswith("its worker died")
    assert lost.device_seconds > 0
    assert len(again) == 1
    assert result.complete == 4


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
