"""What all trials of a study share: network, data, device, seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autodepth.data.batches import LabelledImages
from autodepth.data.load import ImageData
from autodepth.data.prepare import Augmentation
from autodepth.data.settings import Normalisation
from autodepth.networks.catalogue import NetworkSpec
from autodepth.policy.settings import Origin
from autodepth.policy.training_settings import TrainingSettings
from autodepth.seeding import derive_seed
from autodepth.space.objectives import Constraint
from autodepth.space.sections.latency_section import LatencySection
from autodepth.tasks.classification import Classification
from autodepth.tasks.loading import Batches, LoadedBatches
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.shipped.measures.of_classes import class_measures
from autodepth.tasks.task import Split, Task
from autodepth.tasks.task_data import TaskData
from autodepth.trial.cache.cache import LIMIT_BYTES
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.training.data_parallel import ALONE, Ranks


def never() -> bool:
    """Say that this process may stay."""
    return False


_JUDGED_AT_ONCE, _FITTED_AT_ONCE = 256, 64  # images, at most


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """The common ground of a study's trials.

    Args:
        spec: the network before anything is removed.
        weights: file the network starts from; None initialises it from the seed.
        weights_key: where in that file they are; None finds them.
        data: the images, split; of a task of one's own, what is known of its examples.
        normalisation: per channel of the data.
        augmentation: what training images go through.
        learns: which task; classification of the images unless it says another.
        sensitivity_images: validation images each branch is scored on; None takes all.
        device: where the trial computes.
        threads: CPU threads a trial may use.
        seed: seed of the study.
        constraints: bounds a pruned network must keep to be fine-tuned, where pruning shows them.
        cache: folder, or URL that fsspec opens, of stages that earlier trials carried out; None
            carries out every stage.
        cache_limit_bytes: what those stages together may take.
        checkpoint_seconds: training that takes longer is kept about so often, at the end of an
            epoch, for whoever comes to the same training; 0 keeps it after every epoch.
        leaving: asked at the end of an epoch whether this process has to go, so that training is
            kept at once.
        replicate: 0 in a search; other numbers give fresh seeds to the same policy.
        memory_bytes: host memory that a trial may take on top of its process; None for any.
        evaluation_batch: images at a time where nothing is learned. That needs no gradients, so
            larger batches than in training cost little memory; results do not depend on it.
        latency_tables: what each branch adds to a latency, by metric; those that are asked for.
        places: where networks are timed beside the device.
        memory_batches: sizes of batches that peak memory is measured of, beside single images.
        ranks: the processes that train together, this one among them.
    """

    spec: NetworkSpec
    weights: Path | None
    data: ImageData | TaskData
    normalisation: Normalisation
    augmentation: Augmentation
    sensitivity_images: int | None
    device: torch.device
    threads: int
    seed: int
    learns: TaskSpec = field(default_factory=TaskSpec)
    weights_key: str | None = None
    constraints: tuple[Constraint, ...] = ()
    cache: str | Path | None = None
    cache_limit_bytes: int = LIMIT_BYTES
    checkpoint_seconds: float = 20.0
    leaving: Callable[[], bool] = never
    replicate: int = 0
    memory_bytes: int | None = None
    evaluation_batch: int = 256
    latency_tables: Mapping[str, LatencyTable] = field(default_factory=dict)
    places: Mapping[str, LatencySection] = field(default_factory=dict)
    memory_batches: tuple[int, ...] = ()
    ranks: Ranks = ALONE

    def started_from(self, origin: Origin) -> TrialContext:
        """Return the context of a policy by its origin: from scratch no given weights count."""
        if origin != "scratch" or self.weights is None:
            return self
        return replace(self, weights=None, weights_key=None)

    def seed_for(self, purpose: str) -> int:
        """Return the seed of one use of randomness.

        It does not depend on the trial's number: equal policies give equal results, and parents
        that differ in nothing but the trial are the same network.
        """
        return derive_seed(self.seed, purpose, self.replicate)

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator of its own for one use of randomness."""
        return torch.Generator().manual_seed(self.seed_for(purpose))

    @property
    def task(self) -> Task:
        """What is learned; a task of one's own is made once per process."""
        if isinstance(self.data, TaskData):
            return make_task(self.learns).for_network(self.spec)
        return Classification(
            LabelledImages(
                data=self.data,
                normalisation=self.normalisation,
                augmentation=self.augmentation,
                channels=self.spec.channels,
                device=self.device,
            ),
            measures=class_measures(self.learns.arguments, self.data.classes),
        )

    def training_head(self) -> nn.Module | None:
        """Return what the task trains behind a network, with its first weights; None for none."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed_for("training head"))
            return self.task.training_head()

    def task_of(self, settings: TrainingSettings) -> Task:
        """Return the task as training by settings has it: how images are augmented and weighted."""
        return self.task.trained_by(settings)

    def training_batches(self, batch_size: int, purpose: str, task: Task | None = None) -> Batches:
        """Return the training split, shuffled and augmented by the purpose's generator.

        Args:
            batch_size: examples in a batch.
            purpose: names this use of randomness.
            task: as training has it; None leaves strong augmentation away.
        """
        return self._batches("train", batch_size, self.generator(purpose), task=task)

    def validation_batches(self) -> Batches:
        """Return the validation split in its order, as it is."""
        return self._batches("validation", self.evaluation_batch)

    def scoring_batches(self, most: int | None = None) -> Batches:
        """Return the validation examples that sensitivities are measured on, evenly spread.

        Batch statistics are taken of each batch, so results depend on their size: they are of equal
        size, as far as can be.

        Args:
            most: how many at most; None for any number.
        """
        counts = [count for count in (self.sensitivity_images, most) if count is not None]
        task, wanted = self.task, min(counts, default=None)
        if task.images is not None:
            images = task.images.spread(wanted)
            count = math.ceil(len(images) / _JUDGED_AT_ONCE)
            return task.images.batches(images, math.ceil(len(images) / count))
        if wanted is None or wanted >= len(self.data.validation):
            return self.validation_batches()
        size = max(2, min(_JUDGED_AT_ONCE, wanted // 4))
        return self._batches("validation", size, every=len(self.data.validation) // wanted)

    def features_of(self, count: int, purpose: str) -> list[torch.Tensor]:
        """Return training examples as a network sees them, in five batches [B, C, H, W] or more.

        Targets stay unread.

        Args:
            count: of examples, at most.
            purpose: names this use of randomness.
        """
        chosen, task = self.generator(purpose), self.task
        if task.images is not None:
            some = torch.randperm(len(task.images.data.train), generator=chosen)[:count]
            images = task.images.data.train.subset(some.numpy())
            size = min(_FITTED_AT_ONCE, math.ceil(len(images) / 5))
            return [batch for batch, _ in task.images.batches(images, size)]
        count = min(count, len(self.data.train))
        size = min(_FITTED_AT_ONCE, math.ceil(count / 5))
        batches = self._batches("train", size, chosen)
        return [batch for batch, _ in itertools.islice(batches, math.ceil(count / size))]

    def limit_threads(self) -> None:
        """Let this process compute with no more threads than a trial may use."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def _batches(
        self,
        split: Split,
        batch_size: int,
        generator: torch.Generator | None = None,
        every: int = 1,
        task: Task | None = None,
    ) -> Batches:
        task = task or self.task
        given: Any = task.batches(split, batch_size=batch_size, generator=generator)
        if task.images is not None:  # they are on the device
            return given  # type: ignore[no-any-return]
        return LoadedBatches(given, device=self.device, generator=generator, every=every)
