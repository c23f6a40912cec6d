"""A cut network is recovered before it is fine-tuned, without labels."""

from dataclasses import replace

import pytest
import torch

from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.reconstruction.reconstruct import Reconstructed
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.tasks.task import Task
from autodepth.trial.phases import recovery
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.recovery import fit_features
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=6, batch_size=32, learning_rate=0.1, precision="float32")
POLICY = Policy(branches_removed=2, train=TRAIN)


def run(policy, context, folder):
    return run_trial(policy, context, folder=folder, on_epoch=lambda _: None)


def test_each_step_recovers_more(context, tmp_path):
    # With as few as the 128 images of the other tests a parent answers images it has not seen
    # so badly that a network more like it need not have the smaller loss.
    data = load_data(DataSettings(name="digits", train_images=512, validation=100))
    context = replace(context, data=data, cache=tmp_path / "cache")
    found = {
        recovery: run(replace(POLICY, recovery=recovery), context, tmp_path)
        for recovery in ("none", "recalibrate", "reconstruct")
    }
    losses = {name: result.point.validation_loss for name, result in found.items()}

    assert losses["reconstruct"] < losses["recalibrate"] < losses["none"]
    solved, kept = found["reconstruct"].reached["recovery"]
    assert 0 < solved <= kept == 4
    assert "recovery" not in found["recalibrate"].reached


def test_without_batches_nothing_is_recovered(context, tmp_path):
    context = replace(context, cache=tmp_path / "cache")
    points = [
        replace(run(replace(POLICY, **change), context, tmp_path).point, latency_ms=0)
        for change in ({"recovery": "none"}, {"recalibration_batches": 0})
    ]

    assert points[0] == points[1]


@pytest.mark.parametrize("change", [{"stream_width": 0.5}, {"branches_removed": 0}])
def test_what_cannot_or_need_not_be_fitted_is_left(context, tmp_path, change):
    policy = replace(POLICY, recovery="reconstruct", **change)

    assert "recovery" not in run(policy, context, tmp_path).reached


def test_images_are_as_many_as_asked_and_carry_no_labels(context):
    batches = context.features_of(70, "features")

    assert sum(len(batch) for batch in batches) == 70
    again = context.features_of(70, "features")
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


def test_no_more_images_are_taken_than_there_is_memory_for(context, monkeypatch):
    from autodepth.trial.phases import recovery
    from autodepth.trial.phases.parent import train_parent

    network = train_parent(POLICY, context, lambda _: None).network
    taken = []

    def note(parent, smaller, batches, generator):
        taken.append(sum(len(batch) for batch in batches))
        return real(parent, smaller, batches, generator)

    real = recovery.reconstruct
    monkeypatch.setattr(recovery, "reconstruct", note)
    monkeypatch.setattr(recovery, "_MOST_NUMBERS", 16 * 8 * 8 * 20)
    fit_features(network, network.without([2]), POLICY, context)

    assert sum(taken) <= 20


def test_what_does_not_answer_more_like_the_parent_is_taken_back(context, monkeypatch):
    def spoil(parent, smaller, batches, generator):
        for parameter in smaller.module.parameters():
            parameter.data.mul_(-3.0)
        return Reconstructed(solved=(1, 3), left=())

    network = train_parent(POLICY, context, lambda _: None).network
    smaller = network.without([2])
    before = {name: value.clone() for name, value in smaller.module.state_dict().items()}
    monkeypatch.setattr(recovery, "reconstruct", spoil)

    assert fit_features(network, smaller, POLICY, context) == 0
    after = smaller.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


class OneNumber(Task):
    def batches(self, split, *, batch_size, generator):
        raise NotImplementedError

    def loss(self, outputs, targets):
        raise NotImplementedError


def test_how_far_from_its_parent_a_network_is_the_task_says():
    spec = NetworkSpec(name="resnet8", classes=1)
    parent, network = (build_network(spec, seed=seed) for seed in (0, 1))
    images = [torch.randn(4, 3, 32, 32), torch.randn(2, 3, 32, 32)]

    parent.module.eval()
    distance = recovery.DistanceFrom(parent, images, OneNumber())
    found = distance(network)

    expected = sum((network.module(x) - parent.module(x)).square().sum().item() for x in images)
    assert found == pytest.approx(expected, rel=1e-5)
    assert distance(parent) == 0
    torch.nn.init.zeros_(next(parent.module.parameters()))
    assert distance(network) == found  # the parent's answers are kept
