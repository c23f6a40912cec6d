"""Classification: images with one label each, cross-entropy, top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.batches import Batches, LabelledImages
from autodepth.data.load import ImageData
from autodepth.data.strong_augmentation import StrongAugmentation
from autodepth.policy.training_settings import TrainingSettings
from autodepth.tasks.task import Meter, Metric, Split, Task


class Measures(Protocol):
    """What else a classification is measured by, where somebody asks."""

    metrics: Mapping[str, Metric]

    def meter(self) -> Meter:
        """Return what measures a whole split, by `accuracy` too."""


class Classification(Task):
    """Scores [B, classes] for images, of which the highest is to be that of the label.

    Args:
        images: where batches come from; None for outputs and labels that come from elsewhere.
        class_weights: what each class counts in the training loss, [classes]; None is the same.
        measures: what it is measured by beside accuracy; None for nothing.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {"accuracy": Metric(unit="%")}
    tells_metrics = False

    def __init__(
        self,
        images: LabelledImages | None = None,
        class_weights: Tensor | None = None,
        measures: Measures | None = None,
    ) -> None:
        self.images, self._class_weights, self._measures = images, class_weights, measures
        if measures is not None:
            self.metrics = measures.metrics  # type: ignore[misc]
            self.tells_metrics = True  # type: ignore[misc]

    def trained_by(self, settings: TrainingSettings) -> Classification:
        """Return the same as training by settings has it: augmented, mixed, weighted."""
        assert self.images is not None
        strong = StrongAugmentation(
            auto=settings.auto_augment,
            magnitude=settings.augment_magnitude,
            erasing=settings.erasing,
            mixup=settings.mixup,
            cutmix=settings.cutmix,
            classes=len(self.images.data.classes),
        )
        weights = None
        if settings.class_weights == "balanced":
            weights = balanced(self.images.data).to(self.images.device)
        return Classification(replace(self.images, strong=strong), weights, self._measures)

    def batches(
        self, split: Split, *, batch_size: int, generator: torch.Generator | None
    ) -> Batches:
        """Return batches of images; the test split is opened anew each time."""
        assert self.images is not None
        data = self.images.data
        if split == "test":
            return self.images.batches(data.open_test(), batch_size, generator)
        return self.images.batches(getattr(data, split), batch_size, generator)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return F.cross_entropy(outputs, targets)

    def training_loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean cross-entropy to labels that are smoothed (Szegedy et al. 2016).

        Args:
            outputs: scores [B, classes].
            targets: labels [B], or shares of classes [B, classes].
            label_smoothing: share of the target that all classes get alike.
        """
        if self._class_weights is None:
            return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        # A mean over examples, so that parts of a batch add up; torch's is over their weights.
        return F.cross_entropy(
            outputs,
            targets,
            weight=self._class_weights,
            label_smoothing=label_smoothing,
            reduction="none",
        ).mean()

    def summed_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the summed cross-entropy."""
        return F.cross_entropy(outputs, targets, reduction="sum")

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return how many labels have the highest score; of mixed images, the share that has it."""
        highest = outputs.argmax(1)
        if targets.ndim > 1:
            return targets.gather(1, highest[:, None]).sum()
        return (highest == targets).sum()

    def divergence(self, outputs: Tensor, whole: Tensor) -> Tensor:
        """Return the summed KL(whole || smaller) of class probabilities, in nats."""
        wanted = whole.log_softmax(1)
        return F.kl_div(outputs.log_softmax(1), wanted, log_target=True, reduction="sum")

    def meter(self) -> Meter:
        """Return what counts hits, and what else is asked for."""
        return Top1() if self._measures is None else self._measures.meter()

    def distillation(self, outputs: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """Return T^2 KL(teacher || student) of softened scores (Hinton et al. 2015)."""
        wanted = F.log_softmax(teachers.float() / temperature, dim=1)
        given = F.log_softmax(outputs.float() / temperature, dim=1)
        divergence = F.kl_div(given, wanted, reduction="batchmean", log_target=True)
        return temperature**2 * divergence


def balanced(data: ImageData) -> Tensor:
    """Return a weight per class, [classes], by which all of them count alike in training.

    Its mean over the training images is 1. A class without images has 0.
    """
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    present = np.count_nonzero(counts)
    weights = np.divide(
        len(data.train), present * counts, where=counts > 0, out=np.zeros(len(counts))
    )
    return torch.from_numpy(weights).float()


class Top1:
    """The fraction of examples whose label has the highest score."""

    def __init__(self) -> None:
        self._correct, self._seen = 0.0, 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count the hits of one batch."""
        self._correct += (outputs.argmax(1) == targets).sum().item()
        self._seen += len(targets)

    def compute(self) -> dict[str, Any]:
        """Return the fraction."""
        return {"accuracy": self._correct / self._seen}


CLASSIFICATION = Classification()
"""The task of outputs and labels alone."""
