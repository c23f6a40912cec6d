"""The dense part of a detector, and what is decoded of it, are the detector."""

import pytest
import torch

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.catalogue.build import build_module, build_network, whole_module
from autodepth.networks.catalogue.detectors import Decoder, DenseDetector, is_detector

SHAPE = (3, 64, 64)
TARGETS = [
    {"boxes": torch.tensor([[5.0, 6.0, 30.0, 40.0]]), "labels": torch.tensor([3])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
]
NAMES = ("ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn", "retinanet_resnet50_fpn")


def spec(name):
    return NetworkSpec(name=f"torchvision:{name}", classes=5, height=64, width=64)


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def unnormalised(detector):
    """Leave the images to the detector as they are: they have its size."""
    detector.transform.image_mean, detector.transform.image_std = [0.0] * 3, [1.0] * 3
    detector.transform.min_size, detector.transform.max_size = (64,), 64
    detector.transform.fixed_size = None
    detector.transform.size_divisible = 1
    return detector


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_boxes_are_those_of_the_detector(name):
    whole = seeded(lambda: unnormalised(whole_module(spec(name)))).eval()
    dense, decoder = DenseDetector(whole), Decoder(seeded(lambda: whole_module(spec(name))), SHAPE)
    images = torch.rand(2, *SHAPE)

    with torch.no_grad():
        outputs = dense(images)
        found, expected = decoder.boxes(outputs), whole(list(images))
        losses = decoder.losses(outputs, TARGETS)
        whole.train()
        dense.eval()  # the norms of both are in evaluation
        asked = whole(list(images), TARGETS)
    for ours, theirs in zip(found, expected, strict=True):
        for part in ("boxes", "scores", "labels"):
            torch.testing.assert_close(ours[part], theirs[part])
    assert losses.keys() == asked.keys()
    for part in losses:
        torch.testing.assert_close(losses[part], asked[part], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES[:1])
def test_its_branches_are_found_and_can_go(name):
    network = build_network(spec(name))

    assert len(network.branches) == 10
    smaller = network.without([2, 5])
    assert smaller.total_macs < network.total_macs
    assert (
        smaller.module(torch.zeros(2, *SHAPE)).shape == network.module(torch.zeros(2, *SHAPE)).shape
    )


def test_detectors_of_two_stages_are_told_why_not():
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    with pytest.raises(NetworkError, match="second stage for each proposal"):
        build_module(spec(name))


def test_maps_of_classes_are_one_tensor():
    name = "lraspp_mobilenet_v3_large"
    whole, part = (seeded(lambda b=build: b(spec(name)).eval()) for build in (
        whole_module, build_module,
    ))  # fmt: skip
    images = torch.rand(2, *SHAPE)

    assert torch.equal(part(images), whole(images)["out"])
    assert not is_detector(whole)
    network = build_network(spec(name))
    assert network.module(images).shape == (2, 5, 64, 64)
