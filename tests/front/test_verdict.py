"""Means, intervals and verdicts of runs over seeds, against closed forms and brute force."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from autodepth.errors import InputError
from autodepth.front.verdict import bootstrap_interval, compare, spread

counts = st.integers(0, 1000).map(lambda right: right / 1000)  # right answers of 1,000 images
pairs = st.lists(st.tuples(counts, counts), min_size=2, max_size=6)


def t_by_hand(differences):
    n = len(differences)
    t = statistics.fmean(differences) / (statistics.stdev(differences) / math.sqrt(n))
    return 2 * stats.t.sf(abs(t), n - 1)


def test_a_spread_is_mean_and_standard_deviation():
    found = spread([0.90, 0.92, 0.97])

    assert found.mean == pytest.approx(0.93)
    assert found.sd == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert found.n == 3


def test_one_value_has_no_spread_and_none_is_refused():
    assert spread([0.9]).to_dict() == {"mean": 0.9, "sd": None, "n": 1, "low": None, "high": None}
    with pytest.raises(InputError, match="at least one value"):
        spread([])


def test_the_interval_is_that_of_all_resamples():
    """Of 4 values there are only 4^4 resamples: the quantiles of all of them are exact."""
    values = [0.90, 0.93, 0.94, 0.99]
    means = [statistics.fmean(drawn) for drawn in itertools.product(values, repeat=4)]
    exact = np.quantile(means, [0.025, 0.975])

    assert bootstrap_interval(values) == pytest.approx(exact, abs=0.002)


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    hits = 0
    for draw in range(100):
        low, high = bootstrap_interval(generator.normal(0.9, 0.01, 30).tolist(), seed=draw)
        hits += low <= 0.9 <= high
    assert 85 <= hits <= 100


@settings(max_examples=30)
@given(st.lists(counts, min_size=2, max_size=5), st.integers(0, 9))
def test_an_interval_holds_the_mean_stays_within_the_values_and_is_repeatable(values, seed):
    low, high = bootstrap_interval(values, seed=seed)

    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert low - 1e-12 <= statistics.fmean(values) <= high + 1e-12
    assert bootstrap_interval(values, seed=seed) == (low, high)


@settings(max_examples=50)
@given(pairs)
def test_a_comparison_is_that_of_the_paired_differences(values):
    first, second = zip(*values, strict=True)
    differences = [a - b for a, b in values]
    found = compare(first, second)

    assert found.pairs == len(values)
    assert found.difference == pytest.approx(statistics.fmean(differences), abs=1e-12)
    assert found.sd == pytest.approx(statistics.stdev(differences), abs=1e-12)
    if found.sd > 1e-9:
        assert found.p_value == pytest.approx(t_by_hand(differences), abs=1e-9)


@settings(max_examples=50)
@given(pairs)
def test_the_verdict_needs_two_standard_deviations_and_turns_with_the_sides(values):
    first, second = zip(*values, strict=True)
    found, turned = compare(first, second), compare(second, first)

    assert {"yes": "no", "no": "yes", "tie": "tie"}[found.verdict] == turned.verdict
    if found.verdict == "tie":
        assert abs(found.difference) <= 2 * found.sd + 1e-12
    else:
        assert abs(found.difference) >= 2 * found.sd - 1e-12
        assert (found.difference > 0) == (found.verdict == "yes")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.91], "yes"),
        ([0.90, 0.91, 0.91], [0.95, 0.96, 0.97], "no"),
        ([0.95, 0.92, 0.97], [0.94, 0.95, 0.91], "tie"),
        ([0.95, 0.96], [0.94, 0.94], "yes"),  # +0.01 and +0.02: mean 0.015, two sd 0.0141
        ([0.95, 0.965], [0.94, 0.94], "tie"),  # +0.01 and +0.025: mean 0.0175, two sd 0.0212
        ([0.9, 0.8], [0.9, 0.8], "tie"),
        ([0.95], [0.5], "unknown"),
        ([], [], "unknown"),
    ],
)
def test_verdicts(first, second, verdict):
    assert compare(first, second).verdict == verdict


def test_pairs_are_compared_and_not_means():
    """Seeds move both networks alike; the difference is the same on each."""
    found = compare([0.80, 0.90, 0.96], [0.79, 0.888, 0.949])

    assert found.verdict == "yes"
    assert stats.ttest_ind([0.80, 0.90, 0.96], [0.79, 0.888, 0.949]).pvalue > 0.8
    assert found.p_value < 0.01


def test_differences_that_do_not_vary_have_no_test():
    equal, shifted = compare([0.9, 0.8], [0.9, 0.8]), compare([0.97, 0.95], [0.96, 0.94])

    assert (equal.p_value, equal.verdict) == (1.0, "tie")
    assert (shifted.p_value, shifted.verdict) == (None, "yes")


@pytest.mark.parametrize(("n", "share"), [(2, 0.22), (3, 0.07), (5, 0.01)])
def test_how_often_equals_are_told_apart_is_as_documented(n, share):
    """The rule asks for t >= 2 sqrt(n) with n - 1 degrees of freedom."""
    assert 2 * stats.t.sf(2 * math.sqrt(n), n - 1) == pytest.approx(share, abs=0.005)
    draws = np.random.default_rng(1).normal(size=(2000, 2, n))
    differences = draws[:, 0] - draws[:, 1]
    apart = abs(differences.mean(1)) >= 2 * differences.std(1, ddof=1)
    agreed = [compare(a.tolist(), b.tolist()).verdict != "tie" for a, b in draws[:20]]

    assert agreed == apart[:20].tolist()
    assert apart.mean() == pytest.approx(share, abs=0.025)


def test_sides_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="but got 2 and 1"):
        compare([0.9, 0.8], [0.9])
