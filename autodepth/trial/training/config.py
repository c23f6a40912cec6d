"""By what rules one training goes, and what each epoch of it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from autodepth.networks.gates.features import Features
from autodepth.policy.training_settings import Schedule, TrainingSettings
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.task import Task
from autodepth.trial.training.evaluation import Evaluation, Network

Survival = Callable[[float], Sequence[float]]
"""p_l of every branch that is there, at a share of training in [0, 1]."""


class Stateful(Protocol):
    """What a course learns while it goes, apart from weights; checkpoints hold it."""

    def state_dict(self) -> Any:
        """Return it as plain values fit for JSON."""

    def load_state_dict(self, values: Any) -> None:
        """Be as when `state_dict` gave these values."""


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A teacher whose outputs are learned beside the targets (Hinton et al. 2015), or features.

    Args:
        teacher: in evaluation mode, on the device of the inputs.
        weight: alpha in [0, 1), the part of the loss that the teacher's outputs are.
        temperature: T by which both outputs are softened.
        features: what both networks compute on the way; None leaves it free.
        feature_weight: how much these count, on top of the loss.
    """

    teacher: Network
    weight: float
    temperature: float
    features: Features | None = None
    feature_weight: float = 0.0

    def beside(self, hard: Tensor, inputs: Tensor, outputs: Any, task: Task) -> Tensor:
        """Return the loss of a batch, given that of its targets."""
        with torch.no_grad():
            teachers = self.teacher(inputs)
        if self.weight:
            soft = task.distillation(outputs, teachers, self.temperature)
            hard = (1 - self.weight) * hard + self.weight * soft
        if self.features is None:
            return hard
        return hard + self.feature_weight * self.features.apart()


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and by what rules one training goes.

    Args:
        epochs: passes over the training images; 0 does nothing.
        learning_rate: highest rate of the schedule.
        schedule: `one_cycle`, whose last step is the last training step; `constant`; `wsd`, which
            warms up in the first epoch, stays, and falls in a line to 0 at the end (Hu et al.
            2024, arXiv 2404.06395, section 4); or `cosine`, which falls after its warm-up.
        settings: everything else about training.
        survival: p_l over time; all ones train the plain network.
        task: what is learned.
        distillation: a teacher, if there is one.
        patience: epochs without a better validation loss after which training ends; None is all.
        after_step: called after every update of the weights.
        after_epoch: called with the number of every epoch, before it is told.
        memory: what `after_epoch` changes, if anything.
        layer_seed: seed of what layers draw by themselves (dropout).
        elastic: share of training, at its end, whose steps train the whole network on targets and
            one of random depth on its outputs (the sandwich rule of Yu & Huang 2019 with two
            networks). Branches are never scaled then.
    """

    epochs: int
    learning_rate: float
    schedule: Schedule = "one_cycle"
    settings: TrainingSettings
    survival: Survival
    task: Task = CLASSIFICATION
    distillation: Distillation | None = None
    patience: int | None = None
    after_step: Callable[[], None] = lambda: None
    after_epoch: Callable[[int], None] = lambda _: None
    memory: Stateful | None = None
    layer_seed: int = 0
    elastic: float = 0.0

    def is_elastic(self, progress: float) -> bool:
        """Whether the step at a share of training in [0, 1) trains two networks."""
        return progress >= 1 - self.elastic

    @property
    def stable_epochs(self) -> int:
        """Epochs before the rate of `wsd` falls: longer training begins with the same ones."""
        if self.schedule != "wsd":
            return 0
        return self.epochs - max(1, round(self.settings.decay_share * self.epochs))

    def loss(self, outputs: Any, inputs: Tensor, targets: Any) -> Tensor:
        """Return the mean loss of a batch."""
        hard = self.task.training_loss(outputs, targets, self.settings.label_smoothing)
        if self.distillation is None:
            return hard
        return self.distillation.beside(hard, inputs, outputs, self.task)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training split, told when it is over.

    Args:
        number: from 1.
        train_loss: mean loss over the steps, a teacher's part included.
        train_accuracy: top-1 fraction of the training images as the steps saw them: augmented,
            through open gates only; not a number of tasks that count no hits.
        branches_expected: mean over steps of the sum of p_l.
        branches_computed: mean number of branches computed per step.
        gradient_norms: by branch number, mean over the steps that computed the branch of the L2
            norm of its gradient.
        images_per_second: training images by the time of their steps.
        evaluation: validation after the epoch, test-time rule.
        seconds: time of the epoch, validation included.
        replayed: whether an earlier trial trained it, and this one only found it.
    """

    number: int
    train_loss: float
    train_accuracy: float
    branches_expected: float
    branches_computed: float
    gradient_norms: Mapping[int, float]
    images_per_second: float
    evaluation: Evaluation
    seconds: float
    replayed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Epoch:
        """Read what `to_dict` wrote, through JSON too.

        Raises:
            KeyError: a value is missing.
            TypeError: a value is unknown.
        """
        norms = {int(branch): norm for branch, norm in values["gradient_norms"].items()}
        evaluation = Evaluation(**values["evaluation"])
        return cls(**{**values, "evaluation": evaluation, "gradient_norms": norms})
