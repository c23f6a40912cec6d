"""Giving a smaller network the features of the whole one, in closed form and without labels.

Where branches were removed, the numbers that pass on from the branch before them are no longer
those that what follows was trained on. So the last linear map of each branch left is solved anew,
from the input on: with it the sum is to be, by least squares over images, what the whole network
has there, or after the last of the removed branches that follow. PRACTISE (Wang & Wu 2023), TOAST
and ReplaceMe (2025) put a new linear map in a removed place; here it is one that is there, so
nothing is added to the network.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from autodepth.errors import NetworkError
from autodepth.networks.gates.batch_statistics import BATCH_NORMS, BatchNorm, following_batches
from autodepth.networks.pruning.reconstruction.last_maps import LastMap, last_maps
from autodepth.networks.pruning.reconstruction.least_squares import Moments, fitted
from autodepth.networks.pruning.reconstruction.lockstep import Lockstep
from autodepth.networks.residual_network import ResidualNetwork

_ROWS_PER_FEATURE, _FEWEST_ROWS = 20, 20_000
_FEWEST_IMAGES = 16  # of a batch, that rows are taken of
_SHORTEST = 1e-8  # length of weights that count
_FITTED = 0.75  # share of the images that a map is fitted to; it is checked on the others


@dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """What came of it.

    Args:
        solved: numbers of the branches whose last map was solved for.
        left: numbers of those that do not end in one, or whose place in the whole network is not
            known.
    """

    solved: tuple[int, ...]
    left: tuple[int, ...]


@torch.no_grad()
def reconstruct(
    whole: ResidualNetwork,
    smaller: ResidualNetwork,
    batches: Sequence[Tensor],
    generator: torch.Generator,
) -> Reconstructed:
    """Fit a smaller network to the features of the whole one, in place.

    Batch statistics are measured anew on all images, too, each after what is before it was fitted.

    Args:
        whole: a trained network; it stays as it is, in evaluation mode.
        smaller: the same without some branches, or with narrower ones, on the same device; in
            evaluation mode afterwards. Its residual stream has the whole one's width.
        batches: images [B, C, H, W] on that device; no labels are needed.
        generator: on the CPU, chooses what is fitted to where there are more numbers than needed.

    Raises:
        NetworkError: the residual streams have different widths.
    """
    whole.module.eval()
    return _Walk(whole, smaller, batches, generator).through()


class _Walk:
    def __init__(
        self,
        whole: ResidualNetwork,
        smaller: ResidualNetwork,
        batches: Sequence[Tensor],
        generator: torch.Generator,
    ) -> None:
        self._norms = _norms_called(smaller.module)
        self._maps = last_maps(smaller)
        held = {last.source.name for last in self._maps.values()}
        self._whole = Lockstep(whole.module, batches)
        self._smaller = Lockstep(smaller.module, batches, held)
        self._places = {node.name: place for place, node in enumerate(self._whole.nodes)}
        self._sites = {branch.index: site for branch, site in smaller.kept()}
        self._until = _answering_for(whole, smaller)
        self._images = sum(len(batch) for batch in batches)
        self._generator = generator

    def through(self) -> Reconstructed:
        branch_at = {site.addition: number for number, site in self._sites.items()}
        solved: list[int] = []
        left: list[int] = []
        while (node := self._smaller.next) is not None:
            number = branch_at.get(node.name)
            if number is not None and number in self._until:
                (solved if self._fit(number) else left).append(number)
            elif number is not None and number in self._maps:
                self._smaller.release(self._maps[number].source)
            if (norm := self._norms.get(node)) is not None:
                _measure(norm, self._smaller.values(node.all_input_nodes[0]))
            self._smaller.step()
        return Reconstructed(solved=tuple(solved), left=tuple(left))

    def _fit(self, number: int) -> bool:
        """Solve for the last map of a branch, before its addition; return whether it was."""
        addition, last = self._until[number], self._maps.get(number)
        if last is None or self._places[addition] < self._whole.done:
            return False
        site = self._sites[number]
        nodes = {node.name: node for node in self._smaller.nodes}
        inputs = self._smaller.values(last.source)
        shortcuts = self._smaller.values(nodes[site.shortcut])
        sums = self._whole.until(addition)
        if sums[0].shape != shortcuts[0].shape:
            raise NetworkError(
                "features can be reconstructed only where the residual stream is as wide as the "
                f"whole network's, but at branch {number} it is {tuple(shortcuts[0].shape[1:])} in "
                f"place of {tuple(sums[0].shape[1:])}"
            )
        added = [total - short for total, short in zip(sums, shortcuts, strict=True)]
        fit, check = self._moments(last, inputs, added)
        weight, constant = fitted(fit, check, last.affine(), intercept=last.has_constant)
        _write(last, weight, constant, inputs)
        self._smaller.replace(nodes[site.branch], [last.computed(value) for value in inputs])
        self._smaller.release(last.source)
        return True

    def _moments(
        self, last: LastMap, inputs: Sequence[Tensor], added: Sequence[Tensor]
    ) -> tuple[Moments, Moments]:
        """Return what the last layer reads and is to give, on most images and on the others."""
        features, targets, device = last.features, len(last.layer.weight), inputs[0].device
        fit, check = (Moments(features=features, targets=targets, device=device) for _ in range(2))
        wanted = max(_FEWEST_ROWS, _ROWS_PER_FEATURE * features) / self._images
        for value, target in zip(inputs, added, strict=True):
            images = _FEWEST_IMAGES + round(wanted * len(value) / _places(target))
            few = self._some(len(value), images)
            fitted_to = math.ceil(_FITTED * len(few))
            for moments, part in ((fit, few[:fitted_to]), (check, few[fitted_to:])):
                if len(part):
                    rows = last.rows(value[part])
                    wished = last.targets(last.undone(target[part]))
                    some = self._some(len(rows), round(wanted * len(value)) + 1)
                    moments.add(rows[some], wished[some])
        return fit, check

    def _some(self, count: int, wanted: int) -> Tensor:
        """Return so many places of a count, drawn; all where there are no more."""
        if wanted >= count:
            return torch.arange(count)
        return torch.randperm(count, generator=self._generator)[:wanted]


def _places(added: Tensor) -> float:
    """Return how many rows an image has at least."""
    return max(1.0, added[0].numel() / max(added.shape[1], added.shape[-1]))


def _write(last: LastMap, weight: Tensor, constant: Tensor, inputs: Sequence[Tensor]) -> None:
    """Let a layer, with the norm after it, compute a linear map.

    Where a norm follows, each output of the layer keeps the length of its weights, which changes
    nothing that is computed. Gradients go by it: of a weight that a norm follows they are the
    larger the shorter it is, so shorter ones would be trained at a higher rate than the others.
    """
    layer, norm = last.layer, last.norm
    if norm is None:
        layer.weight.copy_(weight.view_as(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(constant)
        return
    times = _times_as_long(layer.weight.flatten(1), weight)
    layer.weight.copy_((weight * times[:, None]).view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.zero_()
    mean, variance = _measure(norm, [layer(value) for value in inputs])
    norm.weight.copy_((variance + norm.eps).sqrt() / times)  # in training as in evaluation
    norm.bias.copy_(constant + mean / times)


def _times_as_long(before: Tensor, after: Tensor) -> Tensor:
    """Return how many times as long rows were before; 1 where there is nothing to compare."""
    old, new = before.norm(dim=1), after.norm(dim=1)
    comparable = (old > _SHORTEST) & (new > _SHORTEST)
    return torch.where(comparable, old / new.clamp_min(_SHORTEST), torch.ones_like(old))


def _measure(norm: BatchNorm, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Give a norm the mean and variance over all batches, by channel; return them."""
    axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
    counts = [value.numel() / value.shape[1] for value in inputs]
    means = [value.mean(axes, dtype=torch.float64) for value in inputs]
    squares = [value.double().square().mean(axes) for value in inputs]
    shares = [count / sum(counts) for count in counts]
    mean = torch.stack([m * share for m, share in zip(means, shares, strict=True)]).sum(0)
    square = torch.stack([s * share for s, share in zip(squares, shares, strict=True)]).sum(0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_((square - mean.square()).clamp_min(0.0))
    return norm.running_mean, norm.running_var


def _norms_called(module: fx.GraphModule) -> dict[fx.Node, BatchNorm]:
    """Return the batch norms that follow batches in training and are called once, by their call."""
    following = {id(norm) for norm in following_batches(module)}
    calls = [node for node in module.graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    found = {}
    for node in calls:
        norm = module.get_submodule(str(node.target))
        if isinstance(norm, BATCH_NORMS) and id(norm) in following and times[node.target] == 1:
            found[node] = norm
    return found


def _answering_for(whole: ResidualNetwork, smaller: ResidualNetwork) -> dict[int, str]:
    """Return the addition of the whole network whose sum each branch left is to give.

    That is its own one, or that of the last branch removed right after it. Branches before the
    first change are left out.
    """
    sites = {branch.index: site for branch, site in whole.kept()}
    stages = {branch.index: branch.stage for branch in whole.branches}
    left = [branch.index for branch, _ in smaller.kept()]
    nodes = {node.name: node for node in whole.module.graph.nodes}
    gone = [number for number in sites if number not in left]
    narrower = _shapes(whole, smaller)
    first = 0 if narrower else min(gone, default=max(sites) + 1)
    found = {}
    for number in left:
        until = number
        while (
            (then := until + 1) in gone
            and stages[then] == stages[number]
            and _follows(nodes[sites[then].shortcut], nodes[sites[until].addition])
        ):
            until = then
        if until > number or number > first:
            found[number] = sites[until].addition
    return found


def _follows(node: fx.Node, addition: fx.Node) -> bool:
    """Whether a value comes from an addition through operations of one input each."""
    while node is not addition:
        if len(node.all_input_nodes) != 1:
            return False
        node = node.all_input_nodes[0]
    return True


def _shapes(whole: ResidualNetwork, smaller: ResidualNetwork) -> bool:
    """Whether a weight left has another shape than in the whole network."""
    theirs = whole.module.state_dict()
    return any(
        name in theirs and theirs[name].shape != value.shape
        for name, value in smaller.module.state_dict().items()
    )
