"""Sets of branches are judged once, and answer policies of every goal."""

import itertools
from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.branches.joint import (
    jointly_removed,
    judge_masks,
    of_single_branches,
    solved_masks,
)
from autodepth.trial.phases.branches.judging import Judge
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.1, precision="float32")
POLICY = Policy(removal="joint", branches_removed=2, train=TRAIN)


@pytest.fixture(scope="module")
def parent(context):
    return train_parent(POLICY, context, lambda _: None).network


@pytest.fixture(scope="module")
def judged(context, parent):
    return judge_masks(context, parent, removal_from(parent, POLICY))


def going(judged, parent, **goal):
    least = goal.pop("least_per_stage", 1)
    policy = replace(POLICY.removing(**goal), least_per_stage=least)
    return jointly_removed(judged, removal_from(parent, policy), ())


def test_what_was_judged_is_what_the_judge_says(context, parent, judged):
    judge = Judge(parent, context.scoring_batches())
    for mask, far in judge(list(judged)).items():
        assert judged[mask] == pytest.approx(far.divergence if mask else 0.0)


def test_every_size_that_leaves_a_branch_in_each_stage_was_judged(judged):
    assert {len(mask) for mask in judged} == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_go_as_the_policy_says_and_the_closest_of_them(parent, judged, count):
    found = going(judged, parent, branches_removed=count)

    assert len(found) == count
    allowed = [m for m in judged if len(m) == count and removal_from(parent, POLICY).allows(m)]
    assert judged[frozenset(found)] == min(judged[mask] for mask in allowed)


def test_a_share_of_macs_is_reached_and_floors_hold(parent, judged):
    found = going(judged, parent, macs_target=0.7)
    left = parent.without(found).total_macs
    assert left <= 0.7 * parent.total_macs

    most = going(judged, parent, macs_target=0.01)  # more than may go
    stages = {branch.index: branch.stage for branch in parent.branches}
    assert {stages[b] for b in stages if b not in most} == set(stages.values())


def test_the_search_begins_with_what_loses_least_in_sum(parent):
    policy = replace(POLICY, protected=(3,))
    removal, alone = removal_from(parent, policy), {1: 0.1, 2: 3.0, 4: 1.0, 5: 2.0, 6: 0.5}
    costs = {branch.index: branch.macs for branch in parent.branches}
    every = [frozenset(c) for n in range(6) for c in itertools.combinations(alone, n)]
    found = solved_masks(parent, removal, {3: 0.0, **alone})

    assert {1} in found
    for mask in found:
        saving = [m for m in every if sum(map(costs.get, m)) >= sum(map(costs.get, mask))]
        least = min(sum(map(alone.get, m)) for m in saving if removal.allows(m))
        assert sum(map(alone.get, mask)) == pytest.approx(least)


def test_as_many_go_as_lie_below_a_threshold_alone(parent, judged):
    single = of_single_branches(judged)
    weak = sorted(single.values())[1] / (sum(single.values()) / len(single)) + 1e-9

    assert len(going(judged, parent, sensitivity_threshold=(weak,))) == 2


def test_protected_branches_stay(context, parent, judged):
    first = going(judged, parent, branches_removed=1)
    policy = replace(POLICY.removing(branches_removed=1), protected=first)
    removal = removal_from(parent, policy)

    assert jointly_removed(judge_masks(context, parent, removal), removal, ()) != first


def test_a_trial_removes_the_set_and_others_ask_for_nothing(context, tmp_path):
    kept = replace(context, cache=tmp_path / "cache")
    (tmp_path / "trial").mkdir()
    results = {}
    for count in (2, 1):
        policy = POLICY.removing(branches_removed=count)
        results[count] = run_trial(policy, kept, folder=tmp_path / "trial", on_epoch=lambda _: None)
        entries = sorted(entry.name for entry in (tmp_path / "cache").iterdir())
        known = results.setdefault("entries", entries)

    assert [len(results[count].removed) for count in (1, 2)] == [1, 2]
    assert entries == known
    assert results[1].sensitivities == results[2].sensitivities
    assert set(results[2].sensitivities) == {1, 2, 3, 4, 5, 6}
    assert results[1].masks == results[2].masks
    judged = {frozenset(results[count].removed) for count in (1, 2)}
    assert judged <= results[1].masks.keys() | {frozenset({b}) for b in range(1, 7)}
