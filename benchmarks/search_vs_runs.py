"""One run of a contestant of `search_vs_plain_tune.py`: started, measured, told as plain values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from search_vs_curves import Point, ever_on_front
from search_vs_data import space_settings, split_as_the_peer

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.restoring import with_shapes
from autodepth.networks.pruning.widths import changed_shapes
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.own_files import load_saved, read_saved
from autodepth.records.ledger import Ledger
from autodepth.records.studies import HOME_VARIABLE, find_study
from autodepth.records.trial_record import TrialRecord
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import carry_out_plan, plan_search
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.plan.plan import StudyPlan
from autodepth.trial.result import TrialResult
from autodepth.trial.run_trial import WEIGHTS_FILE
from autodepth.trial.training.evaluation import evaluate

DEPTH, EPOCHS = 20, 8
# Validation images that may be judged otherwise when a network is loaded elsewhere.
_ROUNDING = 2
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 600
_SPACES = Path(__file__).parent / "spaces"
Values = dict[str, Any]


def run_peer(
    peer: Path, images: Path, *, seconds: float, seed: int, cpus: int, expert: bool
) -> Values:
    """Run the peer for so many seconds and return what it wrote.

    Raises:
        ValueError: its networks are not those autodepth searches.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "peer.json"
        command = [
            sys.executable, str(peer), "--seconds", str(seconds), "--out", str(out),
            "--data", str(images), "--depth", str(DEPTH), "--epochs", str(EPOCHS),
            "--seed", str(seed), "--cpus", str(cpus), *(["--expert"] if expert else []),
        ]  # fmt: skip
        start = time.monotonic()
        subprocess.run(
            command, check=True, env=os.environ | {"TMPDIR": scratch},
            timeout=seconds + _GRACE_SECONDS,
        )  # fmt: skip
        took = time.monotonic() - start
        told: Values = json.loads(out.read_text())
    whole = whole_network(images)
    for trial in told["trials"]:
        check_macs(whole, trial)
    return {
        "process_s": took,
        "device_s": cpus * told["wall_s"],
        "unpruned_macs": whole.total_macs,
        "errors": told["errors"],
        "trials": told["trials"],
    }


def run_scratch(peer: Path, images: Path, *, seconds: float, seed: int) -> Values:
    """Run the peer that trains a few small networks from scratch, for so many device seconds.

    Raises:
        ValueError: its whole network is not the one autodepth searches.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "peer.json"
        command = [
            sys.executable, str(peer), "--seconds", str(seconds), "--out", str(out),
            "--data", str(images), "--seed", str(seed),
        ]  # fmt: skip
        start = time.monotonic()
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        took = time.monotonic() - start
        told: Values = json.loads(out.read_text())
    whole = whole_network(images)
    if told["unpruned_macs"] != whole.total_macs:
        raise ValueError(
            f"the peer's whole network must have {whole.total_macs:,} MACs, "
            f"but it counts {told['unpruned_macs']:,}"
        )
    return {
        "process_s": took,
        "device_s": told["wall_s"],
        "unpruned_macs": whole.total_macs,
        "errors": told["errors"],
        "trials": told["trials"],
    }


def whole_network(images: Path) -> ResidualNetwork:
    """Return the unpruned network for the images of an .npz."""
    with np.load(images) as arrays:
        (_, height, width, channels), labels = arrays["x_train"].shape, arrays["y_train"]
    return build_network(
        NetworkSpec(
            name=f"resnet{DEPTH}",
            classes=int(labels.max()) + 1,
            channels=channels,
            height=height,
            width=width,
            shortcut="B",
        )
    )


def check_macs(whole: ResidualNetwork, trial: Values) -> None:
    """Raise ValueError unless a trial of the peer counts MACs as autodepth does, to the digit."""
    (identity,) = {branch.macs for branch in whole.branches if branch.shortcut == "identity"}
    expected = whole.total_macs - (len(whole.branches) - trial["blocks"]) * identity
    if trial["macs"] != expected:
        raise ValueError(
            f"the peer's network of {trial['blocks']} blocks must have {expected:,} MACs, "
            f"but it counts {trial['macs']:,}"
        )


def run_autodepth(
    space: str,
    images: Path,
    *,
    budget: str,
    seed: int,
    cpus: int,
    weights: Path | None = None,
    settings: Sequence[str] | None = None,
) -> Values:
    """Search; then open the test split for every network that was on the front at any time.

    Args:
        space: name of a file of spaces/.
        images: the .npz.
        budget: as for `autodepth search`.
        seed: of the study.
        cpus: trials at the same time, one CPU each.
        weights: that the network begins with.
        settings: of the space, in place of those that make its data the peer's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[HOME_VARIABLE] = str(Path(scratch) / "home")
        keeper = WeightKeeper(Path(scratch) / "weights")
        start = time.monotonic()
        request = SearchRequest(
            space=_SPACES / f"{space}.yaml",
            budget=budget,
            study="run",
            data=f"npz:{images.absolute()}",
            weights=weights,
            settings=space_settings(images) if settings is None else settings,
            seed=seed,
            concurrency=cpus,
            per_trial="1cpu",
        )
        plan = _plan(request, images)
        carry_out_plan(plan, request, watch=keeper.watch)
        took = time.monotonic() - start
        with Ledger.open(find_study("run").ledger_path, read_only=True) as ledger:
            rows = _rows(ledger)
            spent, spending = ledger.spent(), ledger.spending()
            _add_test_accuracies(rows, ledger, plan, keeper.folder, cpus)
    return {
        "process_s": took,
        "device_s": spent,
        "unpruned_macs": plan.network.total_macs,
        "spending": spending,
        "notes": list(plan.notes),
        "trials": rows,
    }


def _plan(request: SearchRequest, images: Path) -> StudyPlan:
    plan = plan_search(request)
    data = split_as_the_peer(plan.context.data, images)
    return replace(plan, context=replace(plan.context, data=data))


class WeightKeeper:
    """Links every trial's weights when they appear: the study deletes those off its front.

    A trial writes its weights before its latency is measured, so they are there long before the
    study can think of deleting them.

    Args:
        folder: takes one file per trial; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ended = threading.Event()

    @contextmanager
    def watch(self, driver: StudyDriver) -> Iterator[None]:
        """Keep weights while the study runs."""
        self.folder.mkdir(parents=True)
        thread = threading.Thread(target=self._keep, args=(driver.folder.path / "trials",))
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _keep(self, trials: Path) -> None:
        linked: set[str] = set()
        while not self._ended.wait(_POLL_SECONDS):
            names = {entry.name for entry in os.scandir(trials)} if trials.is_dir() else set()
            for name in names - linked:
                with suppress(FileNotFoundError):  # not yet written
                    _kept(self.folder, name).hardlink_to(trials / name / WEIGHTS_FILE)
                    linked.add(name)


def _kept(folder: Path, trial: str) -> Path:
    return folder / f"{trial}{Path(WEIGHTS_FILE).suffix}"


def _rows(ledger: Ledger) -> list[Values]:
    spent = dict(ledger.endings())
    begun = datetime.fromisoformat(ledger.study.created_at)
    rows: list[Values] = []
    for record in ledger.trials():
        row: Values = {
            "number": record.number,
            "kind": record.kind,
            "state": record.state.value,
            "started_s": _since(begun, record.started_at),
            "ended_s": _since(begun, record.ended_at),
            "spent": spent.get(record.number),
            "device_s": record.device_seconds,
            "epochs": dict(
                Counter(e.phase for e in ledger.epochs(record.number) if not e.replayed)
            ),
            "point": dict(record.point),
        }
        if record.result is not None:
            row |= {
                "val_acc": record.result.point.validation_accuracy,
                "macs": record.result.point.macs,
                "removed": list(record.result.removed),
                "stage_s": {k: round(v, 3) for k, v in record.result.phase_seconds.items()},
            }
        rows.append(row)
    return rows


def _since(begun: datetime, moment: str | None) -> float | None:
    if moment is None:
        return None
    return round((datetime.fromisoformat(moment) - begun).total_seconds(), 3)


def _add_test_accuracies(
    rows: list[Values], ledger: Ledger, plan: StudyPlan, weights: Path, cpus: int
) -> None:
    """Evaluate every network that was on the front at any time, once."""
    torch.set_num_threads(cpus)
    candidates = [record for record in ledger.trials() if record.front_point is not None]
    points = [_point(rows[record.number]) for record in candidates]
    setting = plan.context
    test = setting.task.batches("test", batch_size=256, generator=None)
    for index in sorted(ever_on_front(points)):
        record = candidates[index]
        network = _rebuilt(record, plan, _kept(weights, str(record.number)))
        rows[record.number]["test_acc"] = evaluate(network.module, test).accuracy


def _point(row: Values) -> Point:
    return Point(ended=row["spent"], validation=row["val_acc"], macs=row["macs"])


def _rebuilt(record: TrialRecord, plan: StudyPlan, weights: Path) -> ResidualNetwork:
    """Return the network of a trial, after a look whether it is the one that was measured."""
    result = record.result
    assert isinstance(result, TrialResult)
    setting = plan.context
    network = build_network(setting.spec).without(result.removed)
    network = with_shapes(network, changed_shapes(network.module, read_saved(weights)))
    load_saved(network.module, weights)
    network.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.module.eval()
    validation = setting.validation_batches()
    found = evaluate(network.module, validation).accuracy
    told = result.point.validation_accuracy
    if abs(found - told) * len(setting.data.validation) > _ROUNDING + 0.5:
        raise ValueError(
            f"trial {record.number} must have a validation accuracy of {told:.4f} again, "
            f"but its weights give {found:.4f}"
        )
    return network
