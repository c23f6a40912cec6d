"""Embedding: images of one identity near each other, also of identities that were never seen.

Faces are the usual case: a folder per person. Identities are drawn by seed into those that are
trained on, those that validate and those that test; no identity is in two of these.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autodepth.data.batches import Batches
from autodepth.data.images import ArrayImages, Images
from autodepth.data.prepare import Augmentation, resolve_augment, resolve_normalisation
from autodepth.data.reading.folders import held, read_whole
from autodepth.data.reading.sources import read_parts
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.data.splits import split_off
from autodepth.errors import DataError, TaskError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.seeding import derive_seed
from autodepth.tasks.shipped.heads import HEADS, CosineHead, HeadKind, SoftmaxHead, arcface_scores
from autodepth.tasks.shipped.measures.similarity import Similarity, neighbour_loss
from autodepth.tasks.task import Metric, Split, Task

_FEWEST = 2  # identities of a split
_NEIGHBOUR_SCALE = 16.0


class Embedding(Task):
    """A vector per image; the cosine of two tells whether they are of one identity.

    Args:
        data: images in a folder per identity, or any other images with labels.
        dimension: numbers of a vector.
        head: what is trained behind the network and left out of it at export: `softmax`, or
            `arcface` with an angle between identities.
        margin: that angle, radians.
        scale: what cosines are multiplied by in the softmax of `arcface`.
        unseen: share of the identities that are never trained on; one half of them validates, the
            other tests.

    Raises:
        DataError: the images cannot be read, or are of too few identities.
        TaskError: an argument is outside its range.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "recall_at_1": Metric(unit="%"),
        "verification_accuracy": Metric(worst=0.5, unit="%"),
        "tar_at_far_1e_3": Metric(unit="%"),
    }
    normalisation: Normalisation

    def __init__(
        self,
        data: DataSettings,
        *,
        dimension: int = 64,
        head: HeadKind = "arcface",
        margin: float = 0.3,
        scale: float = 32.0,
        unseen: float = 0.5,
    ) -> None:
        _check(dimension, head, margin, scale, unseen)
        if data.packed_size is not None:
            raise DataError(
                "data.packed_size is for classification, and an embedding decodes its files, but "
                f"got packed_size={data.packed_size}"
            )
        self.outputs, self._head = dimension, head
        self._margin, self._scale = margin, scale
        images, classes = _all_images(data)
        self._channels = images.shape[2]
        drawn = _drawn(len(classes), unseen, derive_seed(data.split_seed, "identities"))
        self._images = {split: _of(images, numbers) for split, numbers in drawn.items()}
        self._identities = len(drawn["train"])
        self._images["train"] = held(_fewer(self._images["train"], data))
        self.normalisation = resolve_normalisation(
            data, self._images["train"], pretrained=False, channels=self._channels
        )
        self._augmentation = resolve_augment(data, images.shape)

    def for_network(self, network: NetworkSpec) -> Task:
        """Return the same task; grey images fill the channels that the network takes."""
        same = copy.copy(self)
        same._channels = network.channels  # noqa: SLF001 - its own kind
        same.normalisation = self.normalisation.filling(network.channels)
        return same

    def batches(
        self, split: Split, *, batch_size: int, generator: torch.Generator | None
    ) -> Batches:
        """Return images and the number of their identity within the split."""
        self._images[split] = images = held(self._images[split])
        return Batches(
            images,
            batch_size=batch_size,
            device="cpu",
            normalisation=self.normalisation,
            channels=self._channels,
            augment=Augmentation() if generator is None else self._augmentation,
            generator=generator,
        )

    def training_head(self) -> nn.Module:
        """Return a head that scores the identities that are trained on."""
        kind = CosineHead if self._head == "arcface" else SoftmaxHead
        return kind(self.outputs, self._identities)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return how unlikely neighbours within the batch are of the same identity."""
        return neighbour_loss(outputs, targets, _NEIGHBOUR_SCALE) / len(targets)

    def training_loss(self, outputs: Any, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean cross-entropy of the head's scores."""
        _, scores = outputs
        if self._head == "arcface":
            scores = arcface_scores(scores, targets, margin=self._margin, scale=self._scale)
        return F.cross_entropy(scores, targets, label_smoothing=label_smoothing)

    def hits(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return how many images have the highest score for their identity."""
        _, scores = outputs
        right: Tensor = (scores.argmax(1) == targets).sum()
        return right

    def meter(self) -> Similarity:
        """Return what compares all images of a split."""
        return Similarity()

    def distillation(self, outputs: Any, teachers: Tensor, temperature: float) -> Tensor:  # noqa: ARG002
        """Return 1 - cosine of vectors and those of a teacher."""
        vectors, _ = outputs
        return (1 - F.cosine_similarity(vectors.float(), teachers.float())).mean()


def _check(dimension: int, head: str, margin: float, scale: float, unseen: float) -> None:
    rules = (
        (head in HEADS, f"head must be {' or '.join(HEADS)}, but got {head!r}"),
        (_whole(dimension), f"dimension must be a whole number above 1, but got {dimension!r}"),
        (0 <= margin < 1.5, f"margin must be an angle in [0, 1.5) radians, but got {margin!r}"),
        (scale > 0, f"scale must be above 0, but got {scale!r}"),
        (0 < unseen < 1, f"unseen must be a share in (0, 1), but got {unseen!r}"),
    )
    if broken := [told for kept, told in rules if not kept]:
        raise TaskError("\n".join(f"task.arguments.{told}" for told in broken))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _all_images(settings: DataSettings) -> tuple[Images, tuple[str, ...]]:
    """Return all images there are, whatever splits they are in, and the names of identities."""
    kind, _, place = settings.name.partition(":")
    if kind == "folder":
        parts = read_whole(Path(place).expanduser(), settings.image_size)
        return parts.train, parts.classes
    parts = read_parts(settings)
    pieces = [held(images) for images in (parts.train, parts.validation, parts.test()) if images]
    arrays = [images for images in pieces if isinstance(images, ArrayImages)]
    pixels, labels = (np.concatenate([getattr(a, n) for a in arrays]) for n in ("pixels", "labels"))
    return ArrayImages(pixels, labels), parts.classes


def _drawn(count: int, unseen: float, seed: int) -> dict[str, npt.NDArray[np.int64]]:
    """Return the numbers of the identities of each split."""
    order = np.random.default_rng(seed).permutation(count)
    apart = round(unseen * count)
    found = {
        "validation": order[: apart // 2],
        "test": order[apart // 2 : apart],
        "train": order[apart:],
    }
    if min(map(len, found.values())) < _FEWEST:
        told = ", ".join(f"{len(numbers)} to {split}" for split, numbers in found.items())
        raise DataError(
            f"an embedding needs at least {_FEWEST} identities in each split, but of {count} with "
            f"task.arguments.unseen {unseen:g} there are {told}"
        )
    return {split: np.sort(numbers) for split, numbers in found.items()}


def _of(images: Images, identities: npt.NDArray[np.int64]) -> Images:
    """Return the images of some identities, which are numbered anew from 0, in pairs.

    Two of one identity stand side by side, so that a batch holds some whatever its size.
    """
    index = np.flatnonzero(np.isin(images.labels, identities))
    index = index[np.argsort(images.labels[index], kind="stable")]
    labels = images.labels[index]
    ranks = np.arange(len(labels)) - np.searchsorted(labels, labels)
    chosen = images.subset(index[np.lexsort((labels, ranks // 2))])
    numbers = np.searchsorted(identities, chosen.labels).astype(np.int64)
    return replace(chosen, labels=numbers)


def _fewer(images: Images, settings: DataSettings) -> Images:
    if settings.train_images is None or settings.train_images >= len(images):
        return images
    seed = derive_seed(settings.split_seed, "train_images")
    chosen, _ = split_off(images.labels, settings.train_images, seed)
    return images.subset(chosen)
