"""Sets of branches are judged together, within what may go."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.policy.choosing.mask_search import CANDIDATES, best_masks, closest, search_masks

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


def search(judge, costs=COSTS, allowed=always, swaps=20, **more):
    glance = more.pop("glance", Made(judge.alone, judge.together))
    return search_masks(costs, judge, glance=glance, allowed=allowed, swaps=swaps, seed=0, **more)


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


def test_branches_that_went_too_early_come_back():
    """1 seems worth least, but is needed beside 2 to 4, of which all may go."""
    alone = {1: 0.05, **dict.fromkeys(range(2, 5), 0.2), **dict.fromkeys(range(5, 9), 0.3)}
    together = {(a, b): -0.15 for a in range(2, 5) for b in range(a + 1, 5)}
    together |= {(1, b): 0.4 for b in range(2, 5)}

    found = closest(search(Made(alone, together), swaps=0), lambda mask: len(mask) == 3)
    assert found == {2, 3, 4}


def test_few_are_tried_at_each_size_however_many_branches_there_are():
    branches = range(1, 31)
    judge = Made({b: b / 100 for b in branches}, {(a, a + 1): 0.3 for a in branches})
    glance = Made(judge.alone, judge.together)
    search(judge, costs=dict.fromkeys(branches, 1.0), glance=glance, swaps=0)

    walks = 3  # branches go, come back and go again
    assert len(glance.asked) <= walks * CANDIDATES * len(branches)


def test_sets_to_begin_with_are_gone_on_from():
    """All of 5 to 8 are worth nothing together, but much as long as one of them stays."""

    class Needed(Made):
        def of(self, mask):
            missing = len(mask & {5, 6, 7, 8})
            return 0.1 * len(mask - {5, 6, 7, 8}) + (missing if missing < 4 else 0.0)

    def half(alone):
        assert alone == {b: 0.1 if b < 5 else 1.0 for b in BRANCHES}
        return [frozenset({5, 6, 7, 8})]

    def search_from(starts):
        judges = Needed({}, {}), Needed({}, {})
        found = search(
            judges[0], glance=judges[1], swaps=0, starts=starts, allowed=lambda m: len(m) <= 5
        )
        return closest(found, lambda mask: len(mask) == 5)

    assert search_from(lambda _: ()) != search_from(half)
    assert search_from(half) > {5, 6, 7, 8}


def test_what_a_glance_says_decides_only_what_is_judged():
    alone = {b: b / 10 for b in BRANCHES}
    judge, glance = Made(alone, {}), Made({b: 0.9 - worth for b, worth in alone.items()}, {})
    found = search(judge, glance=glance)

    assert all(far == judge.of(mask) for mask, far in found.items())
    assert len(glance.asked) > len(judge.asked)
    assert len(glance.asked) == len(set(glance.asked))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.sets(st.sampled_from(BRANCHES)))
def test_only_what_may_go_together_is_judged_and_once(worth, kept_apart):
    judge = Made(dict(zip(BRANCHES, worth, strict=True)), {})

    def allowed(mask):
        return len(mask & kept_apart) <= 1

    found = search(judge, allowed=allowed)
    assert all(allowed(mask) for mask in found)
    assert len(judge.asked) == len(set(judge.asked))
    assert len(judge.asked) <= 8 + 2 * 8 + 2 * 20


def test_a_goal_of_costs_is_reached_by_what_costs_most_for_its_worth():
    costs = {1: 10.0, 2: 1.0, 3: 1.0, 4: 1.0}
    judge = Made({1: 0.4, 2: 0.2, 3: 0.2, 4: 0.2}, {})
    found = closest(search(judge, costs, swaps=0), lambda mask: sum(costs[b] for b in mask) >= 8.0)

    assert found == {1}


def test_what_comes_closest_to_a_goal_out_of_reach_goes():
    judge = Made(dict.fromkeys(BRANCHES, 0.1), {})
    found = closest(search(judge, allowed=lambda mask: len(mask) <= 3), never)

    assert len(found) == 3


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.frozensets(st.integers(1, 5), min_size=1), st.floats(0, 4), min_size=1, max_size=20
    ),
    st.lists(st.integers(1, 3), min_size=5, max_size=5),
    st.integers(0, 15),
)
def test_the_best_sets_answer_every_goal_as_all_do(judged, prices, goal):
    judged = {frozenset(): 0.0, **judged}
    costs = dict(enumerate(prices, start=1))
    best = best_masks(judged, costs)

    for reached in (
        lambda mask: len(mask) >= goal,
        lambda mask: sum(costs[b] for b in mask) >= goal,
    ):
        if any(map(reached, judged)):
            assert best[closest(best, reached)] == judged[closest(judged, reached)]
    assert all(best[mask] == judged[mask] for mask in best)
