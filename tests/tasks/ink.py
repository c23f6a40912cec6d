"""A task in one file: how far from the middle the ink of a handwritten digit lies, in pixels."""

import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from autodepth.tasks.task import Metric, Task

PARTS = {"train": slice(0, 120), "validation": slice(120, 180), "test": slice(180, 240)}


class Ink(Task):
    metrics = {"mae": Metric(worst=4.0, best=0.0, unit="px"), "off": Metric(worst=8, best=0)}
    outputs = 2

    def __init__(self):
        images = torch.tensor(load_digits().images[:240], dtype=torch.float32)[:, None]
        at = torch.arange(8.0)
        ink = images.sum((1, 2, 3))
        centre = [(images.sum(side)[:, 0] * at).sum(1) / ink for side in (3, 2)]
        self.inputs, self.targets = images / 16, torch.stack(centre, 1)

    def batches(self, split, *, batch_size, generator):
        part = PARTS[split]
        examples = TensorDataset(self.inputs[part], self.targets[part])
        return DataLoader(examples, batch_size, shuffle=generator is not None, generator=generator)

    def loss(self, outputs, targets):
        return functional.smooth_l1_loss(outputs, targets)

    def measure(self, outputs, targets):
        off = (outputs - targets).abs()
        return {"mae": off.mean(), "off": off.amax(1).mean()}
