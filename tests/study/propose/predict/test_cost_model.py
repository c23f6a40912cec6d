"""What is known ahead agrees with what a trial comes to."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autodepth.networks.pruning.width import prune_width
from autodepth.policy.policy import Policy
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.objectives import parse_constraint
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.run_trial import run_trial

SMALL = ("network.name=resnet14", "data.train_images=48", "data.validation=60")
TRAIN = replace(Policy().train, epochs=1, batch_size=16)
SCORES = {1: 0.1, 2: 0.4, 3: 0.2, 4: 0.9, 5: 0.05, 6: 0.3}


@pytest.fixture(scope="module")
def plan():
    return plan_search(SearchRequest(budget="1trials", settings=SMALL))


def test_a_trial_ends_with_the_network_that_was_foreseen(plan, tmp_path):
    policy = Policy(
        sensitivity_threshold=(0.9, 0.9, 0.9), threshold_per="stage", filter_sparsity=0.5,
        fine_tune_epochs=1, train=TRAIN,
    )  # fmt: skip
    cost_model = CostModel(plan.network, plan.context)
    assert cost_model.removed(policy) is None  # nothing was scored yet
    result = run_trial(policy, plan.context, folder=tmp_path, on_epoch=lambda _: None)
    cost_model.learn(policy, result.sensitivities)

    assert tuple(sorted(cost_model.removed(policy))) == result.removed
    costs = cost_model.costs(policy)
    assert costs.least == costs.most
    assert costs.least["macs"] == result.point.macs
    assert costs.least["parameters"] == result.point.parameters


def test_widths_of_single_branches_are_known_ahead(plan):
    policy = Policy(branches=(3,), widths=((2, 0.5), (5, 0.25)), filter_sparsity=0.5, train=TRAIN)
    cost_model, network = CostModel(plan.network, plan.context), plan.network
    gone = {1: 0.5, 2: 0.5, 4: 0.5, 5: 0.75, 6: 0.5}
    costs = cost_model.costs(policy).most

    assert costs["macs"] == prune_width(network.without([3]), gone).total_macs
    assert cost_model.share_left(policy) == costs["macs"] / network.total_macs


def test_policies_that_come_to_one_network_are_known_by_one_key(plan):
    cost_model = CostModel(plan.network, plan.context)
    low = Policy(sensitivity_threshold=(0.3,), train=TRAIN)
    same = replace(low, sensitivity_threshold=(0.29,))
    other = replace(low, sensitivity_threshold=(1.1,))
    assert cost_model.end(low) is None
    cost_model.learn(low, SCORES)

    assert cost_model.end(low) == cost_model.end(same) != cost_model.end(other)
    assert cost_model.end(replace(same, fine_tune_epochs=1)) != cost_model.end(low)
    assert cost_model.parent(low) == cost_model.parent(replace(low, filter_sparsity=0.5))
    assert cost_model.parent(low) != cost_model.parent(replace(low, survival_prob_last=0.5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    count=st.integers(0, 6),
    sparsity=st.sampled_from([0.0, 0.5]),
    scores=st.lists(st.floats(0, 1), min_size=6, max_size=6),
)
def test_before_scoring_the_costs_are_bounded_from_both_sides(plan, count, sparsity, scores):
    policy = Policy(branches_removed=count, filter_sparsity=sparsity, train=TRAIN)
    unknown = CostModel(plan.network, plan.context).costs(policy)
    known = CostModel(plan.network, plan.context)
    known.learn(policy, dict(enumerate(scores, start=1)))
    exact = known.costs(policy).least

    for name in ("macs", "parameters"):
        assert unknown.least["macs"] <= exact["macs"] <= unknown.most["macs"]
        assert exact[name] <= unknown.most[name]


def test_a_bound_is_broken_only_where_that_is_certain(plan):
    bounds = tuple(map(parse_constraint, ("macs <= 50%", "accuracy >= 0.9")))
    cost_model = CostModel(plan.network, plan.context, bounds)
    nothing_goes = Policy(train=TRAIN)
    anything_may_go = Policy(sensitivity_threshold=(0.1,), train=TRAIN)

    assert cost_model.broken(nothing_goes) == {"macs <= 50%": pytest.approx(1.0)}
    assert cost_model.broken(anything_may_go) == {}
    cost_model.learn(anything_may_go, dict.fromkeys(SCORES, 1.0))  # all equal: none goes
    assert cost_model.broken(anything_may_go) == {"macs <= 50%": pytest.approx(1.0)}


def test_a_bound_on_latency_is_checked_by_the_table_of_branches(plan):
    table = LatencyTable(
        device="a CPU",
        threads=1,
        whole_ms=10.0,
        around_ms=4.0,
        branches_ms=dict.fromkeys(SCORES, 1.0),
    )
    bound = (parse_constraint("latency_ms <= 60%"),)
    context = replace(plan.context, latency_tables={"latency_ms": table})
    nothing_goes = Policy(train=TRAIN)
    two_may_go = Policy(branches_removed=2, train=TRAIN)
    three_go = Policy(branches_removed=3, train=TRAIN)
    cost_model = CostModel(plan.network, context, bound)

    # 10 ms and 8 ms, less a margin of a tenth, are over 6 ms; 7 ms is not over it by enough.
    assert cost_model.broken(nothing_goes) == {"latency_ms <= 60%": pytest.approx(0.5)}
    assert cost_model.broken(two_may_go) == {"latency_ms <= 60%": pytest.approx(0.2)}
    assert cost_model.broken(replace(three_go, filter_sparsity=0.5)) == {}
    assert CostModel(plan.network, plan.context, bound).broken(nothing_goes) == {}


def test_work_counts_the_teacher_and_what_comes_between_removals(plan):
    cost_model = CostModel(plan.network, plan.context)
    at_once = Policy(branches=(1, 2, 3), fine_tune_epochs=6, train=TRAIN)
    taught = replace(at_once, distillation=0.5)
    apart = replace(at_once, removal="iterative", removal_step=1, between_epochs=2)
    one, left = cost_model.tuning_work(at_once), cost_model.share_left(at_once)

    assert cost_model.tuning_work(taught) == pytest.approx(one + 6 / 3)
    halfway = cost_model.training_work((1 + left) / 2)
    assert cost_model.tuning_work(apart) == pytest.approx(one + 3 * 2 * halfway)
    assert cost_model.tuning_work(replace(apart, distillation=0.5)) == pytest.approx(
        cost_model.tuning_work(apart) + (6 + 3 * 2) / 3
    )
