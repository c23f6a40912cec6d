"""What all trials of a study share: network, data, device, seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from autodepth.data.batches import Batches
from autodepth.data.images import Images
from autodepth.data.load import ImageData
from autodepth.data.prepare import Augmentation
from autodepth.data.settings import Normalisation
from autodepth.networks.catalogue import NetworkSpec
from autodepth.policy.settings import Origin
from autodepth.seeding import derive_seed
from autodepth.space.objectives import Constraint
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
        data: the images, split.
        normalisation: per channel of the data.
        augmentation: what training images go through.
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
        latency_table: what each branch adds to the latency; None where nothing asks for it.
        ranks: the processes that train together, this one among them.
    """

    spec: NetworkSpec
    weights: Path | None
    data: ImageData
    normalisation: Normalisation
    augmentation: Augmentation
    sensitivity_images: int | None
    device: torch.device
    threads: int
    seed: int
    weights_key: str | None = None
    constraints: tuple[Constraint, ...] = ()
    cache: str | Path | None = None
    cache_limit_bytes: int = LIMIT_BYTES
    checkpoint_seconds: float = 20.0
    leaving: Callable[[], bool] = never
    replicate: int = 0
    memory_bytes: int | None = None
    evaluation_batch: int = 256
    latency_table: LatencyTable | None = None
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

    def training_batches(self, batch_size: int, purpose: str) -> Batches:
        """Return the training split, shuffled and augmented by the purpose's generator."""
        return Batches(
            self.data.train,
            batch_size=batch_size,
            device=self.device,
            normalisation=self.normalisation,
            channels=self.spec.channels,
            augment=self.augmentation,
            generator=self.generator(purpose),
        )

    def scoring_images(self, most: int | None = None) -> Images:
        """Return the validation images that sensitivities are measured on, evenly spread.

        Args:
            most: how many at most; None for any number.
        """
        counts = [count for count in (self.sensitivity_images, most) if count is not None]
        return _evenly(self.data.validation, min(counts, default=None))

    def features_of(self, count: int, purpose: str) -> list[torch.Tensor]:
        """Return training images as a network sees them, in five batches [B, C, H, W] or more.

        Labels stay unread.

        Args:
            count: of images, at most.
            purpose: names this use of randomness.
        """
        chosen = self.generator(purpose)
        some = torch.randperm(len(self.data.train), generator=chosen)[:count]
        images = self.data.train.subset(some.numpy())
        size = min(_FITTED_AT_ONCE, math.ceil(len(images) / 5))
        return [batch for batch, _ in self._as_they_are(images, size)]

    def limit_threads(self) -> None:
        """Let this process compute with no more threads than a trial may use."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def evaluation_batches(self, images: Images) -> Batches:
        """Return images in their order, as they are."""
        return self._as_they_are(images, self.evaluation_batch)

    def judging_batches(self, images: Images) -> Batches:
        """Return the same in batches of equal size, as far as can be, of a network in training.

        Batch statistics are taken of each, so results depend on their size.
        """
        count = math.ceil(len(images) / _JUDGED_AT_ONCE)
        return self._as_they_are(images, math.ceil(len(images) / count))

    def _as_they_are(self, images: Images, batch_size: int) -> Batches:
        return Batches(
            images,
            batch_size=batch_size,
            device=self.device,
            normalisation=self.normalisation,
            channels=self.spec.channels,
        )


def _evenly(images: Images, count: int | None) -> Images:
    """Return so many images, evenly spread; all where there are no more."""
    if count is None or count >= len(images):
        return images
    index = np.linspace(0, len(images) - 1, count).round()
    return images.subset(index.astype(np.int64))
