"""Training reaches every weight, whichever way branches are dropped and compensated for."""

from dataclasses import replace

import pytest
import torch

from autodepth.networks.catalogue import build_network
from autodepth.networks.weights.last_layer import last_linear
from autodepth.networks.weights.own_files import save_weights
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.tasks.classification import Classification
from autodepth.trial.phases.parent import train_parent, untrained_network
from autodepth.trial.training.evaluation import evaluate

TRAIN = TrainingSettings(epochs=1, batch_size=32, learning_rate=0.1)


@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("compensation", ["test_time", "inverted"])
def test_every_weight_is_trained(context, mode, compensation):
    policy = Policy(survival_prob_last=0.6, gate_mode=mode, compensation=compensation, train=TRAIN)
    untrained = build_network(context.spec, seed=context.seed_for("init")).module.state_dict()
    epochs = []

    parent = train_parent(policy, context, epochs.append)

    assert all(
        not torch.equal(v, untrained[k]) for k, v in parent.network.module.state_dict().items()
    )
    assert epochs[0].branches_computed == pytest.approx(sum(parent.survival), abs=1.5)


def test_the_settings_make_no_difference_when_nothing_is_dropped(context):
    parents = [
        train_parent(Policy(gate_mode=m, compensation=c, train=TRAIN), context, lambda _: None)
        for m, c in (("batch", "test_time"), ("sample", "inverted"))
    ]

    one, other = (parent.network.module.state_dict() for parent in parents)
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_what_is_left_of_mean_weights_is_what_the_last_epoch_was_judged_by(context):
    """Survival probabilities are folded into the mean."""
    train = TrainingSettings(epochs=2, batch_size=32, ema=0.9, precision="float32")
    epochs = []
    parent = train_parent(Policy(survival_prob_last=0.5, train=train), context, epochs.append)

    left = evaluate(parent.network.module, context.validation_batches())
    assert left.loss == pytest.approx(epochs[-1].evaluation.loss, rel=1e-4)


FAR = (torch.linspace(300, 390, 10), torch.full((10,), 20.0))  # mean and standard deviation


@pytest.mark.parametrize("given", ["nothing", "for 7 classes"])
def test_a_last_layer_of_the_seed_begins_at_the_targets(context, given, tmp_path, monkeypatch):
    if given != "nothing":
        weights = tmp_path / "weights.safetensors"
        save_weights(build_network(replace(context.spec, classes=7), seed=3).module, weights)
        context = replace(context, weights=weights)
    plain = untrained_network(context)
    monkeypatch.setattr(Classification, "targets_spread", lambda _: FAR)
    images, _ = next(iter(context.validation_batches()))

    moved = untrained_network(context)

    before, after = (network.module.eval()(images) for network in (plain, moved))
    assert torch.allclose(after, FAR[0] + FAR[1] * before, rtol=1e-4)


def test_a_last_layer_that_was_given_stays(context, tmp_path, monkeypatch):
    weights = tmp_path / "weights.safetensors"
    given = build_network(context.spec, seed=3).module
    save_weights(given, weights)
    monkeypatch.setattr(Classification, "targets_spread", lambda _: FAR)

    network = untrained_network(replace(context, weights=weights))

    assert torch.equal(last_linear(network.module).weight, last_linear(given).weight)
