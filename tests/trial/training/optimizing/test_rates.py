"""The rate of each step, by schedule."""

import math

import pytest

from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.training.config import TrainingConfig
from autodepth.trial.training.optimizing.rates import cosine, wsd


def course(schedule, **settings):
    return TrainingConfig(
        epochs=10, learning_rate=1.0, schedule=schedule, settings=TrainingSettings(**settings),
        survival=lambda _: (),
    )  # fmt: skip


def test_wsd_rises_stays_and_falls():
    config = course("wsd", decay_share=0.2)
    rates = [wsd(step, config=config, steps=40) for step in range(41)]

    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:33] == [1.0] * 29
    assert rates[33:] == pytest.approx([7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0])


def test_cosine_rises_in_a_line_and_falls_in_half_a_wave():
    config = course("cosine", warmup_share=0.1)
    rates = [cosine(step, config=config, steps=40) for step in range(41)]

    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[22] == pytest.approx(0.5)
    assert rates[13] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert rates[40] == pytest.approx(0.0)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_cosine_without_warm_up_begins_at_the_highest_rate():
    assert cosine(0, config=course("cosine", warmup_share=0.0), steps=3) == 1.0
