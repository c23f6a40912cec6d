"""Recovery: a pruned network trained on."""

from __future__ import annotations

from collections.abc import Callable

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
    teacher = Distillation(
        teacher=parent.module,
        weight=policy.distillation,
        temperature=policy.distillation_temperature,
    )
    gated = GatedNetwork(network, mode=policy.gate_mode, compensation=policy.compensation)
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
        if policy.distillation:
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
                distillation=teacher if policy.distillation else None,
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
