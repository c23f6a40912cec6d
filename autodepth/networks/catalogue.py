"""Networks by name."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from autodepth.errors import NetworkError, did_you_mean
from autodepth.networks.cifar_resnet import CifarResNet
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights import load_weights, read_weights
from autodepth.torchvision_door import import_torchvision

_CIFAR = re.compile(r"resnet([0-9]{1,4})")
_USUAL_CIFAR = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202")
_TORCHVISION = "torchvision:"


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Everything needed to build a network again.

    Args:
        name: `resnet20` ... `resnet1202` (6n+2 layers, small images) or `torchvision:NAME`.
        classes: size of the output.
        channels: colour channels of the input.
        height: image height in pixels.
        width: image width in pixels.
        shortcut: option `A` or `B` of the CIFAR ResNets.
    """

    name: str
    classes: int = 10
    channels: int = 3
    height: int = 32
    width: int = 32
    shortcut: Literal["A", "B"] = "A"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return (self.channels, self.height, self.width)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def build_network(
    spec: NetworkSpec, *, seed: int = 0, weights: Path | None = None
) -> ResidualNetwork:
    """Build a network by name, initialised from a seed or from a weights file.

    Args:
        spec: what to build.
        seed: seed of the random initialisation; the global generator is left as it was.
        weights: a file to start from, see `read_weights`.

    Raises:
        NetworkError: the name is unknown or the network has no residual branches.
        WeightsError: the weights do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _build_module(spec)
    if weights is not None:
        load_weights(module, weights)
    return ResidualNetwork.from_module(module, spec.input_shape)


def input_channels(name: str, data_channels: int, weights: Path | None = None) -> int:
    """Return how many colour channels a network should be built for.

    Grey images are repeated to three channels where the network or its weights are made for
    colour; otherwise the network takes as many channels as the data has.
    """
    if name.startswith(_TORCHVISION):
        return 3
    if weights is not None:
        stem = read_weights(weights).get("conv1.weight")
        if stem is not None and stem.ndim == 4 and data_channels in {1, stem.shape[1]}:
            return stem.shape[1]
    return data_channels


def _build_module(spec: NetworkSpec) -> nn.Module:
    if match := _CIFAR.fullmatch(spec.name):
        return CifarResNet(
            int(match[1]), classes=spec.classes, channels=spec.channels, shortcut=spec.shortcut
        )
    if spec.name.startswith(_TORCHVISION):
        return _torchvision_module(spec)
    raise NetworkError(
        f"unknown network {spec.name!r}{did_you_mean(spec.name, _USUAL_CIFAR)}; known are "
        f"{', '.join(_USUAL_CIFAR)} (any resnet of 6n+2 layers) and torchvision:NAME"
    )


def _torchvision_module(spec: NetworkSpec) -> nn.Module:
    models = import_torchvision().models
    name = spec.name.removeprefix(_TORCHVISION)
    known = models.list_models(module=models)
    if name not in known:
        raise NetworkError(
            f"torchvision has no classification model {name!r}{did_you_mean(name, known)}"
        )
    module: nn.Module = models.get_model(name, weights=None, num_classes=spec.classes)
    return module
