"""What runs on a Ray worker; kept apart so that a worker imports what a trial needs and no more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from autodepth.policy.policy import Policy
from autodepth.search.outcome import TrialTask, carry_out
from autodepth.search.places import Places
from autodepth.trial.result import EpochReport
from autodepth.trial.setting import TrialSetting

if TYPE_CHECKING:
    from autodepth.search.ray_ranks import Company

_LOOK_SECONDS = 0.05
_companies: list[Company] = []


def work(config: dict[str, Any], setting: TrialSetting, places: Places) -> None:
    """Carry out one trial; every epoch and the outcome travel to the driver as Tune results.

    Args:
        config: `number`, `policy` and `folder` of the task, as plain values.
            Or `until`, a file: then the worker only gets ready, and waits for that file.
        setting: what all trials share; Ray keeps one copy of its images per machine.
        places: what a trial reserves; with several ranks, this worker is the first of them.
    """
    company = None if places.ranks == 1 else _company(setting, places)
    if "until" in config:
        while not Path(config["until"]).exists():
            time.sleep(_LOOK_SECONDS)
        tune.report({"epochs": []})  # Tune prints the ends of trials that tell nothing
        return
    if company is not None:
        setting = replace(setting, ranks=company.ranks)
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

    outcome = carry_out(task, setting, on_epoch)
    if company is not None:
        company.check()
    tell(outcome=outcome.to_json())
    if company is not None:
        company.check_step()


def _company(setting: TrialSetting, places: Places) -> Company:
    """Return the other ranks of this worker, which stay with it from trial to trial."""
    from autodepth.search.ray_ranks import Company  # noqa: PLC0415 - not in workers without

    if not _companies:
        bundle = places.bundles[0]
        _companies.append(Company(places.ranks, setting, cpus=bundle["CPU"], gpus=bundle["GPU"]))
    _companies[0].check_step()
    return _companies[0]
