"""The task `detection`: its batches, and what it asks of data and network."""

import pytest
import torch
from digit_scenes import write_scenes

from autodepth.data.settings import DataSettings
from autodepth.errors import DataError, TaskError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.tasks.shipped.detection import Detection

COUNTS = {"train": 12, "valid": 6, "test": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("scenes") / "digits"
    write_scenes(place, COUNTS, size=48)
    return place


def batch(task, split, generator=None):
    return next(iter(task.batches(split, batch_size=5, generator=generator)))


def test_batches_are_images_and_their_boxes(folder):
    task = Detection(DataSettings(name=f"coco:{folder}"))
    images, targets = batch(task, "validation")

    assert task.outputs == 11
    assert images.shape == (5, 1, 48, 48)
    assert len(targets) == 5
    assert all(1 <= label <= 10 for target in targets for label in target["labels"])
    sizes = [len(task.batches(s, batch_size=5, generator=None)) for s in
             ("train", "validation", "test")]  # fmt: skip
    assert sizes == [3, 2, 1]


def test_boxes_follow_the_size_of_their_images(folder):
    small = batch(Detection(DataSettings(name=f"coco:{folder}")), "test")
    large = batch(Detection(DataSettings(name=f"coco:{folder}", image_size=96)), "test")

    for before, after in zip(small[1], large[1], strict=True):
        torch.testing.assert_close(2 * before["boxes"], after["boxes"])


def test_a_mirrored_image_has_its_boxes_mirrored(folder):
    settings = DataSettings(name=f"coco:{folder}", augment="flip-crop")
    task = Detection(settings)
    plain = batch(task, "train")[0]
    seen = 0
    for seed in range(4):
        images, targets = batch(task, "train", torch.Generator().manual_seed(seed))
        for image, target in zip(images, targets, strict=True):
            ground = image.median()
            for left, top, right, bottom in target["boxes"].int().tolist():
                assert image[0, top:bottom, left:right].max() > ground + 1  # ink is where boxes are
            seen += not any(torch.equal(image, other) for other in plain)
    assert seen


def test_grey_images_fill_the_channels_of_a_detector(folder):
    network = NetworkSpec(
        name="torchvision:ssdlite320_mobilenet_v3_large", classes=11, height=48, width=48
    )
    task = Detection(DataSettings(name=f"coco:{folder}")).for_network(network)

    assert batch(task, "train")[0].shape == (5, 3, 48, 48)
    assert len(task.normalisation.mean) == 3


def test_data_and_networks_of_another_kind_are_told(folder):
    with pytest.raises(DataError, match="detection learns from coco:PATH"):
        Detection(DataSettings(name="digits"))
    task = Detection(DataSettings(name=f"coco:{folder}"))
    with pytest.raises(TaskError, match="needs a detector of one stage, but resnet14"):
        task.for_network(NetworkSpec(name="resnet14"))
