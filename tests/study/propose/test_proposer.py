"""Suggestions are answered, refused or parked before anything is trained."""

import pytest

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import load_space
from autodepth.study.propose.predict.cost_model import CarriedOut
from autodepth.study.propose.start_policies import parent_point, start_points

ONE_PARENT = ("search={branches_removed: {type: int, min: 0, max: 3}}",)
SCORES = {branch: 0.1 * branch for branch in range(1, 7)}


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


def test_nothing_waits_for_a_parent_that_is_given_up(make_proposals):
    """Else nothing would run, nothing be asked for, and the rest of the budget be left."""
    proposer = make_proposals(*ONE_PARENT)
    first = proposer.next()
    proposer.started(first, 1)
    assert proposer.next() is None  # several suggestions wait for it
    proposer.parents.lost(1, given_up=True)

    assert proposer.next() is None
    assert proposer.exhausted


def test_few_suggestions_are_asked_for_once_nothing_fits_into_the_budget(make_proposals):
    """Each takes time in which what runs is not heard, so that the budget is overrun."""
    proposer = make_proposals(
        "search={p_L: {type: float, min: 0.5, max: 1.0},"
        " branches_removed: {type: int, min: 0, max: 3}}"
    )
    first = proposer.next()
    proposer.started(first, 1)
    proposer.parents.ready(first.parent, first.point)
    asked = []

    def fits(policy, new_parent):
        asked.append(policy)
        return False

    assert proposer.next(fits=fits) is None
    assert len(asked) < 60
    before = len(asked)
    assert proposer.next(fits=fits) is None
    assert len(asked) == before  # until a trial ends
    assert not proposer.exhausted
    proposer.answer(first, [0.5, 1e6])
    assert proposer.next() is not None


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


def test_a_member_goes_on_from_a_network_that_was_trained(make_proposals):
    proposer = make_proposals(
        "search={origin: {type: choice, values: [scratch, member]},"
        " branches_removed: {type: int, min: 0, max: 3},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        first=[
            {"origin": "scratch", "branches_removed": 3, "fine_tune_epochs": 1},
            {"origin": "member", "branches_removed": 1, "fine_tune_epochs": 2},
            {"origin": "member", "branches_removed": 1, "fine_tune_epochs": 2},
        ],
        sampler="tpe",
    )
    first, early = proposer.next(), proposer.next()
    assert early.policy.origin == "scratch"  # there was no member to go on from yet
    end = CarriedOut(trial=7, removed=(2, 4, 6), macs=1e6, accuracy=0.5)
    proposer.cost_model.note(first.policy, end)
    proposer.members.add(first.point, first.policy, end)

    proposal = proposer.next()

    assert (proposal.policy.base, proposal.point["base"]) == (first.policy, 7)
    assert len(proposer.cost_model.removed(proposal.policy)) == 1  # two came back


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
    cost_model, begun = proposer.cost_model, proposer.parents.work
    each = cost_model.tuning_pass(first.policy)
    epochs = first.policy.fine_tune_epochs
    proposer.left_undone(first.policy, 1)

    assert proposer.parents.work == pytest.approx(begun - each * (epochs - 1))


def test_first_policies_by_name_and_by_value():
    starts = "start_with=[unpruned, {p_L: 0.8, fine_tune_epochs: 2}]"
    space = load_space(default_space(), ["search.origin=parent", starts])
    dimensions = space.dimensions_for(3, 9)
    unpruned, told = start_points(space.start_with, dimensions)

    assert unpruned["p_L"] == 1.0
    assert [unpruned[f"sensitivity_threshold.{i}"] for i in (1, 2, 3)] == [0.0, 0.0, 0.0]
    assert told == {"p_L": 0.8, "fine_tune_epochs": 2}
    (nearest,) = start_points(["linear_rule"], dimensions)
    # The space has no 0.5.
    assert nearest == {"origin": "parent", "p_L": 0.7, "decay_shape": "linear"}
    with pytest.raises(InputError, match=r"p_L must be in .*, but got 0.5"):
        start_points([{"p_L": 0.5}], dimensions)


def test_a_search_of_a_trained_network_begins_mildly_with_what_a_person_leaves_of_the_space():
    settings = ["search.macs_target={type: float, min: 0.5, max: 0.9, step: 0.05}"]
    space = load_space(default_space(trained=True), [*settings, "search.fine_tune_epochs=1"])
    mild, strong = start_points(space.start_with, space.dimensions_for(3, 9))

    assert (mild["macs_target"], strong["macs_target"]) == (0.7, 0.5)
    assert {p.get("fine_tune_epochs", 1) for p in (mild, strong)} == {1}  # as the person says
    assert mild["train.fine_tune_learning_rate"] < strong["train.fine_tune_learning_rate"]


def test_the_parent_of_the_control_as_a_point_of_the_space():
    space = load_space(default_space())
    dimensions = space.dimensions_for(3, 9)
    train = {"epochs": 10, "batch_size": 16, "learning_rate": 0.05}
    control = Policy.from_dict({"p_L": 1.0, "train": train})

    assert parent_point(control, dimensions)["p_L"] == 1.0
    outside = Policy.from_dict({"p_L": 0.3, "train": train})
    assert parent_point(outside, dimensions) is None
