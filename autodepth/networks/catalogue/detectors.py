"""One-stage detectors: the part that has weights, and what turns its outputs into losses and boxes.

torchvision's SSD, RetinaNet and FCOS, and any module built like these, are a backbone, a head and
much that has no weights: anchors, matching, decoding, suppression. The first two are read and
thinned out as one network; the rest is asked for losses and boxes with their outputs put in place.

Shapes: B batch, A anchors, N numbers per anchor (scores of each class, edges of a box, ...).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autodepth.errors import NetworkError

Boxes = Mapping[str, Tensor]
"""`boxes` [M, 4] as left, top, right, bottom in pixels, `labels` [M] and, of what a network gives,
`scores` [M]."""
DENSE_KINDS = ("detection", "segmentation")
"""Rooms of torchvision's models that give a number or more for every place of an image."""
_PARTS = ("backbone", "head", "anchor_generator", "compute_loss", "postprocess_detections")


def is_detector(module: nn.Module) -> bool:
    """Whether a module is built as torchvision's one-stage detectors are."""
    return all(hasattr(module, part) for part in _PARTS)


def dense_part(name: str, module: nn.Module) -> nn.Module:
    """Return the part of a network that gives one tensor: of a detector, of maps of classes.

    Raises:
        NetworkError: it is a detector whose second stage computes as much as it has proposals.
    """
    if is_detector(module):
        return DenseDetector(module)
    if type(module).__module__.startswith("torchvision.models.segmentation."):
        return ClassMaps(module)
    if hasattr(module, "roi_heads"):
        raise NetworkError(
            f"{name} computes a second stage for each proposal, so its cost differs by image: name "
            "a detector of one stage, such as torchvision:fcos_resnet50_fpn, "
            "torchvision:retinanet_resnet50_fpn or torchvision:ssdlite320_mobilenet_v3_large"
        )
    return module


class ClassMaps(nn.Module):
    """A segmentation network of torchvision's: images [B, C, H, W] to scores [B, classes, H, W].

    Args:
        network: gives them under `out`; its parts keep their names.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone: nn.Module = network.get_submodule("backbone")
        self.classifier: nn.Module = network.get_submodule("classifier")
        self._is_lraspp = not hasattr(network, "aux_classifier")

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of every pixel."""
        features = self.backbone(images)
        scores: Tensor = self.classifier(features if self._is_lraspp else features["out"])
        return F.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)


class DenseDetector(nn.Module):
    """The part of a detector that has weights: images [B, C, H, W] to numbers [B, A, N].

    Args:
        detector: as `is_detector` says; its modules keep their names.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone: nn.Module = detector.get_submodule("backbone")
        self.head: nn.Module = detector.get_submodule("head")

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs of the head side by side."""
        outputs = self.head(_as_list(self.backbone(images)))
        return torch.cat(list(outputs.values()), 2)


class Decoder:
    """What a detector makes of numbers [B, A, N]: losses of a batch, and boxes.

    Args:
        detector: as `is_detector` says; it is taken apart, and its weights are let go.
        input_shape: (C, H, W) of the images.
    """

    def __init__(self, detector: Any, input_shape: tuple[int, ...]) -> None:
        detector.eval()
        with torch.no_grad():
            features = detector.backbone(torch.zeros(1, *input_shape))
            outputs = detector.head(_as_list(features))
        self._widths = {name: value.shape[2] for name, value in outputs.items()}
        self._size = input_shape[1:]
        named = features if isinstance(features, Mapping) else {"0": features}
        self._features = {name: tuple(value.shape[1:]) for name, value in named.items()}
        detector.backbone = self._backbone = _Given()
        detector.head = self._head = _Given(detector.head.to("meta"))
        detector.transform = _AsTheyAre()
        self._detector = detector

    def losses(self, outputs: Tensor, targets: Sequence[Boxes]) -> dict[str, Tensor]:
        """Return the losses of a batch by name, each a mean over it."""
        found: dict[str, Tensor] = self._run(outputs, targets)
        return found

    def boxes(self, outputs: Tensor) -> list[Boxes]:
        """Return the boxes of each image, suppressed, with scores and labels."""
        found: list[Boxes] = self._run(outputs, None)
        return found

    def _run(self, outputs: Tensor, targets: Sequence[Boxes] | None) -> Any:
        outputs = outputs.float()
        parts = torch.split(outputs, list(self._widths.values()), dim=2)
        self._head.given = dict(zip(self._widths, parts, strict=True))
        self._backbone.given = OrderedDict(
            (name, outputs.new_zeros(1).expand(len(outputs), *shape))
            for name, shape in self._features.items()
        )
        self._detector.train(targets is not None)
        images = [outputs.new_zeros(1).expand(3, *self._size)] * len(outputs)
        return self._detector(images, targets)


class _Given(nn.Module):
    """Gives what it was given; whatever else is asked of the part it stands for, that answers."""

    def __init__(self, part: nn.Module | None = None) -> None:
        super().__init__()
        self.given: Any = None
        self._stands_for = (part,)  # not its own: it is in no mode

    def forward(self, _: Any) -> Any:
        return self.given

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            (part,) = self.__dict__.get("_stands_for", (None,))
            if part is None or name.startswith("_"):
                raise
            return getattr(part, name)


class _AsTheyAre(nn.Module):
    """In the place of a detector's own transform: images are of one size and normalised already."""

    def forward(self, images: Sequence[Tensor], targets: Any = None) -> tuple[SimpleNamespace, Any]:
        sizes = [tuple(image.shape[-2:]) for image in images]
        return SimpleNamespace(tensors=torch.stack(list(images)), image_sizes=sizes), targets

    def postprocess(self, detections: Any, _sizes: Any, _original: Any) -> Any:
        return detections


def _as_list(features: Any) -> list[Any]:
    return list(features.values()) if isinstance(features, Mapping) else [features]
