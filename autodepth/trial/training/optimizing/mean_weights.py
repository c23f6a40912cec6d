"""A running mean of the weights over steps, which answers better than the last ones do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autodepth.networks.gates.batch_statistics import BATCH_NORMS


class MeanWeights:
    """The exponential mean of parameters and batch statistics (Polyak & Juditsky 1992).

    After step t the mean keeps min(decay, (1 + t) / (10 + t)) of itself: of the first steps it
    keeps little, so that early epochs and short trainings are not judged by their beginning.

    Args:
        module: the network, as training begins.
        decay: share of the mean that a step keeps, in [0, 1); 0 takes no mean.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self.steps = decay, 0
        self._live = dict(_averaged(module)) if decay else {}
        self._means = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        if not self._means:
            return
        self.steps += 1
        kept = min(self._decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self._means.values()), list(self._live.values()), 1 - kept)

    @contextmanager
    def in_network(self) -> Iterator[None]:
        """Let the network compute with the means within the block."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Give the network the means, and keep its weights in their place."""
        for name, tensor in self._live.items():
            live = tensor.detach().clone()
            tensor.copy_(self._means[name])
            self._means[name].copy_(live)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the means by name."""
        return self._means

    @torch.no_grad()
    def load_state_dict(self, means: Mapping[str, Tensor], steps: int) -> None:
        """Be as when `state_dict` gave these, after so many steps."""
        self.steps = steps
        for name, tensor in self._means.items():
            tensor.copy_(means[name])


def _averaged(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    for place, part in module.named_modules():
        if isinstance(part, BATCH_NORMS):
            for name, buffer in part.named_buffers(place, recurse=False):
                if buffer.is_floating_point():
                    yield name, buffer
