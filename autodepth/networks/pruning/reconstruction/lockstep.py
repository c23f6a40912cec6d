"""Running a network on many batches side by side, one operation after the other.

So a layer can be changed by what all images say before anything after it is computed, and whoever
walks through two networks sees both at the same place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, fx


class Lockstep:
    """A walk through a network that takes all its batches along.

    Args:
        module: a traced network; its modes are those it has when an operation is run.
        batches: images [B, C, H, W] on its device.
        held: names of nodes whose values are kept until they are released; all others are kept
            only as long as an operation to come reads them.
    """

    def __init__(
        self, module: fx.GraphModule, batches: Sequence[Tensor], held: Collection[str] = ()
    ) -> None:
        self.nodes = list(module.graph.nodes)
        self._batches, self._held = batches, set(held)
        self._interpreter = fx.Interpreter(module)
        self._interpreter.extra_traceback = False
        self._last_uses = self._interpreter.user_to_last_uses
        self._environments: list[dict[fx.Node, Any]] = [{} for _ in batches]
        self.done = 0

    @torch.no_grad()
    def step(self) -> fx.Node:
        """Run the next operation for all batches; return it."""
        node: fx.Node = self.nodes[self.done]
        for environment, batch in zip(self._environments, self._batches, strict=True):
            if node.op == "placeholder":
                environment[node] = batch
            else:
                self._interpreter.env = environment
                environment[node] = self._interpreter.run_node(node)
            for unneeded in self._last_uses.get(node, ()):
                if unneeded.name not in self._held:
                    del environment[unneeded]
        self.done += 1
        return node

    @property
    def next(self) -> fx.Node | None:
        """The operation that comes next; None at the end."""
        return self.nodes[self.done] if self.done < len(self.nodes) else None

    def values(self, node: fx.Node) -> list[Any]:
        """Return what an operation gave for each batch; it was run and is still needed, or held."""
        return [environment[node] for environment in self._environments]

    def replace(self, node: fx.Node, values: Sequence[Tensor]) -> None:
        """Let an operation have given other values."""
        for environment, value in zip(self._environments, values, strict=True):
            environment[node] = value

    def release(self, node: fx.Node) -> None:
        """Let go of held values that nothing to come reads."""
        self._held.discard(node.name)
        to_come = self.nodes[self.done :]
        if not any(node in other.all_input_nodes for other in to_come):
            for environment in self._environments:
                environment.pop(node, None)

    def until(self, name: str) -> list[Any]:
        """Run on until a node of that name was run; return its values."""
        while (node := self.step()).name != name:
            pass
        return self.values(node)
