"""Criteria: what each branch is worth, by a name. A higher score is worth more.

ablation_accuracy  validation accuracy lost without the branch, a fraction; of another task, its
                   leading metric on the scale from its worst to its best
ablation_loss      validation loss gained without it
ablation_kl        KL divergence of the network without it from the whole, in nats; needs no labels;
                   of another task, the mean squared difference of outputs
block_influence    1 - cos(x, x + f(x)), mean over images; x and the sum before its activation as
                   vectors of all their numbers (Men et al. 2024, arXiv 2403.03853)
norm_ratio         |f(x)| / |x|, mean over images
taylor             |dL/dz| of a gate z = 1 on the branch, mean over images: the change of the loss
                   to first order (Molchanov et al. 2019, arXiv 1906.10771)
magnitude          mean |w| of the branch's weights of two or more dimensions
bn_scale           mean |gamma| of the branch's last batch norm (Liu et al. 2017, arXiv 1708.06519)
random             a uniform number, as a control
evenly_spaced      lowest for branches far from each other, as a control
stage_ends         lowest for the last branches of each stage, as shallower networks of a family
                   lack them; of untrained networks

The first six run the network on images of the validation split; the others read weights only. Under
ablation, batch statistics are measured anew without each branch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.errors import NetworkError
from autodepth.long_work import each
from autodepth.networks.gates.batch_statistics import BATCH_NORMS
from autodepth.networks.gates.branch_parts import branch_layers, branch_parameters
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualBranch, ResidualNetwork
from autodepth.policy.settings import CRITERIA, Criterion
from autodepth.policy.survival import check_choice
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.loading import Batches
from autodepth.tasks.task import Task
from autodepth.trial.phases.branches.ablation import ablate

Scores = dict[int, float]


def branch_scores(
    criterion: Criterion,
    network: ResidualNetwork,
    validation: Batches,
    generator: torch.Generator,
    task: Task = CLASSIFICATION,
) -> Scores:
    """Return what each removable branch is worth, by branch number, in the criterion's unit.

    Args:
        criterion: see above.
        network: a trained network with survival probabilities folded in, on its device.
        validation: examples to measure on (validation split).
        generator: CPU generator of the `random` criterion.
        task: whose loss and metrics criteria ask for.

    Raises:
        InputError: the criterion is unknown.
        NetworkError: it cannot be computed for this network.
    """
    check_choice("criterion", criterion, CRITERIA)
    network.module.eval()
    removable = [branch.index for branch, _ in network.kept() if branch.removable]
    measures: dict[Criterion, Callable[[], Scores]] = {
        "ablation_accuracy": lambda: ablate(network, validation, task).accuracy_lost(),
        "ablation_loss": lambda: ablate(network, validation, task).loss_gained(),
        "ablation_kl": lambda: ablate(network, validation, task).divergence(),
        "block_influence": lambda: _of_operands(network, validation, _influence),
        "norm_ratio": lambda: _of_operands(network, validation, _ratio),
        "taylor": lambda: _taylor(network, validation, task),
        "magnitude": lambda: _magnitude(network),
        "bn_scale": lambda: _bn_scale(network, removable),
        "random": lambda: _random(network, generator),
        **{name: partial(known_scores, name, network.branches) for name in KNOWN_AHEAD},
    }
    scores = measures[criterion]()
    return {branch: scores[branch] for branch in removable}


def _influence(shortcut: Tensor, branch: Tensor) -> Tensor:
    similarity: Tensor = F.cosine_similarity(shortcut, shortcut + branch, dim=1)
    return 1 - similarity


def _ratio(shortcut: Tensor, branch: Tensor) -> Tensor:
    ratio: Tensor = branch.norm(dim=1) / shortcut.norm(dim=1).clamp_min(1e-12)
    return ratio


@torch.inference_mode()
def _of_operands(
    network: ResidualNetwork, batches: Batches, measure: Callable[[Tensor, Tensor], Tensor]
) -> Scores:
    """Return the mean over images of a measure of (shortcut, branch), each [B, numbers]."""
    gated = _open(network)
    sums = {number: torch.zeros((), dtype=torch.float64) for number in gated.removable_gates()}

    def watch(number: int, shortcut: Tensor, branch: Tensor) -> None:
        rows = shortcut.flatten(1), branch.expand_as(shortcut).flatten(1)
        sums[number] += measure(*rows).double().sum().cpu()

    for number, gate in gated.removable_gates().items():
        gate.watch = partial(watch, number)
    images_seen = 0
    for images, _ in each(batches, "watching branches", len(batches)):
        gated(images)
        images_seen += len(images)
    return {number: float(total) / images_seen for number, total in sums.items()}


def _taylor(network: ResidualNetwork, batches: Batches, task: Task) -> Scores:
    gated = _open(network)
    gates = gated.removable_gates()
    sums = dict.fromkeys(gates, 0.0)
    images_seen = 0
    for images, targets in each(batches, "deriving the loss by branch", len(batches)):
        ones = [torch.ones(len(images), device=images.device, requires_grad=True) for _ in gates]
        for gate, one in zip(gates.values(), ones, strict=True):
            gate.scale = one
        with torch.enable_grad():
            loss = task.summed_loss(gated(images), targets)
        gradients = torch.autograd.grad(loss, ones)
        for number, gradient in zip(gates, gradients, strict=True):
            sums[number] += gradient.abs().sum().item()
        images_seen += len(images)
    return {number: total / images_seen for number, total in sums.items()}


def _magnitude(network: ResidualNetwork) -> Scores:
    scores = {}
    for number, parameters in branch_parameters(network).items():
        sizes = [p.detach().abs().double() for p in parameters if p.ndim > 1]
        count = sum(size.numel() for size in sizes)
        scores[number] = sum(size.sum().item() for size in sizes) / max(1, count)
    return scores


def _bn_scale(network: ResidualNetwork, wanted: list[int]) -> Scores:
    scores = {}
    layers = branch_layers(network)
    for number in wanted:
        norms = [
            part
            for layer in layers[number]
            for part in layer.modules()
            if isinstance(part, BATCH_NORMS) and part.affine
        ]
        if not norms:
            raise NetworkError(
                f"criterion bn_scale needs a batch norm in every branch, but branch {number} "
                "has none; take magnitude, or one that runs the network"
            )
        scores[number] = norms[-1].weight.detach().abs().mean().item()
    return scores


def _random(network: ResidualNetwork, generator: torch.Generator) -> Scores:
    """Draw a number for every branch the network ever had: what is gone changes no other's."""
    numbers = torch.rand(len(network.branches), generator=generator).tolist()
    return dict(enumerate(numbers, start=1))


def evenly_spaced(numbers: list[int]) -> Scores:
    """Score branches in the order in which each next one is farthest from those before it.

    All the branches the network ever had take part: what is gone changes no other's score.
    """
    order: list[int] = []
    while len(order) < len(numbers):
        ends = [numbers[0] - 1, numbers[-1] + 1]  # the network's ends count as taken
        left = (number for number in numbers if number not in order)
        order.append(max(left, key=lambda n: (min(abs(n - o) for o in [*order, *ends]), -n)))
    return {number: (place + 1) / len(order) for place, number in enumerate(order)}


def stage_ends(stages: Mapping[int, int]) -> Scores:
    """Score branches by what share of their stage comes after them.

    Args:
        stages: stage of each branch, by its number.
    """
    sizes, place, scores = Counter(stages.values()), Counter[int](), {}
    for branch in sorted(stages):
        stage = stages[branch]
        place[stage] += 1
        scores[branch] = 1 - place[stage] / sizes[stage]
    return scores


KNOWN_AHEAD: Mapping[Criterion, Callable[[Mapping[int, int]], Scores]] = {
    "evenly_spaced": lambda stages: evenly_spaced(sorted(stages)),
    "stage_ends": stage_ends,
}
"""Criteria that need no trained network: scores from the stage of each removable branch."""


def known_scores(criterion: Criterion, branches: Sequence[ResidualBranch]) -> Scores:
    """Return the scores by a criterion of `KNOWN_AHEAD`.

    Args:
        criterion: its name.
        branches: all that the network ever had.
    """
    return KNOWN_AHEAD[criterion]({b.index: b.stage for b in branches if b.removable})


def _open(network: ResidualNetwork) -> GatedNetwork:
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all()
    return gated
