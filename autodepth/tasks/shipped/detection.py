"""Detection: boxes of things in images, with a class each."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autodepth.data.images import ArrayImages
from autodepth.data.prepare import resolve_augment, resolve_normalisation
from autodepth.data.reading.coco import Scenes, read_coco
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.errors import DataError, TaskError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.catalogue.detectors import Boxes, Decoder, is_detector
from autodepth.tasks.shipped.average_precision import AveragePrecision, check_installed
from autodepth.tasks.shipped.files import drawn_splits, normalised, size_of, stretched
from autodepth.tasks.task import Batch, Metric, Split, Task


class Detection(Task):
    """Boxes and classes by a detector of one stage.

    Args:
        data: `coco:PATH`.

    Raises:
        DataError: the images or boxes cannot be read.
        TaskError: what measures boxes is not installed.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {"map": Metric(unit="%"), "map_50": Metric(unit="%")}
    normalisation: Normalisation

    def __init__(self, data: DataSettings) -> None:
        check_installed()
        kind, _, place = data.name.partition(":")
        if kind != "coco":
            raise DataError(f"detection learns from coco:PATH, but data.name is {data.name!r}")
        parts = read_coco(Path(place).expanduser())
        splits = drawn_splits({role: scenes.paths for role, scenes in parts.items()}, data)
        scenes = {split: parts[role].subset(index) for split, (role, index) in splits.items()}
        self._size, channels = size_of(scenes["train"].paths, data)
        self._channels = channels
        self._scenes = {split: _Loaded(s, self._size, channels) for split, s in scenes.items()}
        self.outputs = len(scenes["train"].classes) + 1  # 0 is the background
        train = self._scenes["train"].pixels
        none = np.zeros(len(train), dtype=np.int64)
        self.normalisation = resolve_normalisation(
            data, ArrayImages(train, none), pretrained=False, channels=channels
        )
        self._flips = resolve_augment(data, train.shape[1:]).flip
        self._decoder: Decoder | None = None

    def for_network(self, network: NetworkSpec) -> Task:
        """Return the task as it is for one detector, whose losses and boxes these are.

        Raises:
            TaskError: the network is no detector.
        """
        same = copy.copy(self)
        same._decoder = _decoder(  # noqa: SLF001 - its own kind
            json.dumps(network.to_dict(), sort_keys=True), network.own_code, network.code_folder
        )
        given, channels = self.normalisation, network.channels
        if len(given.mean) == 1:
            same.normalisation = Normalisation(given.mean * channels, given.std * channels)
        same._channels = channels  # noqa: SLF001
        return same

    def batches(
        self, split: Split, *, batch_size: int, generator: torch.Generator | None
    ) -> _SceneBatches:
        """Return images, and the boxes of each with their labels."""
        return _SceneBatches(
            self._scenes[split],
            self.normalisation,
            batch_size=batch_size,
            channels=self._channels,
            generator=generator,
            flips=self._flips,
        )

    def loss(self, outputs: Tensor, targets: Sequence[Boxes]) -> Tensor:
        """Return the sum of the detector's own losses."""
        assert self._decoder is not None
        losses = self._decoder.losses(outputs, targets)
        return torch.stack(list(losses.values())).sum()

    def meter(self) -> _Found:
        """Return what decodes outputs and measures the boxes of a split."""
        assert self._decoder is not None
        return _Found(self._decoder, AveragePrecision(self.outputs - 1))

    def distillation(self, outputs: Tensor, teachers: Tensor, temperature: float) -> Tensor:  # noqa: ARG002
        """Return the mean squared difference of all numbers."""
        return torch.nn.functional.mse_loss(outputs.float(), teachers.float())


class _Found:
    """Measures what a network gives by the boxes that are decoded of it."""

    def __init__(self, decoder: Decoder, precision: AveragePrecision) -> None:
        self._decoder, self._precision = decoder, precision

    def update(self, outputs: Tensor, targets: Sequence[Boxes]) -> None:
        self._precision.update(self._decoder.boxes(outputs), targets)

    def compute(self) -> dict[str, float]:
        return self._precision.compute()


class _Loaded:
    """The images of a split, decoded when they are first asked for, with boxes of that size."""

    def __init__(self, scenes: Scenes, size: tuple[int, int], channels: int) -> None:
        self._scenes, self._size, self._channels = scenes, size, channels
        self._held: tuple[np.ndarray, list[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._scenes)

    @property
    def pixels(self) -> np.ndarray:
        return self._load()[0]

    def target(self, number: int) -> dict[str, Tensor]:
        return {
            "boxes": self._load()[1][number],
            "labels": torch.from_numpy(self._scenes.labels[number]),
        }

    def _load(self) -> tuple[np.ndarray, list[Tensor]]:
        if self._held is None:
            pixels, before = stretched(self._scenes.paths, self._size, self._channels)
            factors = np.array(self._size) / before
            boxes = [
                torch.from_numpy(box * np.array([across, down, across, down], np.float32))
                for box, (down, across) in zip(self._scenes.boxes, factors, strict=True)
            ]
            self._held = pixels, boxes
        return self._held


class _SceneBatches:
    """Passes over a split in batches of images and lists of boxes."""

    def __init__(
        self,
        loaded: _Loaded,
        constants: Normalisation,
        *,
        batch_size: int,
        channels: int,
        generator: torch.Generator | None,
        flips: bool,
    ) -> None:
        self._loaded, self._constants, self._size = loaded, constants, batch_size
        self._channels, self._generator, self._flips = channels, generator, flips

    def __len__(self) -> int:
        return math.ceil(len(self._loaded) / self._size)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self._loaded)
        order, mirrored = torch.arange(count), torch.zeros(count, dtype=torch.bool)
        if self._generator is not None:
            order = torch.randperm(count, generator=self._generator)
            drawn = torch.rand(count, generator=self._generator) < 0.5
            mirrored = drawn & self._flips
        for rows in torch.split(order, self._size):
            pixels = self._loaded.pixels[rows.numpy()]
            shape = (*pixels.shape[:3], self._channels)
            images = torch.from_numpy(normalised(np.broadcast_to(pixels, shape), self._constants))
            targets = [self._loaded.target(row) for row in rows.tolist()]
            for place, flip in enumerate(mirrored[rows].tolist()):
                if flip:
                    images[place] = images[place].flip(-1)
                    targets[place] = _flipped(targets[place], pixels.shape[2])
            yield images, targets


def _flipped(target: dict[str, Tensor], width: int) -> dict[str, Tensor]:
    left, top, right, bottom = target["boxes"].unbind(1)
    return {**target, "boxes": torch.stack([width - right, top, width - left, bottom], 1)}


@lru_cache(maxsize=2)
def _decoder(spec: str, own_code: bool, code_folder: Path | None) -> Decoder:
    from autodepth.networks.catalogue.build import whole_module  # noqa: PLC0415

    network = replace(
        NetworkSpec.from_dict(json.loads(spec), own_code=own_code), code_folder=code_folder
    )
    with torch.random.fork_rng(devices=[]):
        module = whole_module(network)
    if not is_detector(module):
        raise TaskError(
            f"detection needs a detector of one stage, but {network.name} is none: name "
            "torchvision:ssdlite320_mobilenet_v3_large, torchvision:fcos_resnet50_fpn, "
            "torchvision:retinanet_resnet50_fpn, or code of your own built like these"
        )
    return Decoder(module, network.input_shape)
