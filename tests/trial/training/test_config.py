"""What a training minimises."""

import pytest
import torch
import torch.nn.functional as F

from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.training.config import Distillation, TrainingConfig

# Numbers are compared with those by hand, so not in the bfloat16 that some CPUs multiply.
TRAIN = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.1, precision="float32")


def test_distillation_is_the_loss_of_its_source():
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 10), torch.randn(5, 10)
    labels = torch.arange(5)
    config = TrainingConfig(
        epochs=1,
        learning_rate=0.1,
        settings=TRAIN,
        survival=lambda _: (),
        distillation=Distillation(teacher=lambda _: teacher, weight=0.7, temperature=3.0),
    )

    p, q = (F.softmax(scores / 3.0, dim=1) for scores in (teacher, student))
    divergence = (p * (p / q).log()).sum(1).mean()
    expected = 0.3 * F.cross_entropy(student, labels) + 0.7 * 9.0 * divergence

    assert config.loss(student, torch.zeros(5), labels).item() == pytest.approx(
        expected.item(), rel=1e-5
    )
