"""The one way in to timm, an extra: `pip install autodepth[timm]`."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import nn

from autodepth.errors import NetworkError, did_you_mean
from autodepth.networks.catalogue.libraries.importing import import_extra

InputShape = tuple[int, ...]


def import_timm() -> ModuleType:
    """Return timm, which needs a torchvision that imports.

    Raises:
        NetworkError: timm is not installed.
    """
    return import_extra("timm", "timm", "timm")


def timm_module(
    name: str, classes: int, input_shape: InputShape, arguments: Mapping[str, Any]
) -> nn.Module:
    """Build a network of timm with random weights.

    Args:
        name: as in `timm.list_models()`.
        classes: size of the output.
        input_shape: (C, H, W) of one image.
        arguments: anything else `timm.create_model` takes for this network.

    Raises:
        NetworkError: the name is unknown.
    """
    timm = import_timm()
    wanted: dict[str, Any] = {"num_classes": classes, "in_chans": input_shape[0]}
    if default_input(name) != input_shape and timm.get_pretrained_cfg(name).fixed_input_size:
        wanted["img_size"] = input_shape[1:]
    module: nn.Module = timm.create_model(name, pretrained=False, **{**wanted, **arguments})
    return module


def pixel_constants(name: str) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return mean and standard deviation per channel that timm's own weights were trained with.

    None stands for what timm does not say. timm.get_pretrained_cfg knows the network's tag, too.
    """
    config = import_timm().get_pretrained_cfg(name)
    return (config.mean, config.std) if config else (None, None)


def weights_repository(name: str) -> tuple[str, str] | None:
    """Return repository and file of timm's own weights of a network; None where it has none."""
    config = import_timm().get_pretrained_cfg(name)
    if not config or not config.hf_hub_id:
        return None
    return config.hf_hub_id, config.hf_hub_filename or "model.safetensors"


def default_input(name: str) -> InputShape:
    """Return the image shape (C, H, W) a network of timm was made for.

    Raises:
        NetworkError: the name is unknown.
    """
    timm = import_timm()
    if not timm.is_model(name):
        raise NetworkError(f"timm has no model {name!r}{did_you_mean(name, timm.list_models())}")
    config = timm.get_pretrained_cfg(name)
    channels, height, width = config.input_size if config else (3, 224, 224)
    return channels, height, width
