"""The next point promises the front most for its work; where none is ranked, points are drawn."""

from dataclasses import replace
from itertools import combinations

import pytest

SCORES = {branch: 0.1 * branch for branch in range(1, 7)}

FOUR_DEPTHS = (
    "search={p_L: {type: choice, values: [0.8, 1.0]},"
    " branches_removed: {type: int, min: 0, max: 4},"
    " fine_tune_epochs: {type: int, min: 1, max: 4}}",
)


def told_of(proposer, *networks):
    """Tell of networks on a parent of p_L 0.8: branches removed, epochs, accuracy."""
    first = proposer.next()
    proposer.started(first, 0)
    proposer.parents.ready(first.parent, {"p_L": 0.8})
    proposer.parents.trained(first.parent, 0.9)
    proposer.cost_model.learn(first.policy, SCORES)
    whole = proposer.cost_model.whole_macs
    proposer.prospects.improvement.ended(0, None)
    for trial, (removed, epochs, accuracy) in enumerate(networks):
        point = {"p_L": 0.8, "branches_removed": removed, "fine_tune_epochs": epochs}
        policy = replace(first.policy, branches_removed=removed, fine_tune_epochs=epochs)
        macs = proposer.cost_model.costs(policy).least["macs"]
        curves = {"fine_tune": [accuracy - 0.1 / (epoch + 1) for epoch in range(epochs)]}
        proposer.prospects.learn(point, policy, curves, macs=macs, ended=True)
        proposer.prospects.improvement.ended(trial, [accuracy, macs], macs)
        proposal = proposer.adopt(point, policy)
        proposer.answer(proposal, [accuracy, macs / whole])
    return first


def test_what_comes_next_promises_the_front_most_of_all_that_are_not_known(make_proposals):
    proposer = make_proposals(
        *FOUR_DEPTHS, first=[{"p_L": 0.8, "branches_removed": 4}], sampler="tpe", gap_share=1.0
    )
    told_of(proposer, (4, 4, 0.3), (0, 4, 0.9))

    second = proposer.next(new_parents=False)

    assert second.policy.survival_prob_last == 0.8
    assert second.policy.branches_removed in (1, 2, 3)  # the ends of the front are known
    proposer.started(second, 2)
    third = proposer.next(new_parents=False)
    assert proposer.cost_model.end(third.policy) != proposer.cost_model.end(second.policy)


def test_a_network_that_takes_less_for_as_much_hope_comes_first(make_proposals):
    proposer = make_proposals(
        *FOUR_DEPTHS, first=[{"p_L": 0.8, "branches_removed": 4}], sampler="tpe", gap_share=1.0
    )
    told_of(proposer, (4, 1, 0.85), (4, 2, 0.87), (2, 1, 0.86), (2, 2, 0.88))

    proposal = proposer.next()

    assert not proposal.new_parent  # to train another parent takes ten times as much


def test_small_networks_from_scratch_of_several_sizes_come_before_any_parent(make_proposals):
    proposer = make_proposals(
        "search={origin: {type: choice, values: [parent, scratch]},"
        " branches_removed: {type: int, min: 0, max: 3},"
        " stream_width: {type: choice, values: [0.25, 0.5, 1.0], when: {origin: scratch}},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        sampler="tpe",
        gap_share=1.0,
    )
    costs = []
    for trial in range(3):
        proposal = proposer.next()
        assert proposal.policy.origin == "scratch"
        costs.append(proposer.cost_model.share_left(proposal.policy))
        proposer.started(proposal, trial)
    assert all(max(a, b) > 1.5 * min(a, b) for a, b in combinations(costs, 2))


@pytest.mark.parametrize("gap_share", [1e-9, 0.0], ids=["promising", "blindly"])
def test_a_sampler_that_repeats_itself_is_not_asked_again_and_again(
    gap_share, make_proposals, monkeypatch
):
    proposer = make_proposals(
        *FOUR_DEPTHS,
        first=[{"p_L": 0.8, "branches_removed": 4, "fine_tune_epochs": 4}],
        sampler="tpe",
        gap_share=gap_share,
    )
    first = told_of(proposer, (4, 4, 0.5), (3, 4, 0.6))
    sampler, ask = proposer.sampler, proposer.sampler.ask
    asked = []

    def the_same_again(given=None):
        by_the_sampler = "branches_removed" not in (given or {})
        asked.append(by_the_sampler)
        return ask({"p_L": 0.8, "branches_removed": 4, "fine_tune_epochs": 4}
                   if by_the_sampler else given)  # fmt: skip

    monkeypatch.setattr(sampler, "ask", the_same_again)
    monkeypatch.setattr(type(sampler), "draws_blindly", False)
    second = proposer.next()

    assert proposer.cost_model.end(second.policy) != proposer.cost_model.end(first.policy)
    assert sum(asked) == 2
    assert len(asked) == 3
