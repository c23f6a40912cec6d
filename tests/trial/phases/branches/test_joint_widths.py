"""Widths are chosen together, keep their share of MACs, and replay."""

from dataclasses import replace

import pytest

from autodepth.networks.catalogue import build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.branches.joint_widths import WIDTHS, JointWidths
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.result import TrialResult
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.1, precision="float32")
POLICY = Policy(removal="joint_widths", macs_target=0.5, fine_tune_epochs=1, train=TRAIN)


@pytest.fixture(scope="module")
def parent(context):
    return train_parent(POLICY, context, lambda _: None).network


@pytest.fixture(scope="module")
def judged(context, parent):
    widths = JointWidths(context, parent)
    return widths, widths.alone()


def chosen(judged, parent, **settings):
    widths, alone = judged
    return widths.chosen(removal_from(parent, replace(POLICY, **settings)), alone)[0]


def left(parent, widths):
    smaller = parent.without([branch for branch, width in widths.items() if not width])
    return prune_width(smaller, {b: 1 - width for b, width in widths.items() if width})


def test_every_branch_is_judged_with_every_width(judged, parent):
    alone = judged[1]
    assert set(alone) == {branch.index for branch in parent.branches}
    assert all(set(lost) == {0.0, *WIDTHS, 1.0} for lost in alone.values())
    assert len({lost[1.0] for lost in alone.values()}) == 1  # the whole network's


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_the_share_of_macs_is_kept_and_nothing_goes_needlessly(judged, parent, share):
    widths = chosen(judged, parent, macs_target=share)
    macs = left(parent, widths).total_macs
    assert 0.6 * share * parent.total_macs < macs <= share * parent.total_macs


def test_floors_hold_and_the_protected_stay(judged, parent):
    widths = chosen(judged, parent, macs_target=0.4, protected=(1, 6), least_per_stage=2)
    assert 0.0 not in widths.values()
    assert not {1, 6} & set(widths)
    least = chosen(judged, parent, macs_target=0.01)  # more than may go
    stages = {branch.index: branch.stage for branch in parent.branches}
    assert {stages[b] for b in stages if least.get(b, 1.0)} == set(stages.values())


def test_a_trial_records_its_widths_and_another_finds_them(context, tmp_path):
    kept = replace(context, cache=tmp_path / "cache")
    (tmp_path / "trial").mkdir()
    result, again = (
        run_trial(POLICY, kept, folder=tmp_path / "trial", on_epoch=lambda _: None)
        for _ in range(2)
    )

    assert result.point.macs <= 0.5 * build_network(context.spec).total_macs
    assert result.widths
    assert result.weights_sha256 == again.weights_sha256
    assert TrialResult.from_dict(result.to_dict()) == result
    named = replace(
        POLICY.removing(branches=result.removed), widths=tuple(result.widths.items()),
        removal="one_shot",
    )  # fmt: skip
    alone = run_trial(named, kept, folder=tmp_path / "trial", on_epoch=lambda _: None)
    assert alone.point.macs == result.point.macs
    assert alone.pruned_accuracy == result.pruned_accuracy
    assert alone.weights_sha256 == result.weights_sha256
