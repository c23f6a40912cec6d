"""A network is judged as the smaller network it would be, with batch statistics of its own."""

import pytest
import torch
import torch.nn.functional as F

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.masked_runs import WHOLE
from autodepth.networks.pruning.width import prune_width
from autodepth.trial.phases.branches.judging import Judge

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [
    (torch.randn(size, 3, 8, 8, generator=GENERATOR), torch.arange(size) % 10) for size in (20, 16)
]
MASKS = [frozenset({2}), frozenset({1, 2, 5}), WHOLE]


@torch.no_grad()
def expected(network, mask):
    """Return accuracy, loss and divergence of the network without these branches, built anew."""
    whole, smaller = network.module.eval(), network.without(mask).module
    right = loss = divergence = 0.0
    for images, labels in BATCHES:
        scores = smaller.train()(images)
        right += (scores.argmax(1) == labels).sum().item()
        loss += F.cross_entropy(scores, labels, reduction="sum").item()
        p, q = whole(images).softmax(1), scores.softmax(1)
        divergence += (p * (p / q).log()).sum().item()
    count = sum(len(labels) for _, labels in BATCHES)
    return right / count, loss / count, divergence / count


def test_it_is_the_smaller_network_that_is_judged():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
    found = Judge(network, BATCHES)(MASKS)

    assert set(found) == set(MASKS)
    for mask, judged in found.items():
        told = judged.accuracy, judged.loss, judged.divergence
        assert told == pytest.approx(expected(network, mask), rel=1e-4, abs=1e-7)


def test_judging_leaves_the_network_as_it_was():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    judge = Judge(network, BATCHES)

    assert judge(MASKS) == judge(MASKS)
    after = network.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@torch.no_grad()
def test_a_narrower_branch_is_judged_as_that_of_the_narrower_network():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
    narrower = {width: prune_width(network, 1 - width) for width in (0.5, 0.25)}
    judge = Judge(network, BATCHES, narrower=narrower)
    choices = [
        frozenset({(2, 0.5)}), frozenset({(1, 0.25), (2, 0.5), (5, 0.0)}), frozenset({(2, 0.0)}),
        frozenset(),
    ]  # fmt: skip
    found = judge.with_widths(choices)

    assert set(found) == set(choices)
    for widths, judged in found.items():
        gone = [branch for branch, width in widths if not width]
        shares = {branch: 1 - width for branch, width in widths if width}
        small = prune_width(network.without(gone), shares).module.train()
        whole = network.module.eval()
        divergence = sum(
            F.kl_div(small(images).log_softmax(1), whole(images).softmax(1), reduction="sum").item()
            for images, _ in BATCHES
        )
        assert judged.divergence == pytest.approx(divergence / 36, rel=1e-3, abs=1e-6)


@torch.no_grad()
def test_without_batch_norms_it_does_not_matter_how_images_are_cut_into_batches():
    spec = NetworkSpec(name="timm:vit_tiny_patch16_224", classes=10, height=32, width=32)
    network = build_network(spec, seed=1)
    images, labels = torch.randn(50, 3, 32, 32, generator=GENERATOR), torch.arange(50) % 10
    at_once = Judge(network, [(images, labels)])(MASKS)
    halves = Judge(network, list(zip(images.split(25), labels.split(25), strict=True)))(MASKS)

    for mask, judged in at_once.items():
        assert judged.divergence == pytest.approx(halves[mask].divergence, rel=1e-3, abs=1e-6)
        assert judged.accuracy == halves[mask].accuracy
