"""The rule by which trials are given up, beside its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.study.stopping.rungs import Rungs
from autodepth.study.stopping.stop_rule import RungPoint, _Expectation


@given(
    st.lists(
        st.tuples(st.floats(0, 0.99), st.floats(0, 0.99), st.sampled_from([0.01, 0.03, 0.1])),
        min_size=4,
        max_size=20,
    )
)
def test_what_is_expected_is_ridge_regression(known):
    points = [RungPoint(accuracy=a, cost=1.0, rate=rate) for a, _, rate in known]
    x = np.log([[1 - a, rate] for a, _, rate in known])
    y = np.log([1 - end for _, end, _ in known])
    deviation = x.std(axis=0)
    assume(deviation[0] > 1e-3)
    deviation[deviation < 1e-9] = 1.0  # one rate for all: its column is 0, and so its weight
    z = (x - x.mean(axis=0)) / deviation
    weights = np.linalg.solve(z.T @ z + 0.5 * np.eye(2), z.T @ (y - y.mean()))
    expected = y.mean() + z @ weights
    learned = _Expectation.learn(
        [(point, end) for point, (_, end, _) in zip(points, known, strict=True)]
    )

    assert [learned.at(point) for point in points] == pytest.approx(expected, abs=1e-6)
    rest = math.sqrt(((y - expected) ** 2).sum() / (len(y) - 3))
    assert learned.deviation == pytest.approx(rest, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at": (0.5, 0.25)}, r"rungs must rise and lie in \(0, 1\), but got \(0.5, 0.25\)"),
        ({"at": (0.5, 0.5)}, "rungs must rise"),
        ({"at": (1.0,)}, "rungs must rise"),
        ({"keep": 1.2}, r"keep must be in \[0, 1\], but got 1.2"),
        ({"keep": math.nan}, "keep must be"),
        ({"margin": -0.1}, "margin must be at least 0 and finite, but got -0.1"),
        ({"margin": math.inf}, "margin must be"),
        ({"fewest": 3}, "fewest must be at least 4, but got 3"),
    ],
)
def test_a_rule_out_of_range_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Rungs(**arguments)
