"""A head behind a network: trained with it, the outputs as they are in evaluation, not exported."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, fx, nn

from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied

_NAME = "training_head"


class TrainingHead(nn.Module):
    """Gives outputs as they are in evaluation, and in training what a head makes of them.

    Args:
        head: takes what the network gives.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, outputs: Tensor) -> Any:
        """Return the outputs, or what the head makes of them."""
        return self.head(outputs) if self.training else outputs


def with_training_head(network: ResidualNetwork, head: nn.Module) -> ResidualNetwork:
    """Return a new network with a head behind it, which costs nothing in evaluation.

    Args:
        network: without one; it is copied.
        head: on the network's device.
    """
    module = copied(network.module)
    module.add_submodule(_NAME, TrainingHead(head).train(module.training))
    output = _output(module)
    with module.graph.inserting_before(output):
        called = module.graph.call_module(_NAME, (output.args[0],))
    output.args = (called,)
    module.recompile()
    return _over(network, module)


def without_training_head(network: ResidualNetwork) -> ResidualNetwork:
    """Return a network without the head behind it; the very same where there is none."""
    (last,) = _output(network.module).args
    if not isinstance(last, fx.Node) or last.target != _NAME:
        return network
    module = copied(network.module)
    output = _output(module)
    (called,) = output.args
    assert isinstance(called, fx.Node)
    output.args = called.args
    module.graph.erase_node(called)
    module.delete_submodule(_NAME)
    module.recompile()
    return _over(network, module)


def _output(module: fx.GraphModule) -> fx.Node:
    found: fx.Node = next(node for node in module.graph.nodes if node.op == "output")
    return found


def _over(network: ResidualNetwork, module: fx.GraphModule) -> ResidualNetwork:
    same = copy.copy(network)
    same.module = module
    return same
