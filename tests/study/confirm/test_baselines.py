"""Controls of networks that did not begin as a trained parent."""

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.settings import TrainingSettings
from autodepth.study.confirm.baselines import ROLES, FrontMember
from autodepth.trial.result import OperatingPoint, TrialResult

TRAIN = TrainingSettings(epochs=3)
SCRATCH = Policy(
    origin="scratch", branches_removed=2, stream_width=0.5, fine_tune_epochs=2, train=TRAIN
)
GROWN = Policy(
    origin="member", base=SCRATCH, branches_removed=1, width_growth=2.0, fine_tune_epochs=4,
    train=TRAIN,
)  # fmt: skip
PARENT = Policy(branches_removed=2, fine_tune_epochs=2, train=TRAIN)


def controls_of(policy, removed=(2, 4)):
    point = OperatingPoint(
        validation_accuracy=0.9, validation_loss=0.3, macs=400, effective_macs=400,
        parameters=10, size_bytes=40, latency_ms=1.0,
    )  # fmt: skip
    result = TrialResult(
        point=point, removed=removed, sensitivities={}, survival=(1.0,) * 6,
        parent_accuracy=0.9, pruned_accuracy=0.5, phase_seconds={},
    )  # fmt: skip
    member = FrontMember(
        policy=policy, searched=result, result=result, unpruned_macs=1000.0, given_weights=False
    )
    return {role: make(member) for role, make in ROLES.items()}


@pytest.mark.parametrize("policy", [SCRATCH, GROWN], ids=["scratch", "member"])
def test_the_unpruned_network_is_trained_for_as_long_as_all_of_the_chain(policy):
    control, note = controls_of(policy)["unpruned plus fine-tuning"]

    assert note == ""
    assert (control.origin, control.base, control.stream_width) == ("parent", None, 1.0)
    assert control.width_growth == 1.0
    assert not control.removes_branches
    assert control.fine_tune_epochs == sum(step.fine_tune_epochs for step in policy.chain)


@pytest.mark.parametrize(
    ("policy", "why"),
    [(SCRATCH, "from scratch"), (GROWN, "goes on from")],
    ids=["scratch", "grown"],
)
def test_other_controls_there_cannot_be_and_it_is_said_why(policy, why):
    made = controls_of(policy)
    del made["unpruned plus fine-tuning"]

    for control, note in made.values():
        assert control is None
        assert why in note


def test_of_a_parent_all_controls_can_be_made():
    made = controls_of(PARENT)

    assert all(control is not None for control, _ in made.values())
