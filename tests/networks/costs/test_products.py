"""A network whose images take long is compared on one of them, and no less is seen."""

import torch
from torch import fx, nn

from autodepth.networks.costs.products import is_costly
from autodepth.networks.reading.equality import Comparison, Difference
from autodepth.networks.running.preserve import Content


def counted(layers: nn.Module, images: torch.Tensor) -> list[int]:
    """Compare a network with its graph, and return how many images each of its runs had."""
    seen: list[int] = []
    layers[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    comparison = Comparison(
        given=layers, read=fx.symbolic_trace(layers), images=images, one_will_do=True
    )
    assert comparison.difference(Content(layers)) == 0.0
    return seen


def test_one_image_is_run_where_one_will_do() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert set(counted(layers, torch.rand(2, 3, 8, 8))) == {1}


def test_what_does_not_train_on_one_image_is_compared_on_all() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert counted(layers, torch.rand(2, 3, 3, 3))[-2:] == [2, 2]


def test_another_network_is_seen_on_one_image() -> None:
    given = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    read = fx.symbolic_trace(nn.Sequential(given[0], nn.Tanh()))
    comparison = Comparison(given=given, read=read, images=torch.rand(2, 3, 8, 8), one_will_do=True)
    assert isinstance(comparison.difference(Content(given)), Difference)


def test_costly_is_what_multiplies_more_than_ten_billion_times_for_an_image() -> None:
    layer = fx.symbolic_trace(nn.Sequential(nn.Conv2d(100, 1000, 10, padding="same")))
    assert not is_costly(layer, torch.empty(1, 100, 31, 32, device="meta"))  # 9.92e9
    assert is_costly(layer, torch.empty(1, 100, 32, 32, device="meta"))  # 10.24e9
