"""What runs on a Ray worker; kept apart so that a worker imports what a trial needs and no more."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from autodepth.policy.policy import Policy
from autodepth.records.trial_record import WEIGHTS_LOST
from autodepth.search.luggage import Luggage
from autodepth.search.outcome import ERROR_FILE, TrialOutcome, TrialTask, carry_out
from autodepth.search.weights_transit import WeightsTransit
from autodepth.trial.result import EpochReport, TrialState
from autodepth.trial.run_trial import OnEpoch
from autodepth.trial.setting import TrialSetting

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What a trial needs of a study whose driver did not start its worker.

    Args:
        luggage: files of the driver's host.
        transit: folder or URL where weights are left for the driver; None where its disk is here.
    """

    luggage: Luggage
    transit: str | None


def work(config: dict[str, Any], setting: TrialSetting, elsewhere: Elsewhere | None = None) -> None:
    """Carry out one trial; every epoch and the outcome travel to the driver as Tune results.

    Args:
        config: `number`, `policy` and `folder` of the task, as plain values.
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

    if elsewhere is not None:
        tell(node=str(ray.util.get_node_ip_address()))  # type: ignore[no-untyped-call]
        setting = elsewhere.luggage.unpack(setting)
    if elsewhere is None or elsewhere.transit is None:
        tell(outcome=carry_out(task, setting, on_epoch).to_json())
        return
    outcome, trace = _carry_out_elsewhere(task, setting, elsewhere.transit, on_epoch)
    tell(outcome=outcome.to_json(), trace=trace)


def _carry_out_elsewhere(
    task: TrialTask, setting: TrialSetting, transit: str, on_epoch: OnEpoch
) -> tuple[TrialOutcome, str]:
    """Run a trial on a disk the driver does not see; return its end, and its traceback."""
    with tempfile.TemporaryDirectory(prefix="autodepth-") as place:
        here = replace(task, folder=Path(place))
        outcome = carry_out(here, setting, on_epoch)
        if outcome.result is not None:
            try:
                WeightsTransit(transit).leave(task.number, outcome.result, here.folder)
            except OSError as error:
                reason = f"{WEIGHTS_LOST}: {transit} does not take them: {error}"
                return TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True), ""
        trace = here.folder / ERROR_FILE
        return outcome, trace.read_text() if trace.exists() else ""
