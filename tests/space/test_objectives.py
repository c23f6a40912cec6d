"""Quantities and constraints mean what they say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.space.objectives import COSTS, Quantity, parse_constraint, parse_quantity

ANY_PACE = settings(deadline=None)  # other work may hold the machine


@pytest.mark.parametrize(
    ("written", "of_a_thousand"),
    [(0.9, 0.9), (3, 3), ("60M", 60e6), ("1.5 k", 1500), ("4G", 4e9), ("70%", 700), ("1e3", 1e3)],
)
def test_quantities(written, of_a_thousand):
    assert parse_quantity(written).of(1000) == pytest.approx(of_a_thousand)


@pytest.mark.parametrize("written", ["", "many", "60T", "%", None, True, [], "1e999", float("inf")])
def test_what_is_no_quantity_is_refused(written):
    with pytest.raises(InputError, match="must be a number such as"):
        parse_quantity(written)


@ANY_PACE
@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_a_quantity_is_read_as_it_is_printed(amount, relative):
    quantity = Quantity(amount, relative)
    assert parse_quantity(quantity.to_plain()) == quantity
    assert parse_quantity(str(quantity)) == quantity


def test_constraints_hold_at_their_bound():
    constraint = parse_constraint("macs <= 70%")
    assert constraint.excess(70, 100) == 0
    assert constraint.excess(77, 100) == pytest.approx(0.1)
    accuracy = parse_constraint("validation_accuracy>=0.9")
    assert accuracy.excess(0.9, 0.0) == 0
    assert accuracy.excess(0.81, 0.0) == pytest.approx(0.1)


@ANY_PACE
@given(
    st.sampled_from(COSTS),
    st.sampled_from(["<=", ">="]),
    st.floats(min_value=1e-3, max_value=1e12),
    st.booleans(),
)
def test_a_constraint_is_read_as_it_is_printed(metric, relation, amount, relative):
    constraint = parse_constraint(f"{metric} {relation} {Quantity(amount, relative)}")
    assert parse_constraint(str(constraint)) == constraint
    assert constraint.bound == Quantity(amount, relative)
