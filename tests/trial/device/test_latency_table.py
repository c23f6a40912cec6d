"""Predicted latencies by hand."""

import json

import pytest

from autodepth.errors import NewerStudyError
from autodepth.space.objectives import parse_constraint
from autodepth.trial.device.latency_table import LatencyTable, prediction_error, tables_of

TABLE = LatencyTable(
    device="a CPU", threads=1, whole_ms=10.0, around_ms=4.0, branches_ms={1: 1.0, 2: 2.0, 3: 3.0}
)


@pytest.mark.parametrize(
    ("removed", "sparsity", "expected"),
    [((), 0.0, 10.0), ((2,), 0.0, 8.0), ((1, 2, 3), 0.0, 4.0), ((3,), 0.5, 5.5)],
)
def test_a_network_takes_what_is_around_and_what_is_left(removed, sparsity, expected):
    assert TABLE.predict(removed, sparsity) == pytest.approx(expected)


def test_a_branch_of_its_own_width_takes_its_share():
    assert TABLE.predict((2,), widths={1: 0.5, 2: 0.5}) == pytest.approx(4.0 + 0.5 + 3.0)
    assert TABLE.predict((), 0.5, {3: 1.0}) == pytest.approx(4.0 + 0.5 + 1.0 + 3.0)


NARROW = LatencyTable(
    device="a CPU",
    threads=1,
    whole_ms=10.0,
    around_ms=4.0,
    branches_ms={1: 6.0},
    narrow_ms={0.5: {1: 4.0}, 0.25: {1: 1.0}},
)


@pytest.mark.parametrize(
    ("width", "ms"),
    [
        (1.0, 6.0), (0.75, 5.0), (0.5, 4.0), (0.375, 2.5), (0.25, 1.0),
        (0.2, 0.8), (0.0, 0.0),  # the line would fall below the share of the narrowest
    ],
)  # fmt: skip
def test_narrower_branches_take_what_lies_between_those_measured(width, ms):
    assert NARROW.predict((), widths={1: width}) == pytest.approx(4.0 + ms)
    assert NARROW.predict((1,), widths={1: width}) == 4.0


def test_tables_of_a_plan_are_by_metric():
    plan = {
        "latency_table": TABLE.to_dict(),
        "latency_tables": {"latency_ms@phone": json.loads(json.dumps(NARROW.to_dict()))},
    }

    assert tables_of(plan) == {"latency_ms": TABLE, "latency_ms@phone": NARROW}
    assert tables_of({"latency_table": None}) == {}


@pytest.mark.parametrize(
    ("bound", "predicted", "excess"),
    [
        ("latency_ms <= 8", 8.8, 0.0),  # within the tenth that a prediction may be off
        ("latency_ms <= 8", 10.0, 0.125),
        ("latency_ms <= 50%", 10.0, 0.8),
        ("latency_ms >= 8", 7.5, 0.0),
        ("latency_ms >= 8", 4.0, 0.45),
    ],
)
def test_a_bound_is_broken_for_certain_beyond_the_margin(bound, predicted, excess):
    assert TABLE.breaks(parse_constraint(bound), predicted) == pytest.approx(excess)


def test_a_table_comes_back_from_json():
    assert LatencyTable.from_dict(json.loads(json.dumps(TABLE.to_dict()))) == TABLE


def test_a_table_of_a_newer_autodepth_is_refused():
    with pytest.raises(NewerStudyError, match=r"a table of latencies must .* has 'joules'"):
        LatencyTable.from_dict({**TABLE.to_dict(), "joules": 1.0})


def test_errors_are_medians_and_order_is_that_of_ranks():
    error = prediction_error([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 4.0, 4.0])

    assert (error.networks, error.median_error) == (4, pytest.approx(0.125))
    assert error.rank_correlation == pytest.approx(2 / 5**0.5)  # with ties in the middle


@pytest.mark.parametrize(
    ("predicted", "measured"), [([1.0, 2.0], [1.0, 2.0]), ([1.0] * 3, [1.0, 2.0, 3.0])]
)
def test_of_few_or_equal_ones_no_order_is_told(predicted, measured):
    assert prediction_error(predicted, measured).rank_correlation is None
