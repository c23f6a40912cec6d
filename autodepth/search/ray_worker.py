"""What runs on a Ray worker; kept apart so that a worker imports what a trial needs and no more."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune

from autodepth.policy.policy import Policy
from autodepth.search.outcome import TrialTask, carry_out
from autodepth.trial.result import EpochReport
from autodepth.trial.setting import TrialSetting

_LOOK_SECONDS = 0.05


def work(config: dict[str, Any], setting: TrialSetting) -> None:
    """Carry out one trial; every epoch and the outcome travel to the driver as Tune results.

    Args:
        config: `number`, `policy` and `folder` of the task, as plain values; `seconds` after which
            the process is ended if the trial still goes on, None for never.
            Or `until`, a file: then the worker only gets ready, and waits for that file.
        setting: what all trials share; Ray keeps one copy of its images per machine.
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
        outcome = carry_out(task, setting, on_epoch, on_again)
    tell(outcome=outcome.to_json())


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
