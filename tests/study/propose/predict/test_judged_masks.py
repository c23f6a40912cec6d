"""What one trial judged says what other policies of its parent remove, and how far that is."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.trial.run_trial import run_trial

SMALL = ("network.name=resnet14", "data.train_images=48", "data.validation=60")
POLICY = Policy(
    removal="joint", branches_removed=2, train=replace(Policy().train, epochs=1, batch_size=16)
)
ALONE = {1: 0.1, 2: 0.4, 3: 0.2, 4: 0.9, 5: 0.05, 6: 0.3}
MASKS = {frozenset({1, 5}): 0.5, frozenset({3, 5}): 0.25, frozenset({1, 3, 5}): 0.75}


@pytest.fixture(scope="module")
def plan():
    return plan_search(SearchRequest(budget="1trials", settings=SMALL))


@pytest.fixture
def cost_model(plan):
    return CostModel(plan.network, plan.context)


@pytest.mark.parametrize(
    "goal", [{"branches_removed": 3}, {"macs_target": 0.8}, {"sensitivity_threshold": (0.9,)}]
)
def test_what_a_trial_judged_says_what_another_removes(plan, cost_model, tmp_path, goal):
    context, other = replace(plan.context, cache=tmp_path / "cache"), POLICY.removing(**goal)
    assert cost_model.masks.mask(other) is None
    first, second = (
        run_trial(policy, context, folder=tmp_path, on_epoch=lambda _: None)
        for policy in (POLICY, other)
    )
    cost_model.learn(POLICY, first.sensitivities, first.masks)

    assert cost_model.masks.mask(other) == set(second.removed)
    macs = cost_model.share_left(other) * plan.network.total_macs
    assert macs == pytest.approx(second.point.macs)
    judged = {frozenset({branch}): far for branch, far in second.sensitivities.items()}
    assert (
        cost_model.masks.divergence(other) == {**judged, **second.masks}[frozenset(second.removed)]
    )


def test_nothing_that_goes_is_no_distance(cost_model):
    cost_model.learn(POLICY, ALONE, MASKS)

    assert cost_model.masks.divergence(POLICY.removing(branches_removed=0)) == 0.0
    assert cost_model.masks.divergence(POLICY.removing(branches_removed=1)) == 0.05
    assert cost_model.masks.divergence(POLICY) == 0.25


@pytest.mark.parametrize(
    "change",
    [
        {"removal": "one_shot"},
        {"survival_prob_last": 0.5},  # another parent
        {"least_per_stage": 0},
        {"protected": (2,)},
        {"branches": (3, 5), "branches_removed": None},
    ],
)
def test_what_was_judged_by_other_rules_says_nothing(cost_model, change):
    cost_model.learn(POLICY, ALONE, MASKS)

    assert cost_model.masks.divergence(replace(POLICY, **change)) is None
    assert cost_model.share_left(replace(POLICY, **change)) > 0
