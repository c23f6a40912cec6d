"""How strongly each branch is pulled: L2 norms of its gradient, step by step."""

from __future__ import annotations

import torch

from autodepth.networks.gates.branch_parts import branch_parameters
from autodepth.networks.gates.gates import GatedNetwork


class GradientNorms:
    """Means over the steps that computed a branch; a dropped branch has no gradient.

    Sums stay on the device: asking for them in every step would hold it up.

    Args:
        network: a gated network, whose gradients are read.
    """

    def __init__(self, network: GatedNetwork) -> None:
        by_branch = branch_parameters(network.network)
        self._numbers = list(by_branch)
        self._parameters = [
            (place, parameter)
            for place, parameters in enumerate(by_branch.values())
            for parameter in parameters
        ]
        device = next(network.module.parameters()).device
        places = [place for place, _ in self._parameters]
        self._owners = torch.tensor(places, device=device)
        self._none = torch.zeros((), device=device)
        self._sums = torch.zeros(len(by_branch), device=device)
        self._steps = [0] * len(by_branch)

    def note(self) -> None:
        """Read the gradients of the step just made."""
        grads = [parameter.grad for _, parameter in self._parameters]
        present = [grad for grad in grads if grad is not None]
        if not present:
            return
        norms = iter(torch._foreach_norm(present))  # noqa: SLF001
        # As many numbers in every step, so that who owns which lies on the device once for all.
        squares = torch.stack(
            [self._none if grad is None else next(norms).to(self._none) for grad in grads]
        ).square()
        zeros = torch.zeros_like(self._sums)
        self._sums += zeros.index_add(0, self._owners, squares).sqrt()
        computed = zip(self._parameters, grads, strict=True)
        for place in {place for (place, _), grad in computed if grad is not None}:
            self._steps[place] += 1

    def means(self) -> dict[int, float]:
        """Return the mean norm by branch number; branches that were never computed are absent."""
        triples = zip(self._numbers, self._sums.tolist(), self._steps, strict=True)
        return {number: total / steps for number, total, steps in triples if steps}
