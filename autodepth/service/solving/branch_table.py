"""What each branch of a network costs: rows of the table that bounds are solved with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from safetensors.torch import save

from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.ties import state_once
from autodepth.trial.device.latency_table import LatencyTable

_BYTES = 4  # of a parameter


@dataclass(frozen=True, kw_only=True)
class BranchTable:
    """Costs that add up to a network's, by metric; of latencies those that were measured.

    Args:
        around: what no branch costs.
        branches: what each branch costs, by number and then by the share of its inner channels
            that is left, 1 for all; widths that come to the same network as a wider one are left
            out.
    """

    around: Mapping[str, float]
    branches: Mapping[int, Mapping[float, Mapping[str, float]]]

    def without(self, removed: Collection[int]) -> dict[str, float]:
        """Return what the network costs without some branches, all others whole."""
        return self.of({b: float(b not in removed) for b in self.branches})

    def of(self, widths: Mapping[int, float]) -> dict[str, float]:
        """Return what the network costs with a width of each branch; 0 is without it."""
        kept = [self.branches[branch][width] for branch, width in widths.items() if width]
        return {name: some + sum(c[name] for c in kept) for name, some in self.around.items()}


def branch_table(
    network: ResidualNetwork,
    latencies: Mapping[str, LatencyTable],
    widths: Sequence[float] = (),
) -> BranchTable:
    """Return the costs of a whole network by its branches.

    Multiply-accumulates and parameters are exact, and so are bytes but for a few of the header;
    those of a narrower branch are a little more than it has.

    Args:
        network: on the CPU.
        latencies: tables of its branches, by metric.
        widths: shares of inner channels, between 0 and 1, that branches may be left with too.
    """
    size = len(save(state_once(network.module)))
    branches: dict[int, dict[float, dict[str, float]]] = {}
    for branch in network.branches:
        costs = {"macs": float(branch.macs), "parameters": float(branch.parameters)}
        if branch.removable:
            without = network.without([branch.index])
            costs["size_bytes"] = float(size - len(save(state_once(without.module))))
        else:
            costs["size_bytes"] = 0.0
        for metric, table in latencies.items():
            costs[metric] = table.branches_ms.get(branch.index, 0.0)
        branches[branch.index] = {1.0: costs}
    _add_narrower(branches, network, latencies, widths)
    whole = {
        "macs": float(network.total_macs),
        "parameters": float(network.total_parameters),
        "size_bytes": float(size),
    }
    whole |= {metric: table.predict(()) for metric, table in latencies.items()}
    around = {
        name: most - sum(by_width[1.0][name] for by_width in branches.values())
        for name, most in whole.items()
    }
    return BranchTable(around=around, branches=branches)


def _add_narrower(
    branches: dict[int, dict[float, dict[str, float]]],
    network: ResidualNetwork,
    latencies: Mapping[str, LatencyTable],
    widths: Sequence[float],
) -> None:
    """Enter what branches cost that are narrower, where that is another network."""
    narrowing = find_narrowing(network) if widths else None
    for width in sorted(widths, reverse=True):
        for branch in prune_width(network, 1 - width, narrowing).branches:
            by_width = branches[branch.index]
            whole, before = by_width[1.0], by_width[min(by_width)]
            saved = whole["parameters"] - branch.parameters
            costs = {"macs": float(branch.macs), "parameters": float(branch.parameters)}
            costs["size_bytes"] = whole["size_bytes"] - _BYTES * saved
            for metric, table in latencies.items():
                told = table.predict((), widths={branch.index: width})
                told -= table.predict({branch.index})
                # Noise tells of narrow branches that take nothing, and what is cheapest by mistake
                # is chosen most. For each of its channels none is faster than the whole branch.
                costs[metric] = max(width * whole[metric], told)
            if costs["macs"] < before["macs"]:
                by_width[width] = costs
