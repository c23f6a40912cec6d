"""What a network costs without some of its branches: costs add up."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from autodepth.networks.residual_network import ResidualNetwork

COSTS = ("macs", "parameters")
"""Costs that are known before anything is trained."""


@dataclass(frozen=True, kw_only=True)
class BranchCosts:
    """Costs of a network of some widths, and of each of its branches."""

    total: Mapping[str, float]
    branches: Mapping[str, Mapping[int, float]]

    @classmethod
    def of(cls, network: ResidualNetwork) -> BranchCosts:
        """Return those of a network."""
        total = {name: float(getattr(network, f"total_{name}")) for name in COSTS}
        branches = {
            name: {b.index: float(getattr(b, name)) for b, _ in network.kept()} for name in COSTS
        }
        return cls(total=total, branches=branches)

    def without(self, removed: Collection[int]) -> dict[str, float]:
        """Return the costs when some branches are gone; they add up to those of the network."""
        return {
            name: whole - math.fsum(self.branches[name][branch] for branch in removed)
            for name, whole in self.total.items()
        }
