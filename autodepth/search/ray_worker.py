"""What runs on a Ray worker; kept apart so that a worker imports what a trial needs and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune

from autodepth.policy.policy import Policy
from autodepth.search.outcome import TrialTask, carry_out
from autodepth.trial.setting import TrialSetting


def work(config: dict[str, Any], setting: TrialSetting) -> None:
    """Carry out one trial; every epoch and the outcome travel to the driver as Tune results.

    Args:
        config: `number`, `policy` and `folder` of the task, as plain values.
        setting: what all trials share; Ray keeps one copy of its images per machine.
    """
    setting.limit_threads(config["places"])
    task = TrialTask(
        number=config["number"],
        policy=Policy.from_dict(config["policy"]),
        folder=Path(config["folder"]),
        replicate=config["replicate"],
        bounded=config["bounded"],
        places=config["places"],
    )
    outcome = carry_out(task, setting, lambda report: tune.report({"epoch": report.to_json()}))
    tune.report({"outcome": outcome.to_json()})
