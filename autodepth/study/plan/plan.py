"""A plan: what it is asked for, and everything a study needs to run, resolved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autodepth.front.objective import Objective
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.checkpoint_file import digest_of
from autodepth.space.objectives import LATENCY
from autodepth.space.search_space import SearchSpace
from autodepth.study.plan.resource_request import ResourceRequest
from autodepth.study.plan.resources import Resources
from autodepth.trial.context import TrialContext
from autodepth.units import Budget
from autodepth.version import __version__

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What a plan is asked for beside the space: read from what a person wrote, not yet resolved.

    Args:
        budget: what may be spent.
        concurrency: trials at the same time, at least 1; None for as many as there is room for.
        per_trial: what one trial reserves; None for one device.
        own_code: whether the network's builder may be code of one's own.
        own_task: whether the task may be.
        trust_data: whether to leave out the look at images that are not decoded now.
    """

    budget: Budget
    concurrency: int | None = None
    per_trial: ResourceRequest | None = None
    own_code: bool = False
    own_task: bool = False
    trust_data: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """Everything a study needs to run.

    Args:
        space: what is searched.
        budget: what may be spent.
        resources: where trials run.
        network: the untouched network, on the CPU.
        unpruned: what it costs, by metric; relative bounds refer to it.
        objectives: what is optimised, in absolute numbers.
        context: what all trials share.
        seconds_per_trial: about how long a typical trial takes on its place.
        bounds: whether each constraint can be kept, in words.
        hardware: name of the GPU or CPU that trials compute on.
        notes: what was decided for the person, in sentences.
        of_space: those of the notes that are about what the space searches.
        cluster: where trials run; None for this machine.
    """

    space: SearchSpace
    budget: Budget
    resources: Resources
    network: ResidualNetwork
    unpruned: Mapping[str, float]
    objectives: tuple[Objective, ...]
    context: TrialContext
    seconds_per_trial: float
    bounds: Mapping[str, str]
    hardware: str
    notes: tuple[str, ...]
    of_space: tuple[str, ...] = ()
    cluster: Cluster | None = None

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """What the task is judged by: worst, best and unit of every metric, by its name."""
        return {name: asdict(metric) for name, metric in self.context.task.metrics.items()}

    @property
    def affordable_trials(self) -> float:
        """About how many trials the budget buys."""
        seconds = self.resources.count * self.budget.seconds_left(self.resources.devices)
        return min(seconds / self.seconds_per_trial, self.budget.trials or math.inf)

    def to_dict(self) -> dict[str, Any]:
        """Return what is needed to build the study's networks and read its data again; JSON."""
        context = self.context
        tables = {m: table.to_dict() for m, table in context.latency_tables.items()}
        learned = None if context.learns.is_plain else context.learns.to_dict()
        return {
            "autodepth": __version__,
            "space": self.space.to_dict(),
            "budget": self.budget.plan(self.resources.device, self.resources.devices),
            "limits": asdict(self.budget),
            "network": context.spec.to_dict(),
            "weights": None if context.weights is None else str(context.weights.absolute()),
            "weights_sha256": None if context.weights is None else digest_of(context.weights),
            "unpruned": dict(self.unpruned),
            **({} if learned is None else {"task": learned | {"metrics": self.metrics}}),
            "data": context.data.settings.to_dict()
            if not context.learns.is_own
            else {"name": context.learns.name},
            "data_fingerprint": context.data.fingerprint,
            "classes": list(context.data.classes),
            "images": {
                "train": len(context.data.train),
                "validation": len(context.data.validation),
            },
            "normalisation": {
                "mean": list(context.normalisation.mean),
                "std": list(context.normalisation.std),
            },
            "device": self.resources.device,
            "hardware": self.hardware,
            "threads": self.resources.threads,
            "latency_table": tables.pop(LATENCY, None),
            **({"latency_tables": tables} if tables else {}),
            "devices": self.resources.devices,
            "concurrency": self.resources.count,
            "per_trial": self.resources.per_trial,
        }
