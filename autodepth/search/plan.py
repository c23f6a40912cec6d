"""Everything a study needs to run, resolved: what the driver, its runners and the doors share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autodepth.front.objective import Objective
from autodepth.networks.checkpoint_file import digest_of
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.search.places import Places
from autodepth.space.search_space import SearchSpace
from autodepth.trial.setting import TrialSetting
from autodepth.units import Budget
from autodepth.version import __version__

if TYPE_CHECKING:
    from autodepth.search.ray_cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """Everything a study needs to run.

    Args:
        space: what is searched.
        budget: what may be spent.
        places: where trials run.
        network: the untouched network, on the CPU.
        unpruned: what it costs, by metric; relative bounds refer to it.
        objectives: what is optimised, in absolute numbers.
        setting: what all trials share.
        seconds_per_trial: about how long a typical trial takes on its place.
        bounds: whether each constraint can be kept, in words.
        hardware: name of the GPU or CPU that trials compute on.
        notes: what was decided for the person, in sentences.
        of_space: those of the notes that are about what the space searches.
        cluster: where trials run; None for this machine.
    """

    space: SearchSpace
    budget: Budget
    places: Places
    network: ResidualNetwork
    unpruned: Mapping[str, float]
    objectives: tuple[Objective, ...]
    setting: TrialSetting
    seconds_per_trial: float
    bounds: Mapping[str, str]
    hardware: str
    notes: tuple[str, ...]
    of_space: tuple[str, ...] = ()
    cluster: Cluster | None = None

    @property
    def affordable_trials(self) -> float:
        """About how many trials the budget buys."""
        seconds = self.places.count * self.budget.seconds_left(self.places.devices)
        return min(seconds / self.seconds_per_trial, self.budget.trials or math.inf)

    def to_dict(self) -> dict[str, Any]:
        """Return what is needed to build the study's networks and read its data again; JSON."""
        setting = self.setting
        return {
            "autodepth": __version__,
            "space": self.space.to_dict(),
            "budget": self.budget.plan(self.places.device, self.places.devices),
            "limits": asdict(self.budget),
            "network": setting.spec.to_dict(),
            "weights": None if setting.weights is None else str(setting.weights.absolute()),
            "weights_sha256": None if setting.weights is None else digest_of(setting.weights),
            "unpruned": dict(self.unpruned),
            "data": setting.data.settings.to_dict(),
            "data_fingerprint": setting.data.fingerprint,
            "classes": list(setting.data.classes),
            "images": {
                "train": len(setting.data.train),
                "validation": len(setting.data.validation),
            },
            "normalisation": {
                "mean": list(setting.normalisation.mean),
                "std": list(setting.normalisation.std),
            },
            "device": self.places.device,
            "hardware": self.hardware,
            "threads": self.places.threads,
            "latency_table": setting.latency_table and setting.latency_table.to_dict(),
            "devices": self.places.devices,
            "concurrency": self.places.count,
            "per_trial": self.places.per_trial,
        }
