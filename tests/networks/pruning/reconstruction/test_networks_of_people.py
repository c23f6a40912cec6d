"""Networks that people bring answer more as before once the features of what is left are fitted."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.batch_statistics import BATCH_NORMS
from autodepth.networks.pruning.reconstruction.reconstruct import reconstruct

CASES = {
    # name: image size, removed, branches left after the first of these that end in a linear map
    "torchvision:resnet18": (64, (2, 6), 6),
    "torchvision:mobilenet_v3_large": (64, (3, 7), 6),
    "torchvision:convnext_tiny": (64, (4, 9), 13),
    "torchvision:vit_b_16": (224, (6, 9), 9),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_features_that_are_fitted_bring_answers_nearer(name):
    size, removed, solvable = CASES[name]
    spec = NetworkSpec(name=name, classes=10, channels=3, height=size, width=size)
    whole, draws = build_network(spec, seed=0), torch.Generator().manual_seed(0)
    images = digits(size)
    as_if_trained(whole.module, draws)
    settle(whole.module, images)
    recalibrated, smaller = whole.without(removed), whole.without(removed)
    settle(recalibrated.module, images)
    found = reconstruct(whole, smaller, list(images.split(16)), draws)

    assert len(found.solved) >= solvable
    assert far(whole, smaller, images) < 0.8 * far(whole, recalibrated, images)


def digits(size):
    """Images that are alike in places, as noise is not."""
    images = torch.from_numpy(load_digits().images[:64]).float()[:, None] / 8 - 1
    return F.interpolate(images, size=(size, size), mode="bilinear").expand(-1, 3, -1, -1)


@torch.no_grad()
def as_if_trained(module, draws):
    """Let branches and scores that begin at next to nothing count."""
    for name, parameter in module.named_parameters():
        if "layer_scale" in name:
            parameter.fill_(0.3)
    heads = [m for m in module.modules() if isinstance(m, nn.Linear) and m.out_features == 10]
    for head in heads:
        head.weight.copy_(torch.randn(head.weight.shape, generator=draws) / 10)


@torch.no_grad()
def settle(module, images):
    """Give batch norms the statistics of some images."""
    norms = [m for m in module.modules() if isinstance(m, BATCH_NORMS)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    if norms:
        module(images)
    module.eval()


@torch.no_grad()
def far(whole, smaller, images):
    """Mean squared difference of class scores, relative to how they vary."""
    wanted = whole.module.eval()(images)
    return ((smaller.module.eval()(images) - wanted).square().mean() / wanted.var()).item()
