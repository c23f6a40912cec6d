"""Numbers of trials in words."""

import pytest

from autodepth.front.verdict import Comparison, Spread
from autodepth.report.wording import shorten, shown_difference, shown_filters, shown_spread


def test_filters_are_told_as_a_share_or_as_branches():
    assert shown_filters({"filter_sparsity": 0.25}) == "25%"
    assert shown_filters({}, "-") == "-0%"
    assert shown_filters({"widths": {"2": 0.5, "3": 1.0}, "filter_sparsity": 0.5}) == "1 narrower"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], "-"),
        ([4], "4"),
        ([3, 1, 2, 5], "1-3 5"),
        ([7, 8], "7-8"),
        ([1, 3, 5], "1 3 5"),
        ([10, 2, 9, 1, 11], "1-2 9-11"),
    ],
)
def test_runs_of_branches_are_joined(numbers, text):
    assert shorten(numbers) == text


def test_one_seed_has_no_deviation():
    assert shown_spread(Spread(mean=0.9714, sd=0.004, n=3, low=0.97, high=0.98)) == "97.1±0.4 (3)"
    assert shown_spread(Spread(mean=0.9714, sd=None, n=1, low=None, high=None)) == "97.1 (1)"


def difference(difference=None, sd=None, p_value=None):
    return shown_difference(
        Comparison(
            difference=difference, sd=sd, pairs=2, low=None, high=None, p_value=p_value,
            verdict="tie",
        )
    )  # fmt: skip


def test_a_difference_is_told_in_points_with_its_sign():
    assert difference(0.0123, sd=0.004, p_value=0.034) == (
        "+1.2±0.4", "0.03", "tie",
    )  # fmt: skip
    assert difference(-0.0004, p_value=0.0004)[:2] == ("+0.0", "<0.01")
    assert difference() == ("-", "-", "tie")
