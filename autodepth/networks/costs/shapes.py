"""What the sizes in a graph are, for images of a given shape, without computing anything.

Tensors on the meta device have a shape and no content. Two batch sizes tell apart what depends on
the batch.
"""

from __future__ import annotations

import operator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx._symbolic_trace import _maybe_revert_all_patches

from autodepth.networks.running.modes import evaluating
from autodepth.networks.running.preserve import left_as_it_was

BATCHES = (2, 3)
_KEEP_SHAPE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU)
_ON_CPU = {"is_cpu": True, "is_meta": False}


class Shapes(fx.Interpreter):
    """Runs recorded nodes on tensors that have a shape and no content, as far as asked for.

    Args:
        root: the network.
        images: the node that stands for the images.
        shape: (B, C, H, W) of the images.
    """

    def __init__(self, root: nn.Module, images: fx.Node, shape: tuple[int, ...]) -> None:
        super().__init__(root, garbage_collect_values=False, graph=images.graph)
        self.env[images] = torch.empty(shape, device="meta")
        self._unknown: set[fx.Node] = set()

    def of(self, node: fx.Node) -> Any:
        """Return a node's value; None where it cannot be told."""
        behind = []
        while node not in self.env:  # what comes before a known node is known
            behind.append(node)
            node = node.prev
        # Without the tracer's patches: what runs here, and what it imports, is not recorded.
        with _maybe_revert_all_patches(), torch.device("meta"):
            for node in reversed(behind):
                self.env[node] = self._value(node)
        return self.env[node]

    def _value(self, node: fx.Node) -> Any:
        # Not even `==` may be told of what is not known.
        if self._unknown.isdisjoint(node.all_input_nodes):
            try:
                return self.run_node(node)
            except Exception:  # noqa: BLE001, S110 - whatever it was, the value is not known
                pass
        self._unknown.add(node)
        return None

    def fetch_attr(self, target: str) -> Any:
        """Return a parameter or buffer without its content, or a module."""
        value = super().fetch_attr(target)
        return _without_content(value) if isinstance(value, Tensor) else value

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run a function; what asks where a tensor lies is told of the CPU."""
        if target is getattr and args[1] in _ON_CPU and isinstance(args[0], Tensor):
            return _ON_CPU[args[1]]
        if target in {getattr, operator.eq, operator.ne}:
            args = tuple(torch.device("cpu") if _is_meta(a) else a for a in args)
        return super().call_function(target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run a module with weights that have no content."""
        module = super().fetch_attr(target)
        if len(args) == 1 and not kwargs and _keeps_shape(module):
            return torch.empty_like(args[0])  # torch takes milliseconds to say so of a batch norm
        tensors = chain(module.named_parameters(), module.named_buffers())
        state = {name: _without_content(tensor) for name, tensor in tensors}
        with left_as_it_was(module), evaluating(module):
            return functional_call(module, state, args, kwargs)


def _keeps_shape(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks  # noqa: SLF001 - may do anything
    return type(module) in _KEEP_SHAPE and not hooks and "forward" not in vars(module)


def _is_meta(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == "meta"


def _without_content(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta", requires_grad=tensor.requires_grad)
