"""The task `segmentation`: its batches and its loss, and what it asks of masks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from digit_scenes import write_scenes
from PIL import Image

from autodepth.data.settings import DataSettings
from autodepth.errors import DataError, TaskError
from autodepth.tasks.shipped.segmentation import Segmentation


@pytest.fixture
def settings(tmp_path):
    write_scenes(tmp_path / "scenes", {"train": 8, "valid": 4, "test": 3}, size=48, classes=2)

    def of(**given):
        return DataSettings(name=f"masks:{tmp_path / 'scenes'}", **given)

    return of


def batch(task, generator=None):
    return next(iter(task.batches("train", batch_size=8, generator=generator)))


def test_masks_follow_the_size_and_the_mirroring_of_images(settings):
    images, masks = batch(Segmentation(settings(), classes=3))
    assert images.shape == (8, 1, 48, 48)
    assert masks.shape == (8, 48, 48)
    assert masks.unique().tolist() == [0, 1, 2]
    assert images[:, 0][masks > 0].mean() > images[:, 0][masks == 0].mean() + 1

    task = Segmentation(settings(augment="flip-crop", image_size=24), classes=3)
    images, masks = batch(task, torch.Generator().manual_seed(1))
    assert masks.shape == (8, 24, 24)
    assert images[:, 0][masks > 0].mean() > images[:, 0][masks == 0].mean() + 1


def test_pixels_that_do_not_count_change_nothing(settings):
    task = Segmentation(settings(), classes=3)
    scores, masks = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 8, 8))
    masks[:, :3] = 255

    expected = F.cross_entropy(scores[:, :, 3:], masks[:, 3:])
    torch.testing.assert_close(task.loss(scores, masks), expected)
    assert task.loss(scores, torch.full_like(masks, 255)) == 0


def test_smaller_maps_are_enlarged_and_compared_with_a_teacher(settings):
    task = Segmentation(settings(), classes=3)
    small = torch.randn(2, 3, 4, 4, requires_grad=True)
    task.loss(small, torch.zeros(2, 8, 8, dtype=torch.int64)).backward()
    assert small.grad.abs().sum() > 0

    other = torch.randn(2, 3, 4, 4)
    by_hand = F.kl_div(small.log_softmax(1), other.log_softmax(1), log_target=True, reduction="sum")
    torch.testing.assert_close(task.divergence(small, other), by_hand / 16)
    torch.testing.assert_close(task.distillation(small, other, 1.0), by_hand / 32)


def test_masks_that_do_not_fit_are_told_together(settings, tmp_path):
    masks = tmp_path / "scenes" / "train" / "masks"
    Image.fromarray(np.full((48, 48), 7, np.uint8)).save(masks / "0001.png")
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(masks / "0002.png")
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(masks / "0003.png")
    with pytest.raises(DataError) as caught:
        Segmentation(settings(), classes=3)

    told = str(caught.value).splitlines()
    assert len(told) == 3
    assert told[0].endswith("it has the number 7, but task.arguments.classes is 3")
    assert told[1].endswith("it must be of the size of its image, 48x48, but is 40x48")
    assert told[2].endswith("a class number per pixel, but its mode is RGB")


def test_arguments_and_data_of_another_kind_are_told(settings):
    with pytest.raises(TaskError, match="classes must be 2 to 254, or their names"):
        Segmentation(settings(), classes=1)
    with pytest.raises(DataError, match="segmentation learns from masks:PATH"):
        Segmentation(DataSettings(name="digits"), classes=3)
