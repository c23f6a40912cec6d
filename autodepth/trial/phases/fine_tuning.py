"""Recovery: a pruned network trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autodepth.networks.gates.features import Features
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.pruning.magnitude import Masks, apply_masks
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.survival import survival_probabilities
from autodepth.trial.context import TrialContext
from autodepth.trial.training.checkpoints import Checkpoints
from autodepth.trial.training.config import Distillation, Epoch, TrainingConfig
from autodepth.trial.training.loop import train


def fine_tune(  # noqa: PLR0913 - what, how, where, from whom, and how long
    network: ResidualNetwork,
    policy: Policy,
    context: TrialContext,
    *,
    parent: ResidualNetwork,
    epochs: int,
    purpose: str = "fine-tuning",
    masks: Masks | None = None,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train a pruned network on, in place.

    Args:
        network: what is trained.
        policy: rate, schedule, random depth, distillation and patience.
        context: data, device and seed.
        parent: the teacher, where the policy asks for distillation.
        epochs: passes over the training split.
        purpose: name of this use of randomness.
        masks: which single weights stay.
        on_epoch: told of every epoch.
        checkpoints: where training goes on from, and is kept.
    """
    left = len(network.kept())
    survival = survival_probabilities(policy.fine_tune_p_L, left) if left else ()
    settings = policy.train
    task = context.task_of(settings)
    parent.module.eval()
    gated = GatedNetwork(network, mode=policy.gate_mode, compensation=policy.compensation)
    teacher = _teacher(policy, parent, gated)
    with context.ranks.run_on_all_ranks(
        "fine_tune",
        policy=policy,
        replicate=context.replicate,
        removed=network.removed,
        shapes={name: tuple(value.shape) for name, value in network.module.state_dict().items()},
        masks={name: mask.cpu() for name, mask in (masks or {}).items()},
        epochs=epochs,
        purpose=purpose,
    ):
        if policy.has_teacher:
            context.ranks.sync_parameters(parent.module)
        train(
            gated,
            context.training_batches(settings.batch_size, f"{purpose} batches", task),
            context.validation_batches(),
            TrainingConfig(
                epochs=epochs,
                learning_rate=settings.fine_tune_learning_rate or settings.learning_rate,
                schedule=policy.fine_tune_schedule,
                settings=settings,
                survival=lambda _: survival,
                task=task,
                distillation=teacher,
                patience=policy.patience,
                after_step=lambda: apply_masks(network, masks or {}),
                layer_seed=context.seed_for(f"{purpose} layers"),
            ),
            gate_generator=context.generator(f"{purpose} gates"),
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            ranks=context.ranks,
        )
    if epochs:
        gated.fold(survival)
    network.module.eval()


def _teacher(policy: Policy, parent: ResidualNetwork, student: GatedNetwork) -> Distillation | None:
    """Return the parent as a teacher, its features taken down where the policy compares them."""
    if not policy.has_teacher:
        return None
    scores = Distillation(
        teacher=parent.module,
        weight=policy.distillation,
        temperature=policy.distillation_temperature,
    )
    if not policy.compares_features:
        return scores
    gated = GatedNetwork(parent, mode=policy.gate_mode)
    gated.open_all()
    return replace(
        scores,
        teacher=gated.module,
        features=Features(student, gated),
        feature_weight=policy.feature_distillation,
    )
