"""What a space can reach is what its protected and named branches leave."""

from dataclasses import replace

import pytest
import torch

from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.space.objectives import parse_constraint
from autodepth.space.search_space import SearchSpace
from autodepth.study.plan import estimate
from autodepth.study.plan.estimate import (
    MacsRange,
    StepTime,
    TrialCost,
    constraint_verdict,
    macs_range,
)
from autodepth.trial.device import threads


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec(name="resnet14", channels=1, height=8, width=8), seed=0)


def space(search, **network):
    content = {"network": {"name": "resnet14", **network}, "data": "digits", "search": search}
    return SearchSpace.from_dict({"version": 1, **content})


def test_protected_branches_stay(network):
    every = [branch.index for branch in network.branches]
    all_protected = space({"sensitivity_threshold": 1.0}, protect=every)

    assert macs_range(network, all_protected).least == network.total_macs
    bound = parse_constraint("macs <= 60%")
    with pytest.raises(InputError, match="cannot hold"):
        constraint_verdict(bound, network, all_protected)
    assert constraint_verdict(bound, network, space({"sensitivity_threshold": 1.0}))


def test_branches_that_are_named_go_and_no_others(network):
    named = space({"branches": [2, 5]})
    assert macs_range(network, named).least == network.without((2, 5)).total_macs


def test_steps_are_timed_by_what_a_busy_machine_does_not_disturb(network, monkeypatch):
    """Another process holds the only CPU for nine tenths of the time."""
    now = {"wall": 0.0, "computed": 0.0}

    def step(*_):
        now["wall"] += 10.0
        now["computed"] += 1.0
        return torch.ones(1, requires_grad=True)

    monkeypatch.setattr(threads.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(threads.time, "process_time", lambda: now["computed"])
    monkeypatch.setattr(estimate.GatedNetwork, "__call__", step)
    policy = Policy(train=replace(Policy().train, batch_size=4))

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = estimate.measure_step_time(network, policy, torch.device("cpu"))
    finally:
        torch.set_num_threads(before)
    assert found == estimate.StepTime(training=0.25, evaluation=0.25)


def cost_of(network, removal="one_shot", recovery="recalibrate", epochs=0):
    train = TrainingSettings(epochs=epochs, batch_size=64)
    policy = Policy(removal=removal, branches_removed=2, recovery=recovery, train=train)
    cost = TrialCost(
        policy=policy, network=network, scoring_images=None,
        macs_range=MacsRange(least=1, middle=1, most=1),
        step_time=StepTime(training=0.0, evaluation=1.0),
    )  # fmt: skip
    return cost.seconds(1000, 100)


@pytest.mark.parametrize(("removal", "batches"), [("one_shot", 10), ("joint", 10 + 6 * 3)])
def test_fitted_features_and_finalists_are_part_of_a_trials_cost(network, removal, batches):
    fitted = cost_of(network, removal, "reconstruct") - cost_of(network, removal)
    assert fitted == pytest.approx(4 * batches * 64)


def test_a_parent_that_all_trials_share_is_scored_by_the_first(network):
    measured_thrice = 3 * 100  # the parent, and what is left before and after recovery
    assert cost_of(network, "joint") == measured_thrice
    assert cost_of(network, "joint", epochs=1) > measured_thrice + 100
    assert cost_of(network, "greedy") == measured_thrice + 2 * 100 * (1 + 6 / 2)  # two of three
