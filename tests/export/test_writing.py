"""A folder of an export is whole or not there."""

import json

import pytest
import torch

from autodepth import load
from autodepth.errors import BundleError, InputError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.writing import read_formats, write_bundle
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.weights.own_files import save_weights


def test_a_failed_check_leaves_no_folder(exported, tmp_path):
    """The recorded MACs are others than those of the weights: found at the first rebuilding."""
    from dataclasses import replace

    to, _, _ = exported
    architecture = read_architecture(to)
    record = json.loads((to / "record.json").read_text())

    with pytest.raises(BundleError, match="MACs"):
        write_bundle(
            tmp_path / "new",
            weights=to / "model.safetensors",
            architecture=replace(architecture, macs=architecture.macs - 1),
            policy={},
            record=record,
        )
    assert list(tmp_path.iterdir()) == []


OWN = """
import torch
from torch import nn


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else x.mean((2, 3)) + 0.0


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem, self.f = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.head = Mean(), nn.Linear(4, num_classes)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.pool(x.relu() + self.f(x)))
"""


def test_what_torch_export_cannot_pass_leaves_no_folder_but_goes_without(
    exported, tmp_path, monkeypatch
):
    import sys
    from dataclasses import replace

    (tmp_path / "branching.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    spec = NetworkSpec(name="branching:Net", channels=1, height=8, width=8, own_code=True)
    network = build_network(spec)
    save_weights(network.module, tmp_path / "w.safetensors")
    to, _, _ = exported
    values = {
        "weights": tmp_path / "w.safetensors",
        "architecture": replace(
            read_architecture(to), network=spec, removed=(), widths={}, macs=network.total_macs
        ),
        "policy": {},
        "record": json.loads((to / "record.json").read_text()),
    }
    with pytest.raises(BundleError, match=r"torch\.export cannot export .*--formats none"):
        write_bundle(tmp_path / "new", **values)
    assert not list(tmp_path.glob("*new*"))

    write_bundle(tmp_path / "new", **values, formats=())
    loaded = load(tmp_path / "new", own_code=True)
    sys.modules.pop("branching", None)
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(loaded(images), network.module.eval()(images))
    assert not list((tmp_path / "new").glob("model.[op]*"))


def test_formats_are_read_as_people_write_them():
    assert read_formats("onnx, torch") == ("torch", "onnx")
    assert read_formats("none") == ()
    assert read_formats("int8,onnx") == ("onnx", "int8")
    with pytest.raises(InputError, match="but got 'onxx', did you mean 'onnx'"):
        read_formats("onxx")
    with pytest.raises(InputError, match="int8 is made from onnx"):
        read_formats("int8")
