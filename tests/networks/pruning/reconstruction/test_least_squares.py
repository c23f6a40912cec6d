"""Least squares equal a solver that stacks the rows, and stay where rows tell nothing."""

import pytest
import torch

from autodepth.networks.pruning.reconstruction.least_squares import Moments

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
