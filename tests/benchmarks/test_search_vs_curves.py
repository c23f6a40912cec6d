"""Hypervolume over device time is what going through all trials one by one gives."""

import math

from hypothesis import given
from hypothesis import strategies as st
from search_vs_curves import (
    Point,
    at,
    curve,
    earliest_ends,
    ever_on_front,
    final,
    kept,
    mean_curve,
    reached,
)

WHOLE = 100.0
durations = st.lists(st.floats(0.1, 100), max_size=12)
shares = st.integers(0, 10).map(lambda tenths: tenths / 10)


@st.composite
def trials(draw):
    """Ties in every number are likely, in the moment of ending too."""
    numbers = st.tuples(st.integers(1, 9), shares, shares, shares)
    return [
        Point(ended=float(ended), validation=validation, macs=WHOLE * cost, test=test)
        for ended, validation, cost, test in draw(st.lists(numbers, max_size=9))
    ]


@given(durations, st.integers(1, 4), st.data())
def test_no_run_with_gaps_ends_a_trial_earlier(seconds, workers, data):
    gaps = data.draw(st.lists(st.floats(0, 50), min_size=len(seconds), max_size=len(seconds)))
    free, ends = [0.0] * workers, []
    for duration, gap in zip(seconds, gaps, strict=True):
        free.sort()
        free[0] += gap + duration
        ends.append(free[0])
    earliest = earliest_ends(seconds, workers)
    assert all(one <= other + 1e-9 for one, other in zip(earliest, ends, strict=True))
    if not any(gaps):
        assert earliest == ends


def test_two_workers_by_hand():
    assert earliest_ends([3, 1, 1, 4], 2) == [3, 1, 2, 6]


@given(trials())
def test_members_of_the_front_are_those_nothing_dominated_when_they_were_there(points):
    ordered = sorted(range(len(points)), key=lambda i: points[i].ended)
    expected = set()
    for count in range(1, len(ordered) + 1):
        seen = ordered[:count]
        values = {i: (-points[i].validation, points[i].macs) for i in seen}
        for place, i in enumerate(seen):
            worse = any(
                values[j][0] <= values[i][0] and values[j][1] <= values[i][1]
                and (values[j] != values[i] or seen.index(j) < place)
                for j in seen if j != i
            )  # fmt: skip
            expected |= set() if worse else {i}
    assert ever_on_front(points) == expected


@given(trials())
def test_every_step_is_the_area_under_the_chosen_points(points):
    ordered = sorted(points, key=lambda point: point.ended)
    steps = curve(points, WHOLE)
    assert [step.ended for step in steps] == [point.ended for point in ordered]
    for count, step in enumerate(steps, start=1):
        seen = ordered[:count]
        chosen = [
            p for place, p in enumerate(seen)
            if not any(
                q.validation >= p.validation and q.macs <= p.macs
                and ((q.validation, q.macs) != (p.validation, p.macs) or other < place)
                for other, q in enumerate(seen) if other != place
            )
        ]  # fmt: skip
        # All numbers lie on a grid of tenths, so the area is a count of its cells.
        cells = sum(
            any(p.test * 10 > accuracy + 0.5 and p.macs / 10 < cost + 0.5 for p in chosen)
            for accuracy in range(10)
            for cost in range(10)
        )
        assert math.isclose(step.hypervolume, cells / 100, abs_tol=1e-9)


@given(trials(), shares)
def test_a_level_is_reached_first_and_kept_from_later_on(points, level):
    steps = curve(points, WHOLE)
    first, for_good = reached(steps, level), kept(steps, level)
    above = [step.hypervolume >= level for step in steps]
    assert first == next((s.ended for s, ok in zip(steps, above, strict=True) if ok), None)
    starts = [i for i in range(len(steps)) if all(above[i:])]
    assert for_good == (steps[starts[0]].ended if starts else None)
    assert (for_good is not None) == (bool(steps) and final(steps) >= level)


@given(st.lists(trials(), min_size=1, max_size=4), st.integers(0, 10))
def test_the_mean_of_curves_is_the_mean_at_every_moment(runs, moment):
    curves = [curve(points, WHOLE) for points in runs]
    expected = math.fsum(at(steps, moment) for steps in curves) / len(curves)
    assert math.isclose(at(mean_curve(curves), moment), expected, abs_tol=1e-12)
