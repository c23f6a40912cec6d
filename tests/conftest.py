"""Small real images and settings that several rooms train on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Before anything imports torch: on small images a second thread costs more than it brings, and
# on a busy machine threads that wait for each other take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from autodepth.front.objective import Objective
from autodepth.long_work import shown_by
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow import store
from autodepth.records.mlflow.client import connect
from autodepth.records.mlflow.sync import default_tracking_uri
from autodepth.records.studies import StudyFolder, create_study_folder, studies_root
from autodepth.records.trial_record import StudyRecord
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult, TrialState
from autodepth.units import parse_budget

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine must not fail a property.
settings.register_profile("autodepth", deadline=None)
settings.load_profile("autodepth")


OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=40_000_000.0),
)
PLAN = {
    "network": {"name": "resnet20"},
    "data": {"name": "digits"},
    "data_fingerprint": "ab12",
    "unpruned": {"macs": 40_000_000.0},
    "device": "cpu",
    "devices": 2.0,
    "concurrency": 2,
}


def recorded_epoch(accuracy: float | None) -> EpochReport:
    """One epoch that ended at an accuracy; None for one that learned nothing."""
    return EpochReport(
        phase="parent",
        step=1,
        train_loss=0.3,
        train_accuracy=0.9,
        validation_accuracy=0.1 if accuracy is None else accuracy,
        branches_expected=8.0,
        branches_computed=8.0,
        gradient_norms={1: 0.5},
        images_per_second=100.0,
        seconds=2.0,
    )


def recorded_result(accuracy: float, macs: int) -> TrialResult:
    """What a complete trial brings back."""
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy,
            validation_loss=0.3,
            macs=macs,
            effective_macs=macs,
            parameters=200_000,
            size_bytes=810_000,
            latency_ms=2.5,
        ),
        removed=(3, 5, 6),
        sensitivities={3: 0.0},
        survival=(1.0, 0.9),
        parent_accuracy=0.92,
        pruned_accuracy=0.85,
        phase_seconds={"parent": 3.0, "fine_tune": 1.0},
        weights_file="model.safetensors",
    )


MOST_KEPT = 30_000_000  # parameters


@pytest.fixture(name="recorded_result")
def _recorded_result() -> Callable[[float, int], TrialResult]:
    return recorded_result


@pytest.fixture
def observed() -> Callable[[str, str, float], None]:
    """Return what notes how long something took, where `make faults` keeps a list of that.

    Its arguments: the fault, as the table in docs/reliability.md calls it; until when; seconds.
    """

    def note(fault: str, what: str, seconds: float) -> None:
        if path := os.environ.get("AUTODEPTH_FAULT_TIMES"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"| {fault} | {what} | {seconds:.1f} s |\n")

    return note


@pytest.fixture(autouse=True)
def _own_study_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the studies of another, or of the person who runs them."""
    monkeypatch.setenv("AUTODEPTH_HOME", str(tmp_path / "studies"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


class Kept(dict[Any, Any]):
    """Networks that were read; `clear` leaves them while there is room for more."""

    def clear(self) -> None:
        if sum(network.total_parameters for network in self.values()) > MOST_KEPT:
            super().clear()


@pytest.fixture(scope="session", autouse=True)
def _networks_are_read_once_and_timed_briefly() -> Iterator[None]:
    """Keep more networks than the last: most tests begin with the same few."""
    catalogue = sys.modules.get("autodepth.networks.catalogue.build")
    with pytest.MonkeyPatch.context() as patch:
        if catalogue is not None:  # else no test of this run needs it, and it takes seconds
            from autodepth.trial.device import turns

            patch.setattr(catalogue, "_kept", Kept())
            patch.setattr(turns, "_SECONDS", 0.01)
        yield


@pytest.fixture(scope="session", autouse=True)
def _new_stores_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have MLflow go through the seventy steps to a new store once."""
    ready, making, make = (
        tmp_path_factory.mktemp("mlflow") / "empty.db",
        threading.Lock(),
        store._make,
    )

    def copy(path: Path) -> None:
        with making:
            if not ready.exists():
                make(ready)
        shutil.copy(ready, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_make", copy)
        yield


@pytest.fixture
def make_store() -> Callable[[], None]:
    """Return what makes the store that other processes find beside this test's studies."""

    def make() -> None:
        studies_root().mkdir(parents=True, exist_ok=True)
        connect(default_tracking_uri(studies_root()))

    return make


@pytest.fixture
def heard() -> Iterator[dict[str, list[int | None]]]:
    """All long work done in this thread: by its name, its steps and how many were told as done."""
    told: dict[str, list[int | None]] = {}

    @contextmanager
    def show(what: str, steps: int | None) -> Iterator[Callable[[int], None]]:
        told[what] = entry = [steps, 0]

        def advance(count: int) -> None:
            entry[1] += count

        yield advance

    with shown_by(show):
        yield told


@pytest.fixture(scope="session")
def grey_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real handwritten digits as a file of 28x28 grey images, as a person would bring them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.stack(
        [
            np.asarray(Image.fromarray((image * 15.9375).astype(np.uint8)).resize((28, 28)))
            for image in digits.images[:600]
        ]
    )
    file = tmp_path_factory.mktemp("data") / "grey.npz"
    labels = digits.target[:600]
    np.savez(
        file, x_train=pixels[:500], y_train=labels[:500], x_test=pixels[500:], y_test=labels[500:]
    )
    return file


Made = tuple[float | None, int, float]  # accuracy (None: it failed), MACs, device seconds


@pytest.fixture
def make_recorded() -> Callable[..., StudyFolder]:
    """Record a study without training: one trial after the other, the unpruned one first."""

    def make(
        name: str,
        trials: Sequence[Made],
        *,
        ended: str | None = "the budget was spent",
        budget: str = "4cpu-min",
        policy: Mapping[str, Any] | None = None,
        **plan: Any,
    ) -> StudyFolder:
        limits = parse_budget(budget)
        plan |= {"budget": limits.plan("cpu", 2.0), "limits": asdict(limits)}
        folder = create_study_folder(name)
        study = StudyRecord(
            name=name, seed=7, objectives=plan.pop("objectives", OBJECTIVES), plan=PLAN | plan
        )
        with Ledger.create(folder.ledger_path, study) as ledger:
            folder.space_path.write_text("version: 1\n")
            for number, (accuracy, macs, seconds) in enumerate(trials):
                kind = "search" if number else "unpruned"
                assert ledger.start_trial(kind, {"p_L": 0.5}, policy or {"p_L": 0.5}) == number
                ledger.record([(number, recorded_epoch(accuracy))])
                spent = ledger.spent() + seconds
                if accuracy is None:
                    ledger.end_trial(number, TrialState.FAILED, "ran out", seconds, spent=spent)
                    continue
                ledger.complete_trial(number, recorded_result(accuracy, macs), seconds, spent=spent)
                weights = folder.trial_folder(number) / "model.safetensors"
                weights.parent.mkdir(parents=True)
                weights.write_bytes(b"weights of trial %d" % number)
            if ended is not None:
                ledger.end_study(ended)
        return folder

    return make


_LARGE = ("[vit_b_16", ":vit_b_16", "[convnext_tiny", ":convnext_tiny", "[maxvit_t")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the largest of the networks that a test has by name among the long tests only.

    Files of slow tests come first: at the end, one of them would leave the other worker idle.
    """
    slow = set()
    for item in items:
        if any(name in item.name for name in _LARGE):
            item.add_marker(pytest.mark.long)
        if item.get_closest_marker("slow") and not item.get_closest_marker("long"):
            slow.add(item.path)
    items.sort(key=lambda item: item.path not in slow)


class AfterTheEnd:
    """What a search is told, and what it begins, once its budget has ended: `watch=` it.

    Seconds would tell as much of the machine: what else runs can hold one epoch up for long.
    """

    def __init__(self):
        self.epochs = self.begun = 0

    @contextmanager
    def __call__(self, driver):
        on_report, next_task = driver.on_report, driver.next

        def counted(number, report):
            self.epochs += len(report.epochs) * driver.meter.exhausted
            return on_report(number, report)

        def noted():
            ended = driver.meter.exhausted
            task = next_task()
            self.begun += ended and task not in ("wait", "done")
            return task

        driver.on_report, driver.next = counted, noted
        yield


@pytest.fixture
def after_the_end():
    return AfterTheEnd()
