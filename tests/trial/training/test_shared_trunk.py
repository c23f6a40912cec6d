"""Trainings of several lengths that begin with the same epochs: warm-up, stable, decay."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(
    epochs=2, batch_size=32, learning_rate=0.05, schedule="wsd", decay_share=0.5
)
SHORT = Policy(origin="scratch", branches_removed=4, stream_width=0.5, train=TRAIN,
               fine_tune_epochs=2)  # fmt: skip
PARENT = Policy(survival_prob_last=0.8, train=replace(TRAIN, epochs=4))
MEAN = replace(PARENT, train=replace(PARENT.train, ema=0.9))


def run(policy, context, folder):
    epochs = []
    folder.mkdir(exist_ok=True)
    return run_trial(policy, context, folder=folder, on_epoch=epochs.append), epochs


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (SHORT, replace(SHORT, fine_tune_epochs=4)),
        (PARENT, replace(PARENT, train=replace(PARENT.train, epochs=6))),
        (MEAN, replace(MEAN, train=replace(MEAN.train, epochs=6))),
    ],
    ids=["from scratch", "parent", "mean weights"],
)
def test_longer_training_goes_on_from_where_the_rate_fell_to_the_bit(
    context, tmp_path, short, long
):
    cached = replace(context, cache=tmp_path / "cache")
    run(short, cached, tmp_path / "short")
    shared, epochs = run(long, cached, tmp_path / "long")
    alone, _ = run(long, context, tmp_path / "alone")

    assert [epoch.replayed for epoch in epochs] == [True, True, False, False, False, False]
    assert shared.weights_sha256 == alone.weights_sha256


def test_one_that_drops_by_a_schedule_in_time_shares_nothing(context, tmp_path):
    cached = replace(context, cache=tmp_path / "cache")
    moving = replace(PARENT, depth_schedule="ramp")
    run(moving, cached, tmp_path / "short")
    longer = replace(moving, train=replace(moving.train, epochs=6))
    _, epochs = run(longer, cached, tmp_path / "long")

    assert not any(epoch.replayed for epoch in epochs)
