"""The one way in to torchvision, also beside a torch its compiled operators were not built for.

torchvision's wheel is built against the CUDA torch. Beside a CPU-only torch its shared library
does not load, and `import torchvision` ends in "operator torchvision::nms does not exist",
because it registers shape rules for two operators that then have no schema. Data sets and
classification networks need neither operator, so their schemas alone make the import work.
Detectors suppress boxes by `torchvision::nms`, which is then computed here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from autodepth.garbage import no_collection
from autodepth.long_work import long_work

_OPERATORS = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# A library takes its schemas with it when it is collected, so it lives as long as the process.
_libraries: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Return torchvision with `datasets`, `models` and `transforms` ready to use.

    torchvision is tried as it is first; only if it fails for want of its compiled operators are
    the two schemas defined.

    Raises:
        ImportError: torchvision is not installed.
    """
    with no_collection():
        return _imported()


def _imported() -> ModuleType:
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not lacks_operators(error):
            raise
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _libraries.append(library)
    for operator in _OPERATORS:
        torch.library.define(operator, _SCHEMA, lib=library)
    torch.library.impl(_OPERATORS[0], "default", suppressed, lib=library)
    torchvision = importlib.import_module("torchvision")
    torchvision.ops.boxes._assert_has_ops = lambda: None  # noqa: SLF001 - it asks for the library
    return torchvision


def lacks_operators(error: Exception) -> bool:
    """Whether code failed for want of torchvision's operators: it is to be opened here first."""
    return _OPERATORS[0] in str(error)


def suppressed(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the numbers of the boxes that are left, highest scores first.

    A box goes where one of a higher score that is left covers it by more than a threshold: the
    intersection of both over their union.

    Args:
        boxes: [M, 4] as left, top, right, bottom.
        scores: [M].
        threshold: in [0, 1].
    """
    order = scores.argsort(descending=True, stable=True)
    low, high = boxes[order, None, :2], boxes[order, None, 2:]
    shared = torch.minimum(high, high.transpose(0, 1)) - torch.maximum(low, low.transpose(0, 1))
    both = shared.clamp_min(0).prod(2)
    areas = (high - low).prod(2)
    covers = (both / (areas + areas.T - both) > threshold).cpu()
    left = torch.ones(len(order), dtype=torch.bool)
    for number in range(len(order)):
        if left[number]:
            left[number + 1 :] &= ~covers[number, number + 1 :]
    return order[left.to(order.device)]


def pixel_constants(name: str) -> tuple[list[float] | None, list[float] | None]:
    """Return mean and standard deviation per channel of torchvision's own weights of a network.

    None stands for what they do not say; no weights are fetched.
    """
    try:
        transforms = import_torchvision().models.get_model_weights(name).DEFAULT.transforms()
    except (AttributeError, ValueError):  # a network that has none
        return None, None
    return getattr(transforms, "mean", None), getattr(transforms, "std", None)


def weights_url(name: str) -> str | None:
    """Return where torchvision's own weights of a network are; None where it has none."""
    try:
        url: str = import_torchvision().models.get_model_weights(name).DEFAULT.url
    except (AttributeError, ValueError):
        return None
    return url


def random_transforms() -> ModuleType:
    """Return torchvision's transforms of tensors, `torchvision.transforms.v2`."""
    import_torchvision()
    return importlib.import_module("torchvision.transforms.v2")


@contextmanager
def downloads_shown() -> Iterator[None]:
    """Have torchvision's downloads told as our other long work.

    It counts bytes on a bar of tqdm's, which it prints whether stderr is a terminal or not.
    """
    utils = import_torchvision().datasets.utils
    usual, utils.tqdm = utils.tqdm, _bytes_told
    try:
        yield
    finally:
        utils.tqdm = usual


@contextmanager
def _bytes_told(total: int | None = None, **_: Any) -> Iterator[SimpleNamespace]:
    """Stand in for tqdm where torchvision opens it: a context that is told of bytes."""
    with long_work("downloading", total) as advance:
        yield SimpleNamespace(update=advance)
