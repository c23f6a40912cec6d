"""Networks that others go on from: those of the front, and no chain without an end."""

import pytest

from autodepth.policy.policy import Policy
from autodepth.study.propose.known.member_pool import MemberPool
from autodepth.study.propose.predict.cost_model import CarriedOut


def pool(*networks):
    """Return a pool of (trial, accuracy, MACs, links of its chain)."""
    found = MemberPool(seed=0)
    for trial, accuracy, macs, links in networks:
        policy = Policy()
        for _ in range(links - 1):
            policy = Policy(origin="member", base=policy)
        end = CarriedOut(trial=trial, removed=(), macs=macs, accuracy=accuracy)
        found.add({"p_L": accuracy}, policy, end)
    return found


def test_without_a_network_there_is_none_to_go_on_from():
    assert pool().choose() is None
    assert pool().front == []


def test_who_is_dominated_is_gone_on_from_no_more_but_still_known():
    found = pool((1, 0.8, 100, 1), (2, 0.7, 50, 1), (3, 0.9, 90, 1))

    assert {member.end.trial for member in found.front} == {2, 3}
    assert {found.choose() for _ in range(50)} == {2, 3}
    assert found.policy(1) == Policy()
    with pytest.raises(KeyError):
        found.policy(4)


def test_a_chain_that_is_long_enough_stays_on_the_front_and_gets_no_further_link():
    found = pool((1, 0.9, 100, 4), (2, 0.8, 50, 3))

    assert {member.end.trial for member in found.front} == {1, 2}
    assert [member.end.trial for member in found.bases] == [2]
    assert pool((1, 0.9, 100, 4)).choose() is None


def test_who_asks_for_the_front_cannot_change_it():
    found = pool((1, 0.9, 100, 1))
    found.front.clear()

    assert found.choose() == 1
