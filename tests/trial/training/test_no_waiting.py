"""A step asks the device for no number: each would hold the host up until all before is computed.

Counted on the CPU, where a number that is read passes the dispatcher as it does on a GPU.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autodepth.networks.catalogue import build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.training.config import TrainingConfig
from autodepth.trial.training.loop import train


class NumbersRead(TorchDispatchMode):
    """Counts tensors whose value is read into Python."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def numbers_read(context, batch_size, **recipe):
    """Train an epoch with branches dropped; return how many steps it had, and numbers it read."""
    settings = TrainingSettings(
        epochs=1, batch_size=batch_size, learning_rate=0.01, precision="float32", **recipe
    )
    task = context.task_of(settings)
    batches = context.training_batches(batch_size, "test", task)
    network = GatedNetwork(build_network(context.spec, seed=1))
    with NumbersRead() as read:
        train(
            network,
            batches,
            context.validation_batches(),
            TrainingConfig(
                epochs=1, learning_rate=0.01, settings=settings, task=task,
                survival=lambda _: [0.5] * 6,
            ),
            gate_generator=context.generator("gates"),
            on_epoch=lambda _: None,
        )  # fmt: skip
    return len(batches), read.count


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9, "clip_norm": 1.0}], ids=["plain", "recipe"])
def test_more_steps_read_no_more_numbers(context, recipe):
    few, many = (numbers_read(context, size, **recipe) for size in (32, 8))
    assert (few[0], many[0]) == (4, 16)
    assert many[1] == few[1]


def test_a_number_that_is_read_is_counted():
    with NumbersRead() as read:
        float(torch.ones(2).sum())
    assert read.count == 1
