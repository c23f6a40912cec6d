"""Least squares equal a solver that stacks the rows, and stay where rows tell nothing."""

import pytest
import torch

from autodepth.networks.pruning.reconstruction.least_squares import STRENGTHS, Moments, fitted

GENERATOR = torch.Generator().manual_seed(0)


def drawn(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.parametrize("intercept", [True, False])
def test_it_is_the_ridge_regression_around_the_start(intercept):
    x, y, start = drawn(50, 4), drawn(50, 3), (drawn(3, 4), drawn(3))
    moments = Moments(features=4, targets=3, device=x.device)
    for rows in (slice(20), slice(20, 50)):
        moments.add(x[rows], y[rows])
    weight, constant = moments.solve(start, 0.3, intercept=intercept)

    # The same as rows of their own: sqrt(pull) * (W - W_0) = 0 for each weight.
    pull = (0.3 * x.square().mean(0).mean()).sqrt()
    ones = torch.ones(50, 1, dtype=torch.float64) * intercept
    rows = torch.cat((torch.cat((x, ones), 1) / 50**0.5, pull * torch.eye(5, dtype=x.dtype)[:4]))
    targets = torch.cat((y / 50**0.5, pull * start[0].T))
    expected = torch.linalg.lstsq(rows, targets, driver="gelsd").solution
    assert torch.allclose(weight, expected[:4].T, atol=1e-6)
    expected_constant = expected[4] * intercept
    assert torch.allclose(constant, expected_constant, atol=1e-6)


def test_what_rows_do_not_tell_stays():
    start = drawn(3, 4), drawn(3)
    moments = Moments(features=4, targets=3, device=start[0].device)
    moments.add(torch.zeros(10, 4, dtype=torch.float64), drawn(10, 3))

    assert torch.allclose(moments.solve(start, 0.1)[0], start[0])


def moments_of(x, y):
    moments = Moments(features=x.shape[1], targets=y.shape[1], device=x.device)
    if len(x):
        moments.add(x, y)
    return moments


def test_the_error_is_that_of_the_rows_but_for_a_constant():
    x, y = drawn(40, 4), drawn(40, 3)
    maps = [(drawn(3, 4), drawn(3)) for _ in range(2)]
    told = [moments_of(x, y).error(one) for one in maps]
    errors = [(x @ w.T + b - y).square().sum(1).mean().item() for w, b in maps]

    assert told[0] - told[1] == pytest.approx(errors[0] - errors[1])


def test_the_pull_is_as_strong_as_other_rows_say():
    """Few noisy rows of many features: fitted to closely they say nothing of others."""
    start = drawn(3, 30) / 10, torch.zeros(3, dtype=torch.float64)
    x, others = drawn(25, 30), drawn(400, 30)
    noisy = [rows @ start[0].T + 2 * drawn(len(rows), 3) for rows in (x, others)]
    weight, _ = fitted(moments_of(x, noisy[0]), moments_of(others, noisy[1]), start)
    closely, _ = moments_of(x, noisy[0]).solve(start, STRENGTHS[0])
    assert (weight - start[0]).norm() < 0.5 * (closely - start[0]).norm()


def test_many_exact_rows_are_followed():
    start, wanted = (drawn(3, 5), drawn(3)), (drawn(3, 5), drawn(3))
    x, others = drawn(200, 5), drawn(50, 5)
    fit, check = (moments_of(rows, rows @ wanted[0].T + wanted[1]) for rows in (x, others))
    weight, constant = fitted(fit, check, start)

    assert (weight - wanted[0]).norm() < 0.05 * wanted[0].norm()
    assert torch.allclose(constant, wanted[1], atol=0.1)


def test_where_nothing_is_better_the_map_stays():
    start = drawn(3, 5), drawn(3)
    x, others = drawn(10, 5), drawn(200, 5)
    told = fitted(
        moments_of(x, drawn(10, 3) * 50), moments_of(others, others @ start[0].T + start[1]), start
    )

    assert told is start
