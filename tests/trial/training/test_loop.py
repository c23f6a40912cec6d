"""A training does what its settings say, to the numbers."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from autodepth.networks.catalogue import build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.policy.depth_schedule import survival_at
from autodepth.policy.policy import Policy
from autodepth.policy.survival import survival_probabilities
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.training.config import Distillation, TrainingConfig
from autodepth.trial.training.evaluation import evaluate
from autodepth.trial.training.loop import train

# Numbers are compared with those by hand, so not in the bfloat16 that some CPUs multiply.
TRAIN = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.1, precision="float32")


def trained(context, network, epochs=1, **config):
    """Train a copy; return its epochs and final weights."""
    settings = replace(TRAIN, momentum=0.0, weight_decay=0.0)
    copy, heard = network.without(()), []
    train(
        GatedNetwork(copy),
        context.training_batches(32, "test"),
        context.validation_batches(),
        TrainingConfig(
            **{
                "epochs": epochs,
                "learning_rate": 0.1,
                "settings": settings,
                "survival": lambda _: [1.0] * 6,
            }
            | config
        ),
        gate_generator=context.generator("gates"),
        on_epoch=heard.append,
    )
    return heard, copy


@pytest.mark.parametrize("schedule", ["constant", "ramp", "early_off", "late_on", "progressive"])
def test_branches_are_dropped_as_the_schedule_expects(context, schedule):
    policy = Policy(survival_prob_last=0.3, depth_schedule=schedule, train=TRAIN)
    epochs = []
    parent = train_parent(policy, context, epochs.append)
    rule = survival_probabilities(0.3, 6)
    steps = 4  # of 32 out of 128 images

    for epoch in epochs:
        moments = [(epoch.number - 1 + step / steps) / TRAIN.epochs for step in range(steps)]
        expected = [sum(survival_at(rule, at, schedule, 0.5)) for at in moments]
        assert epoch.branches_expected == pytest.approx(sum(expected) / steps)
        assert epoch.branches_computed == pytest.approx(epoch.branches_expected, abs=1.6)
    assert parent.survival == rule


def test_an_epoch_tells_accuracy_gap_and_gradient_norms(context):
    network = build_network(context.spec, seed=1)
    (epoch,), _ = trained(context, network, settings=replace(TRAIN, momentum=0.0))

    assert 0 < epoch.train_accuracy < 1
    assert set(epoch.gradient_norms) == {1, 2, 3, 4, 5, 6}
    assert all(norm > 0 for norm in epoch.gradient_norms.values())
    assert epoch.images_per_second > 0


def test_a_student_of_itself_learns_from_labels_alone(context):
    network = build_network(context.spec, seed=1)
    network.module.eval()
    images, _ = next(iter(context.training_batches(32, "test")))
    teacher = Distillation(teacher=network.module, weight=0.5, temperature=2.0)

    hard = torch.tensor(3.0)
    loss = teacher.beside(hard, images, network.module(images), context.task)
    assert loss.item() == pytest.approx(0.5 * 3.0, abs=1e-6)


def test_patience_ends_training_and_leaves_the_best_weights(context):
    network = build_network(context.spec, seed=1)
    rising = {"learning_rate": 2.0, "schedule": "constant", "patience": 2}
    heard, copy = trained(context, network, epochs=40, **rising)
    best = min(heard, key=lambda epoch: epoch.evaluation.loss)

    assert len(heard) == best.number + 2 < 40
    copy.module.eval()
    validation = context.validation_batches()
    assert evaluate(copy.module, validation) == best.evaluation


def test_a_constant_rate_is_plain_descent(context):
    few = replace(context, data=replace(context.data, train=context.data.train.subset(range(32))))
    network = build_network(few.spec, seed=1)
    settings = replace(TRAIN, momentum=0.0, weight_decay=0.0)
    _, copy = trained(few, network, schedule="constant", settings=settings)
    images, labels = next(iter(few.training_batches(32, "test")))
    module = network.without(()).module.train()

    F.cross_entropy(module(images), labels).backward()

    for name, parameter in module.named_parameters():
        expected = parameter - 0.1 * parameter.grad
        assert torch.allclose(copy.module.get_parameter(name), expected, atol=1e-6), name


def test_an_epoch_is_judged_by_the_mean_weights_and_they_are_left(context):
    network = build_network(context.spec, seed=1)
    settings = replace(TRAIN, ema=0.999)
    heard, copy = trained(context, network, epochs=3, settings=settings)
    _, last = trained(context, network, epochs=3, settings=TRAIN)
    copy.module.eval()

    assert evaluate(copy.module, context.validation_batches()) == heard[-1].evaluation
    means, weights = copy.module.state_dict(), last.module.state_dict()
    assert not any(torch.equal(means[n], w) for n, w in weights.items() if w.is_floating_point())
    assert all(torch.equal(means[n], w) for n, w in weights.items() if "num_batches" in n)


def test_patience_keeps_the_best_means(context):
    network = build_network(context.spec, seed=1)
    rising = {"learning_rate": 2.0, "schedule": "constant", "patience": 2}
    settings = replace(TRAIN, ema=0.5)
    heard, copy = trained(context, network, epochs=40, settings=settings, **rising)
    best = min(heard, key=lambda epoch: epoch.evaluation.loss)
    copy.module.eval()

    assert evaluate(copy.module, context.validation_batches()) == best.evaluation


def test_gradients_are_clipped_after_they_were_told(context):
    few = replace(context, data=replace(context.data, train=context.data.train.subset(range(32))))
    network = build_network(few.spec, seed=1)
    settings = replace(TRAIN, momentum=0.0, weight_decay=0.0)
    (told,), plain = trained(few, network, schedule="constant", settings=settings)
    clipped = replace(settings, clip_norm=1e-3)
    (same,), copy = trained(few, network, schedule="constant", settings=clipped)

    assert same.gradient_norms == told.gradient_norms
    moved = [
        torch.cat([(a - b).flatten() for a, b in zip(*pair, strict=True)])
        for pair in (
            (module.parameters(), network.module.parameters())
            for module in (plain.module, copy.module)
        )
    ]
    assert moved[1].norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.999
