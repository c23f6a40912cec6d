"""What is told of scores and of the accuracies that came of sets."""

import pytest
from scores_told import JOINT, Told, table


@pytest.fixture(scope="module")
def told():
    rows = [{"how": "whole", "macs": 100, "accuracy": 0.9}]
    for number in range(12):
        far = (number * 5 % 12) / 10
        scores = {JOINT: far, "sum of ablation_kl": float(number % 3)}
        rows.append({"how": f"random {number}", "macs": 33, "removed": [], "scores": scores})
        rows += [
            {"how": f"random {number}", "epochs": epochs, "seed": 0, "accuracy": 0.8 - far * lost}
            for epochs, lost in ((0.5, 0.5), (1.0, 0.25))
        ]
    rows.append({"how": "random 0", "epochs": 2.0, "seed": 0, "accuracy": 0.8})  # the others lack
    return Told(rows)


def test_a_score_that_orders_accuracies_correlates_wholly(told):
    assert told.lengths == [0.5, 1.0]
    assert told.correlation(JOINT, 0.5) == pytest.approx((1.0, 1.0, 1.0))
    rho, low, high = told.correlation("sum of ablation_kl", 1.0)
    assert low < rho < high < 1


def test_a_predictor_that_knows_what_tells_is_nearer(told):
    blind, knowing = told.predictor_off(()), told.predictor_off((JOINT,))
    assert all(k < 0.02 < b for k, b in zip(knowing, blind, strict=True))


def test_all_of_it_is_in_the_table(told):
    text = table(told, "conditions")
    assert f"| {JOINT} | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in text
    assert "| random 3 | 0.30 | 65.0 | 72.5 |" in text
