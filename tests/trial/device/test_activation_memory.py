"""Peak memory of activations, against what PyTorch's allocator says of the same pass."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.running.layout import for_convolutions
from autodepth.trial.device.activation_memory import peak_memory_mb


def allocated_mb(module, shape, batch):
    """Return the peak of what PyTorch's own CPU allocator handed out and did not get back.

    Kernels take room for themselves, too; with channels last and images enough, little of it.
    """
    for_convolutions(module)
    images = torch.zeros(batch, *shape).contiguous(memory_format=torch.channels_last)
    with (
        torch.no_grad(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled,
    ):
        module(images.clone())
    events = profiled.profiler.kineto_results.events()
    sizes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    held = peak = 0
    for _, size in sorted(sizes, key=lambda item: item[0]):
        held += size
        peak = max(peak, held)
    return peak / 1e6


@pytest.mark.parametrize(
    ("name", "pixels", "batch"),
    [
        ("resnet20", 32, 16),
        ("resnet56", 32, 16),
        ("torchvision:resnet18", 128, 8),
        ("torchvision:resnet50", 128, 4),
        ("torchvision:mobilenet_v3_small", 128, 8),
        # Of one image kernels may take more than activations do: these take little.
        ("torchvision:resnet18", 128, 1),
        ("torchvision:resnet50", 224, 1),
        ("torchvision:mobilenet_v3_small", 128, 1),
        ("torchvision:mobilenet_v3_large", 224, 1),
        ("torchvision:efficientnet_b0", 224, 1),
    ],
)
def test_it_is_what_the_allocator_hands_out(name, pixels, batch):
    network = build_network(NetworkSpec(name=name, height=pixels, width=pixels))
    module = network.module.eval()
    ours = peak_memory_mb(module, network.input_shape, batch)

    assert ours == pytest.approx(allocated_mb(module, network.input_shape, batch), rel=0.1)


def test_of_a_small_image_the_rest_is_what_one_kernel_spreads_it_out_to():
    module = build_network(NetworkSpec(name="resnet20")).module.eval()
    columns = 16 * 9 * 32 * 32 * 4 / 1e6  # PyTorch's convolution of one image, as a product
    ours, theirs = peak_memory_mb(module, (3, 32, 32)), allocated_mb(module, (3, 32, 32), 1)

    assert ours <= theirs <= 1.01 * (ours + columns)


def test_it_grows_with_the_batch_and_counts_no_parameters():
    network = build_network(NetworkSpec(name="resnet20"))
    one, many = (peak_memory_mb(network.module.eval(), (3, 32, 32), n) for n in (1, 16))

    assert many == pytest.approx(16 * one, rel=0.01)
    assert one < 4 * network.total_parameters / 1e6


def test_wide_and_shallow_needs_what_its_widest_place_does():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Conv2d(8, 1, 3, padding=1)
    ).eval()

    # One image and eight channels of it, then these and the one that comes out.
    assert peak_memory_mb(module, (1, 10, 10)) == pytest.approx(4 * 100 * 10 / 1e6)
