"""Recovery: what a cut network gets before it is fine-tuned, without labels or gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from autodepth.networks.gates.batch_statistics import following_batches
from autodepth.networks.pruning.reconstruction.reconstruct import reconstruct
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.tasks.loading import Batches
from autodepth.tasks.task import Task
from autodepth.trial.context import TrialContext

_MOST_NUMBERS = 2**26  # that one operation may give for all images together: 256 MB
_MOST_IMAGES = 2048


@torch.no_grad()
def recalibrate_batch_norm(network: ResidualNetwork, batches: Batches, count: int) -> None:
    """Measure the batch statistics anew, as plain means over some training batches.

    Args:
        network: changed in place; its weights stay, and norms that it keeps in evaluation.
        batches: training images.
        count: how many batches at most; 0 leaves the statistics.
    """
    norms = following_batches(network.module)
    if not count or not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    for norm in norms:  # nothing else draws, such as a dropout before a norm
        norm.train()
    for number, (images, _) in enumerate(batches, start=1):
        network.module(images)
        if number == count:
            break
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.module.eval()


def fit_features(
    parent: ResidualNetwork, network: ResidualNetwork, policy: Policy, context: TrialContext
) -> int:
    """Fit a cut network to its parent's features, in place, see `reconstruct`.

    A fifth of the images is kept apart: where the network does not answer more like its parent on
    these than before, it stays as it was.

    Args:
        parent: what it was cut out of.
        network: with batch statistics of its own already; changed in place.
        policy: says how many training images are taken, no more than there is memory for.
        context: images, device and seed.

    Returns:
        For how many of its branches that could be done.
    """
    wanted = policy.recalibration_batches * policy.train.batch_size
    first = context.features_of(1, "features")[0]
    fitting = _MOST_NUMBERS // _most_numbers(parent.module.eval(), first)
    images = context.features_of(max(1, min(wanted, fitting, _MOST_IMAGES)), "features")
    if not wanted:
        return 0
    apart, fitted_to = images[: len(images) // 5], images[len(images) // 5 :]
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    distance = DistanceFrom(parent, apart, context.task)
    far = distance(network)
    generator = context.generator("fitted features")
    found = reconstruct(parent, network, fitted_to, generator)
    if apart and not distance(network) < far:
        network.module.load_state_dict(before)
        return 0
    return len(found.solved)


class DistanceFrom:
    """How far networks answer from their parent, always on the same images; its answers are kept.

    Args:
        parent: a trained network, in evaluation mode.
        batches: images [B, C, H, W] on its device.
        task: what compares their outputs.
    """

    @torch.no_grad()
    def __init__(self, parent: ResidualNetwork, batches: Sequence[Tensor], task: Task) -> None:
        self._batches, self._task = batches, task
        self._wished = [parent.module(images) for images in batches]

    @torch.no_grad()
    def __call__(self, network: ResidualNetwork) -> float:
        """Return the distance, summed over images; the network is in evaluation mode afterwards."""
        network.module.eval()
        pairs = zip(self._batches, self._wished, strict=True)
        return sum(self._task.divergence(network.module(i), wish).item() for i, wish in pairs)


@torch.no_grad()
def _most_numbers(module: fx.GraphModule, image: Tensor) -> int:
    """Return the size of the largest value that a network computes of one image."""
    sizes = _Sizes(module)
    sizes.run(image)
    return sizes.most


class _Sizes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.most = 1

    def run_node(self, node: fx.Node) -> object:
        value = super().run_node(node)
        if isinstance(value, Tensor) and node.op != "get_attr":
            self.most = max(self.most, value.numel())
        return value
