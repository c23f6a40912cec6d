"""Intersection over union, against torchmetrics'."""

import pytest
import torch

from autodepth.tasks.shipped.measures.overlap import IGNORED, Overlap
from autodepth.torchvision_door import import_torchvision


def test_it_is_that_of_torchmetrics():
    import_torchvision()  # which torchmetrics imports
    from torchmetrics.classification import MulticlassJaccardIndex

    generator = torch.Generator().manual_seed(0)
    ours = Overlap(5)
    theirs = MulticlassJaccardIndex(5, average=None, ignore_index=IGNORED)
    for _ in range(3):
        scores = torch.rand(4, 5, 9, 7, generator=generator)
        masks = torch.randint(4, (4, 9, 7), generator=generator)  # the last class is never there
        masks[:, :2] = IGNORED
        ours.update(scores, masks)
        theirs.update(scores, masks)

    found = ours.compute()
    assert found["miou"] == pytest.approx(theirs.compute().mean().item(), abs=1e-6)


def test_classes_that_are_nowhere_do_not_count():
    meter = Overlap(3)
    masks = torch.tensor([[[0, 0], [1, IGNORED]]])
    meter.update(torch.nn.functional.one_hot(masks % 255, 3).permute(0, 3, 1, 2).float(), masks)

    assert meter.compute() == {"miou": 1.0, "pixel_accuracy": 1.0}
