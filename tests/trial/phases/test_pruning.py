"""A policy that names the branches that go: exactly these, without scoring."""

from dataclasses import replace

import pytest
from torch import nn

from autodepth.errors import InputError, NetworkError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import Means, prune
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.1)


class Broadcast(nn.Module):
    """The first branch cannot go: its shortcut has one channel, the sum has four."""

    def __init__(self):
        super().__init__()
        self.wide, self.even = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        x = x + self.wide(x)
        return (x + self.even(x)).mean((2, 3))


def means(each, **others):
    names = ("score", "choose", "recalibrate", "fine_tune_between", "reconstruct")
    return Means(**{**dict.fromkeys(names, each), **others})


def run(policy, context, folder):
    epochs = []
    return run_trial(policy, context, folder=folder, on_epoch=epochs.append), epochs


def test_named_branches_go_and_nothing_is_scored(context, tmp_path):
    scored = Policy(sensitivity_threshold=(0.8,), fine_tune_epochs=1, train=TRAIN)
    expected, _ = run(scored, context, tmp_path)
    parent = train_parent(scored, context, lambda _: None).network

    def never(network):
        raise AssertionError("nothing is to be scored")

    for mode in ("one_shot", "greedy"):
        named = replace(scored.removing(branches=expected.removed[::-1]), removal=mode)
        result, _ = run(named, context, tmp_path)
        assert result.removed == expected.removed
        assert replace(result.point, latency_ms=0) == replace(expected.point, latency_ms=0)
        steps = []
        pruned = prune(parent, named, {}, means(never, recalibrate=steps.append))
        assert pruned.order == expected.removed[::-1]
        assert len(steps) == (1 if mode == "one_shot" else len(expected.removed))


def test_iterative_removal_of_named_branches_fine_tunes_between(context, tmp_path):
    policy = Policy(removal="iterative", branches=(5, 2, 3), removal_step=2, train=TRAIN)
    result, epochs = run(policy, context, tmp_path)

    assert result.removed == (2, 3, 5)
    assert [e.branches_computed for e in epochs[4:]] == [4, 3]


def test_named_branches_have_to_be_there_and_removable(context, tmp_path):
    short = replace(TRAIN, epochs=0)
    with pytest.raises(InputError, match=r"branches must name .* 1 to 6, but got 7"):
        run(Policy(branches=(1, 7), train=short), context, tmp_path)
    network = ResidualNetwork.from_module(Broadcast(), (1, 8, 8))
    ways = means(lambda _: {})
    assert prune(network, Policy(branches=(2,)), {}, ways).order == (2,)
    with pytest.raises(NetworkError, match="branch 1 cannot be removed: its shortcut has another"):
        prune(network, Policy(branches=(2, 1)), {}, ways)
