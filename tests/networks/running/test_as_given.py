"""What is given as a network is made readable and told, or refused with its own way out."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.running.as_given import as_given, scores_of

SHAPE = (3, 8, 8)


class Called(nn.Module):
    """Is called in the way of a subclass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Two(Called):
    def forward(self, images, mask): ...


class ByName(Called):
    def forward(self, *, pixels): ...


class Nothing(Called):
    def forward(self): ...


class Optional(Called):
    def forward(self, images, mask=None): ...


def test_a_network_that_needs_nothing_is_the_very_one():
    module = Optional()
    given = as_given(module, SHAPE)

    assert given.module is module
    assert given.notes == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (nn.Linear, "a network must be an instance, but got the class Linear: call it"),
        ("resnet20", "a network must be a torch.nn.Module, but got 'resnet20'"),
        (Two(), "forward needs 2 inputs (images, mask)"),
        (Two(), "return self.network(images, mask=...)"),
        (ByName(), "return self.network(pixels=images)"),
        (Nothing(), "forward takes no input"),
        (nn.Linear(2, 2, device="meta"), "weights on the meta device, which have no values"),
        (nn.Sequential(nn.LazyLinear(2)), "an image of 3x8x8 does not initialise"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(given, told):
    if isinstance(given, nn.Sequential):
        given.insert(0, nn.Flatten(0, 3))
        given.append(nn.Linear(3, 3))
    with pytest.raises(NetworkError) as error:
        as_given(given, SHAPE)

    assert told in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value):
    module = Optional()
    nn.init.constant_(module.layer.bias, value)
    with pytest.raises(NetworkError, match=r"not finite \(NaN or infinity\), first in layer.bias"):
        as_given(module, SHAPE)


def test_weights_whose_sum_is_too_large_are_finite_all_the_same():
    module = Optional()
    nn.init.constant_(module.layer.weight, 3e38)

    assert as_given(module, SHAPE).notes == ()


def test_wrappers_are_taken_off_one_by_one():
    module = Optional()
    given = as_given(nn.DataParallel(torch.compile(module, backend="eager")), SHAPE)

    assert given.module is module
    assert [note.split()[0] for note in given.notes] == ["DataParallel", "OptimizedModule"]


def test_lazy_layers_are_initialised_in_evaluation():
    module = nn.Sequential(nn.Flatten(), nn.LazyLinear(2), nn.BatchNorm1d(2))
    given = as_given(module, SHAPE)

    assert given.module[1].weight.shape == (2, 192)
    assert given.module[2].num_batches_tracked == 0
    assert given.module.training
    assert given.notes == ("its lazy layers were initialised by an image of 3x8x8",)


def test_a_network_of_another_precision_is_read_as_a_copy_in_float32():
    module = Optional().to(torch.bfloat16)
    given = as_given(module, SHAPE)

    assert given.module is not module
    assert given.module.layer.weight.dtype is torch.float32
    assert module.layer.weight.dtype is torch.bfloat16
    assert given.notes == (
        "its weights are bfloat16; they are read, trained and exported as float32",
    )


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ({"aux": 1, "out": 2}, "['out']"),
        ({"mine": 1}, "['mine']"),
        (SimpleNamespace(logits=1), ".logits"),
        ((1, 2), "[0]"),
        (3, "..."),
    ],
)
def test_where_the_scores_are_is_told_by_what_came_out(output, told):
    assert scores_of(output) == told
