"""Accuracies predicted from what was cut out before."""

import pytest

from autodepth.service.solving.expectation import Expectation, Known


def known(share, lost, epochs=2):
    accuracy = 0.95 - 0.2 * lost
    return Known(
        epochs=epochs, share=share, lost=lost, parent=0.95,
        curve=[accuracy - 0.01, accuracy][:epochs], accuracy=accuracy if epochs else accuracy - 0.3,
    )  # fmt: skip


def test_what_loses_less_is_expected_to_be_better():
    expectation = Expectation([known(1 - i / 20, i / 15) for i in range(12)])
    little, much = (
        expectation.of(epochs=2, share=0.7, lost=lost, parent=0.95) for lost in (0.1, 0.6)
    )
    assert little.mean == pytest.approx(0.93, abs=0.02)
    assert much.mean < little.mean
    assert expectation.trials == 12
    assert 0 <= expectation.off_by < 0.03


def test_of_one_network_nothing_is_expected():
    expectation = Expectation([known(0.8, 0.2)])
    assert expectation.of(epochs=2, share=0.7, lost=0.1, parent=0.95) is None
    assert expectation.off_by is None
