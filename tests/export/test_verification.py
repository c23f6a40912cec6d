"""Nothing is called exported that was not compared with the network that was searched."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from autodepth import load
from autodepth.errors import BundleError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.verification import (
    Reference,
    check_onnx,
    check_program,
)
from autodepth.trial.device.runtimes.formats.torch_program import write_program


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
