"""The integer program against trying everything."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.policy.choosing.variants import Bounds, Variant, choose_variants

WIDTHS = (1.0, 0.5, 0.0)


@st.composite
def problems(draw):
    """A few branches with up to three variants each, and bounds on one or two costs."""
    count = draw(st.integers(1, 5))
    numbers = st.integers(0, 1000)
    variants = {}
    for branch in range(1, count + 1):
        macs, parameters = draw(numbers), draw(numbers)
        variants[branch] = [
            Variant(
                width=width,
                lost=0.0 if width == 1 else draw(st.integers(-10, 1000)) / 100,
                costs={"macs": int(macs * width), "parameters": int(parameters * width**2)},
            )
            for width in WIDTHS[: draw(st.integers(1, 3))]
        ]
    most = {"macs": draw(st.integers(0, 2500))}
    if draw(st.booleans()):
        most["parameters"] = draw(st.integers(0, 2500))
    least = {"macs": draw(st.integers(0, 500))} if draw(st.booleans()) else {}
    staying = [(range(1, count + 1), draw(st.integers(0, count)))]
    return variants, Bounds(most=most, least=least, staying=staying)


def tried_out(variants, bounds):
    """The least that is lost by any choice within the bounds; None where none is."""
    lost = []
    for choice in itertools.product(*variants.values()):
        chosen = dict(zip(variants, choice, strict=True))
        stays = all(
            sum(chosen[b].width > 0 for b in among) >= count for among, count in bounds.staying
        )
        if stays and bounds.kept(chosen):
            lost.append(sum(max(0.0, v.lost) for v in choice))
    return min(lost, default=None)


@given(problems())
def test_nothing_within_the_bounds_loses_less(problem):
    variants, bounds = problem
    best, chosen = tried_out(variants, bounds), choose_variants(variants, bounds)

    assert (chosen is None) == (best is None)
    if chosen is not None:
        assert bounds.kept(chosen)
        assert list(chosen) == list(variants)
        assert sum(max(0.0, v.lost) for v in chosen.values()) == pytest.approx(best, abs=0.011)
        assert all(
            sum(chosen[b].width > 0 for b in among) >= count for among, count in bounds.staying
        )


def branch(lost, macs):
    """A branch that stays or goes."""
    whole = Variant(width=1.0, lost=0.0, costs={"macs": macs})
    return [whole, Variant(width=0.0, lost=lost, costs={"macs": 0})]


def test_a_bound_is_kept_to_the_last_multiply_accumulate():
    variants = {number: branch(float(number), 4_718_592) for number in range(1, 28)}
    exact = 20 * 4_718_592
    for most, gone in ((exact, 7), (exact - 1, 8), (exact + 1, 7)):
        chosen = choose_variants(variants, Bounds(most={"macs": most}))
        assert chosen is not None
        assert [b for b, v in chosen.items() if not v.width] == list(range(1, gone + 1))


def test_nothing_goes_needlessly():
    chosen = choose_variants({1: branch(-1.0, 5), 2: branch(0.0, 5)}, Bounds(most={"macs": 10}))
    assert chosen is not None
    assert [v.width for v in chosen.values()] == [1.0, 1.0]


def test_what_no_choice_keeps_has_no_answer():
    assert choose_variants({1: branch(1.0, 5)}, Bounds(most={"macs": -1})) is None
    assert choose_variants({}, Bounds(most={"macs": -1})) is None
    assert choose_variants({}, Bounds(most={"macs": 0})) == {}
