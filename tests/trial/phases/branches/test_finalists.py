"""Of what may go together, that goes without which the recovered network is closest."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial import cached_phases
from autodepth.trial.phases.branches.finalists import (
    FINALISTS,
    closest_when_recovered,
    is_mended_by_fitting,
    quickly_recovered,
)
from autodepth.trial.phases.branches.joint import judge_masks, may_be_removed
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.phases.recovery import DistanceFrom, fit_features, recalibrate_batch_norm
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.1, precision="float32")
POLICY = Policy(removal="joint", branches_removed=2, recovery="reconstruct", train=TRAIN)


@pytest.fixture(scope="module")
def parent(context):
    return train_parent(POLICY, context, lambda _: None).network


def test_the_closest_after_recovery_is_taken_and_the_first_among_equals(context, parent):
    choices = [{1: 0.0}, {2: 0.0}, {3: 0.0}]
    images = [images for images, _ in context.scoring_batches()]

    def cut(choice):  # 2 and 3 are mended whole
        return parent.without([] if set(choice) & {2, 3} else choice)

    assert DistanceFrom(parent, images, context.task)(cut({1: 0.0})) > 0
    assert closest_when_recovered(parent, choices, cut, context) == {2: 0.0}


@pytest.mark.parametrize(
    ("change", "mended"),
    [
        ({}, True),
        ({"recovery": "recalibrate"}, False),
        ({"recalibration_batches": 0}, False),
        ({"stream_width": 0.5}, False),
    ],
)
def test_recovery_mends_more_where_features_are_fitted(change, mended):
    assert is_mended_by_fitting(replace(POLICY, **change)) is mended


def test_a_trial_takes_the_finalist_that_is_closest_when_recovered(context, parent, tmp_path):
    context = replace(context, cache=tmp_path / "cache")
    removal = removal_from(parent, POLICY)
    finalists = may_be_removed(judge_masks(context, parent, removal), removal, (), FINALISTS)
    images = [images for images, _ in context.scoring_batches()]

    def far(mask):
        network = parent.without(mask)
        quick = quickly_recovered(POLICY)
        assert quick.recalibration_batches < POLICY.recalibration_batches
        batches = context.training_batches(TRAIN.batch_size, "recalibration")
        recalibrate_batch_norm(network, batches, quick.recalibration_batches)
        fit_features(parent, network, quick, context)
        return DistanceFrom(parent, images, context.task)(network)

    result = run_trial(POLICY, context, folder=tmp_path, on_epoch=lambda _: None)

    assert len(finalists) > 1
    assert result.removed == min(finalists, key=far)
    named = replace(POLICY.removing(branches=result.removed), removal="one_shot")
    alone = run_trial(named, context, folder=tmp_path, on_epoch=lambda _: None)
    assert alone.weights_sha256 == result.weights_sha256


def test_finalists_are_judged_once_for_every_length_of_fine_tuning(context, tmp_path, monkeypatch):
    context = replace(context, cache=tmp_path / "cache")
    judged = []

    def note(parent, choices, cut, context):
        judged.append(len(choices))
        return closest_when_recovered(parent, choices, cut, context)

    monkeypatch.setattr(cached_phases, "closest_when_recovered", note)
    removed = {
        run_trial(
            replace(POLICY, fine_tune_epochs=epochs), context, folder=tmp_path,
            on_epoch=lambda _: None,
        ).removed
        for epochs in (1, 2)
    }  # fmt: skip

    assert len(judged) == 1
    assert len(removed) == 1
