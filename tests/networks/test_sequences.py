"""Sequences (C, T) in place of images, several outputs by name, several inputs in one."""

import pytest
import torch
from networks.sequences import Named, Sequences, WithAge

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.onnx_session import open_onnx
from autodepth.trial.device.runtimes.formats.torch_program import make_program


def inputs(*shape):
    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))


def zeroed(module, number, given):
    """Return what a network gives with the branch of a block computed as zero."""
    hook = module.blocks[number - 1].norm2.register_forward_hook(lambda _m, _i, out: 0 * out)
    try:
        return module(given)
    finally:
        hook.remove()


@torch.no_grad()
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_branch_of_a_network_of_sequences_goes_as_if_it_were_zero(number):
    module, given = Sequences().eval(), inputs(1, 64)
    network = ResidualNetwork.from_module(module, (1, 64), classes=3)

    assert [b.module for b in network.branches] == [f"blocks.{n}" for n in range(3)]
    # Conv1d(8, 8, 5) twice on 32 places.
    assert {b.macs for b in network.branches} == {2 * 8 * 8 * 5 * 32}
    assert torch.equal(network.module.eval()(given), module(given))
    smaller = network.without([number])
    assert torch.equal(smaller.module.eval()(given), zeroed(module, number, given))


def test_it_is_made_narrower_gated_and_exported_as_others_are(tmp_path):
    network = ResidualNetwork.from_module(Sequences().eval(), (1, 64), classes=3)
    narrow = prune_width(network, 0.5)
    slim = with_stream_width(network, {1: 0.5})
    assert max(narrow.total_macs, slim.total_macs) < 0.6 * network.total_macs

    gated = GatedNetwork(network)
    gated.eval()
    gated.bypass(2)
    given = inputs(1, 64)
    with torch.no_grad():
        assert torch.equal(gated(given), network.without([2]).module.eval()(given))
        wanted = slim.module.eval()(given)
    write_onnx(make_program(slim.module, (1, 64)), tmp_path / "slim.onnx")
    found = open_onnx(tmp_path / "slim.onnx", threads=1)(given.numpy())
    torch.testing.assert_close(torch.from_numpy(found), wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_outputs_by_name_stay_so():
    module, given = Named().eval(), inputs(1, 64)
    network = ResidualNetwork.from_module(module, (1, 64))
    smaller = network.without([2]).module.eval()

    assert len(network.branches) == 3
    for found, wanted in ((network.module(given), module(given)),
                          (smaller(given), zeroed(module, 2, given))):  # fmt: skip
        assert list(found) == ["scores", "features"]
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@torch.no_grad()
def test_several_inputs_are_one_that_the_network_takes_apart():
    module, given = WithAge().eval(), inputs(1, 66)
    network = ResidualNetwork.from_module(module, (1, 66), classes=3)

    assert len(network.branches) == 3
    assert torch.equal(network.module.eval()(given), module(given))


def test_named_networks_are_for_images():
    for name in ("torchvision:resnet18", "resnet20"):
        spec = NetworkSpec(name=name, channels=3, height=0, width=100)
        assert spec.input_shape == (3, 100)
        with pytest.raises(NetworkError, match=r"takes images CxHxW|take images of 3x100"):
            build_network(spec, once=True)
