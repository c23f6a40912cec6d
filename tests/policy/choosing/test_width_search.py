"""What sums get wrong is found by judging choices as they are."""

from autodepth.policy.choosing.variants import Bounds, Variant
from autodepth.policy.choosing.width_search import search_widths

WIDTHS = (1.0, 0.5, 0.0)


def variants(lost):
    """Branches of equal cost: narrower ones lose a quarter of what their removal loses."""
    return {
        branch: [
            Variant(width=w, lost=worth * (1 - w) ** 2, costs={"macs": 100 * w}) for w in WIDTHS
        ]
        for branch, worth in lost.items()
    }


def judge_of(lost, together=()):
    """Sums of what is lost, but for pairs that lose much more together."""
    asked = []

    def judge(choices):
        asked.extend(choices)
        return {
            choice: sum(lost[b] * (1 - w) ** 2 for b, w in choice)
            + sum(5.0 for pair in together if set(pair) <= {b for b, _ in choice})
            for choice in choices
        }

    judge.asked = asked
    return judge


def cost(widths, branches):
    return sum(100 * dict(widths).get(branch, 1.0) for branch in branches)


def test_where_sums_are_right_their_solution_is_taken():
    lost = {1: 1.0, 2: 2.0, 3: 4.0, 4: 8.0}
    judge = judge_of(lost)
    found = search_widths(variants(lost), Bounds(most={"macs": 250}), judge, rounds=3, seed=0)
    assert found[0] == frozenset({(1, 0.0), (2, 0.5)})
    assert len(found) == len(judge.asked)
    far = judge_of(lost)(found)
    assert [far[choice] for choice in found] == sorted(far.values())
    assert len(judge.asked) == len(set(judge.asked))  # nothing is judged twice


def test_branches_that_cannot_go_together_do_not():
    lost = {1: 1.0, 2: 1.1, 3: 1.6, 4: 1.7}
    found, *_ = search_widths(
        variants(lost), Bounds(most={"macs": 200}), judge_of(lost, [(1, 2)]), rounds=6, seed=0
    )
    assert not {1, 2} <= {branch for branch, _ in found}
    assert cost(found, lost) <= 200


def test_bounds_that_cannot_be_kept_have_no_answer():
    lost = {1: 1.0}
    bounds = Bounds(most={"macs": -1})
    assert search_widths(variants(lost), bounds, judge_of(lost), rounds=1, seed=0) == []
