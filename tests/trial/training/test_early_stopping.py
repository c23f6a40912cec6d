"""Patience: when training ends, and which epoch's weights are taken."""

import pytest
import torch
from torch import nn

from autodepth.trial.training.early_stopping import EarlyStopping
from autodepth.trial.training.evaluation import Evaluation


def stopping(losses, patience):
    """Return what waits, and its network, whose weight is the number of the last epoch."""
    module = nn.Linear(1, 1, bias=False)
    found = EarlyStopping(module, patience)
    for epoch, loss in enumerate(losses, start=1):
        nn.init.constant_(module.weight, epoch)
        found.update(Evaluation(accuracy=0.5, loss=loss))
    return found, module


@pytest.mark.parametrize(
    ("losses", "waited_enough", "best"),
    [
        ([0.5], False, 1),
        ([0.5, 0.4, 0.6], False, 2),
        ([0.5, 0.6, 0.7], True, 1),
        ([0.5, 0.5, 0.5], True, 1),  # as good is not better
        ([0.5, 0.6, 0.4], False, 3),
    ],
)
def test_the_epoch_of_the_lowest_loss_comes_back(losses, waited_enough, best):
    found, module = stopping(losses, patience=2)

    assert found.waited_enough is waited_enough
    found.restore()
    assert module.weight.item() == best


def test_without_patience_training_never_ends_and_the_last_weights_stay():
    found, module = stopping([0.1, 0.9, 0.9, 0.9], patience=None)

    assert not found.waited_enough
    found.restore()
    assert module.weight.item() == 4


def test_what_was_saved_goes_on_waiting_where_it_was():
    before, _ = stopping([0.5, 0.6], patience=2)
    weights, values = before.state_dict()
    after, module = stopping([], patience=2)
    after.load_state_dict(weights, values)

    after.update(Evaluation(accuracy=0.5, loss=0.55))
    assert after.waited_enough
    after.restore()
    assert torch.equal(module.weight, torch.tensor([[1.0]]))
