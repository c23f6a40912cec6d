"""Seeds are stable, different for different uses, and touch no global generator."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.seeding import derive_seed


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, "training", 0) == 7_094_451_386_425_530_870


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.text(max_size=5), st.text(max_size=5))
def test_seeds_fit_torch_and_differ_where_the_use_differs(a, b, one, other):
    assert 0 <= derive_seed(a, one) < 2**63
    if (a, one) != (b, other):
        assert derive_seed(a, one, "x") != derive_seed(b, other, "x")


def test_building_a_network_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()

    build_network(NetworkSpec(name="resnet8"), seed=5)

    assert torch.equal(torch.random.get_rng_state(), before)
