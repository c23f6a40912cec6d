"""Convolutions of images are laid out channels last, and nothing else is."""

import os
import subprocess
import sys

import torch
from torch import nn

from autodepth.networks.running.layout import for_convolutions, laid_out


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


# As on a processor without AVX-512, where the plain layer ends the process in one of a few steps.
OLDER = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
TRAINED = """
import torch
from torch import nn
from autodepth.networks.running.layout import for_convolutions, laid_out

torch.manual_seed(0)
for channels in (1, 2, 3, 5, 6, 7):
    layer, images = nn.Conv2d(channels, 12, 1, stride=2), torch.randn(8, channels, 16, 16)
    images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    exact = nn.functional.conv2d(images.double(), layer.weight.double(), layer.bias.double(), 2)
    wanted = torch.autograd.grad(exact.square().sum(), [images, layer.weight])
    for_convolutions(layer)
    for _ in range(12):
        found = layer(images)
        grads = torch.autograd.grad(found.square().sum(), [images, layer.weight])
    torch.testing.assert_close(found, exact.float())
    for grad, exactly in zip(grads, wanted):
        torch.testing.assert_close(grad, exactly, rtol=1e-4, atol=1e-4)
    assert layer.stride == (2, 2) and isinstance(layer, nn.Conv2d)
print("trained")
"""


def test_strides_over_few_channels_are_trained_on_processors_without_avx_512():
    done = subprocess.run(
        [sys.executable, "-c", TRAINED],
        env=os.environ | OLDER, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "trained\n", (done.returncode, done.stderr)


def test_other_convolutions_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    module = nn.Sequential(
        nn.Conv2d(8, 4, 1, stride=2), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, stride=2)
    )
    for_convolutions(module)
    assert [type(layer) for layer in module] == [nn.Conv2d] * 3


def test_images_are_laid_out_channels_last_and_sequences_stay():
    images, sequences = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4)

    assert laid_out(images).is_contiguous(memory_format=torch.channels_last)
    assert laid_out(sequences) is sequences
