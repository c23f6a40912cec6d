"""A network run on batches side by side gives what it gives for each alone."""

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.reconstruction.lockstep import Lockstep

NETWORK = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [torch.randn(size, 3, 8, 8, generator=GENERATOR) for size in (4, 3)]


def test_each_batch_gives_what_it_gives_alone():
    module = NETWORK.module.eval()
    walk = Lockstep(module, BATCHES)
    outputs = walk.until("output")

    assert walk.next is None
    for found, batch in zip(outputs, BATCHES, strict=True):
        assert torch.allclose(found, module(batch))


def test_held_values_stay_until_they_are_released_and_others_go():
    module = NETWORK.module.eval()
    first, second, *_ = [node for node in module.graph.nodes if node.op == "call_module"]
    walk = Lockstep(module, BATCHES, held=[first.name])
    while walk.next is not None:
        walk.step()
    kept = walk.values(first)
    walk.release(first)

    assert [len(value) for value in kept] == [4, 3]
    assert all(first not in e and second not in e for e in walk._environments)


def test_what_is_replaced_counts_for_what_comes_after():
    module = NETWORK.module.eval()
    walk = Lockstep(module, BATCHES)
    node = walk.step()
    walk.replace(node, [torch.zeros_like(batch) for batch in BATCHES])

    assert torch.allclose(walk.until("output")[0], module(torch.zeros(4, 3, 8, 8)))
