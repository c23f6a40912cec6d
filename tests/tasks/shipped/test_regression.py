"""The task `regression`: its loss and its measures, against scikit-learn's."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import mean_absolute_error, r2_score

from autodepth.data.settings import DataSettings
from autodepth.errors import DataError
from autodepth.tasks.shipped.regression import Errors, Regression


@pytest.fixture
def settings(tmp_path):
    random, lines = np.random.default_rng(0), ["image,small,large"]
    for number in range(60):
        pixels = random.integers(0, 255, (6, 6), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{pixels.mean() / 255},{100 * random.normal()}")
    (tmp_path / "targets.csv").write_text("\n".join(lines))
    return DataSettings(name=f"csv:{tmp_path / 'targets.csv'}", validation=0.2)


def test_measures_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    there = random.normal(3, [1, 20], (50, 2))
    told = there + random.normal(0, [0.5, 8], (50, 2))
    meter = Errors(torch.from_numpy(there.mean(0)))
    for rows in (slice(0, 20), slice(20, 50)):
        meter.update(torch.from_numpy(told[rows]), torch.from_numpy(there[rows]))

    assert meter.compute() == {
        "mae": pytest.approx(mean_absolute_error(there, told)),
        "r2": pytest.approx(r2_score(there, told)),
    }


def test_none_of_several_targets_outweighs_the_others(settings):
    task = Regression(settings)
    _, targets = next(iter(task.batches("train", batch_size=64, generator=None)))
    sd = targets.std(0)

    assert task.outputs == 2
    losses = [task.loss(targets + torch.eye(2)[n] * sd, targets).item() for n in range(2)]
    assert losses == pytest.approx([0.25, 0.25], rel=1e-3)  # 0.5 of one target, 0 of the other


def test_a_network_begins_at_the_targets(settings):
    task = Regression(settings)
    _, targets = next(iter(task.batches("train", batch_size=64, generator=None)))

    mean, deviation = task.targets_spread()
    assert torch.allclose(mean, targets.mean(0))
    assert torch.allclose(deviation, targets.std(0))


def test_the_worst_error_is_that_of_who_always_tells_the_mean(settings):
    task = Regression(settings, targets=["large"])
    _, targets = next(iter(task.batches("train", batch_size=64, generator=None)))

    assert task.outputs == 1
    assert task.metrics["mae"].worst == pytest.approx(
        (targets - targets.mean()).abs().mean().item(), rel=1e-5
    )


def test_data_of_another_kind_are_told(settings):
    with pytest.raises(DataError, match="regression learns from csv:FILE"):
        Regression(DataSettings(name="digits"))
    with pytest.raises(DataError, match=r"targets\.csv:1: must have the column 'age'"):
        Regression(settings, targets=["age"])
