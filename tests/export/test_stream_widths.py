"""A network with another stream is told by its description and weights, without the study."""

import pytest
import torch

from autodepth.data.settings import Normalisation
from autodepth.errors import AutodepthError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import rebuild
from autodepth.export.formats.torch_program import make_program
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.pruning.widths import changed_shapes
from autodepth.networks.weights.own_files import save_weights

SPECS = {
    "resnet20": NetworkSpec(name="resnet20"),
    "vit_b_16": NetworkSpec(name="torchvision:vit_b_16", arguments={"image_size": 32}),
    "mobilenet_v3_large": NetworkSpec(name="torchvision:mobilenet_v3_large"),
    "convnext_tiny": NetworkSpec(name="torchvision:convnext_tiny"),
    "resnet50": NetworkSpec(name="torchvision:resnet50"),
}


def described(spec, narrow, **changed):
    whole = build_network(spec).without(narrow.removed)
    return Architecture(
        network=spec,
        removed=narrow.removed,
        widths={**changed_shapes(whole.module, narrow.module.state_dict()), **changed},
        normalisation=Normalisation(mean=(0.5,) * 3, std=(0.2,) * 3),
        classes=tuple(map(str, range(10))),
        macs=narrow.total_macs,
    )


@pytest.mark.parametrize("name", SPECS)
def test_it_is_built_again_bit_for_bit(name, tmp_path):
    spec = SPECS[name]
    network = build_network(spec, seed=7)
    gone = [branch.index for branch in network.branches if branch.removable][1]
    narrow = prune_width(with_stream_width(network.without([gone]), 0.5), 0.25)
    save_weights(narrow.module, tmp_path / "weights")
    text = described(spec, narrow).to_json()

    again = rebuild(Architecture.from_json(text), tmp_path / "weights")

    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), narrow.module.eval()(images))
    if name == "resnet20":
        program = make_program(again, spec.input_shape).module()
        assert torch.allclose(program(images), again(images), atol=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"conv1.weight": (24, 3, 3, 3)},
        {"conv1.weight": (-8, 3, 3, 3)},
        {"conv1.weight": (8,)},
        {"layer2.0.bn2.weight": (4,)},
        {"conv9.weight": (8, 3, 3, 3)},
    ],
)
def test_widths_that_no_network_has_are_refused(changed, tmp_path):
    narrow = with_stream_width(build_network(SPECS["resnet20"]), 0.5)
    save_weights(narrow.module, tmp_path / "weights")

    with pytest.raises(AutodepthError):
        rebuild(described(SPECS["resnet20"], narrow, **changed), tmp_path / "weights")
