"""What each branch is worth: validation accuracy lost when it alone is bypassed (ablation)."""

from __future__ import annotations

from autodepth.data.batches import Batches
from autodepth.networks.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.training import evaluate


def ablation_sensitivities(network: ResidualNetwork, validation: Batches) -> dict[int, float]:
    """Return the accuracy lost by bypassing each removable branch, by branch number.

    Args:
        network: a trained network with survival probabilities folded in, on its device.
        validation: the images (validation split) all losses are measured on.

    Returns:
        Fractions in [-1, 1]; negative where the network is better without the branch.
    """
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all()
    whole = evaluate(gated, validation).accuracy
    lost = {}
    for branch, _ in network.kept():
        if branch.removable:
            gated.bypass(branch.index)
            lost[branch.index] = whole - evaluate(gated, validation).accuracy
    return lost
