"""Accuracies are learned from trainings, and how far off predictions were is told."""

import math
from dataclasses import replace

import pytest

from autodepth.study.propose.predict.accuracy_model import AccuracyModel, Training


def law(training):
    """A made truth: larger and longer is better, with less and less to gain."""
    return 0.9 - 0.25 * training.macs**-0.2 * 0.3 - 0.3 / (1 + training.epochs)


def curve_of(training):
    return [
        law(Training(macs=training.macs, epochs=epoch)) for epoch in range(1, training.epochs + 1)
    ]


def grid():
    return [Training(macs=m, epochs=e) for m in (0.02, 0.08, 0.3, 1.0) for e in (2, 8)]


def test_networks_between_those_that_are_known_are_predicted_to_a_point():
    model = AccuracyModel()
    for training in grid():
        model.learn(training, curve_of(training))
    between = [Training(macs=0.05, epochs=4), Training(macs=0.5, epochs=6)]

    for training, predicted in zip(between, model.predict(between), strict=True):
        assert predicted.mean == pytest.approx(law(training), abs=0.03)


def test_what_is_unlike_all_that_is_known_is_more_doubtful():
    model = AccuracyModel()
    for training in grid()[:4]:
        model.learn(training, curve_of(training))
    near, far = model.predict([Training(macs=0.03, epochs=4), Training(macs=1.0, epochs=64)])

    assert far.spread > 1.5 * near.spread


def test_parents_and_their_cuts_are_told_apart():
    model = AccuracyModel()
    for macs in (0.1, 0.3, 0.6):
        model.learn(Training(macs=macs, epochs=2, start=0.9, kept=macs), [0.8, 0.86])
        model.learn(Training(macs=macs, epochs=2), [0.2, 0.4])
    cut, scratch = model.predict(
        [Training(macs=0.4, epochs=2, start=0.9, kept=0.4), Training(macs=0.4, epochs=2)]
    )

    assert cut.mean > scratch.mean + 0.3


def test_before_two_trainings_ended_everything_is_as_likely():
    model = AccuracyModel()
    model.learn(Training(macs=0.1, epochs=4), [0.1, 0.2], ended=False)
    model.learn(Training(macs=0.1, epochs=2), [0.1, 0.2])
    assert not model.knows_enough

    small, large = model.predict([Training(macs=0.1, epochs=1), Training(macs=1.0, epochs=9)])
    assert small == large


def test_many_trainings_are_known_by_the_latest():
    model = AccuracyModel()
    for number in range(300):
        accuracy = 0.2 if number < 150 else 0.8
        model.learn(Training(macs=0.1 + number / 1000, epochs=2), [accuracy / 2, accuracy])
    (predicted,) = model.predict([Training(macs=0.1, epochs=2)])

    assert predicted.mean == pytest.approx(0.8, abs=0.15)
    assert math.isfinite(predicted.spread)


def test_how_far_a_cut_is_before_it_is_tuned_tells_how_accurate_it_becomes():
    """Of cuts of equal cost and length; one of which nobody judged that is predicted as before."""
    cuts = {
        far: Training(macs=0.4, epochs=2, start=0.9, kept=0.4, divergence=far)
        for far in (0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 4.0)
    }
    blind, told = AccuracyModel(), AccuracyModel()
    for far, training in cuts.items():
        if far not in (0.5, 2.5):
            accuracy = 0.9 - 0.12 * far
            told.learn(training, [accuracy - 0.1, accuracy])
            blind.learn(replace(training, divergence=None), [accuracy - 0.1, accuracy])
    near, distant = told.predict([cuts[0.5], cuts[2.5]])
    unknown, alike = blind.predict([replace(cuts[far], divergence=None) for far in (0.5, 2.5)])

    assert near.mean == pytest.approx(0.84, abs=0.03)
    assert distant.mean == pytest.approx(0.6, abs=0.03)
    assert unknown == alike
    assert near.spread < unknown.spread
