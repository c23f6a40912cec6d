"""What a member of the front is compared with: each control is a policy like any other.

random removal                   as many branches, drawn by lot; one draw per replicate
evenly spaced                    as many branches, far from each other
unpruned plus fine-tuning        nothing taken out, trained on for as long as the member was
from scratch, equal epochs       the member's network from its initial weights; Scratch-E of Liu
                                 et al. 2019 (arXiv 1810.05270)
from scratch, MAC-scaled epochs  the same for what the member's training cost; their Scratch-B
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from autodepth.policy.policy import Policy
from autodepth.policy.settings import Criterion
from autodepth.trial.result import TrialResult

MOST_TIMES = 4
"""Training from scratch is prolonged by this factor at most, however small the network is."""


@dataclass(frozen=True, kw_only=True)
class FrontMember:
    """What a control is made for.

    Args:
        policy: of the member.
        searched: what the search measured of it.
        result: of the confirmation the control is compared with; `searched` until there is one.
        unpruned_macs: multiply-accumulates of the untouched network.
        given_weights: whether the study starts from given weights.
    """

    policy: Policy
    searched: TrialResult
    result: TrialResult
    unpruned_macs: float
    given_weights: bool

    @property
    def prunes(self) -> bool:
        """Whether anything was taken out at all."""
        narrower = any(
            step.narrows_branches or step.weight_sparsity or step.stream_width < 1
            for step in self.policy.chain
        )
        return bool(self.result.removed or self.result.widths) or narrower

    @property
    def fine_tuning_epochs(self) -> int:
        """Passes over the training split after the first removal, as if none ended early."""
        epochs = sum(step.fine_tune_epochs for step in self.policy.chain)
        return epochs + _epochs_between(self.policy, self.result)


def epochs_from_scratch(
    steps: Sequence[tuple[Policy, TrialResult]], unpruned_macs: float
) -> tuple[int, float]:
    """Return how long a network is trained from scratch for what its chain of policies computed.

    An epoch of another network than the last counts by the ratio of MACs, `MOST_TIMES` at most;
    what random depth saved is not taken off, which favours the network from scratch.

    Args:
        steps: the policies of the chain and what each brought back, the last one last.
        unpruned_macs: multiply-accumulates of the untouched network.

    Returns:
        Epochs, at least 1, and what share of that computation they take.
    """
    own = max(1, steps[-1][1].point.macs)
    spent = [
        pair
        for policy, result in steps
        for pair in (
            (policy.carried_out.train.epochs, unpruned_macs / own),
            (
                policy.carried_out.fine_tune_epochs + _epochs_between(policy, result),
                result.point.macs / own,
            ),
        )
    ]
    epochs = max(1, round(sum(count * min(times, MOST_TIMES) for count, times in spent)))
    return epochs, epochs / max(1.0, sum(count * times for count, times in spent))


def _epochs_between(policy: Policy, result: TrialResult) -> int:
    """Return the epochs between removals, as if none ended early."""
    if policy.removal != "iterative":
        return 0
    return math.ceil(len(result.removed) / policy.removal_step) * policy.between_epochs


Made: TypeAlias = tuple[Policy | None, str]
"""A control's policy, None where there cannot be one; and what is to be said of it, or nothing."""


def _other_branches(member: FrontMember, criterion: Criterion) -> Made:
    policy, count = member.policy, len(member.result.removed)
    if not count:
        return None, "no branch was removed"
    if policy.carried_out.criterion == criterion:
        return None, "the member's branches were chosen so"
    if policy.origin == "scratch":
        return None, "the member is from scratch, where no branch is worth anything yet"
    if policy.base is not None:
        return None, "the member goes on from a network that lacks branches already"
    at_once = "one_shot" if policy.removes_jointly else policy.removal
    control = replace(policy.removing(branches_removed=count), criterion=criterion, removal=at_once)
    notes = []
    if member.result.widths:
        width = _mean_width(member)
        notes.append(f"each branch keeps {width:.0%} of its channels, the member's average")
        control = replace(control, widths=(), filter_sparsity=1 - width)
    if policy.decay_shape == "sensitivity":
        # The criterion also deals out survival while training: the control takes what came of it.
        notes.append(
            "trained from the start with the survival probabilities that the member ended with"
        )
        control = replace(control, survival=member.searched.survival, decay_shape="linear")
    return control, "; ".join(notes)


def _mean_width(member: FrontMember) -> float:
    """Return the share of inner channels that is left to a branch of the network on average."""
    result, policy = member.result, member.policy
    widths = {**dict(policy.widths), **result.widths}
    kept = set(range(1, len(result.survival) + 1)) - set(result.removed)
    return statistics.fmean(widths.get(b, 1 - policy.filter_sparsity) for b in kept)


def _unpruned(member: FrontMember) -> Made:
    if not member.prunes:
        return None, "nothing was pruned"
    control = replace(
        member.policy.removing(),
        origin="parent",
        base=None,
        stream_width=1.0,
        width_growth=1.0,
        removal="one_shot",
        filter_sparsity=0.0,
        widths=(),
        weight_sparsity=0.0,
        fine_tune_epochs=member.fine_tuning_epochs,
    )
    return control, ""


def _from_scratch(member: FrontMember, *, scaled: bool) -> Made:
    """Train the small network as the whole one is trained; there is no teacher then.

    Its fine-tuning epochs ran on the small network already, so only those of the whole network
    are worth more than one each.
    """
    policy = member.policy
    if member.given_weights:
        return None, "the study starts from given weights, nothing is trained from scratch"
    if policy.origin == "scratch":
        return None, "the member is from scratch itself"
    if policy.base is not None:
        return None, "the member goes on from another network, whose widths only its chain makes"
    if not member.prunes:
        return None, "nothing was pruned"
    times, note = 1.0, ""
    if scaled:
        times = member.unpruned_macs / max(1, member.result.point.macs)
        if times > MOST_TIMES:
            note = f"equal computation is {times:.1f} times the epochs, {MOST_TIMES} times are run"
        times = min(times, MOST_TIMES)
    epochs = round(policy.train.epochs * times) + member.fine_tuning_epochs
    if not epochs:
        return None, "the member is not trained at all"
    control = replace(
        policy.removing(branches=member.result.removed),
        widths=tuple(sorted({**dict(policy.widths), **member.result.widths}.items())),
        origin="scratch" if policy.stream_width < 1 else "parent",
        survival_prob_last=1.0,
        survival=None,
        decay_shape="linear",
        removal="one_shot",
        recovery="none",
        fine_tune_epochs=epochs,
        fine_tune_schedule="one_cycle",
        distillation=0.0,
        feature_distillation=0.0,
        patience=None,
        train=replace(policy.train, epochs=0, fine_tune_learning_rate=policy.train.learning_rate),
    )
    return control, note


ROLES: Mapping[str, Callable[[FrontMember], Made]] = {
    "random removal": lambda member: _other_branches(member, "random"),
    "evenly spaced": lambda member: _other_branches(member, "evenly_spaced"),
    "unpruned plus fine-tuning": _unpruned,
    "from scratch, equal epochs": lambda member: _from_scratch(member, scaled=False),
    "from scratch, MAC-scaled epochs": lambda member: _from_scratch(member, scaled=True),
}
"""The controls by name, those first that share a parent with the confirmation."""
