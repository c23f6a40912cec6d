"""Files of autodepth's own are read by the network's names; what does not fit is refused."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from autodepth.errors import WeightsError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.catalogue.cifar_resnet import CifarResNet
from autodepth.networks.weights.given_weights import load_weights
from autodepth.networks.weights.own_files import load_saved, read_saved, save_weights

PUBLIC = Path(__file__).parents[4] / "shared" / "data" / "resnet56-4bfd9763.th"


@pytest.fixture
def module():
    return CifarResNet(8)


def wrapper(name):
    """A network in a wrapper's only attribute, called as wrappers call it."""
    made = nn.Module()
    setattr(made, name, CifarResNet(8))
    return made


@pytest.mark.parametrize("name", ["model", "module", "_orig_mod", "net"])
def test_what_was_saved_is_read_under_the_names_of_the_network(tmp_path, name):
    file, saved, other = tmp_path / "weights.safetensors", wrapper(name), wrapper(name)

    size = save_weights(saved, file)
    load_saved(other, file)

    assert size == file.stat().st_size
    assert read_saved(file).keys() == saved.state_dict().keys()
    assert all(torch.equal(v, saved.state_dict()[k]) for k, v in other.state_dict().items())


def test_a_saved_file_of_another_network_or_a_damaged_one_is_refused(module, tmp_path):
    save_weights(CifarResNet(14), tmp_path / "other.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"oops")

    with pytest.raises(WeightsError, match="is of another network"):
        load_saved(module, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_saved(module, tmp_path / "damaged.safetensors")


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
        load_weights(module, tmp_path / "other.safetensors", classes=10)

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


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public ResNet-56 weights are not here")
def test_a_public_checkpoint_loads_as_it_is():
    network = build_network(NetworkSpec(name="resnet56"), weights=PUBLIC)

    assert network.total_macs == 125_485_696
