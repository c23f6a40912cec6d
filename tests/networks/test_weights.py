"""Weights people bring load as they are, or the message says what does not fit."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autodepth.errors import WeightsError
from autodepth.networks.catalogue import NetworkSpec, build_network, input_channels
from autodepth.networks.cifar_resnet import CifarResNet
from autodepth.networks.weights import load_weights, read_weights, save_weights

PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "resnet56-4bfd9763.th"


@pytest.fixture
def module():
    return CifarResNet(8)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
        lambda state: {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    ],
    ids=["plain", "data-parallel", "compiled"],
)
def test_usual_layouts_load(module, tmp_path, wrap):
    file, other = tmp_path / "weights.th", CifarResNet(8)
    torch.save(wrap(other.state_dict()), file)

    load_weights(module, file)

    assert all(torch.equal(v, other.state_dict()[k]) for k, v in module.state_dict().items())


def test_safetensors_load_and_saving_tells_the_size(module, tmp_path):
    file = tmp_path / "weights.safetensors"

    size = save_weights(module, file)

    assert size == file.stat().st_size
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in read_weights(file).items())


def test_counters_that_old_files_lack_are_not_missed(module, tmp_path):
    state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    save_file(state, tmp_path / "old.safetensors")

    load_weights(module, tmp_path / "old.safetensors")


def test_all_misfits_are_listed_at_once(module, tmp_path):
    state = module.state_dict()
    del state["bn1.weight"]
    state["extra.weight"] = torch.zeros(1)
    state["linear.weight"] = torch.zeros(100, 64)
    save_file(state, tmp_path / "other.safetensors")

    with pytest.raises(WeightsError) as error:
        load_weights(module, tmp_path / "other.safetensors")

    assert "missing: bn1.weight" in str(error.value)
    assert "unexpected: extra.weight" in str(error.value)
    assert "linear.weight (100x64 in the file, 10x64 in the network)" in str(error.value)


class Touch:
    """Touches a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_hostile_file_is_refused_and_nothing_of_it_runs(module, tmp_path):
    canary = tmp_path / "canary"
    torch.save({"state_dict": Touch(str(canary))}, tmp_path / "hostile.th")
    (tmp_path / "hostile.pkl").write_bytes(pickle.dumps(Touch(str(canary))))

    for name in ("hostile.th", "hostile.pkl"):
        with pytest.raises(WeightsError, match="cannot be read as plain weights"):
            load_weights(module, tmp_path / name)

    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 torn"])
@pytest.mark.parametrize("name", ["broken.th", "broken.safetensors"])
def test_damaged_files_are_refused(module, tmp_path, content, name):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(WeightsError, match=name):
        load_weights(module, tmp_path / name)


def test_grey_images_are_repeated_where_the_weights_want_colour(module, tmp_path):
    save_weights(module, tmp_path / "colour.safetensors")

    assert input_channels("resnet8", 1) == 1
    assert input_channels("resnet8", 1, tmp_path / "colour.safetensors") == 3
    assert input_channels("torchvision:resnet18", 1) == 3


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public ResNet-56 weights are not here")
def test_a_public_checkpoint_loads_as_it_is():
    network = build_network(NetworkSpec(name="resnet56"), weights=PUBLIC)

    assert network.total_macs == 125_485_696
