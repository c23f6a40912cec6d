"""What a network has under several names is kept once, and stays one in whatever is made of it."""

import pytest
import torch
from safetensors.torch import load_file, save_model
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import for_convolutions
from autodepth.networks.weights.given_weights import load_weights
from autodepth.networks.weights.own_files import load_saved, save_weights
from autodepth.networks.weights.ties import under_all_names


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.up, self.down = (
            (nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1))
            if kind == "convolution"
            else (nn.Linear(4, 8), nn.Linear(8, 4))
        )

    def forward(self, x):
        return x + self.down(self.up(x).relu())


class Net(nn.Module):
    """Three blocks that share something."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 4)
        self.blocks = nn.ModuleList(Block(kind) for _ in range(3))
        first, second, third = self.blocks
        if kind == "module":
            second.up = first.up
        elif kind == "transposed":
            second.down.weight = nn.Parameter(first.up.weight.detach().t())
        else:
            second.up.weight = third.up.weight = first.up.weight

    def forward(self, x):
        x = self.stem(x)
        x = x if self.kind == "convolution" else x.permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3) if self.kind == "convolution" else (1, 2)))


KINDS = ("parameter", "module", "convolution", "transposed")
IMAGES = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def network_of(kind, seed=0):
    torch.manual_seed(seed)
    return ResidualNetwork.from_module(Net(kind), (3, 6, 6))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("removed", [(), (2,), (1,)])
def test_shared_weights_are_kept_once_and_come_back_under_every_name(kind, removed, tmp_path):
    network = network_of(kind).without(removed)
    for_convolutions(network.module)
    size = save_weights(network.module, tmp_path / "w.safetensors")
    again = network_of(kind, seed=1).without(removed)
    for_convolutions(again.module)

    load_saved(again.module, tmp_path / "w.safetensors")

    assert torch.equal(again.module.eval()(IMAGES), network.module.eval()(IMAGES))
    kept = load_file(tmp_path / "w.safetensors")
    if kind != "transposed":
        assert sum(t.numel() for t in kept.values()) == network.total_parameters
        assert size < 4 * network.total_parameters + 4096
        assert under_all_names(kept, again.module).keys() == again.module.state_dict().keys()
    assert len(list(again.module.parameters())) == len(list(network.module.parameters()))


@pytest.mark.parametrize("kind", KINDS[:3])
def test_files_of_save_model_leave_names_out_and_load(kind, tmp_path):
    given = Net(kind)
    save_model(given, tmp_path / "w.safetensors")
    network = network_of(kind, seed=1)

    load_weights(network.module, tmp_path / "w.safetensors")

    assert torch.equal(network.module.eval()(IMAGES), given.eval()(IMAGES))


def test_the_layout_of_other_tensors_of_four_or_five_dimensions_stays():
    module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv3d(4, 8, 3))
    module.kernels = nn.Parameter(torch.zeros(3, 4, 4, 3, 3))
    module.table = nn.Parameter(torch.zeros(2, 3, 4, 5))

    for_convolutions(module)

    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert module.kernels.is_contiguous()
    assert module.table.is_contiguous()
    assert module[1].weight.is_contiguous()


def test_what_is_not_shared_is_written_as_before(tmp_path):
    module = build_network(NetworkSpec(name="resnet8", height=8, width=8), seed=0).module

    save_weights(module, tmp_path / "w.safetensors")

    kept = load_file(tmp_path / "w.safetensors")
    assert kept.keys() == module.state_dict().keys()
    assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())
