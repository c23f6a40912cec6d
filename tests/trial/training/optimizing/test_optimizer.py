"""Which optimizer moves which weights."""

import torch
from torch import nn

from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.training.optimizing.optimizer import optimizer_of


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_sgd_is_the_default_and_lets_all_weights_decay():
    module = network()
    optimizer = optimizer_of(module, TrainingSettings(), 0.1)

    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert group["params"] == list(module.parameters())
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.9, True)
    assert group["weight_decay"] == 5e-4


def test_adamw_takes_its_betas_and_spares_norms_and_biases():
    module = network()
    settings = TrainingSettings(
        optimizer="adamw", beta2=0.95, weight_decay=0.05, weight_decay_on="matrices"
    )
    optimizer = optimizer_of(module, settings, 1e-3)

    assert isinstance(optimizer, torch.optim.AdamW)
    decaying, others = optimizer.param_groups
    assert [p.ndim for p in decaying["params"]] == [4, 2]
    assert [p.ndim for p in others["params"]] == [1] * 4
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert decaying["betas"] == others["betas"] == (0.9, 0.95)
