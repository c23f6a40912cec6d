"""Which parts of a network train: as the network's own `train()` and `eval()` leave them.

A graph has no methods of the class it was read from. Networks that freeze batch norms, or keep a
dropout going in evaluation, do it there; so what those methods left is noted and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from autodepth.networks.running.preserve import left_as_it_was

_NOTED = "modes"


@dataclass(frozen=True)
class Modes:
    """What `train()` and `eval()` leave, beside what everybody expects.

    Args:
        against: the modules that are not in the mode that was asked for, by that mode.
        frozen: the parameters that take no gradient then, by mode.
    """

    against: Mapping[bool, frozenset[str]] = field(default_factory=dict)
    frozen: Mapping[bool, frozenset[str]] = field(default_factory=dict)


class ReadNetwork(fx.GraphModule):
    """A graph whose modules are in the modes that the network it was read from puts them into."""

    def train(self, mode: bool = True) -> ReadNetwork:
        """Put every part into a mode, but for what the network's own method treats otherwise."""
        super().train(mode)
        modes: Modes = self.meta.get(_NOTED, Modes())
        if against := modes.against.get(mode):
            for name, part in self.named_modules(remove_duplicate=False):
                if name in against:
                    part.training = not mode
        if frozen := modes.frozen.get(mode):
            for name, parameter in self.named_parameters(remove_duplicate=False):
                if name in frozen:
                    parameter.requires_grad_(False)  # noqa: FBT003
        return self


def keep_modes(read: fx.GraphModule, module: nn.Module) -> None:
    """Note what a network's own `train()` and `eval()` do, for the graph that was read from it."""
    against, frozen = {}, {}
    parts = dict(module.named_modules(remove_duplicate=False))
    parameters = dict(module.named_parameters(remove_duplicate=False))
    wanting = {parameter: parameter.requires_grad for parameter in parameters.values()}
    for mode in (True, False):
        with left_as_it_was(module):
            module.train(mode)
            against[mode] = frozenset(n for n, part in parts.items() if part.training != mode)
        frozen[mode] = frozenset(n for n, p in parameters.items() if not p.requires_grad)
        for parameter, wanted in wanting.items():
            parameter.requires_grad_(wanted)
    read.meta[_NOTED] = Modes(against, frozen)


def modes_of(module: nn.Module) -> dict[str, Any]:
    """Return what `keep_modes` noted, for a graph over the same modules."""
    meta: dict[str, Any] = getattr(module, "meta", {})
    return {_NOTED: meta[_NOTED]} if _NOTED in meta else {}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode inside the block and restore every flag after it."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, flag in training.items():
            part.training = flag
