"""A network with another stream is told by its description and weights, without the study."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from export.elsewhere import ALONE
from networks.stream_cases import network_of

from autodepth.data.settings import Normalisation
from autodepth.errors import AutodepthError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import rebuild
from autodepth.export.writing import write_bundle
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.pruning.widths import changed_shapes
from autodepth.networks.weights.own_files import save_weights
from autodepth.trial.device.runtimes.formats.torch_program import make_program

# Runs a program of torch.export where autodepth is not installed.
PROGRAM = """
import sys
sys.modules["autodepth"] = None
import numpy as np, torch
program = torch.export.load(sys.argv[1]).module()
np.save(sys.argv[3], program(torch.from_numpy(np.load(sys.argv[2]))).detach().numpy())
"""

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


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_it_runs_where_autodepth_is_not_installed(name, exported, tmp_path):
    network = network_of(SPECS[name].name)  # as initialised, all scores would be alike
    gone = [branch.index for branch in network.branches if branch.removable][1]
    narrow = prune_width(with_stream_width(network.without([gone]), 0.5), 0.25)
    save_weights(narrow.module, tmp_path / "weights")
    write_bundle(
        tmp_path / "out",
        weights=tmp_path / "weights",
        architecture=described(SPECS[name], narrow),
        policy={},
        record=json.loads((exported[0] / "record.json").read_text()),
    )
    pixels = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    inputs = (pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / np.float32(0.2)
    np.save(tmp_path / "pixels.npy", pixels)
    np.save(tmp_path / "inputs.npy", inputs)
    with torch.no_grad():
        scores = narrow.module.eval()(torch.from_numpy(inputs))

    run(PROGRAM, "out/model.pt2", "inputs.npy", "scores.npy", place=tmp_path)
    done = run(ALONE.format(more=[]), "out/predict.py", "pixels.npy", place=tmp_path)

    assert np.allclose(np.load(tmp_path / "scores.npy"), scores, rtol=1e-4, atol=1e-5)
    told = [line.partition(": ")[2].partition(" ")[0] for line in done.splitlines()]
    assert told == [str(int(best)) for best in scores.argmax(1)]


def run(script, *arguments, place):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, check=False, cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


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
