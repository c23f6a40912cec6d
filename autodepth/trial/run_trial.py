"""The life of a trial: one policy in, one result out. Read this file first.

train the parent -> sensitivity of each branch -> remove -> fine-tune -> measure
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from autodepth.networks.catalogue import build_network
from autodepth.networks.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights import save_weights
from autodepth.policy.policy import Policy
from autodepth.policy.removal import branches_to_remove
from autodepth.policy.survival import survival_probabilities
from autodepth.trial.measurement import operating_point
from autodepth.trial.result import EpochReport, Stage, TrialResult
from autodepth.trial.sensitivity import ablation_sensitivities
from autodepth.trial.setting import TrialSetting
from autodepth.trial.training import Epoch, evaluate, train

WEIGHTS_FILE = "model.safetensors"
OnEpoch = Callable[[EpochReport], None]


def run_trial(
    policy: Policy, setting: TrialSetting, *, folder: Path, on_epoch: OnEpoch
) -> TrialResult:
    """Carry out one policy.

    Args:
        policy: what to do.
        setting: network, data, device and seed.
        folder: an existing folder that takes the weights of the final network.
        on_epoch: told of every epoch while the trial runs; what it raises ends the trial.

    Raises:
        DivergenceError: training left the finite numbers.
    """
    clock = _StageClock()
    validation = setting.evaluation_batches(setting.data.validation)
    with clock("parent"):
        parent, survival = train_parent(policy, setting, on_epoch)
        parent_accuracy = evaluate(parent.module, validation).accuracy
    with clock("sensitivity"):
        sensitivities: Mapping[int, float] = {}
        if policy.sensitivity_threshold is not None:
            scoring = setting.evaluation_batches(setting.scoring_images())
            sensitivities = ablation_sensitivities(parent, scoring)
    with clock("prune"):
        removed = branches_to_remove(
            sensitivities,
            {branch.index: branch.stage for branch in parent.branches},
            policy.sensitivity_threshold,
            policy.threshold_per,
        )
        network = parent.without(removed)
        network.module.eval()
        pruned_accuracy = evaluate(network.module, validation).accuracy
    with clock("fine_tune"):
        fine_tune(network, policy, setting, on_epoch)
    with clock("measure"):
        network.module.eval()
        point = operating_point(
            network,
            evaluate(network.module, validation),
            size_bytes=save_weights(network.module, folder / WEIGHTS_FILE),
        )
    return TrialResult(
        point=point,
        removed=removed,
        sensitivities=sensitivities,
        survival=survival,
        parent_accuracy=parent_accuracy,
        pruned_accuracy=pruned_accuracy,
        stage_seconds=clock.seconds,
        weights_file=WEIGHTS_FILE,
    )


def train_parent(
    policy: Policy, setting: TrialSetting, on_epoch: OnEpoch
) -> tuple[ResidualNetwork, tuple[float, ...]]:
    """Return the network trained with stochastic depth, p_l folded in, and the p_l used.

    Without training epochs nothing was dropped, so nothing is folded: p_l is 1 everywhere.
    """
    network = build_network(setting.spec, seed=setting.seed_for("init"), weights=setting.weights)
    _to_device(network, setting.device)
    epochs = policy.train.epochs
    survival = survival_probabilities(
        policy.survival_prob_last if epochs else 1.0,
        len(network.branches),
        policy.decay_shape,
        power=policy.decay_power,
    )
    gated = GatedNetwork(network, mode=policy.gate_mode, compensation=policy.compensation)
    train(
        gated,
        setting.training_batches(policy.train.batch_size, "training batches"),
        setting.evaluation_batches(setting.data.validation),
        epochs=epochs,
        learning_rate=policy.train.learning_rate,
        settings=policy.train,
        survival=survival,
        gate_generator=setting.generator("training gates"),
        on_epoch=lambda epoch: on_epoch(_report("parent", epoch, epochs_before=0)),
    )
    gated.fold(survival)
    network.module.eval()
    return network, survival


def fine_tune(
    network: ResidualNetwork, policy: Policy, setting: TrialSetting, on_epoch: OnEpoch
) -> None:
    """Train a pruned network on in place, every branch that is left computed in every step."""
    settings = policy.train
    train(
        GatedNetwork(network),
        setting.training_batches(settings.batch_size, "fine-tuning batches"),
        setting.evaluation_batches(setting.data.validation),
        epochs=policy.fine_tune_epochs,
        learning_rate=settings.fine_tune_learning_rate or settings.learning_rate,
        settings=settings,
        survival=[1.0] * len(network.kept()),
        gate_generator=setting.generator("fine-tuning gates"),
        on_epoch=lambda epoch: on_epoch(_report("fine_tune", epoch, epochs_before=settings.epochs)),
    )


class _StageClock:
    """Time of each stage in seconds, in the order they were entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - start


def _to_device(network: ResidualNetwork, device: torch.device) -> None:
    network.module.to(device)
    network.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _report(stage: Stage, epoch: Epoch, *, epochs_before: int) -> EpochReport:
    return EpochReport(
        stage=stage,
        step=epochs_before + epoch.number,
        train_loss=epoch.train_loss,
        validation_accuracy=epoch.evaluation.accuracy,
        branches_computed=epoch.branches_computed,
        seconds=epoch.seconds,
    )
