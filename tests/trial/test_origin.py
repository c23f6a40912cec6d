"""Small networks from scratch: built at their size, trained without a parent."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.trial.phases.parent import untrained_network
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.05)
SCRATCH = Policy(origin="scratch", branches_removed=3, fine_tune_epochs=1, train=TRAIN)


def run(policy, context, folder):
    epochs = []
    folder.mkdir(exist_ok=True)
    return run_trial(policy, context, folder=folder, on_epoch=epochs.append), epochs


def test_it_is_the_network_that_a_person_would_train(context, tmp_path):
    """The control of Liu et al. 2019: these branches gone from the start, as many epochs."""
    result, epochs = run(SCRATCH, context, tmp_path / "scratch")
    by_hand = replace(
        SCRATCH.removing(branches=result.removed), origin="parent", recovery="none",
        fine_tune_epochs=3,
        train=replace(TRAIN, epochs=0, fine_tune_learning_rate=TRAIN.learning_rate),
    )  # fmt: skip
    expected, _ = run(by_hand, context, tmp_path / "by hand")

    assert [epoch.phase for epoch in epochs] == ["fine_tune"] * 3
    assert result.weights_sha256 == expected.weights_sha256
    assert replace(result.point, latency_ms=1.0) == replace(expected.point, latency_ms=1.0)


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_all_of_it_is_as_narrow_as_the_width_says_and_its_cost_is_known_ahead(
    context, tmp_path, width
):
    policy = replace(SCRATCH, stream_width=width, survival_prob_last=0.8)
    network = untrained_network(context)
    cost_model = CostModel(network, context)
    costs, share = cost_model.costs(policy), cost_model.share_left(policy)
    result, epochs = run(policy, context, tmp_path)
    whole, _ = run(replace(policy, stream_width=1.0), context, tmp_path)

    assert costs.least == costs.most
    assert costs.least["macs"] == result.point.macs
    assert costs.least["parameters"] == result.point.parameters
    assert share == pytest.approx(result.point.macs / network.total_macs)
    # Convolutions cost by both widths; the first reads the image, the last layer gives classes.
    assert result.point.macs == pytest.approx(width**2 * whole.point.macs, rel=0.15)
    assert epochs[0].branches_expected < len(network.branches) - 3


def test_of_a_trained_network_the_strongest_channels_of_the_stream_stay(context, tmp_path):
    policy = Policy(stream_width=0.5, fine_tune_epochs=1, recalibration_batches=2, train=TRAIN)
    result, epochs = run(policy, context, tmp_path)
    whole, _ = run(replace(policy, stream_width=1.0), context, tmp_path)

    assert [epoch.phase for epoch in epochs] == ["parent"] * 2 + ["fine_tune"]
    assert result.point.macs == pytest.approx(0.5 * whole.point.macs, rel=0.05)
    assert result.parent_accuracy == whole.parent_accuracy


def test_what_a_scratch_policy_comes_to_is_said_once():
    carried_out = SCRATCH.carried_out

    assert carried_out.carried_out == carried_out
    assert Policy(train=TRAIN).carried_out == Policy(train=TRAIN)
    assert carried_out.train.epochs == 0
    assert carried_out.fine_tune_epochs == 3
    assert Policy.from_dict(SCRATCH.to_dict()) == SCRATCH
