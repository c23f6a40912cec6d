"""Networks whose residual stream is made narrower and wider, built once, with images for each."""

from functools import cache

import pytest
import torch
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork

FIVE = {
    "resnet20": {},
    "torchvision:resnet50": {},
    "torchvision:convnext_tiny": {},
    "torchvision:vit_b_16": {"image_size": 32},
    "torchvision:mobilenet_v3_large": {},
}
# A network with bottlenecks is narrowed, and built again, in ../export/test_stream_widths.py too.
NAMES = [
    pytest.param(name, marks=pytest.mark.long) if name == "torchvision:resnet50" else name
    for name in FIVE
]
OF_TIMM = {
    "timm:vit_tiny_patch16_224": {"img_size": 32},
    "timm:convnext_atto": {},
    "timm:efficientnet_b0": {},
    "timm:regnety_002": {},
    "timm:resnet10t": {},
}


@cache
def network_of(name: str) -> ResidualNetwork:
    """Return a network for images of 32 pixels; no weight is left at zero. It is not to change."""
    arguments = {**FIVE, **OF_TIMM}[name]
    network = build_network(NetworkSpec(name=name, classes=10, arguments=arguments), seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for key, tensor in network.module.state_dict().items():
            if key.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return network


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def outputs(module: nn.Module, *, training: bool) -> torch.Tensor:
    """Return what a network gives in float64; it is left as it was, but for its type."""
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.manual_seed(6)  # dropout
    module.double().train(training)
    result = module(images().double())
    module.float().load_state_dict(state)
    return result


def off(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, as a share of the largest output."""
    return float((one - other).abs().max() / other.abs().max())
