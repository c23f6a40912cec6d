"""A trial's setting that trains in a second: ResNet-14 on few digits."""

from __future__ import annotations

import pytest
import torch

from autodepth.data.load import load_data
from autodepth.data.prepare import Augmentation, resolve_normalisation
from autodepth.data.settings import DataSettings
from autodepth.networks.catalogue import NetworkSpec
from autodepth.trial.context import TrialContext


@pytest.fixture(scope="session")
def context() -> TrialContext:
    settings = DataSettings(name="digits", train_images=128, validation=100)
    data = load_data(settings)
    return TrialContext(
        spec=NetworkSpec(name="resnet14", channels=1, height=8, width=8),
        weights=None,
        data=data,
        normalisation=resolve_normalisation(settings, data.train, pretrained=False, channels=1),
        augmentation=Augmentation(),
        sensitivity_images=None,
        device=torch.device("cpu"),
        threads=1,
        seed=11,
    )
