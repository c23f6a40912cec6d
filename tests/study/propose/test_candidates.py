"""Candidates are points of the space, each of a kind that can be had."""

import pytest

from autodepth.policy.policy import Policy
from autodepth.space.conditions import Condition
from autodepth.space.domains import Choice, Dimension, FloatRange, IntRange
from autodepth.study.propose.candidates import BASE, Candidates
from autodepth.study.propose.known.member_pool import MemberPool
from autodepth.study.propose.known.parent_pool import ParentPool
from autodepth.study.propose.predict.cost_model import CarriedOut

P_L = Dimension("p_L", FloatRange(0.5, 1.0))
GONE = Dimension("branches_removed", IntRange(0, 5))
EPOCHS = Dimension("fine_tune_epochs", IntRange(1, 9))
POWER = Dimension("decay_power", FloatRange(1.0, 2.0), Condition((("decay_shape", "power"),)))
SHAPE = Dimension("decay_shape", Choice(("linear", "power")))


def origins(*names):
    return Dimension("origin", Choice(names))


def candidates(*dimensions, parent=None, member=None):
    parents, members = ParentPool(seed=0), MemberPool(seed=0)
    if parent is not None:
        parents.ready("key", parent)
    if member is not None:
        end = CarriedOut(trial=7, removed=(), macs=1.0, accuracy=0.9)
        members.add(member, Policy(), end)
    return Candidates(dimensions, parents=parents, members=members, seed=0)


def drawn(count, found, *, new_parents):
    return found.draw(count, found.kinds(new_parents=new_parents))


def test_at_first_all_are_drawn_anywhere_and_none_where_no_parent_may_be_trained():
    found = candidates(P_L, GONE)

    points = found.draw(30, found.kinds(new_parents=True))
    assert len(points) == 10  # of three kinds one is to be had
    assert all(
        0.5 <= point["p_L"] <= 1.0 and 0 <= point["branches_removed"] <= 5 for point in points
    )
    assert found.draw(30, found.kinds(new_parents=False)) == []


def test_on_a_known_parent_its_settings_stay_and_others_are_drawn():
    points = drawn(40, candidates(P_L, GONE, parent={"p_L": 0.75}), new_parents=False)

    assert {point["p_L"] for point in points} == {0.75}
    assert len({point["branches_removed"] for point in points}) > 1


def test_near_the_front_two_settings_change_at_most():
    member = {"p_L": 0.75, "branches_removed": 2, "fine_tune_epochs": 3}
    points = drawn(60, candidates(P_L, GONE, EPOCHS, member=member), new_parents=False)

    assert points
    for point in points:
        assert sum(point[name] != value for name, value in member.items()) <= 2


def test_what_does_not_count_is_not_in_a_point():
    points = drawn(60, candidates(SHAPE, POWER), new_parents=True)

    assert {("decay_power" in point) == (point["decay_shape"] == "power") for point in points} == {
        True
    }
    assert len({point["decay_shape"] for point in points}) == 2


def test_who_goes_on_from_a_member_names_it_and_without_one_there_is_no_such_point():
    both = origins("scratch", "member")
    assert candidates(both, GONE).blindly({"origin": "member"}) is None

    point = candidates(both, GONE, member={}).blindly({"origin": "member"})
    assert point[BASE] == 7
    given = candidates(both, GONE, member={}).blindly({"origin": "member", BASE: 3})
    assert given[BASE] == 3
    assert BASE not in candidates(both, GONE, member={}).blindly({"origin": "scratch"})


@pytest.mark.parametrize(
    ("dimension", "scratch", "members"),
    [
        (P_L, False, False),
        (origins("scratch", "parent"), True, False),
        (origins("member", "parent"), False, True),
    ],
)
def test_which_origins_there_are_is_the_spaces(dimension, scratch, members):
    found = candidates(dimension)

    assert (found.from_scratch, found.from_members) == (scratch, members)


def test_networks_from_scratch_need_no_new_parent():
    points = drawn(30, candidates(origins("scratch", "parent"), GONE), new_parents=False)

    assert {point["origin"] for point in points} == {"scratch"}


def test_the_same_seed_draws_the_same():
    one, other = (drawn(9, candidates(P_L, GONE), new_parents=True) for _ in range(2))

    assert one == other
