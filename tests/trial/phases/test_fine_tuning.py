"""Fine-tuning keeps to what its teacher computes on the way, where it is told to."""

from dataclasses import replace

import pytest
import torch

from autodepth.networks.gates.features import Features
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.pruning.magnitude import apply_masks, magnitude_masks
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import train_parent

TRAIN = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.02, precision="float32")
POLICY = Policy(branches=(2, 5), fine_tune_epochs=2, train=TRAIN)


@pytest.fixture(scope="module")
def parent(context):
    return train_parent(POLICY, context, lambda _: None).network


def tuned(policy, context, parent):
    network = parent.without(policy.branches)
    fine_tune(
        network, policy, context, parent=parent, epochs=policy.fine_tune_epochs,
        on_epoch=lambda _: None,
    )  # fmt: skip
    return network


def apart(network, parent, context):
    both = [GatedNetwork(each) for each in (network, parent)]
    for gated in both:
        gated.eval()
        gated.open_all()
    features = Features(*both)
    images, _ = next(iter(context.validation_batches()))
    with torch.no_grad():
        for gated in both:
            gated(images)
        return float(features.apart())


@pytest.mark.parametrize("gate_mode", ["batch", "sample"])
def test_features_that_count_stay_nearer_to_the_parents(context, parent, gate_mode):
    policy = replace(POLICY, gate_mode=gate_mode)
    kept = replace(policy, feature_distillation=10.0)
    before = {name: value.clone() for name, value in parent.module.state_dict().items()}

    near = apart(tuned(kept, context, parent), parent, context)
    assert near < 0.8 * apart(tuned(policy, context, parent), parent, context)
    assert all(torch.equal(parent.module.state_dict()[n], v) for n, v in before.items())


def test_a_narrower_stream_has_no_teacher_of_features():
    kept = replace(POLICY, feature_distillation=1.0)

    assert kept.has_teacher
    assert kept.shaping("fine_tune")["feature_distillation"] == 1.0
    narrow = replace(kept, stream_width=0.5)
    assert not narrow.has_teacher
    assert narrow.shaping("fine_tune") == replace(POLICY, stream_width=0.5).shaping("fine_tune")


def test_at_its_default_it_is_not_written():
    assert "feature_distillation" not in POLICY.to_dict()


def test_weights_that_are_zero_are_zero_in_their_mean(context, parent):
    mean = replace(POLICY, train=replace(TRAIN, ema=0.9))
    network = parent.without(POLICY.branches)
    masks = magnitude_masks(network, 0.5)
    apply_masks(network, masks)
    fine_tune(
        network, mean, context, parent=parent, epochs=2, masks=masks, on_epoch=lambda _: None,
    )  # fmt: skip

    for name, mask in masks.items():
        assert not network.module.get_parameter(name)[~mask.bool()].any()
