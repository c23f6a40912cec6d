"""The hypervolume, in closed form and by property."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.front.hypervolume import hypervolume, relative_hypervolume
from autodepth.front.objective import Objective

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=40.0),
)
POINT = st.tuples(st.floats(0, 1, width=32), st.floats(0, 60, width=32))


def staircase(points: list[tuple[float, float]]) -> float:
    """Area under the staircase of accuracy over MACs, summed one step after the other."""
    area, best = 0.0, 0.0
    inside = sorted(((macs, accuracy) for accuracy, macs in points if macs < 40.0))
    for macs, accuracy in inside:
        area += max(0.0, accuracy - best) * (40.0 - macs)
        best = max(best, accuracy)
    return area


def test_two_points_by_hand() -> None:
    # 0.9 x (40 - 30) and the part of 0.8 x (40 - 10) that lies to the left of it
    assert hypervolume([(0.9, 30), (0.8, 10)], OBJECTIVES) == pytest.approx(9 + 16)


def test_relative_hypervolume_counts_macs_in_units_of_the_reference() -> None:
    assert relative_hypervolume([(0.9, 30), (0.8, 10)], OBJECTIVES) == pytest.approx(25 / 40)
    assert relative_hypervolume([(1.0, 0.0)], OBJECTIVES) == 1.0


def test_points_on_or_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([(0.9, 40), (1.0, 55), (0.0, 10)], OBJECTIVES) == 0.0
    assert hypervolume([(0.9, 30), (1.0, 55)], OBJECTIVES) == hypervolume([(0.9, 30)], OBJECTIVES)


def test_no_points_have_no_volume() -> None:
    assert hypervolume([], OBJECTIVES) == 0.0


def test_three_objectives_make_a_box() -> None:
    latency = Objective(name="latency_ms", goal="minimize", reference=10.0)
    assert hypervolume([(0.5, 30, 6)], (*OBJECTIVES, latency)) == pytest.approx(0.5 * 10 * 4)


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="must be finite"):
        hypervolume([(math.nan, 30)], OBJECTIVES)


def test_no_objective_is_refused() -> None:
    with pytest.raises(InputError, match="at least one objective"):
        hypervolume([], ())


@given(st.lists(POINT, max_size=20))
def test_it_equals_the_staircase(points: list[tuple[float, float]]) -> None:
    assert hypervolume(points, OBJECTIVES) == pytest.approx(staircase(points), abs=1e-9)


@given(st.lists(POINT, max_size=20), POINT)
def test_it_never_falls_when_a_point_is_added(
    points: list[tuple[float, float]], point: tuple[float, float]
) -> None:
    before, after = hypervolume(points, OBJECTIVES), hypervolume([*points, point], OBJECTIVES)
    assert after >= before - 1e-9
    assert 0.0 <= relative_hypervolume([*points, point], OBJECTIVES) <= 1.0


def test_an_objective_checks_itself() -> None:
    with pytest.raises(InputError, match="but got 'mac', did you mean 'macs'"):
        Objective(name="mac", goal="minimize", reference=1.0)
    with pytest.raises(InputError, match="the goal of macs must be one of maximize, minimize"):
        Objective(name="macs", goal="minimise", reference=1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the reference of macs must be finite, but got inf"):
        Objective(name="macs", goal="minimize", reference=math.inf)
