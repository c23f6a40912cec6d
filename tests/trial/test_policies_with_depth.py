"""Every setting of a policy does what it says, to the numbers."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import InputError
from autodepth.networks.catalogue import build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.removal import unit_of
from autodepth.policy.survival import by_sensitivity, expected_cost, survival_probabilities
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.parent import SurvivalOverTime, score_branches, train_parent
from autodepth.trial.phases.recovery import recalibrate_batch_norm
from autodepth.trial.run_trial import run_trial

# Numbers are compared with those by hand, so not in the bfloat16 that some CPUs multiply.
TRAIN = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.1, precision="float32")


def run(policy, context, folder):
    epochs = []
    return run_trial(policy, context, folder=folder, on_epoch=epochs.append), epochs


def test_explicit_probabilities_are_taken_and_stored(context, tmp_path):
    survival = (1.0, 0.9, 0.5, 0.5, 0.9, 1.0)
    result, epochs = run(Policy(survival=survival, train=TRAIN), context, tmp_path)

    assert result.survival == survival
    assert all(epoch.branches_expected == pytest.approx(sum(survival)) for epoch in epochs)
    with pytest.raises(InputError, match="one probability for each of 6 branches, but got 2"):
        run(Policy(survival=(0.5, 0.5), train=TRAIN), context, tmp_path)


def test_sensitivity_driven_survival_drops_the_weak_more_at_equal_cost(context):
    policy = Policy(survival_prob_last=0.4, decay_shape="sensitivity", train=TRAIN)
    half = {}

    def hear(epoch):
        if epoch.number == 3:
            half.update(expected=epoch.branches_expected)

    parent = train_parent(policy, context, hear)
    network, rule = parent.network, survival_probabilities(0.4, 6)
    macs = [branch.macs for branch in network.branches]
    assert parent.survival != rule
    assert expected_cost(parent.survival, macs) == pytest.approx(expected_cost(rule, macs))
    assert half["expected"] == pytest.approx(sum(parent.survival))


def test_random_depth_in_fine_tuning_is_folded_into_the_result(context, tmp_path):
    policy = Policy(fine_tune_p_L=0.5, fine_tune_epochs=2, train=TRAIN)
    result, epochs = run(policy, context, tmp_path)

    assert [e.branches_expected for e in epochs[4:]] == pytest.approx([4.25, 4.25])
    assert result.point.validation_accuracy == pytest.approx(
        epochs[-1].validation_accuracy, abs=0.02
    )


def test_recalibration_gives_the_mean_statistics_of_the_batches(context):
    network = build_network(context.spec, seed=1)
    weights = {name: value.clone() for name, value in network.module.named_parameters()}
    batches = list(context.training_batches(32, "test"))[:3]
    stem = network.module.get_submodule("bn1")
    with torch.no_grad():
        conv = network.module.get_submodule("conv1")
        means = [conv(images).mean((0, 2, 3)) for images, _ in batches]

    recalibrate_batch_norm(network, context.training_batches(32, "test"), 3)

    assert torch.allclose(stem.running_mean, torch.stack(means).mean(0), atol=1e-5)
    assert stem.momentum == 0.1
    assert not network.module.training
    assert all(torch.equal(v, weights[n]) for n, v in network.module.named_parameters())


def test_a_branch_that_cannot_be_removed_takes_no_part_in_what_is_dealt_out(context):
    network = build_network(context.spec, seed=1)
    policy = Policy(survival_prob_last=0.5, decay_shape="sensitivity")
    survival = SurvivalOverTime(policy, network)
    before, macs = survival.lowest, [branch.macs for branch in network.branches]
    survival.redistribute({b.index: float(b.index) for b in network.branches if b.index != 4})

    assert survival.lowest[3] == before[3]  # it has no score, and is always computed
    free = [i for i in range(len(macs)) if i != 3]
    costs = [
        expected_cost([chances[i] for i in free], [macs[i] for i in free])
        for chances in (before, survival.lowest)
    ]
    assert costs[0] == pytest.approx(costs[1])
    assert survival.lowest != before


def test_recalibration_draws_nothing(context):
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

        def forward(self, x):
            return x + self.norm(F.dropout(self.conv(x), 0.5, self.training))

    stem, head = nn.Conv2d(1, 8, 3), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module = nn.Sequential(stem, Dropping(), head, nn.Linear(8, 10))
    network = ResidualNetwork.from_module(module, (1, 8, 8))

    def statistics():
        recalibrate_batch_norm(network, context.training_batches(32, "test"), 2)
        return network.module.get_buffer("1.norm.running_var").clone()

    assert torch.equal(statistics(), statistics())


def test_no_batches_leave_the_statistics(context):
    network = build_network(context.spec, seed=1)
    before = {k: v.clone() for k, v in network.module.state_dict().items()}

    recalibrate_batch_norm(network, context.training_batches(32, "test"), 0)

    assert all(torch.equal(v, before[k]) for k, v in network.module.state_dict().items())


def greedy_by_hand(policy, context, network, count):
    removed = []
    for _ in range(count):
        scores = score_branches(policy, context, network.without(removed))
        order = sorted(scores, key=lambda b: (scores[b], b))
        best = {network.branches[b - 1].stage: b for b in order}  # the last of a stage counts
        removed.append(next(b for b in order if b not in best.values()))
    return tuple(sorted(removed))


def test_greedy_removal_scores_anew_after_each_step(context, tmp_path):
    policy = Policy(removal="greedy", branches_removed=3, train=TRAIN)
    result, _ = run(policy, context, tmp_path)
    parent = train_parent(policy, context, lambda _: None).network

    assert result.removed == greedy_by_hand(policy, context, parent, 3)
    assert set(result.sensitivities) == set(range(1, 7))


def test_iterative_removal_fine_tunes_after_each_step(context, tmp_path):
    policy = Policy(
        removal="iterative", branches_removed=3, removal_step=2, between_epochs=2,
        fine_tune_epochs=1, train=TRAIN,
    )  # fmt: skip
    result, epochs = run(policy, context, tmp_path)

    assert len(result.removed) == 3
    stages = ["parent"] * 4 + ["prune"] * 4 + ["fine_tune"]
    assert [(e.phase, e.step) for e in epochs] == [(s, i) for i, s in enumerate(stages, start=1)]
    assert [e.branches_computed for e in epochs[4:]] == [4, 4, 3, 3, 3]


@pytest.mark.parametrize("target", [0.9, 0.6])
def test_a_target_of_macs_is_kept(context, tmp_path, target):
    policy = Policy(macs_target=target, train=replace(TRAIN, epochs=1))
    result, _ = run(policy, context, tmp_path)
    whole = build_network(context.spec)

    assert result.point.macs <= target * whole.total_macs
    assert result.point.macs > target * whole.total_macs - max(b.macs for b in whole.branches)


def test_thresholds_speak_in_means_of_the_network(context, tmp_path):
    policy = Policy(sensitivity_threshold=(0.8,), train=TRAIN)
    result, _ = run(policy, context, tmp_path)
    unit = unit_of(result.sensitivities)

    below = {b for b, score in result.sensitivities.items() if score < 0.8 * unit}
    best = {}
    for branch in build_network(context.spec).branches:
        best[branch.stage] = max(
            best.get(branch.stage, (-math.inf, 0)),
            (result.sensitivities[branch.index], branch.index),
        )
    assert set(result.removed) == below - {branch for _, branch in best.values()}


def test_protected_branches_stay(context, tmp_path):
    policy = Policy(branches_removed=6, protected=(1, 3), train=replace(TRAIN, epochs=1))
    result, _ = run(policy, context, tmp_path)

    assert not {1, 3} & set(result.removed)
    assert len(result.removed) == 3  # 2, 4, and one of 5 and 6
    with pytest.raises(InputError, match="1 to 6, but got 9"):
        run(replace(policy, protected=(9,)), context, tmp_path)


def test_pruning_never_raises_the_cost(context, tmp_path):
    costs = []
    for share in (0.0, 0.3, 0.6, 0.9):
        policy = Policy(filter_sparsity=share, branches_removed=2, train=replace(TRAIN, epochs=1))
        costs.append(run(policy, context, tmp_path)[0].point.macs)

    assert costs == sorted(costs, reverse=True)
    assert costs[0] < build_network(context.spec).total_macs


def test_dealing_out_is_by_the_measured_scores():
    rule = survival_probabilities(0.5, 3)

    assert by_sensitivity(rule, (0.1, 0.9, 0.5), (1, 1, 1)) == pytest.approx(
        (0.5, rule[0], rule[1])
    )
