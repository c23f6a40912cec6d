"""What came later leaves policies, keys and digests of before as they were."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings

PLAIN = Policy(fine_tune_epochs=2)
FROM_THE_START = {
    "epochs": 20,
    "batch_size": 128,
    "learning_rate": 0.1,
    "fine_tune_learning_rate": None,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "label_smoothing": 0.0,
    "precision": "auto",
}
LATER = {
    "optimizer": "adamw",
    "weight_decay_on": "matrices",
    "clip_norm": 1.0,
    "ema": 0.99,
    "mixup": 0.2,
    "cutmix": 1.0,
    "auto_augment": "rand",
    "erasing": 0.25,
    "class_weights": "balanced",
}


def training(**settings):
    return replace(PLAIN, train=replace(PLAIN.train, **settings))


def test_at_their_defaults_later_settings_are_not_written():
    assert TrainingSettings().to_dict() == FROM_THE_START
    assert TrainingSettings(ema=0.9).to_dict() == {**FROM_THE_START, "ema": 0.9}


def test_at_their_defaults_later_settings_shape_nothing():
    names = {f"train.{name}" for name in FROM_THE_START} - {"train.fine_tune_learning_rate"}

    assert {name for name in PLAIN.shaping("parent") if name.startswith("train.")} == names


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("phase", ["parent", "fine_tune"])
def test_elsewhere_they_shape_all_training(name, phase):
    assert training(**{name: LATER[name]}).shaping(phase)[f"train.{name}"] == LATER[name]


def test_what_belongs_to_another_setting_counts_only_with_it():
    assert training(beta2=0.9).shaping("parent") == PLAIN.shaping("parent")
    assert training(augment_magnitude=5).shaping("parent") == PLAIN.shaping("parent")
    assert training(warmup_share=0.5).shaping("fine_tune") == PLAIN.shaping("fine_tune")
    adamw = training(optimizer="adamw", auto_augment="rand", schedule="cosine")
    assert {"train.beta2", "train.augment_magnitude", "train.warmup_share"} <= set(
        adamw.shaping("parent")
    )
