"""What each branch of a network costs: rows of the table that bounds are solved with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from safetensors.torch import save

from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.ties import state_once
from autodepth.trial.device.latency_table import LatencyTable

METRICS = ("macs", "parameters", "size_bytes", "latency_ms")
"""Costs that bounds are solved for."""


@dataclass(frozen=True, kw_only=True)
class BranchTable:
    """Costs that add up to a network's, by metric; without a latency where none was measured.

    Args:
        around: what no branch costs.
        branches: what each branch costs, by number.
    """

    around: Mapping[str, float]
    branches: Mapping[int, Mapping[str, float]]

    def without(self, removed: Collection[int]) -> dict[str, float]:
        """Return what the network costs without some branches."""
        kept = [costs for branch, costs in self.branches.items() if branch not in removed]
        return {name: some + sum(c[name] for c in kept) for name, some in self.around.items()}


def branch_table(network: ResidualNetwork, latencies: LatencyTable | None) -> BranchTable:
    """Return the costs of a whole network by its branches.

    Multiply-accumulates and parameters are exact, and so are bytes but for a few of the header.

    Args:
        network: on the CPU.
        latencies: of its branches; None where none were measured.
    """
    size = len(save(state_once(network.module)))
    branches = {}
    for branch in network.branches:
        costs = {"macs": float(branch.macs), "parameters": float(branch.parameters)}
        if branch.removable:
            without = network.without([branch.index])
            costs["size_bytes"] = float(size - len(save(state_once(without.module))))
        else:
            costs["size_bytes"] = 0.0
        if latencies is not None:
            costs["latency_ms"] = latencies.branches_ms.get(branch.index, 0.0)
        branches[branch.index] = costs
    whole = {
        "macs": float(network.total_macs),
        "parameters": float(network.total_parameters),
        "size_bytes": float(size),
    }
    if latencies is not None:
        whole["latency_ms"] = latencies.predict(())
    around = {
        name: most - sum(costs[name] for costs in branches.values()) for name, most in whole.items()
    }
    return BranchTable(around=around, branches=branches)
