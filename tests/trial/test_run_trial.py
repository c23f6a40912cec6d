"""A trial does what its policy says, the same way every time."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from autodepth.errors import DivergenceError
from autodepth.networks.catalogue import build_network
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.widths import changed_shapes, take_shapes
from autodepth.networks.weights.own_files import load_saved
from autodepth.policy.policy import Policy
from autodepth.policy.removal import unit_of
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.run_trial import run_trial
from autodepth.trial.training.evaluation import evaluate

TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.1)
HYBRID = Policy(
    survival_prob_last=0.6, sensitivity_threshold=(1.0,), fine_tune_epochs=2, train=TRAIN
)


def run(policy, context, folder):
    epochs = []
    result = run_trial(policy, context, folder=folder, on_epoch=epochs.append)
    return result, epochs


def test_a_trial_trains_on_as_many_threads_as_it_may(context, tmp_path):
    """Sums of floats depend on how many threads add them up."""
    before, threads = torch.get_num_threads(), []
    torch.set_num_threads(context.threads + 1)
    try:
        run_trial(
            HYBRID, context, folder=tmp_path,
            on_epoch=lambda _: threads.append(torch.get_num_threads()),
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {context.threads}


def test_a_hybrid_policy_removes_fine_tunes_and_reports(context, tmp_path):
    result, epochs = run(HYBRID, context, tmp_path)

    assert result.removed
    unit = unit_of(result.sensitivities)
    assert all(result.sensitivities[branch] < unit for branch in result.removed)
    assert set(result.sensitivities) == {1, 2, 3, 4, 5, 6}
    assert [e.sensitivities for e in epochs] == [{}, {}, {}, result.sensitivities, {}]
    assert [(e.phase, e.step) for e in epochs] == [
        ("parent", 1), ("parent", 2), ("parent", 3), ("fine_tune", 4), ("fine_tune", 5),
    ]  # fmt: skip
    assert all(e.branches_computed <= 6 for e in epochs[:3])
    assert all(e.branches_computed == 6 - len(result.removed) for e in epochs[3:])
    assert result.point.validation_accuracy == epochs[-1].validation_accuracy
    assert list(result.phase_seconds) == ["parent", "sensitivity", "prune", "fine_tune", "measure"]


def test_the_saved_weights_are_the_measured_network(context, tmp_path):
    result, _ = run(HYBRID, context, tmp_path)
    network = build_network(context.spec).without(result.removed)
    load_saved(network.module, tmp_path / result.weights_file)
    network.module.eval()

    again = evaluate(network.module, context.validation_batches())

    assert again.accuracy == result.point.validation_accuracy
    assert again.loss == result.point.validation_loss
    assert count_macs(network.module, torch.zeros(1, 1, 8, 8)) == result.point.macs
    assert (tmp_path / result.weights_file).stat().st_size == result.point.size_bytes


def test_pruned_filters_make_branches_narrower_and_pruned_weights_stay_zero(context, tmp_path):
    policy = replace(HYBRID, filter_sparsity=0.5, weight_sparsity=0.6)
    result, _ = run(policy, context, tmp_path)
    plain = build_network(context.spec).without(result.removed)
    state = load_file(tmp_path / result.weights_file)

    widths = changed_shapes(plain.module, state)
    take_shapes(plain.module, widths)
    plain.module.load_state_dict(state)
    plain.module.eval()
    again = evaluate(plain.module, context.validation_batches())

    assert {name.split(".")[2] for name in widths} == {"conv1", "bn1", "conv2"}
    assert count_macs(plain.module, torch.zeros(1, 1, 8, 8)) == result.point.macs
    assert again.loss == result.point.validation_loss
    weights = torch.cat([w.flatten() for name, w in state.items() if w.ndim > 1])
    assert (weights == 0).float().mean() == pytest.approx(0.6, abs=1e-3)
    assert result.point.effective_macs < 0.8 * result.point.macs
    branches = len(plain.branches) - len(result.removed)
    tensors = sum(w.ndim > 1 for w in state.values())
    assert result.reached == {
        "filter_sparsity": (branches, branches),
        "weight_sparsity": (tensors, tensors),
    }


def test_nothing_is_cut_but_what_the_policy_says(context, tmp_path):
    result, _ = run(replace(HYBRID, weight_sparsity=0.5), context, tmp_path)

    assert result.point.macs == build_network(context.spec).without(result.removed).total_macs
    whole, _ = run(HYBRID, context, tmp_path)
    assert whole.point.effective_macs == result.point.macs
    assert whole.reached == {}
    assert list(result.reached) == ["weight_sparsity"]


def test_the_same_policy_gives_the_same_result(context, tmp_path):
    one, _ = run(HYBRID, context, tmp_path)
    other, _ = run(HYBRID, context, tmp_path)

    assert one.sensitivities == other.sensitivities
    assert replace(one.point, latency_ms=0) == replace(other.point, latency_ms=0)


def test_another_seed_and_another_replicate_give_other_networks(context, tmp_path):
    losses = {
        run(HYBRID, changed, tmp_path)[0].point.validation_loss
        for changed in (context, replace(context, seed=12), replace(context, replicate=1))
    }

    assert len(losses) == 3


def test_without_threshold_and_fine_tuning_the_parent_is_the_result(context, tmp_path):
    result, _ = run(Policy(train=TRAIN), context, tmp_path)

    assert result.removed == ()
    assert result.sensitivities == {}
    assert result.point.validation_accuracy == result.parent_accuracy == result.pruned_accuracy
    assert result.point.macs == build_network(context.spec).total_macs


def test_without_training_epochs_the_given_network_is_taken_as_it_is(context, tmp_path):
    policy = Policy(survival_prob_last=0.5, train=replace(TRAIN, epochs=0))
    result, epochs = run(policy, context, tmp_path)

    assert epochs == []
    assert result.survival == (1.0,) * 6


def test_training_learns(context, tmp_path):
    trained = Policy(train=replace(TRAIN, epochs=12))
    result, epochs = run(trained, context, tmp_path)

    assert epochs[-1].train_loss < 0.5 * epochs[0].train_loss
    assert result.point.validation_accuracy > 0.4  # chance is 0.1


def test_a_rate_that_is_far_too_high_ends_the_trial_with_its_reason(context, tmp_path):
    policy = Policy(train=replace(TRAIN, learning_rate=1e9))

    with pytest.raises(DivergenceError, match=r"loss became (nan|inf)"):
        run(policy, context, tmp_path)


def test_scoring_images_are_evenly_spread(context):
    few = replace(context, sensitivity_images=7).scoring_batches().images

    assert len(few) == 7
    assert len(replace(context, sensitivity_images=10_000).scoring_batches().images) == 100
    assert math.isfinite(float(few.labels.sum()))


def test_training_and_fine_tuning_move_every_weight_of_every_branch(context):
    policy = replace(HYBRID, survival_prob_last=1.0)
    fresh = build_network(context.spec, seed=context.seed_for("init")).module
    parent = train_parent(policy, context, lambda _: None).network
    before = {name: value.clone() for name, value in parent.module.named_parameters()}

    fine_tune(parent, policy, context, parent=parent, epochs=2, on_epoch=lambda _: None)

    for name, value in parent.module.named_parameters():
        assert not torch.equal(before[name], fresh.get_parameter(name)), name
        assert not torch.equal(value, before[name]), name
