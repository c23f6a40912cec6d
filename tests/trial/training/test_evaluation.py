"""Accuracy and loss are of images, whatever batches they come in."""

import math

import pytest
import torch
import torch.nn.functional as F

from autodepth.errors import DivergenceError
from autodepth.trial.training.evaluation import Evaluation, evaluate

SCORES = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.5], [1.0, 0.0]])
LABELS = torch.tensor([0, 1, 1, 1, 0])


def batches(*sizes):
    return list(zip(SCORES.split(sizes), LABELS.split(sizes), strict=True))


@pytest.mark.parametrize("sizes", [(5,), (2, 3), (4, 1), (1, 1, 1, 1, 1)])
def test_every_image_counts_once(sizes):
    found = evaluate(lambda images: images, batches(*sizes))

    assert found.accuracy == 4 / 5
    assert found.loss == pytest.approx(F.cross_entropy(SCORES, LABELS).item())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_divergence(loss):
    with pytest.raises(DivergenceError, match=f"the loss became {loss}"):
        Evaluation(accuracy=0.5, loss=loss)
