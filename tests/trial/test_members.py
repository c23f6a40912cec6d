"""Networks that go on from the final network of another policy."""

import json
from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.study.propose.predict.cost_model import CarriedOut, CostModel
from autodepth.trial.phases.parent import untrained_network
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.05)
SMALL = Policy(
    origin="scratch", branches_removed=3, stream_width=0.5, fine_tune_epochs=1, train=TRAIN
)
GROWN = Policy(
    origin="member", base=SMALL, branches_removed=1, width_growth=2.0, fine_tune_epochs=1,
    train=TRAIN,
)  # fmt: skip
PRUNED = Policy(
    origin="member", base=GROWN, branches_removed=2, filter_sparsity=0.5, recalibration_batches=2,
    fine_tune_epochs=1, train=TRAIN,
)  # fmt: skip
CHAIN = (SMALL, GROWN, PRUNED)


def run(policy, context, folder):
    epochs = []
    folder.mkdir(exist_ok=True)
    return run_trial(policy, context, folder=folder, on_epoch=epochs.append), epochs


@pytest.fixture(scope="module")
def carried_out(context, tmp_path_factory):
    """Each of the chain as a search carries it out: what came before is found again."""
    folder = tmp_path_factory.mktemp("chain")
    cached = replace(context, cache=folder / "cache")
    return [run(policy, cached, folder / str(i)) for i, policy in enumerate(CHAIN)]


def test_a_policy_file_alone_repeats_the_whole_chain_to_the_bit(carried_out, context, tmp_path):
    told = json.loads(json.dumps(PRUNED.to_dict()))
    alone, epochs = run(Policy.from_dict(told), context, tmp_path)
    expected, found = carried_out[-1]

    assert alone.weights_sha256 == expected.weights_sha256
    assert [epoch.phase for epoch in epochs] == ["parent"] * 4 + ["fine_tune"]
    assert not any(epoch.replayed for epoch in epochs)
    assert [epoch.replayed for epoch in found] == [True] * 4 + [False]


def test_what_came_back_or_became_wider_changes_nothing_at_first(carried_out):
    small, grown = carried_out[0][0], carried_out[1][0]

    assert grown.parent_accuracy == small.point.validation_accuracy
    assert (len(small.removed), len(grown.removed)) == (3, 1)
    assert set(grown.removed) < set(small.removed)
    assert grown.point.macs > small.point.macs


def test_branches_that_go_from_a_member_are_gone_beside_those_that_were(carried_out):
    grown, pruned = carried_out[1][0], carried_out[2][0]

    assert len(pruned.removed) == 2
    assert set(grown.removed) < set(pruned.removed)
    assert set(pruned.sensitivities) == set(range(1, 7)) - set(grown.removed)


def test_costs_of_members_are_known_before_they_are_trained(carried_out, context):
    network = untrained_network(context)
    cost_model = CostModel(network, context)
    for trial, (policy, (result, _)) in enumerate(zip(CHAIN, carried_out, strict=True)):
        cost_model.learn(policy, result.sensitivities)
        costs = cost_model.costs(policy)
        assert costs.least == costs.most
        assert costs.least["macs"] == result.point.macs
        assert costs.least["parameters"] == result.point.parameters
        estimate = cost_model.share_left(policy) * network.total_macs
        assert estimate == pytest.approx(result.point.macs, rel=0.5)
        end = CarriedOut(
            trial=trial,
            removed=result.removed,
            macs=result.point.macs,
            accuracy=result.point.validation_accuracy,
        )
        cost_model.note(policy, end)


def test_a_member_that_is_only_trained_on_keeps_its_size(carried_out, context, tmp_path):
    longer = Policy(origin="member", base=SMALL, fine_tune_epochs=1, train=TRAIN)
    result, epochs = run(longer, context, tmp_path)
    small = carried_out[0][0]

    assert result.point.macs == small.point.macs
    assert result.removed == small.removed
    assert result.sensitivities == {}
    assert len(epochs) == 4


def test_fresh_seeds_go_through_the_whole_chain(carried_out, context, tmp_path):
    again, _ = run(GROWN, replace(context, replicate=1), tmp_path)

    assert again.point.macs == carried_out[1][0].point.macs
    assert again.parent_accuracy != carried_out[1][0].parent_accuracy


def test_what_branches_are_worth_is_not_shared_by_members_that_grew_differently(context):
    cost_model = CostModel(untrained_network(context), context)

    assert cost_model.parent(GROWN) != cost_model.parent(replace(GROWN, width_growth=1.5))
    assert cost_model.parent(GROWN) == cost_model.parent(replace(GROWN, fine_tune_epochs=5))
