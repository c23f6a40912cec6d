"""What a metric says of a value, and how many examples a batch has."""

import pytest
import torch

from autodepth.errors import InputError
from autodepth.tasks.task import Means, Metric, examples_in


def test_a_metric_is_better_towards_its_best():
    assert Metric(worst=0.0, best=1.0).goal == "maximize"
    assert Metric(worst=30.0, best=0.0).goal == "minimize"


@pytest.mark.parametrize(
    ("metric", "value", "share"),
    [
        (Metric(), 0.1 + 0.2, 0.1 + 0.2),  # a fraction stays what it is, to the bit
        (Metric(worst=4, best=0), 1.0, 0.75),
        (Metric(worst=4, best=0), 9.0, 0.0),
        (Metric(worst=-1, best=1), 3.0, 1.0),
    ],
)
def test_a_share_lies_between_worst_and_best(metric, value, share):
    assert metric.share(value) == share


@pytest.mark.parametrize("worst", [1.0, float("nan"), float("inf")])
def test_worst_and_best_are_two_numbers(worst):
    with pytest.raises(InputError, match="worst and best of a metric must be two numbers"):
        Metric(worst=worst, best=1.0)


def test_targets_in_any_form_tell_how_many_examples_there_are():
    rows = torch.zeros(3, 2)

    for targets in (rows, {"boxes": rows}, (rows, rows), [rows, rows], [{"b": rows}] * 3):
        assert examples_in(targets) == 3


def test_means_weigh_batches_by_their_examples():
    class Given:
        def measure(self, outputs, _):
            return {"mean": outputs.mean()}

    means, values = Means(Given()), torch.tensor([1.0, 2.0, 6.0])
    for part in (values[:2], values[2:]):
        means.update(part, part)

    assert means.compute() == {"mean": 3.0}
