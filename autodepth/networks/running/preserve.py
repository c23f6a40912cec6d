"""Running a network without leaving marks in it, whatever its `forward` assigns to `self`.

A forward may keep a feature map (`self.last = x`), fill a cache or register a buffer. Run on
proxies, or on tensors without content, it would leave those in the user's modules, where the next
run, a copy or a file of weights would meet them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from autodepth.networks.running.random_state import generators_as_they_were

# Of other containers it is not known how to fill them again.
_CONTAINERS = frozenset({dict, OrderedDict, list, set})


class Assigned:
    """What is assigned to a network and its submodules at one time.

    That is attributes, parameters, buffers, submodules and training flags, and what is in lists,
    dictionaries and sets that are attributes. The content of tensors is not looked after.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self._attributes = [(vars(part), dict(vars(part))) for part in module.modules()]
        # A module's parameters, buffers and submodules are dictionaries among its attributes.
        self._containers = {
            id(value): (value, value.copy())
            for _, were in self._attributes
            for value in were.values()
            if type(value) in _CONTAINERS
        }

    def put_back(self) -> None:
        """Make it so again."""
        for attributes, were in self._attributes:
            _refill(attributes, were)
        for container, was in self._containers.values():
            _refill(container, was)


class Content:
    """What the tensors of a network hold at one time: values, and whether they want gradients.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self._were = [_Held(t) for t in tensors_of(module) if t.is_leaf]

    def moved(self) -> dict[int, Tensor]:
        """Return a copy of each tensor whose values are others now, by its id."""
        return {id(h.tensor): h.tensor.detach().clone() for h in self._were if h.has_moved()}

    @torch.no_grad()
    def put_back(self) -> None:
        """Make it so again."""
        for held in self._were:
            if held.has_moved():
                held.data.copy_(held.values)
                held.tensor.data = held.data
                held.version = held.tensor._version  # noqa: SLF001
            held.tensor.requires_grad_(held.wanted)


class _Held:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.data = tensor, tensor.data
        self.values = tensor.detach().clone()
        self.wanted = tensor.requires_grad
        self.version = tensor._version  # noqa: SLF001

    def has_moved(self) -> bool:
        """Whether the values are others; of many, only if torch counted a change."""
        if self.tensor.data_ptr() == self.data.data_ptr() and isinstance(self.tensor, nn.Parameter):
            return self.tensor._version != self.version  # noqa: SLF001
        return not torch.equal(self.tensor, self.values)


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Return the parameters, buffers and other tensors that a network's parts have."""
    found = {}
    for part in module.modules():
        own = chain(part.parameters(recurse=False), part.buffers(recurse=False))
        for value in (*vars(part).values(), *own):
            if isinstance(value, Tensor):
                found[id(value)] = value
    return list(found.values())


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[Content]:
    """Undo whatever running a network inside the block does to it, and to random generators."""
    content = Content(module)
    with generators_as_they_were(), left_as_it_was(module):
        try:
            yield content
        finally:
            content.put_back()


@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Undo what is assigned to a network inside the block, also when the block fails."""
    were = Assigned(module)
    try:
        yield
    finally:
        were.put_back()


def _refill(container: Any, was: Any) -> None:
    if isinstance(container, list):
        container[:] = was
    else:
        container.clear()
        container.update(was)
