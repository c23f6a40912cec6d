"""A pruned network is built again from shapes alone, whatever its layers are."""

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.pruning.widths import changed_shapes, take_shapes

SHORT = ["torchvision:resnet18", "torchvision:mobilenet_v2", "resnet14"]
LONG = [f"torchvision:{name}" for name in ("resnext50_32x4d", "efficientnet_b0", "convnext_tiny")]


@pytest.mark.parametrize(
    "name", [*SHORT, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]
)
def test_shapes_are_enough_to_build_a_narrow_network(name):
    spec = NetworkSpec(name=name, classes=4, height=64, width=64)
    narrow = prune_width(build_network(spec, seed=1).without([2]), 0.5).module.eval()
    again = build_network(spec, seed=2).without([2]).module

    shapes = changed_shapes(again, narrow.state_dict())
    take_shapes(again, shapes)
    again.load_state_dict(narrow.state_dict())

    assert shapes
    assert changed_shapes(again, narrow.state_dict()) == {}
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(again.eval()(images), narrow(images))
    assert repr(again) == repr(narrow)


def test_flags_are_kept():
    layer = nn.Sequential(nn.Linear(4, 4))
    layer[0].weight.requires_grad_(False)

    take_shapes(layer, {"0.weight": (2, 3), "0.bias": (2,)})

    assert not layer[0].weight.requires_grad
    assert layer[0].bias.requires_grad


@pytest.mark.parametrize("key", ["gone.weight", "0.gone"])
def test_an_unknown_key_is_named(key):
    with pytest.raises(NetworkError, match=f"the network has no {key}"):
        take_shapes(nn.Sequential(nn.Linear(4, 4)), {key: (2,)})


def test_a_layer_without_a_width_is_named():
    with pytest.raises(NetworkError, match=r"Bilinear 0\.weight has no width"):
        take_shapes(nn.Sequential(nn.Bilinear(4, 4, 4)), {"0.weight": (2, 4, 4)})


def test_positions_looked_up_in_a_table_take_the_streams_width():
    table = nn.Sequential(nn.Embedding(9, 4))
    take_shapes(table, {"0.weight": (9, 2)})
    assert (table[0].num_embeddings, table[0].embedding_dim) == (9, 2)
    assert table(torch.arange(9)).shape == (9, 2)
