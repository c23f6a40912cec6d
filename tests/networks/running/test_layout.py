"""Convolutions of images are laid out channels last, and nothing else is."""

import torch
from torch import nn

from autodepth.networks.running.layout import for_convolutions


def is_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_weights_of_images_convolutions_change_their_layout_and_no_value():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 3))
    before = [weight.clone() for weight in module.parameters()]
    for_convolutions(module)

    assert is_last(module[0].weight)
    assert is_last(module[1].weight)
    assert all(map(torch.equal, before, module.parameters()))


def test_convolutions_of_volumes_and_tensors_of_four_dimensions_stay():
    module = nn.Module()
    module.volume, module.table = nn.Conv3d(2, 2, 3), nn.Parameter(torch.ones(2, 3, 4, 5))
    for_convolutions(module)

    assert module.volume.weight.is_contiguous()
    assert module.table.is_contiguous()
