"""What runs on a Ray worker; kept apart so that a worker imports what a trial needs and no more."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from autodepth.policy.policy import Policy
from autodepth.records.trial_record import WEIGHTS_LOST
from autodepth.search.luggage import Luggage
from autodepth.search.outcome import ERROR_FILE, Again, TrialOutcome, TrialTask, carry_out
from autodepth.search.weights_transit import WeightsTransit
from autodepth.trial.result import EpochReport, TrialState
from autodepth.trial.run_trial import OnEpoch
from autodepth.trial.setting import TrialSetting

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What a trial needs where it may run on another host than the driver's.

    Args:
        luggage: files of the driver's host.
        transit: folder or URL where weights are left for the driver.
    """

    luggage: Luggage
    transit: str


def work(config: dict[str, Any], setting: TrialSetting, elsewhere: Elsewhere | None = None) -> None:
    """Carry out one trial; every epoch and the outcome travel to the driver as Tune results.

    Args:
        config: `number`, `policy` and `folder` of the task, as plain values; `seconds` after which
            the process is ended if the trial still goes on, None for never.
            Or `until`, a file: then the worker only gets ready, and waits for that file.
        setting: what all trials share; Ray keeps one copy of its images per machine.
        elsewhere: what is needed besides on another host; kept likewise.
    """
    if "until" in config:
        while not Path(config["until"]).exists():
            time.sleep(_LOOK_SECONDS)
        tune.report({"epochs": []})  # Tune prints the ends of trials that tell nothing
        return
    setting.limit_threads(config["places"])
    task = TrialTask(
        number=config["number"],
        policy=Policy.from_dict(config["policy"]),
        folder=Path(config["folder"]),
        replicate=config["replicate"],
        bounded=config["bounded"],
        places=config["places"],
    )
    waiting: list[str] = []

    def tell(**more: str) -> None:
        tune.report({"epochs": [*waiting], **more})
        waiting.clear()

    def on_epoch(report: EpochReport) -> None:
        waiting.append(report.to_json())
        if not report.replayed:  # those of a parent that is there come at once: one message
            tell()
            if task.places > 1:  # what else the machine does may have changed
                setting.limit_threads(task.places)

    def on_again(reason: str) -> None:
        waiting.clear()
        tell(again=reason)

    with _ending_after(config["seconds"]):
        if elsewhere is None:
            tell(outcome=carry_out(task, setting, on_epoch, on_again).to_json())
            return
        tell(node=str(ray.util.get_node_ip_address()))  # type: ignore[no-untyped-call]
        outcome, trace = _carry_out_elsewhere(task, elsewhere, setting, on_epoch, on_again)
    tell(outcome=outcome.to_json(), trace=trace)


def _carry_out_elsewhere(
    task: TrialTask, elsewhere: Elsewhere, setting: TrialSetting, on_epoch: OnEpoch, on_again: Again
) -> tuple[TrialOutcome, str]:
    """Run a trial on a disk the driver does not see; return its end, and its traceback."""
    with tempfile.TemporaryDirectory(prefix="autodepth-") as place:
        here = replace(task, folder=Path(place))
        outcome = carry_out(here, elsewhere.luggage.unpack(setting), on_epoch, on_again)
        if outcome.result is not None:
            try:
                transit = WeightsTransit(elsewhere.transit)
                transit.leave(task.number, outcome.result, here.folder)
            except OSError as error:
                reason = f"{WEIGHTS_LOST}: {elsewhere.transit} does not take them: {error}"
                return TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True), ""
        trace = here.folder / ERROR_FILE
        return outcome, trace.read_text() if trace.exists() else ""


@contextmanager
def _ending_after(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer: what hangs listens to nothing else."""
    timer = threading.Timer(seconds or 0.0, os._exit, (1,))
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
