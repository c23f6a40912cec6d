"""Suggestions are answered, refused or parked before anything is trained."""

from dataclasses import replace

import pytest

from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.policy.policy import Policy
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import load_space
from autodepth.study.propose.start_policies import parent_point, start_points

ONE_PARENT = ("search={branches_removed: {type: int, min: 0, max: 3}}",)
SCORES = {branch: 0.1 * branch for branch in range(1, 7)}
OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=1.0),
)


def test_two_workers_never_train_one_parent(make_proposals):
    proposals = make_proposals(*ONE_PARENT)
    first = proposals.next()
    proposals.started(first, 1)

    assert first.new_parent
    assert proposals.next() is None  # every policy of this space waits for that parent
    assert not proposals.exhausted
    proposals.parents.ready(first.parent, first.point)
    second = proposals.next()
    assert not second.new_parent
    assert second.parent == first.parent


def test_a_suggestion_that_comes_to_a_known_network_is_answered_at_once(make_proposals):
    proposals = make_proposals(*ONE_PARENT)
    tried = []
    while (proposal := proposals.next()) is not None:
        proposals.started(proposal, len(tried))
        tried.append(proposal.point["branches_removed"])
        proposals.parents.ready(proposal.parent, proposal.point)
        proposals.foresight.learn(proposal.policy, SCORES)
        proposals.answer(proposal, [0.5, 1e6])

    assert sorted(tried) == [0, 1, 2, 3]  # each once, though the sampler draws blindly
    assert proposals.exhausted
    assert proposals.duplicates > 100


def test_a_twin_of_a_running_trial_gets_its_answer_too(make_proposals):
    proposals = make_proposals(
        *ONE_PARENT, first=[{"branches_removed": 2}, {"branches_removed": 2}]
    )
    train = {"epochs": 10, "batch_size": 16, "learning_rate": 0.05}
    policy = Policy.from_dict({"branches_removed": 2, "train": train})
    proposals.foresight.learn(policy, SCORES)
    proposals.parents.ready(proposals.foresight.parent(policy), {})
    first = proposals.next()
    second = proposals.next()

    assert (first.point["branches_removed"], proposals.duplicates >= 1) == (2, True)
    assert second.point["branches_removed"] != 2
    proposals.answer(first, [0.9, 1.0])  # raises if the twin could not be told


TUNED = (
    "search={branches_removed: {type: int, min: 0, max: 1},"
    " fine_tune_epochs: {type: int, min: 1, max: 9}}",
)


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "running"])
def test_a_network_that_was_fine_tuned_longer_is_not_fine_tuned_anew(ended, make_proposals):
    proposals = make_proposals(*TUNED, first=[{"branches_removed": 1, "fine_tune_epochs": 5}])
    first = proposals.next()
    proposals.parents.ready(first.parent, first.point)
    proposals.foresight.learn(first.policy, SCORES)
    proposals.answer(first, None)  # its place was lost: it is tried again, its end known by now
    proposals.again(first.point)
    known = proposals.next()
    if ended:
        proposals.answer(known, [0.5, 1e6])

    longest = {1: 5, 0: 0}
    while (proposal := proposals.next()) is not None:
        removed, epochs = proposal.policy.branches_removed, proposal.policy.fine_tune_epochs
        assert epochs > longest[removed]
        longest[removed] = epochs
        proposals.started(proposal, 1)
        proposals.answer(proposal, [0.5, 1e6])
    assert longest == {1: 9, 0: 9}
    assert proposals.exhausted


def test_what_breaks_a_bound_for_certain_says_so(make_proposals):
    proposals = make_proposals(
        *ONE_PARENT, "constraints=[macs <= 60%]", first=[{"branches_removed": 0}]
    )

    assert proposals.next().broken == {"macs <= 60%": pytest.approx(2 / 3, rel=1e-3)}


def test_without_time_for_a_new_parent_a_known_one_is_taken(make_proposals):
    proposals = make_proposals(
        "search={p_L: {type: float, min: 0.5, max: 1.0},"
        " branches_removed: {type: int, min: 0, max: 3}}"
    )
    assert proposals.next(new_parents=False) is None
    assert not proposals.exhausted
    first = proposals.next()
    proposals.started(first, 1)
    proposals.parents.ready(first.parent, first.point)
    second = proposals.next(new_parents=False)

    assert second.parent == first.parent


@pytest.mark.parametrize(("sampler", "gap_share"), [("random", 1.0), ("tpe", 0.01)])
def test_a_policy_on_a_known_parent_falls_into_the_gap_of_the_front(
    sampler, gap_share, make_proposals
):  # by its share, or since the sampler could but draw blindly
    proposals = make_proposals(
        "search={p_L: {type: float, min: 0.5, max: 1.0},"
        " branches_removed: {type: int, min: 0, max: 4},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[{"p_L": 0.8, "branches_removed": 4}],
        sampler=sampler,
        gap_share=gap_share,
    )
    first, gaps, foresight = proposals.next(), proposals.gaps, proposals.foresight
    proposals.started(first, 0)
    proposals.parents.ready(first.parent, first.point)
    foresight.learn(first.policy, SCORES)
    for trial, (policy, accuracy) in enumerate(
        [(first.policy, 0.5), (first.policy.removing(branches_removed=0), 0.6)]
    ):
        gaps.ended(trial, [accuracy, foresight.share_left(policy) * foresight.whole_macs])

    def best():
        between = [first.policy.removing(branches_removed=count) for count in (1, 2, 3)]
        return max(between, key=lambda policy: rate(replace(policy, fine_tune_epochs=4)))

    def rate(policy):
        return gaps.worth(foresight.share_left(policy)) / foresight.tuning_work(policy)

    expected = best()
    second = proposals.next(new_parents=False)

    assert second.parent == first.parent
    assert second.policy.branches_removed == expected.branches_removed
    assert second.policy.fine_tune_epochs == 4
    proposals.started(second, 2)
    third = proposals.next(new_parents=False)
    assert foresight.end(third.policy) != foresight.end(second.policy)


@pytest.mark.parametrize("gap_share", [1e-9, 0.0], ids=["gap", "blindly"])
def test_a_sampler_that_repeats_itself_is_not_asked_again_and_again(
    gap_share, make_proposals, monkeypatch
):
    proposals = make_proposals(
        "search={branches_removed: {type: int, min: 0, max: 4},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[{"branches_removed": 4, "fine_tune_epochs": 4}],
        gap_share=gap_share,
    )
    first, searcher, ask = proposals.next(), proposals.searcher, proposals.searcher.ask
    proposals.started(first, 0)
    proposals.parents.ready(first.parent, first.point)
    proposals.foresight.learn(first.policy, SCORES)
    proposals.gaps.ended(0, [0.5, proposals.foresight.costs(first.policy).least["macs"]])
    proposals.answer(first, [0.5, 1e6])
    asked = []

    def the_same_again(given=None):
        by_the_sampler = "branches_removed" not in (given or {})
        asked.append(by_the_sampler)
        return ask(first.point if by_the_sampler else given)

    monkeypatch.setattr(searcher, "ask", the_same_again)
    second = proposals.next()

    assert proposals.foresight.end(second.policy) != proposals.foresight.end(first.policy)
    assert sum(asked) == 2
    assert len(asked) == 3
    if gap_share:
        assert second.policy.fine_tune_epochs == 4


def test_a_known_parent_that_was_not_scored_comes_before_any_gap_and_in_one_trial(make_proposals):
    proposals = make_proposals(
        "search={p_L: {type: choice, values: [0.8, 1.0]},"
        " branches_removed: {type: int, min: 0, max: 4}}",
        first=[{"p_L": 0.8, "branches_removed": 4}],
        gap_share=1.0,
    )
    first, gaps, foresight = proposals.next(), proposals.gaps, proposals.foresight
    proposals.started(first, 0)
    proposals.parents.ready(first.parent, first.point)
    foresight.learn(first.policy, SCORES)
    for trial, values in enumerate([(0.5, 0.2), (0.6, 1.0)]):
        gaps.ended(trial, [values[0], values[1] * foresight.whole_macs])
    control = foresight.parent(replace(first.policy, survival_prob_last=1.0))
    proposals.parents.ready(control, {"p_L": 1.0})

    second = proposals.next(new_parents=False)
    proposals.started(second, 2)
    third = proposals.next(new_parents=False)

    assert (second.parent, third.parent) == (control, first.parent)
    proposals.answer(second, None)  # its place was lost
    assert proposals.next(new_parents=False).parent == control


def test_before_any_scores_a_known_parent_is_taken_and_fine_tuned_for_as_long_as_the_space_lets_it(
    make_proposals,
):
    proposals = make_proposals(
        "search={p_L: {type: choice, values: [0.8, 1.0]},"
        " sensitivity_threshold: {type: float, min: 0.0, max: 2.0},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[{"p_L": 0.8}],
        gap_share=1.0,
    )
    first, gaps, foresight = proposals.next(), proposals.gaps, proposals.foresight
    proposals.started(first, 0)  # its parent is still being trained
    control = first.policy.removing(branches_removed=0)
    control = replace(control, survival_prob_last=1.0)
    proposals.parents.ready(foresight.parent(control), {"p_L": 1.0})
    gaps.ended(1, [0.6, foresight.whole_macs])

    second = proposals.next(new_parents=False)

    assert second.parent == foresight.parent(control)
    assert second.policy.fine_tune_epochs == 4


def test_what_runs_is_known_by_its_network_once_its_parent_was_scored(make_proposals):
    proposals = make_proposals(*ONE_PARENT, first=[{"branches_removed": 2}])
    first = proposals.next()
    proposals.started(first, 0)
    assert first.end is None
    proposals.parents.ready(first.parent, first.point)
    proposals.foresight.learn(first.policy, SCORES)
    proposals.scored(first, 0)

    others = []
    while (proposal := proposals.next()) is not None:
        others.append(proposal.policy.branches_removed)
    assert sorted(others) == [0, 1, 3]
    proposals.answer(first, [0.9, 1.0])  # raises if a twin could not be told


def test_work_that_a_stopped_trial_left_undone_is_not_counted(make_proposals):
    proposals = make_proposals(*ONE_PARENT)
    first = proposals.next()
    proposals.started(first, 0)
    begun, share = proposals.parents.work, proposals.foresight.share_left(first.policy)
    epochs = first.policy.fine_tune_epochs
    proposals.left_undone(first.policy, 1)

    assert proposals.parents.work == pytest.approx(begun - share * (epochs - 1))


def test_first_policies_by_name_and_by_value():
    space = load_space(default_space(), ["start_with=[unpruned, {p_L: 0.8, fine_tune_epochs: 2}]"])
    dimensions = space.dimensions_for(3, 9)
    unpruned, told = start_points(space.start_with, dimensions)

    assert unpruned["p_L"] == 1.0
    assert [unpruned[f"sensitivity_threshold.{i}"] for i in (1, 2, 3)] == [0.0, 0.0, 0.0]
    assert told == {"p_L": 0.8, "fine_tune_epochs": 2}
    (nearest,) = start_points(["linear_rule"], dimensions)
    assert nearest == {"p_L": 0.7, "decay_shape": "linear"}  # the space has no 0.5
    with pytest.raises(InputError, match=r"p_L must be in .*, but got 0.5"):
        start_points([{"p_L": 0.5}], dimensions)


def test_the_parent_of_the_control_as_a_point_of_the_space():
    space = load_space(default_space())
    dimensions = space.dimensions_for(3, 9)
    train = {"epochs": 10, "batch_size": 16, "learning_rate": 0.05}
    control = Policy.from_dict({"p_L": 1.0, "train": train})

    assert parent_point(control, dimensions)["p_L"] == 1.0
    outside = Policy.from_dict({"p_L": 0.3, "train": train})
    assert parent_point(outside, dimensions) is None
