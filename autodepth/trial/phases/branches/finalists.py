"""The last choice among sets and widths of branches: by what is left after recovery.

Sets are searched for with batch statistics measured anew, thousands of times. What fitting features
mends beyond that differs from set to set: among forty choices for a fifth of a ResNet-56's MACs the
orders before and after hardly agreed (rank correlations -0.03 and 0.37 on two draws of images, see
benchmarks/results/widths_judged.md). So the few that come out ahead are cut out, recovered, and
judged once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from autodepth.long_work import long_work
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.joint import JUDGED_IMAGES
from autodepth.trial.phases.recovery import DistanceFrom

Choice: TypeAlias = Mapping[int, float]
"""Widths of the branches that are not whole, 0 of those that go, by number."""
Cut: TypeAlias = Callable[[Choice], ResidualNetwork]
"""Returns the network that a choice leaves, recovered."""

FINALISTS = 6
_BATCHES = 3
"""Of training images that a finalist is recovered with; ten order them much alike (rank correlation
0.83 for widths and 0.93 for sets, eight of each at half of a ResNet-56's MACs)."""


def quickly_recovered(policy: Policy) -> Policy:
    """Return the policy with as few images for recovery as suffice to compare."""
    return replace(policy, recalibration_batches=min(policy.recalibration_batches, _BATCHES))


def is_mended_by_fitting(policy: Policy) -> bool:
    """Whether recovery does more than what choices are searched with does already."""
    fits = policy.recovery == "reconstruct" and policy.recalibration_batches > 0
    return fits and policy.stream_width == 1


def closest_when_recovered(
    parent: ResidualNetwork, choices: Sequence[Choice], cut: Cut, context: TrialContext
) -> Choice:
    """Return the choice whose network answers most like its parent, on validation images.

    Args:
        parent: a trained network on its device, in evaluation mode.
        choices: at least one, the closest before recovery first; it is taken among equals.
        cut: carries out one of them.
        context: images and task.
    """
    images = [batch for batch, _ in context.scoring_batches(JUDGED_IMAGES)]
    parent.module.eval()
    distance = DistanceFrom(parent, images, context.task)
    far: list[float] = []
    with long_work("recovering what may go together", len(choices)) as advance:
        for choice in choices:
            far.append(distance(cut(choice)))
            advance(1)
    return choices[far.index(min(far))]
