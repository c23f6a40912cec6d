"""Scores and goals choose branches; a stage never loses all of its, the protected stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.policy.removal import Removal, floors, unit_of

STAGES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
MACS = {1: 10, 2: 20, 3: 30, 4: 40, 5: 50}
TOTAL = 200  # 50 of them outside of branches
scores = st.fixed_dictionaries({b: st.floats(-1, 1) for b in STAGES})
threshold = st.floats(-1.5, 1.5)
branch_sets = st.sets(st.sampled_from(sorted(STAGES)))


def removal(**policy):
    if "sensitivity_threshold" in policy:
        policy["sensitivity_threshold"] = tuple(policy["sensitivity_threshold"])
    return Removal(policy=Policy(**policy), stages=STAGES, macs=MACS, total_macs=TOTAL)


def going(worth, thresholds, per="network", **policy):
    rule = removal(sensitivity_threshold=thresholds, threshold_per=per, **policy)
    return tuple(sorted(rule.step(worth, ())))


def test_branches_below_their_threshold_go():
    worth = {1: 0.30, 2: 0.01, 3: -0.02, 4: 0.20, 5: 0.04}

    assert going(worth, [0.05]) == (2, 3, 5)
    assert going(worth, [0.05, 0.0], "stage") == (2, 3)
    assert going(worth, [0, 1, 0, 0, 1], "block") == (2, 3, 5)
    assert going(worth, [1, 0, 0, 1, 0], "block") == (3,)  # 1 and 4 are the best of their stages


def test_the_most_sensitive_of_a_stage_stays_when_all_would_go():
    worth = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.3, 5: 0.1}

    assert going(worth, [1.0]) == (1, 3, 5)


def test_without_a_goal_nothing_goes():
    assert removal().step({1: -1.0}, ()) == ()


def test_branches_that_were_not_scored_stay():
    assert going({2: -1.0}, [0.5]) == (2,)


def test_a_count_takes_the_weakest_in_order():
    worth = {1: 0.5, 2: 0.9, 3: 0.1, 4: 0.3, 5: 0.2}

    assert removal(branches_removed=3).step(worth, ()) == (3, 5, 1)
    assert removal(branches_removed=9).step(worth, ()) == (3, 5, 1)  # one per stage stays
    assert removal(branches_removed=0).step(worth, ()) == ()
    assert removal(branches_removed=3).step(worth, (3,), most=1) == (5,)
    assert removal(branches_removed=1).step(worth, (3,)) == ()


def test_a_target_of_macs_is_met_with_as_few_as_the_order_allows():
    worth = {1: 0.5, 2: 0.9, 3: 0.1, 4: 0.3, 5: 0.2}

    assert removal(macs_target=1.0).step(worth, ()) == ()
    assert removal(macs_target=0.85).step(worth, ()) == (3,)
    assert removal(macs_target=0.84).step(worth, ()) == (3, 5)
    assert removal(macs_target=0.01).step(worth, ()) == (3, 5, 1)


@given(scores, threshold, threshold)
def test_a_higher_threshold_never_keeps_a_branch_a_lower_one_removed(worth, one, other):
    low, high = sorted((one, other))

    assert set(going(worth, [low])) <= set(going(worth, [high]))


@given(scores, st.lists(st.tuples(threshold, threshold), min_size=5, max_size=5))
def test_nor_does_any_of_several_thresholds(worth, pairs):
    low, high = [min(pair) for pair in pairs], [max(pair) for pair in pairs]

    assert set(going(worth, low, "block")) <= set(going(worth, high, "block"))


@given(scores, st.lists(threshold, min_size=5, max_size=5), branch_sets)
def test_every_stage_keeps_a_branch_and_the_protected_stay(worth, thresholds, protected):
    gone = set(going(worth, thresholds, "block", protected=tuple(sorted(protected))))

    assert {STAGES[branch] for branch in set(STAGES) - gone} == {1, 2}
    assert not gone & protected


@given(scores, st.floats(0.01, 1), branch_sets)
def test_a_target_is_met_or_nothing_more_may_go(worth, target, protected):
    gone = removal(macs_target=target, protected=tuple(sorted(protected))).step(worth, ())
    left = TOTAL - sum(MACS[branch] for branch in gone)
    stages = [STAGES[branch] for branch in STAGES if branch not in gone]
    free = [
        branch
        for branch in STAGES
        if branch not in protected | set(gone) and stages.count(STAGES[branch]) > 1
    ]

    assert left <= target * TOTAL or not free


@pytest.mark.parametrize(
    ("thresholds", "per", "expected"),
    [([0.1, 0.2], "network", 1), ([0.1], "stage", 2), ([0.1] * 4, "block", 5)],
)
def test_the_number_of_thresholds_must_fit(thresholds, per, expected):
    with pytest.raises(InputError, match=f"per {per} needs {expected} values"):
        going({1: 0.0}, thresholds, per)


def test_a_protected_branch_must_be_there():
    with pytest.raises(InputError, match="branches of the network, 1 to 5, but got 6"):
        removal(protected=(2, 6))


def test_the_unit_is_the_mean_of_what_branches_are_worth():
    assert unit_of({1: 2.0, 2: 4.0, 3: -9.0}) == 2.0
    assert unit_of({1: -1.0, 2: 0.0}) == 1.0
    assert unit_of({}) == 1.0


@given(
    scores, st.permutations([1, 2, 4]), st.integers(1, 3), st.sampled_from(["greedy", "one_shot"])
)
def test_named_branches_go_in_their_order_whatever_they_are_worth(worth, branches, most, mode):
    rule = removal(branches=tuple(branches), removal=mode)

    assert rule.step(worth, ()) == rule.step({}, ()) == tuple(branches)
    assert rule.step(worth, (), most=most) == tuple(branches[:most])
    assert rule.step(worth, branches[:most]) == tuple(branches[most:])


def test_a_named_branch_has_to_be_there():
    with pytest.raises(InputError, match=r"branches must name .* 1 to 5, but got 6"):
        removal(branches=(2, 6))
    assert removal(branches=()).step({1: -1.0}, ()) == ()


def test_floors_of_a_stage_are_what_it_has_at_most():
    assert floors(STAGES, 2) == [([1, 2], 2), ([3, 4, 5], 2)]
    assert floors(STAGES, 5) == [([1, 2], 2), ([3, 4, 5], 3)]
    assert floors({}, 1) == []
