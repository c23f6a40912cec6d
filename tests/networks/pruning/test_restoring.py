"""A narrower or wider network begins as its own initialisation would have let it begin."""

import pytest
import torch
from networks.stream_cases import NAMES, images, network_of

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.growing import widen_branches
from autodepth.networks.pruning.restoring import initialised_with_shapes
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.widths import changed_shapes


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_shapes_of_another_network_and_nothing_of_its_weights(name):
    wanted = with_stream_width(network_of(name), 0.5)
    arguments = {"image_size": 32} if "vit" in name else {}
    fresh = build_network(NetworkSpec(name=name, classes=10, arguments=arguments), seed=8)
    shapes = changed_shapes(fresh.module, wanted.module.state_dict())

    made = initialised_with_shapes(fresh, shapes, torch.Generator().manual_seed(1))

    assert changed_shapes(made.module, wanted.module.state_dict()) == {}
    assert made.total_macs == wanted.total_macs
    scores = made.module.eval()(images())
    assert scores.isfinite().all()
    whole = fresh.module.eval()(images())
    if whole.std() > 1e-6:  # a head that begins at zero says nothing
        assert 0.3 < scores.std() / whole.std() < 3


def test_inner_layers_begin_with_the_variance_that_their_width_asks_for():
    fresh = build_network(NetworkSpec(name="resnet20"), seed=1)
    wide = widen_branches(fresh, 2.0)
    shapes = changed_shapes(fresh.module, wide.module.state_dict())

    made = initialised_with_shapes(fresh, shapes, torch.Generator().manual_seed(1))

    before, now = (n.module.get_parameter("layer3.1.conv2.weight").detach() for n in (fresh, made))
    assert now.shape[1] == 2 * before.shape[1]
    assert float(now.std() / before.std()) == pytest.approx(0.5**0.5, rel=0.03)
    untouched = "layer3.1.bn2.weight"
    assert torch.equal(*(n.module.get_parameter(untouched) for n in (fresh, made)))
    again = initialised_with_shapes(fresh, shapes, torch.Generator().manual_seed(1))
    assert all(map(torch.equal, made.module.parameters(), again.module.parameters()))
    other = initialised_with_shapes(fresh, shapes, torch.Generator().manual_seed(2))
    assert not torch.equal(now, other.module.get_parameter("layer3.1.conv2.weight"))
