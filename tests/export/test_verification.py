"""Nothing is called exported that was not compared with the network that was searched."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from autodepth import load
from autodepth.errors import BundleError, InputError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.exporting import export_wishes
from autodepth.export.formats.torch_program import write_program
from autodepth.export.verification import (
    BATCHES,
    INPUTS,
    Reference,
    check_onnx,
    check_program,
)
from autodepth.export.writing import read_formats, write_bundle
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.weights.own_files import save_weights


class Batched(nn.Module):
    """Gives scores that depend on who else is in the batch."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images) - images.mean()


def test_every_format_was_compared_at_three_batch_sizes_and_told(exported):
    to, point, told = exported
    verification = json.loads((to / "verification.json").read_text())

    assert [check["file"] for check in verification["files"]] == [
        "model.safetensors",
        "model.pt2",
        "model.onnx",
    ]
    for check in verification["files"]:
        assert set(check["differences"]) == {"1", "7", "64"}
        assert max(check["differences"].values()) <= check["tolerance"] <= 1e-4
    assert [check["macs"] for check in verification["files"]] == [point.point.macs] * 2 + [None]
    assert verification["files"][0]["tolerance"] == 0
    assert [line.split(" verified: ")[0] for line in told[:3]] == [
        "model.safetensors",
        "model.pt2",
        "model.onnx",
    ]
    assert max(map(len, told)) <= 80


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_every_format_gives_the_scores_of_the_loaded_network_at_any_batch_size(exported, batch):
    import onnxruntime

    to, _, _ = exported
    images = torch.randn(batch, 1, 8, 8)
    expected = load(to)(images).detach().numpy()
    session = onnxruntime.InferenceSession(to / "model.onnx", providers=["CPUExecutionProvider"])
    program = torch.export.load(to / "model.pt2").module()

    np.testing.assert_allclose(
        session.run(["scores"], {"images": images.numpy()})[0], expected, atol=1e-4, rtol=1e-4
    )
    np.testing.assert_allclose(program(images).detach().numpy(), expected, atol=1e-5, rtol=1e-5)


def test_another_networks_file_is_refused_whatever_the_format(exported, tmp_path):
    to, _, _ = exported
    architecture = read_architecture(to)
    other = load(to)
    with torch.no_grad():
        list(other.parameters())[-1][0] += 0.01  # the bias of one class
    reference = Reference(other.eval(), architecture.network.input_shape, architecture.macs)

    with pytest.raises(BundleError, match=r"model\.onnx is not the searched network: at batch"):
        check_onnx(to / "model.onnx", reference)
    with pytest.raises(BundleError, match=r"model\.pt2 is not the searched network: at batch"):
        check_program(to / "model.pt2", reference)


def test_scores_that_depend_on_the_rest_of_the_batch_show_at_another_batch_size(exported):
    to, _, _ = exported
    network = load(to)
    reference = Reference(network, (1, 8, 8), macs=0)

    with pytest.raises(BundleError, match="at batch size 1 its scores differ"):
        reference.check("model.onnx", Batched(network), macs=None)


def test_a_file_made_for_one_batch_size_does_not_run_at_another(exported, tmp_path):
    to, point, _ = exported
    network = load(to)
    fixed = torch.export.export(network, (torch.zeros(1, 1, 8, 8),))
    write_program(fixed, tmp_path / "model.pt2")

    with pytest.raises(BundleError, match=r"model\.pt2 does not run at batch size 7"):
        check_program(tmp_path / "model.pt2", Reference(network, (1, 8, 8), point.point.macs))


def test_a_network_that_never_gives_numbers_is_refused(exported):
    to, _, _ = exported
    network = load(to)
    reference = Reference(network, (1, 8, 8), macs=0)

    with pytest.raises(BundleError, match="differ by nan"):
        reference.check("model.onnx", lambda images: network(images) * torch.nan, macs=None)


def test_a_network_that_does_not_look_at_the_images_cannot_be_verified():
    class Constant(nn.Module):
        def forward(self, images):
            return torch.ones(len(images), 10)

    with pytest.raises(BundleError, match="gives all images the same"):
        Reference(Constant(), (1, 8, 8), macs=0)


def test_other_macs_are_refused(exported):
    to, point, _ = exported
    reference = Reference(load(to), (1, 8, 8), macs=point.point.macs + 1)

    with pytest.raises(BundleError, match=f"model.pt2 has {point.point.macs:,} MACs"):
        check_program(to / "model.pt2", reference)


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


def test_several_wishes_get_a_folder_each(study, tmp_path):
    wishes = ["smallest", "accuracy>=1%"]
    exports = export_wishes(study, wishes, tmp_path / "all", formats=())

    names = ["smallest", "accuracy-at-least-1"]
    assert [export.folder.name for export in exports] == names
    for export in exports:
        assert read_architecture(export.folder).macs == export.point.point.macs
        assert json.loads((export.folder / "record.json").read_text())["selected"] == export.wish


def test_every_format_is_seen_to_be_written_and_verified(study, tmp_path, heard):
    export_wishes(study, ["smallest"], tmp_path / "seen")

    images = INPUTS * len(BATCHES)
    assert heard["exporting seen"] == [3, 3]
    assert {"writing model.pt2", "writing model.onnx"} <= set(heard)
    for file in ("model.safetensors", "model.pt2", "model.onnx"):
        assert heard[f"verifying {file}"] == [images, images]


def test_one_wish_that_cannot_be_met_keeps_all_from_being_written(study, tmp_path):
    with pytest.raises(InputError, match="nearest: trial"):
        export_wishes(study, ["smallest", "macs<=1"], tmp_path / "all")
    with pytest.raises(InputError, match="every selection must be another one"):
        export_wishes(study, ["knee", "knee"], tmp_path / "all")
    assert list(tmp_path.glob("all/*")) == []


def test_formats_are_read_as_people_write_them():
    assert read_formats("onnx, torch") == ("torch", "onnx")
    assert read_formats("none") == ()
    assert read_formats("int8,onnx") == ("onnx", "int8")
    with pytest.raises(InputError, match="but got 'onxx', did you mean 'onnx'"):
        read_formats("onxx")
    with pytest.raises(InputError, match="int8 is made from onnx"):
        read_formats("int8")
