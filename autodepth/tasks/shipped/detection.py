"""Detection: boxes of things in images, with a class each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.reading.annotated.coco import Scenes, read_coco
from autodepth.data.reading.annotated.voc import read_voc
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError, TaskError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.catalogue.detectors import Boxes, Decoder, is_detector
from autodepth.tasks.shipped.file_task import FileTask
from autodepth.tasks.shipped.files import Pixels, Size, drawn_splits, size_of, stretched
from autodepth.tasks.shipped.measures.average_precision import AveragePrecision, check_installed
from autodepth.tasks.task import Metric

_READERS = {"coco": read_coco, "voc": read_voc}


class Detection(FileTask):
    """Boxes and classes by a detector of one stage.

    Args:
        data: `coco:PATH` or `voc:PATH`.

    Raises:
        DataError: the images or boxes cannot be read.
        TaskError: what measures boxes is not installed.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {"map": Metric(unit="%"), "map_50": Metric(unit="%")}

    def __init__(self, data: DataSettings) -> None:
        check_installed()
        kind, _, place = data.name.partition(":")
        if kind not in _READERS:
            raise DataError(
                f"detection learns from coco:PATH or voc:PATH, but data.name is {data.name!r}"
            )
        parts = _READERS[kind](Path(place).expanduser())
        splits = drawn_splits({role: scenes.paths for role, scenes in parts.items()}, data)
        scenes = {split: parts[role].subset(index) for split, (role, index) in splits.items()}
        size, channels = size_of(scenes["train"].paths, data)
        super().__init__(data, {s: _Boxed(found, size, channels) for s, found in scenes.items()})
        self.names = ("background", *scenes["train"].classes)
        self.outputs = len(self.names)
        self._decoder: Decoder | None = None

    def for_network(self, network: NetworkSpec) -> Detection:
        """Return the task as it is for one detector, whose losses and boxes these are.

        Raises:
            TaskError: the network is no detector.
        """
        same = super().for_network(network)
        same._decoder = _decoder(  # noqa: SLF001 - its own kind
            json.dumps(network.to_dict(), sort_keys=True), network.own_code, network.code_folder
        )
        return same

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
        return F.mse_loss(outputs.float(), teachers.float())


class _Found:
    """Measures what a network gives by the boxes that are decoded of it."""

    def __init__(self, decoder: Decoder, precision: AveragePrecision) -> None:
        self._decoder, self._precision = decoder, precision

    def update(self, outputs: Tensor, targets: Sequence[Boxes]) -> None:
        self._precision.update(self._decoder.boxes(outputs), targets)

    def compute(self) -> dict[str, float]:
        return self._precision.compute()


class _Boxed:
    """The images of a split, decoded when they are first asked for, with boxes of that size."""

    def __init__(self, scenes: Scenes, size: Size, channels: int) -> None:
        self._scenes, self._size, self._channels = scenes, size, channels

    def __len__(self) -> int:
        return len(self._scenes)

    @property
    def pixels(self) -> Pixels:
        return self._held[0]

    def targets(self, rows: Sequence[int], mirrored: Sequence[bool]) -> list[Boxes]:
        labels = [torch.from_numpy(self._scenes.labels[row]) for row in rows]
        boxes = [self._held[1][row] for row in rows]
        turned = [
            _mirrored(box, self._size[1]) if flip else box
            for box, flip in zip(boxes, mirrored, strict=True)
        ]
        return [{"boxes": b, "labels": each} for b, each in zip(turned, labels, strict=True)]

    @cached_property
    def _held(self) -> tuple[Pixels, list[Tensor]]:
        pixels, before = stretched(self._scenes.paths, self._size, self._channels)
        factors = np.array(self._size) / before
        boxes = [
            torch.from_numpy(box * np.array([across, down, across, down], np.float32))
            for box, (down, across) in zip(self._scenes.boxes, factors, strict=True)
        ]
        return pixels, boxes


def _mirrored(boxes: Tensor, width: int) -> Tensor:
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack([width - right, top, width - left, bottom], 1)


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
