"""The costly phases of a trial, each found again where an earlier trial has carried it out.

Policies that differ only in what they remove share a parent; policies that remove the same
branches of one parent, whatever thresholds led there, share their fine-tuning. Training that was
broken off goes on where it was, in any trial that comes to the same training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autodepth.atomic import write_atomically
from autodepth.networks.pruning.magnitude import Masks
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.own_files import load_saved, save_weights
from autodepth.policy.policy import Policy
from autodepth.trial.cache.cache import StageCache, content_key
from autodepth.trial.cache.entry import Kind
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.finalists import (
    FINALISTS,
    Cut,
    closest_when_recovered,
    is_mended_by_fitting,
)
from autodepth.trial.phases.branches.joint import (
    Divergences,
    judge_masks,
    may_be_removed,
    of_single_branches,
    worth_telling,
)
from autodepth.trial.phases.branches.joint_widths import JointWidths
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.keys import (
    between_content,
    fine_tuning_content,
    may_go_on,
    parent_content,
    trunk_content,
    weights_digest,
)
from autodepth.trial.phases.parent import Parent, score_branches, train_parent, untrained_network
from autodepth.trial.phases.pruning import Pruned, grown, removal_from
from autodepth.trial.training.checkpoints import Checkpoints
from autodepth.trial.training.config import Epoch

OnEpoch = Callable[[Epoch], None]

_WEIGHTS, _TOLD = "model.safetensors", "told.json"


class CachedPhases:
    """Carries out phases of one policy, or finds them.

    Args:
        policy: what to do.
        context: network, data, device, seed, and where entries are kept.
    """

    def __init__(self, policy: Policy, context: TrialContext) -> None:
        self._policy, self._context = policy, context
        self._cache = StageCache(context.cache, limit_bytes=context.cache_limit_bytes)
        self._parent_key = ""
        self._scored: dict[str, list[Any]] = {}  # by key: asked for more than once in a trial

    def parent(self, on_epoch: OnEpoch) -> Parent:
        """Return the trained network; epochs of one that is found are told again."""
        context, policy = self._context, self._policy
        network = untrained_network(context)
        content = parent_content(policy, context, network)
        self._parent_key = key = content_key(**content)
        if not policy.train.epochs:
            return train_parent(policy, context, on_epoch, network=network)
        told = self._found(key, network, on_epoch)
        if told is not None:
            network.module.eval()
            return Parent(network=network, survival=tuple(told["survival"]))
        epochs: list[Epoch] = []
        tell, checkpoints = _both(epochs.append, on_epoch), self._checkpoints(key, content)
        parent = train_parent(
            policy,
            context,
            tell,
            network=network,
            checkpoints=checkpoints,
        )
        if self._keep(key, network, "parent", epochs, survival=parent.survival):
            checkpoints.discard(len(epochs))
        return parent

    def goes_on_from(self, base: Parent, whole: ResidualNetwork) -> Parent:
        """Return the final network of another policy as the parent of this one.

        Branches come back where the policy lets fewer be gone, and they become wider where it says
        so; the network computes the same.

        Args:
            base: that network, and what its own parent was trained with.
            whole: the untrained whole network, on the CPU; what comes back has its weights.
        """
        policy = self._policy
        self._parent_key = content_key(**parent_content(policy, self._context, whole))
        return Parent(network=grown(base.network, policy, whole), survival=base.survival)

    def scores(self, parent: Parent) -> dict[int, float]:
        """Return what each removable branch of the parent is worth; none where none may go."""
        policy, network = self._policy, parent.network
        if not policy.scores_branches:
            return {}
        if policy.base is not None and removal_from(network, policy).met(network.removed):
            return {}  # it goes on with all that it has
        if policy.chooses_widths:
            return {branch: lost[0.0] for branch, lost in self.variants(parent).items()}
        if policy.removes_jointly:
            return of_single_branches(self.masks(network))
        return self._scores(network)

    def masks(self, network: ResidualNetwork) -> Divergences:
        """Return how far the parent's outputs change without sets of its branches."""
        policy, context = self._policy, self._context
        key = content_key(
            kind="masks",
            parent=self._parent_key,
            images=context.sensitivity_images,
            removed=network.removed,
            protected=sorted(policy.protected),
            least=policy.least_per_stage,
        )

        def judged() -> list[tuple[list[int], float]]:
            found = judge_masks(context, network, removal_from(network, policy))
            return [(sorted(mask), far) for mask, far in found.items()]

        return {frozenset(mask): far for mask, far in self._told(key, judged)}

    def masks_of(self, parent: Parent) -> Divergences:
        """Return how far a parent's outputs change without the sets that policies of it remove.

        Nothing where no sets are judged, or of a network that is no parent of many.
        """
        policy = self._policy
        if not policy.removes_jointly or policy.chooses_widths or policy.base is not None:
            return {}
        return worth_telling(self.masks(parent.network), parent.network)

    def variants(self, parent: Parent) -> dict[int, dict[float, float]]:
        """Return how far the parent's outputs change with each branch narrower or gone.

        Where widths are chosen; whoever asks for other bounds later finds it in the record.
        """
        policy, context = self._policy, self._context
        if not policy.chooses_widths:
            return {}
        key = content_key(
            kind="variants", parent=self._parent_key, images=context.sensitivity_images
        )

        def judged() -> list[tuple[int, list[tuple[float, float]]]]:
            found = JointWidths(context, parent.network).alone()
            return [(branch, sorted(lost.items())) for branch, lost in found.items()]

        return {branch: dict(map(tuple, lost)) for branch, lost in self._told(key, judged)}

    def choice(self, parent: Parent, cut: Cut) -> dict[int, float]:
        """Return which branches go together, 0, and the widths of those that become narrower.

        Where recovery mends more than what sets were searched with, a few are recovered.

        Args:
            parent: a trained network.
            cut: carries out a choice up to fine-tuning.
        """
        policy, context, network = self._policy, self._context, parent.network
        count = FINALISTS if is_mended_by_fitting(policy) else 1

        def chosen() -> list[tuple[int, float]]:
            found = self._choices(parent, count)
            if len(found) == 1:
                return list(found[0].items())
            return list(closest_when_recovered(network, found, cut, context).items())

        if count == 1 and not policy.chooses_widths:
            return dict(chosen())  # what was judged tells it
        key = content_key(
            kind="choice",
            parent=self._parent_key,
            images=context.sensitivity_images,
            removed=network.removed,
            policy=policy.shaping("branches") | policy.shaping("pruning"),
            batch=policy.train.batch_size,
        )
        return dict(map(tuple, self._told(key, chosen)))

    def _choices(self, parent: Parent, count: int) -> list[dict[int, float]]:
        policy, network = self._policy, parent.network
        removal = removal_from(network, policy)
        if policy.chooses_widths:
            widths = JointWidths(self._context, network)
            return widths.chosen(removal, self.variants(parent), count)
        masks = may_be_removed(self.masks(network), removal, network.removed, count)
        return [dict.fromkeys(mask, 0.0) for mask in masks]

    def scores_again(self, network: ResidualNetwork) -> dict[int, float]:
        """Return what each removable branch of the parent is worth without those that are gone."""
        return self._scores(network, removed=network.removed, weights=weights_digest(network))

    def recover(self, pruned: Pruned, parent: Parent, on_epoch: OnEpoch) -> None:
        """Fine-tune a pruned network in place, or give it the weights that came of it before."""
        policy, weights = self._policy, None
        if policy.removal == "iterative" or policy.chooses_widths:
            weights = weights_digest(pruned.network)
        self._fine_tune(
            pruned.network,
            parent,
            on_epoch,
            content=fine_tuning_content(policy, pruned.order, weights),
            epochs=policy.fine_tune_epochs,
            masks=pruned.masks,
        )

    def recover_between(
        self, network: ResidualNetwork, parent: Parent, on_epoch: OnEpoch, *, purpose: str
    ) -> None:
        """Do the same between two removals; the purpose names this use of randomness."""
        policy = self._policy
        self._fine_tune(
            network,
            parent,
            on_epoch,
            content=between_content(policy, network, purpose),
            epochs=policy.between_epochs,
            purpose=purpose,
        )

    def _fine_tune(
        self,
        network: ResidualNetwork,
        parent: Parent,
        on_epoch: OnEpoch,
        *,
        content: Mapping[str, Any],
        epochs: int,
        purpose: str = "fine-tuning",
        masks: Masks | None = None,
    ) -> None:
        if epochs == 0:
            return
        content = {**content, "parent": self._parent_key}
        key = content_key(**content)
        open_ended = may_go_on(self._policy)
        if not open_ended and self._found(key, network, on_epoch) is not None:
            return
        heard: list[Epoch] = []
        checkpoints = self._checkpoints(key, content, open_ended=open_ended)
        fine_tune(
            network,
            self._policy,
            self._context,
            parent=parent.network,
            epochs=epochs,
            purpose=purpose,
            masks=masks,
            on_epoch=_both(heard.append, on_epoch),
            checkpoints=checkpoints,
        )
        if not open_ended and self._keep(key, network, "fine_tuned", heard):
            checkpoints.discard(len(heard))

    def _found(
        self, key: str, network: ResidualNetwork, on_epoch: OnEpoch
    ) -> Mapping[str, Any] | None:
        """Give a network the weights of an entry, if it is there, and tell of its epochs again."""

        def read(entry: Path) -> tuple[Mapping[str, Any], list[Epoch]]:
            told = json.loads((entry / _TOLD).read_text())
            epochs = [Epoch.from_dict(values) for values in told["epochs"]]
            load_saved(network.module, entry / _WEIGHTS)
            return told, epochs

        found = self._cache.load(key, read)
        if found is None:
            return None
        told, epochs = found
        for epoch in epochs:
            on_epoch(replace(epoch, seconds=0.0, replayed=True))  # it takes no time now
        return told

    def _keep(
        self,
        key: str,
        network: ResidualNetwork,
        kind: Kind,
        epochs: Sequence[Epoch],
        **told: Any,
    ) -> bool:
        def write(entry: Path) -> None:
            save_weights(network.module, entry / _WEIGHTS)
            _write(entry / _TOLD, {**told, "epochs": [epoch.to_dict() for epoch in epochs]})

        return self._cache.store(key, write, kind=kind)

    def _scores(self, network: ResidualNetwork, **state: Any) -> dict[int, float]:
        policy, context = self._policy, self._context
        key = content_key(
            kind="scores",
            parent=self._parent_key,
            criterion=policy.criterion,
            images=context.sensitivity_images,
            **state,
        )
        told = self._told(key, lambda: list(score_branches(policy, context, network).items()))
        return dict(told)

    def _told(self, key: str, compute: Callable[[], list[Any]]) -> list[Any]:
        """Return pairs of what was scored and its score, computed once."""

        def read(entry: Path) -> list[Any]:
            pairs: list[Any] = json.loads((entry / _TOLD).read_text())
            return pairs

        found = self._scored.get(key) or self._cache.load(key, read)
        if found is None:
            found = computed = compute()
            self._cache.store(key, lambda entry: _write(entry / _TOLD, computed), kind="scores")
        self._scored[key] = found
        return found

    def _checkpoints(
        self, key: str, content: Mapping[str, Any] | None, *, open_ended: bool = False
    ) -> Checkpoints:
        """Return where states of a training are kept; with its content, also those it shares."""
        shared = None if content is None else trunk_content(content, self._policy)
        trunk = None
        if shared is not None:
            trunk = self._checkpoints(content_key(**shared), None, open_ended=True)
        context = self._context
        return Checkpoints(
            self._cache,
            key,
            seconds=context.checkpoint_seconds,
            open_ended=open_ended,
            trunk=trunk,
            leaving=context.leaving,
        )


def _both(one: OnEpoch, other: OnEpoch) -> OnEpoch:
    def tell(epoch: Epoch) -> None:
        one(epoch)
        other(epoch)

    return tell


def _write(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value))
