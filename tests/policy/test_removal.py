"""Thresholds choose branches; a stage never loses all of its."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.removal import branches_to_remove

STAGES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
sensitivities = st.fixed_dictionaries({b: st.floats(-1, 1) for b in STAGES})
threshold = st.floats(-1.5, 1.5)


def test_branches_below_their_threshold_go():
    lost = {1: 0.30, 2: 0.01, 3: -0.02, 4: 0.20, 5: 0.04}

    assert branches_to_remove(lost, STAGES, [0.05]) == (2, 3, 5)
    assert branches_to_remove(lost, STAGES, [0.05, 0.0], "stage") == (2, 3)
    assert branches_to_remove(lost, STAGES, [1, 0, 0, 1, 0], "block") == (1, 3, 4)


def test_the_most_sensitive_of_a_stage_stays_when_all_would_go():
    lost = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.3, 5: 0.1}

    assert branches_to_remove(lost, STAGES, [1.0]) == (1, 3, 5)


def test_no_threshold_removes_nothing():
    assert branches_to_remove({1: -1.0}, STAGES, None) == ()


def test_branches_that_were_not_scored_stay():
    assert branches_to_remove({2: -1.0}, STAGES, [0.5]) == (2,)


@given(sensitivities, threshold, threshold)
def test_a_higher_threshold_never_brings_a_branch_back(lost, one, other):
    low, high = sorted((one, other))

    assert set(branches_to_remove(lost, STAGES, [low])) <= set(
        branches_to_remove(lost, STAGES, [high])
    )


@given(sensitivities, st.lists(threshold, min_size=5, max_size=5))
def test_every_stage_keeps_a_branch(lost, thresholds):
    kept = set(STAGES) - set(branches_to_remove(lost, STAGES, thresholds, "block"))

    assert {STAGES[branch] for branch in kept} == {1, 2}


@pytest.mark.parametrize(
    ("thresholds", "per", "expected"),
    [([0.1, 0.2], "network", 1), ([0.1], "stage", 2), ([0.1] * 4, "block", 5)],
)
def test_the_number_of_thresholds_must_fit(thresholds, per, expected):
    with pytest.raises(InputError, match=f"per {per} needs {expected} values"):
        branches_to_remove({1: 0.0}, STAGES, thresholds, per)
