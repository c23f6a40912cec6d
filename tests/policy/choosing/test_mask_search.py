"""Sets of branches are judged together, within what may go."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.policy.choosing.mask_search import CANDIDATES, closest, search_masks

BRANCHES = range(1, 9)
COSTS = dict.fromkeys(BRANCHES, 1.0)


def always(mask):
    return True


def never(mask):
    return False


class Made:
    """A judge whose branches are worth something alone, and more (or less) beside each other."""

    def __init__(self, alone, together):
        self.alone, self.together, self.asked = alone, together, []

    def __call__(self, masks):
        self.asked += masks
        return {mask: self.of(mask) for mask in masks}

    def of(self, mask):
        pairs = itertools.combinations(sorted(mask), 2)
        return sum(self.alone[b] for b in mask) + sum(self.together.get(p, 0.0) for p in pairs)


def search(judge, costs=COSTS, allowed=always, swaps=20):
    return search_masks(costs, judge, allowed=allowed, swaps=swaps, seed=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.integers(0, 7))
def test_where_worths_add_up_the_weakest_go(worth, count):
    judge = Made(dict(zip(BRANCHES, worth, strict=True)), {})
    found = closest(search(judge), lambda mask: len(mask) >= count)

    assert judge.of(found) == pytest.approx(sum(sorted(worth)[:count]))


def test_branches_that_make_up_for_each_other_do_not_both_go():
    """1 and 2 are worth least alone, but one of them is needed."""
    alone = {1: 0.1, 2: 0.1, **dict.fromkeys(range(3, 9), 0.2)}
    found = closest(search(Made(alone, {(1, 2): 5.0})), lambda mask: len(mask) >= 2)

    assert len(found & {1, 2}) == 1
    assert len(found) == 2


def test_swaps_find_what_was_not_among_the_candidates():
    """8 alone is worth most, but nothing once 1 is gone."""
    alone = {1: 0.1, 8: 1.0, **dict.fromkeys(range(2, 8), 0.2)}
    judge = Made(alone, {(1, 8): -1.05})

    assert closest(search(judge, swaps=0), lambda mask: len(mask) == 2) != {1, 8}
    assert closest(search(judge, swaps=200), lambda mask: len(mask) == 2) == {1, 8}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.sets(st.sampled_from(BRANCHES)))
def test_only_what_may_go_together_is_judged_and_once(worth, kept_apart):
    judge = Made(dict(zip(BRANCHES, worth, strict=True)), {})

    def allowed(mask):
        return len(mask & kept_apart) <= 1

    found = search(judge, allowed=allowed)
    assert all(allowed(mask) for mask in found)
    assert len(judge.asked) == len(set(judge.asked))
    assert len(judge.asked) <= 8 + 8 * CANDIDATES + 20 * CANDIDATES


def test_a_goal_of_costs_is_reached_by_what_costs_most_for_its_worth():
    costs = {1: 10.0, 2: 1.0, 3: 1.0, 4: 1.0}
    judge = Made({1: 0.4, 2: 0.2, 3: 0.2, 4: 0.2}, {})
    found = closest(search(judge, costs, swaps=0), lambda mask: sum(costs[b] for b in mask) >= 8.0)

    assert found == {1}


def test_what_comes_closest_to_a_goal_out_of_reach_goes():
    judge = Made(dict.fromkeys(BRANCHES, 0.1), {})
    found = closest(search(judge, allowed=lambda mask: len(mask) <= 3), never)

    assert len(found) == 3
