"""The costly stages of a trial, each found again where an earlier trial has carried it out.

Policies that differ only in what they remove share a parent; policies that remove the same
branches of one parent, whatever thresholds led there, share their fine-tuning. What a key leaves
out does not shape the stage: p_L and its shape count as the probabilities they give, and settings
of random depth do not count where nothing is dropped.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from autodepth.atomic import sha256_of
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights import load_weights, save_weights
from autodepth.policy.policy import Policy
from autodepth.trial.course import Epoch
from autodepth.trial.evaluation import Evaluation
from autodepth.trial.fine_tuning import fine_tune
from autodepth.trial.parent import (
    Parent,
    SurvivalOverTime,
    score_branches,
    train_parent,
    untrained_network,
)
from autodepth.trial.pruning import Pruned
from autodepth.trial.setting import TrialSetting
from autodepth.trial.stage_cache import StageCache, content_key
from autodepth.version import __version__

OnEpoch = Callable[[Epoch], None]

_WEIGHTS, _TOLD = "model.safetensors", "told.json"


class Stages:
    """Carries out stages of one policy, or finds them.

    Args:
        policy: what to do.
        setting: network, data, device, seed, and where entries are kept.
    """

    def __init__(self, policy: Policy, setting: TrialSetting) -> None:
        self._policy, self._setting = policy, setting
        self._cache = StageCache(setting.cache)
        self._parent_key = ""

    def parent(self, on_epoch: OnEpoch) -> Parent:
        """Return the trained network; epochs of one that is found are told again."""
        setting, policy = self._setting, self._policy
        network = untrained_network(setting)
        self._parent_key = content_key(**_parent_content(policy, setting, network))

        def read(entry: Path) -> tuple[tuple[float, ...], list[Epoch]]:
            told = json.loads((entry / _TOLD).read_text())
            load_weights(network.module, entry / _WEIGHTS)
            return tuple(told["survival"]), _epochs(told["epochs"])

        found = self._cache.load(self._parent_key, read)
        if found is None:
            epochs: list[Epoch] = []
            tell = _both(epochs.append, on_epoch)
            parent = train_parent(policy, setting, tell, network=network)
            self._store(self._parent_key, parent.network, {"survival": parent.survival}, epochs)
            return parent
        survival, epochs = found
        _tell_again(epochs, on_epoch)
        network.module.eval()
        return Parent(network=network, survival=survival)

    def scores(self, parent: Parent) -> dict[int, float]:
        """Return what each removable branch of the parent is worth; none where none may go."""
        policy, setting = self._policy, self._setting
        if not policy.removes_branches:
            return {}
        key = content_key(
            stage="scores",
            parent=self._parent_key,
            criterion=policy.criterion,
            images=setting.sensitivity_images,
        )

        def read(entry: Path) -> dict[int, float]:
            return {int(b): score for b, score in json.loads((entry / _TOLD).read_text()).items()}

        found = self._cache.load(key, read)
        if found is None:
            found = scores = score_branches(policy, setting, parent.network)
            self._cache.store(key, lambda entry: _write(entry / _TOLD, scores))
        return found

    def recover(self, pruned: Pruned, parent: Parent, on_epoch: OnEpoch) -> None:
        """Fine-tune a pruned network in place, or give it the weights that came of it before."""
        policy, network = self._policy, pruned.network
        if policy.fine_tune_epochs == 0:
            return
        key = content_key(**_recovery_content(policy, pruned.order), parent=self._parent_key)

        def read(entry: Path) -> list[Epoch]:
            load_weights(network.module, entry / _WEIGHTS)
            return _epochs(json.loads((entry / _TOLD).read_text())["epochs"])

        epochs = self._cache.load(key, read)
        if epochs is not None:
            _tell_again(epochs, on_epoch)
            return
        heard: list[Epoch] = []
        fine_tune(
            network,
            policy,
            self._setting,
            parent=parent.network,
            epochs=policy.fine_tune_epochs,
            masks=pruned.masks,
            on_epoch=_both(heard.append, on_epoch),
        )
        self._store(key, network, {}, heard)

    def _store(
        self,
        key: str,
        network: ResidualNetwork,
        told: Mapping[str, Any],
        epochs: Sequence[Epoch],
    ) -> None:
        def write(entry: Path) -> None:
            save_weights(network.module, entry / _WEIGHTS)
            _write(entry / _TOLD, {**told, "epochs": [asdict(epoch) for epoch in epochs]})

        self._cache.store(key, write)


def _parent_content(
    policy: Policy, setting: TrialSetting, network: ResidualNetwork
) -> dict[str, Any]:
    """Return everything that shapes a trained parent."""
    survival = SurvivalOverTime(policy, network).lowest
    train = asdict(policy.train)
    del train["fine_tune_learning_rate"]
    dropping: dict[str, Any] = {"survival": survival}
    if min(survival) < 1.0:
        dropping |= {
            name: getattr(policy, name)
            for name in ("depth_schedule", "depth_schedule_cutoff", "gate_mode", "compensation")
        }
        if policy.decay_shape == "sensitivity":
            dropping |= {"criterion": policy.criterion, "images": setting.sensitivity_images}
    return {
        "stage": "parent",
        "versions": [__version__, torch.__version__],
        "network": setting.spec.to_dict(),
        "weights": None if setting.weights is None else _digest(setting.weights),
        "data": setting.data.fingerprint,
        "normalisation": asdict(setting.normalisation),
        "augmentation": asdict(setting.augmentation),
        "seed": [setting.seed, setting.replicate],
        "device": setting.device.type,
        "train": train,
        "dropping": dropping,
    }


def _recovery_content(policy: Policy, order: tuple[int, ...]) -> dict[str, Any]:
    """Return everything that shapes a fine-tuned network, its parent apart."""
    names = [
        *("filter_sparsity", "weight_sparsity", "recalibration_batches", "fine_tune_epochs"),
        *("fine_tune_schedule", "fine_tune_p_L", "distillation", "patience"),
    ]
    if policy.fine_tune_p_L < 1.0:
        names += ["gate_mode", "compensation"]
    content: dict[str, Any] = {name: getattr(policy, name) for name in names}
    content |= {"stage": "fine_tuned", "train": asdict(policy.train), "removed": sorted(order)}
    if policy.distillation:
        content["distillation_temperature"] = policy.distillation_temperature
    if policy.removal == "iterative" and order:
        content |= {"order": order, "step": policy.removal_step, "between": policy.between_epochs}
    return content


def _tell_again(epochs: Sequence[Epoch], on_epoch: OnEpoch) -> None:
    """Tell of epochs of an earlier trial, which take no time now."""
    for epoch in epochs:
        on_epoch(replace(epoch, seconds=0.0, replayed=True))


def _both(one: OnEpoch, other: OnEpoch) -> OnEpoch:
    def tell(epoch: Epoch) -> None:
        one(epoch)
        other(epoch)

    return tell


def _epochs(values: Sequence[Mapping[str, Any]]) -> list[Epoch]:
    return [
        Epoch(
            **{
                **value,
                "evaluation": Evaluation(**value["evaluation"]),
                "gradient_norms": {int(b): n for b, n in value["gradient_norms"].items()},
            }
        )
        for value in values
    ]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _digest(path: Path) -> str:
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _digest_of(path: Path, _size: int, _changed: int) -> str:
    return sha256_of(path)


def parent_key(policy: Policy, setting: TrialSetting, network: ResidualNetwork) -> str:
    """Return the content key of the parent a policy asks for.

    Args:
        policy: how it is trained.
        setting: network, data, device and seed.
        network: the whole network, trained or not.
    """
    return content_key(**_parent_content(policy, setting, network))


def recovery_key(policy: Policy, order: tuple[int, ...], parent: str) -> str:
    """Return the content key of the fine-tuned network that a policy ends with.

    Args:
        policy: how it is fine-tuned.
        order: numbers of the branches that go, in that order.
        parent: its parent's key.
    """
    return content_key(**_recovery_content(policy, order), parent=parent)
