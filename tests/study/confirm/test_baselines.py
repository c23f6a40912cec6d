"""Controls of networks that did not begin as a trained parent."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.study.confirm.baselines import ROLES, FrontMember, epochs_from_scratch
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


def result_of(removed=(2, 4), macs=400):
    point = OperatingPoint(
        validation_accuracy=0.9, validation_loss=0.3, macs=macs, effective_macs=macs,
        parameters=10, size_bytes=40, latency_ms=1.0,
    )  # fmt: skip
    return TrialResult(
        point=point, removed=removed, sensitivities={}, survival=(1.0,) * 6,
        parent_accuracy=0.9, pruned_accuracy=0.5, phase_seconds={},
    )  # fmt: skip


def controls_of(policy, removed=(2, 4)):
    result = result_of(removed)
    member = FrontMember(
        policy=policy, searched=result, result=result, unpruned_macs=1000.0, given_weights=False
    )
    return {role: make(member) for role, make in ROLES.items()}


@pytest.mark.parametrize(
    ("steps", "epochs", "share"),
    [
        # 3 epochs of 1,000 MACs and 2 of its own 400
        ([(PARENT, result_of())], 10, 10 / 9.5),
        # 10 times as large, of which 4 count: 3 x 4 + 2 of 3 x 10 + 2
        ([(PARENT, result_of(macs=100))], 14, 14 / 32),
        # 5 epochs of half its size, then 4 of its own
        ([(SCRATCH, result_of(macs=200)), (GROWN, result_of(macs=400))], 6, 6 / 6.5),
        ([(replace(PARENT, removal="iterative"), result_of(macs=1000))], 7, 1.0),
    ],
    ids=["cut out", "cut out small", "grown", "iterative"],
)
def test_from_scratch_a_network_is_trained_for_what_its_chain_computed(steps, epochs, share):
    assert epochs_from_scratch(steps, 1000.0) == (epochs, pytest.approx(share))


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


@pytest.mark.parametrize("role", ["random removal", "evenly spaced"])
def test_where_widths_were_chosen_other_branches_are_as_narrow_on_average(role):
    policy = replace(PARENT, removal="joint_widths", branches_removed=None, macs_target=0.5)
    result = replace(result_of(), widths={1: 0.5, 3: 0.25, 5: 0.25})  # and 6 keeps all
    member = FrontMember(
        policy=policy, searched=result, result=result, unpruned_macs=1000.0, given_weights=False
    )
    control, note = ROLES[role](member)

    assert (control.branches_removed, control.removal) == (2, "one_shot")
    assert (control.filter_sparsity, control.widths) == (0.5, ())
    assert "keeps 50% of its channels" in note


def test_of_a_parent_all_controls_can_be_made():
    made = controls_of(PARENT)

    assert all(control is not None for control, _ in made.values())
