"""Features of two networks are compared after each addition that both have."""

import pytest
import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.features import Features
from autodepth.networks.gates.gates import GatedNetwork

SPEC = NetworkSpec(name="resnet14", channels=1, height=8, width=8)


@pytest.fixture(scope="module")
def parent():
    network = build_network(SPEC, seed=1)
    network.module.eval()
    return network


def compared(student, teacher, images):
    student, teacher = GatedNetwork(student), GatedNetwork(teacher)
    for network in (student, teacher):
        network.eval()
        network.open_all()
    features = Features(student, teacher)
    with torch.no_grad():
        teacher(images)
    student(images)
    return features.apart()


def by_hand(network, images):
    """Return what each addition of a network gives, by the number of its branch."""
    found = {}
    names = {site.addition: branch.index for branch, site in network.kept()}

    class Watching(torch.fx.Interpreter):
        def run_node(self, node):
            value = super().run_node(node)
            if node.name in names:
                found[names[node.name]] = value.clone()
            return value

    Watching(network.module).run(images)
    return found


def test_a_copy_is_nowhere_apart(parent):
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    assert compared(parent.without(()), parent, images).item() == 0.0


def test_it_is_the_relative_error_after_the_additions_that_stay(parent):
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    student = parent.without([2, 5])
    student.module.eval()
    given, wanted = by_hand(student, images), by_hand(parent, images)
    assert set(given) == {1, 3, 4, 6}
    far = [
        ((given[n] - wanted[n]).square().flatten(1).sum(1) / wanted[n].square().flatten(1).sum(1))
        for n in given
    ]

    apart = compared(student, parent, images)

    expected = torch.stack([error.mean() for error in far]).mean()
    assert apart.item() == pytest.approx(expected.item(), rel=1e-5)
    apart.backward()
    weight = student.module.get_parameter(next(iter(dict(student.module.named_parameters()))))
    assert weight.grad is not None
