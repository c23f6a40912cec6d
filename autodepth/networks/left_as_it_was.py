"""Running a network without leaving marks in it, whatever its `forward` assigns to `self`.

A forward may keep a feature map (`self.last = x`), fill a cache or register a buffer. Run on
proxies, or on tensors without content, it would leave those in the user's modules, where the next
run, a copy or a file of weights would meet them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

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
