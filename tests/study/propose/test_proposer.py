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
    proposer = make_proposals(*ONE_PARENT)
    first = proposer.next()
    proposer.started(first, 1)

    assert first.new_parent
    assert proposer.next() is None  # every policy of this space waits for that parent
    assert not proposer.exhausted
    proposer.parents.ready(first.parent, first.point)
    second = proposer.next()
    assert not second.new_parent
    assert second.parent == first.parent


def test_a_suggestion_that_comes_to_a_known_network_is_answered_at_once(make_proposals):
    proposer = make_proposals(*ONE_PARENT)
    tried = []
    while (proposal := proposer.next()) is not None:
        proposer.started(proposal, len(tried))
        tried.append(proposal.point["branches_removed"])
        proposer.parents.ready(proposal.parent, proposal.point)
        proposer.cost_model.learn(proposal.policy, SCORES)
        proposer.answer(proposal, [0.5, 1e6])

    assert sorted(tried) == [0, 1, 2, 3]  # each once, though the sampler draws blindly
    assert proposer.exhausted
    assert proposer.duplicates > 100


def test_a_twin_of_a_running_trial_gets_its_answer_too(make_proposals):
    proposer = make_proposals(*ONE_PARENT, first=[{"branches_removed": 2}, {"branches_removed": 2}])
    train = {"epochs": 10, "batch_size": 16, "learning_rate": 0.05}
    policy = Policy.from_dict({"branches_removed": 2, "train": train})
    proposer.cost_model.learn(policy, SCORES)
    proposer.parents.ready(proposer.cost_model.parent(policy), {})
    first = proposer.next()
    second = proposer.next()

    assert (first.point["branches_removed"], proposer.duplicates >= 1) == (2, True)
    assert second.point["branches_removed"] != 2
    proposer.answer(first, [0.9, 1.0])  # raises if the twin could not be told


TUNED = (
    "search={branches_removed: {type: int, min: 0, max: 1},"
    " fine_tune_epochs: {type: int, min: 1, max: 9}}",
)


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "running"])
def test_a_network_that_was_fine_tuned_longer_is_not_fine_tuned_anew(ended, make_proposals):
    proposer = make_proposals(*TUNED, first=[{"branches_removed": 1, "fine_tune_epochs": 5}])
    first = proposer.next()
    proposer.parents.ready(first.parent, first.point)
    proposer.cost_model.learn(first.policy, SCORES)
    proposer.answer(first, None)  # its place was lost: it is tried again, its end known by now
    proposer.again(first.point)
    known = proposer.next()
    if ended:
        proposer.answer(known, [0.5, 1e6])

    longest = {1: 5, 0: 0}
    while (proposal := proposer.next()) is not None:
        removed, epochs = proposal.policy.branches_removed, proposal.policy.fine_tune_epochs
        assert epochs > longest[removed]
        longest[removed] = epochs
        proposer.started(proposal, 1)
        proposer.answer(proposal, [0.5, 1e6])
    assert longest == {1: 9, 0: 9}
    assert proposer.exhausted


def test_what_breaks_a_bound_for_certain_says_so(make_proposals):
    proposer = make_proposals(
        *ONE_PARENT, "constraints=[macs <= 60%]", first=[{"branches_removed": 0}]
    )

    assert proposer.next().broken == {"macs <= 60%": pytest.approx(2 / 3, rel=1e-3)}


def test_without_time_for_a_new_parent_a_known_one_is_taken(make_proposals):
    proposer = make_proposals(
        "search={p_L: {type: float, min: 0.5, max: 1.0},"
        " branches_removed: {type: int, min: 0, max: 3}}"
    )
    assert proposer.next(new_parents=False) is None
    assert not proposer.exhausted
    first = proposer.next()
    proposer.started(first, 1)
    proposer.parents.ready(first.parent, first.point)
    second = proposer.next(new_parents=False)

    assert second.parent == first.parent


@pytest.mark.parametrize(("sampler", "gap_share"), [("random", 1.0), ("tpe", 0.01)])
def test_a_policy_on_a_known_parent_falls_into_the_gap_of_the_front(
    sampler, gap_share, make_proposals
):  # by its share, or since the sampler could but draw blindly
    proposer = make_proposals(
        "search={p_L: {type: float, min: 0.5, max: 1.0},"
        " branches_removed: {type: int, min: 0, max: 4},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[{"p_L": 0.8, "branches_removed": 4}],
        sampler=sampler,
        gap_share=gap_share,
    )
    first, improvement, cost_model = proposer.next(), proposer.improvement, proposer.cost_model
    proposer.started(first, 0)
    proposer.parents.ready(first.parent, first.point)
    cost_model.learn(first.policy, SCORES)
    for trial, (policy, accuracy) in enumerate(
        [(first.policy, 0.5), (first.policy.removing(branches_removed=0), 0.6)]
    ):
        improvement.ended(trial, [accuracy, cost_model.share_left(policy) * cost_model.whole_macs])

    def best():
        between = [first.policy.removing(branches_removed=count) for count in (1, 2, 3)]
        return max(between, key=lambda policy: rate(replace(policy, fine_tune_epochs=4)))

    def rate(policy):
        return improvement.worth(cost_model.share_left(policy)) / cost_model.tuning_work(policy)

    expected = best()
    second = proposer.next(new_parents=False)

    assert second.parent == first.parent
    assert second.policy.branches_removed == expected.branches_removed
    assert second.policy.fine_tune_epochs == 4
    proposer.started(second, 2)
    third = proposer.next(new_parents=False)
    assert cost_model.end(third.policy) != cost_model.end(second.policy)


@pytest.mark.parametrize("gap_share", [1e-9, 0.0], ids=["gap", "blindly"])
def test_a_sampler_that_repeats_itself_is_not_asked_again_and_again(
    gap_share, make_proposals, monkeypatch
):
    proposer = make_proposals(
        "search={branches_removed: {type: int, min: 0, max: 4},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[{"branches_removed": 4, "fine_tune_epochs": 4}],
        gap_share=gap_share,
    )
    first, sampler, ask = proposer.next(), proposer.sampler, proposer.sampler.ask
    proposer.started(first, 0)
    proposer.parents.ready(first.parent, first.point)
    proposer.cost_model.learn(first.policy, SCORES)
    proposer.improvement.ended(0, [0.5, proposer.cost_model.costs(first.policy).least["macs"]])
    proposer.answer(first, [0.5, 1e6])
    asked = []

    def the_same_again(given=None):
        by_the_sampler = "branches_removed" not in (given or {})
        asked.append(by_the_sampler)
        return ask(first.point if by_the_sampler else given)

    monkeypatch.setattr(sampler, "ask", the_same_again)
    second = proposer.next()

    assert proposer.cost_model.end(second.policy) != proposer.cost_model.end(first.policy)
    assert sum(asked) == 2
    assert len(asked) == 3
    if gap_share:
        assert second.policy.fine_tune_epochs == 4


def test_a_known_parent_that_was_not_scored_comes_before_any_gap_and_in_one_trial(make_proposals):
    proposer = make_proposals(
        "search={p_L: {type: choice, values: [0.8, 1.0]},"
        " branches_removed: {type: int, min: 0, max: 4}}",
        first=[{"p_L": 0.8, "branches_removed": 4}],
        gap_share=1.0,
    )
    first, improvement, cost_model = proposer.next(), proposer.improvement, proposer.cost_model
    proposer.started(first, 0)
    proposer.parents.ready(first.parent, first.point)
    cost_model.learn(first.policy, SCORES)
    for trial, values in enumerate([(0.5, 0.2), (0.6, 1.0)]):
        improvement.ended(trial, [values[0], values[1] * cost_model.whole_macs])
    control = cost_model.parent(replace(first.policy, survival_prob_last=1.0))
    proposer.parents.ready(control, {"p_L": 1.0})

    second = proposer.next(new_parents=False)
    proposer.started(second, 2)
    third = proposer.next(new_parents=False)

    assert (second.parent, third.parent) == (control, first.parent)
    proposer.answer(second, None)  # its place was lost
    assert proposer.next(new_parents=False).parent == control


def test_before_any_scores_a_known_parent_is_taken_and_fine_tuned_for_as_long_as_the_space_lets_it(
    make_proposals,
):
    proposer = make_proposals(
        "search={p_L: {type: choice, values: [0.8, 1.0]},"
        " sensitivity_threshold: {type: float, min: 0.0, max: 2.0},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[{"p_L": 0.8}],
        gap_share=1.0,
    )
    first, improvement, cost_model = proposer.next(), proposer.improvement, proposer.cost_model
    proposer.started(first, 0)  # its parent is still being trained
    control = first.policy.removing(branches_removed=0)
    control = replace(control, survival_prob_last=1.0)
    proposer.parents.ready(cost_model.parent(control), {"p_L": 1.0})
    improvement.ended(1, [0.6, cost_model.whole_macs])

    second = proposer.next(new_parents=False)

    assert second.parent == cost_model.parent(control)
    assert second.policy.fine_tune_epochs == 4


def test_what_runs_is_known_by_its_network_once_its_parent_was_scored(make_proposals):
    proposer = make_proposals(*ONE_PARENT, first=[{"branches_removed": 2}])
    first = proposer.next()
    proposer.started(first, 0)
    assert first.end is None
    proposer.parents.ready(first.parent, first.point)
    proposer.cost_model.learn(first.policy, SCORES)
    proposer.scored(first, 0)

    others = []
    while (proposal := proposer.next()) is not None:
        others.append(proposal.policy.branches_removed)
    assert sorted(others) == [0, 1, 3]
    proposer.answer(first, [0.9, 1.0])  # raises if a twin could not be told


def test_work_that_a_stopped_trial_left_undone_is_not_counted(make_proposals):
    proposer = make_proposals(*ONE_PARENT)
    first = proposer.next()
    proposer.started(first, 0)
    begun, share = proposer.parents.work, proposer.cost_model.share_left(first.policy)
    epochs = first.policy.fine_tune_epochs
    proposer.left_undone(first.policy, 1)

    assert proposer.parents.work == pytest.approx(begun - share * (epochs - 1))


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
