"""Which confirmations and controls are missing, and that each does what its name says."""

from dataclasses import replace

import pytest
import torch

from autodepth.data.load import load_data
from autodepth.data.prepare import Augmentation, resolve_normalisation
from autodepth.data.settings import DataSettings
from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import StudyRecord, TrialRecord
from autodepth.report.analysis.confirmed import confirmed_front
from autodepth.study.confirm.baselines import MOST_TIMES, ROLES
from autodepth.study.confirm.missing import confirmations, controls
from autodepth.trial.carry_out import TrialTask, carry_out
from autodepth.trial.context import TrialContext
from autodepth.trial.result import OperatingPoint, TrialResult, TrialState

TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.1, fine_tune_learning_rate=0.02)
MEMBER = Policy(
    survival_prob_last=0.8, sensitivity_threshold=(1.0,), filter_sparsity=0.25,
    fine_tune_epochs=2, fine_tune_schedule="constant", distillation=0.5, patience=1,
    recalibration_batches=2, train=TRAIN,
)  # fmt: skip
WHOLE = 1000
SCRATCH = ("from scratch, equal epochs", "from scratch, MAC-scaled epochs")


# Which are missing, without training


def result(removed=(2, 3), macs=500):
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=0.9, validation_loss=0.3, macs=macs, effective_macs=macs,
            parameters=9, size_bytes=36, latency_ms=1.0,
        ),
        removed=removed, sensitivities={}, survival=(1.0, 0.9, 0.8), parent_accuracy=0.9,
        pruned_accuracy=0.8, phase_seconds={},
    )  # fmt: skip


def record(number, kind="search", state=TrialState.COMPLETE, policy=MEMBER, **values):
    found = values.pop("result", result())
    return TrialRecord(
        number=number, state=state, kind=kind, point={}, policy=policy.to_dict(), reason=None,
        started_at="", ended_at=None, device_seconds=1.0,
        result=found if state is TrialState.COMPLETE else None, **values,
    )  # fmt: skip


def members(*records):
    return [
        FrontPoint(
            trial=r.number, point=r.result.point, policy=r.policy, removed=r.result.removed
        )
        for r in records
    ]  # fmt: skip


def wanted(policy=MEMBER, records=(), seeds=1, searched=None, **options):
    own = record(0, policy=policy, result=searched or result())
    found = controls(members(own), [own, *records], seeds, unpruned_macs=WHOLE, **options)
    return {trial.role: trial.policy for trial in found.trials}, found.notes


def test_every_member_is_confirmed_once_before_any_is_twice():
    records = [record(3), record(7)]
    trials = confirmations(members(*records), records, 2)

    assert [(t.about, t.replicate) for t in trials] == [(3, 1), (7, 1), (3, 2), (7, 2)]
    assert {(t.kind, t.role) for t in trials} == {("confirm", "")}
    assert all(t.policy == MEMBER for t in trials)
    assert confirmations(members(*records), records, 0) == []


@pytest.mark.parametrize(
    ("states", "missing"),
    [
        (["complete"], False),
        (["running"], False),
        (["infeasible"], False),  # it would diverge again
        (["stopped"], False),
        (["cancelled"], True),
        (["failed"], True),
        (["failed", "failed"], False),
        (["failed", "complete"], False),
        (["cancelled", "cancelled", "cancelled"], True),
    ],
)
def test_what_the_ledger_has_is_not_asked_for_again(states, missing):
    own = record(0)
    tried = [
        record(i, "confirm", TrialState(state), about=0, replicate=1)
        for i, state in enumerate(states, start=1)
    ]
    left = confirmations(members(own), [own, *tried], 2)

    assert [t.replicate for t in left] == ([1, 2] if missing else [2])


def test_a_control_in_the_ledger_is_missing_no_more():
    tried = record(1, "control", about=0, role="evenly spaced", replicate=1)
    other = record(2, "control", about=9, role="random removal", replicate=1)
    roles, _ = wanted(records=[tried, other])

    assert list(roles) == [role for role in ROLES if role != "evenly spaced"]


def test_controls_go_breadth_first_and_by_choice():
    own = [record(3), record(7)]
    found = controls(
        members(*own), own, 2, unpruned_macs=WHOLE, which={"evenly spaced", "random removal"}
    )
    order = [(t.replicate, t.about, t.role) for t in found.trials]

    assert order == [
        (seed, about, role)
        for seed in (1, 2)
        for about in (3, 7)
        for role in ("random removal", "evenly spaced")
    ]
    assert {t.kind for t in found.trials} == {"control"}
    with pytest.raises(InputError, match="did you mean 'evenly spaced'"):
        wanted(which=["evenly space"])
    with pytest.raises(InputError, match="must be a complete trial, but got 3"):
        controls(members(own[0]), [], 1, unpruned_macs=WHOLE)


# What each is told to do


def test_random_and_even_removal_differ_from_the_member_in_which_branches_go():
    roles, _ = wanted()

    for role, criterion in (("random removal", "random"), ("evenly spaced", "evenly_spaced")):
        expected = replace(
            MEMBER, sensitivity_threshold=None, branches_removed=2, criterion=criterion
        )
        assert roles[role] == expected


def test_where_the_criterion_shapes_training_its_outcome_is_kept():
    roles, notes = wanted(replace(MEMBER, decay_shape="sensitivity"))
    control = roles["random removal"]

    assert (control.survival, control.decay_shape) == ((1.0, 0.9, 0.8), "linear")
    assert sum("survival probabilities that the member ended with" in note for note in notes) == 2


def test_scratch_training_is_the_plain_recipe_on_the_named_branches():
    roles, _ = wanted()
    equal, scaled = (roles[role] for role in SCRATCH)

    assert equal.branches == (2, 3)
    assert (equal.train.epochs, equal.fine_tune_epochs) == (0, 3 + 2)
    assert equal.train.fine_tune_learning_rate == TRAIN.learning_rate
    assert (equal.fine_tune_schedule, equal.distillation, equal.patience) == ("one_cycle", 0, None)
    assert equal.filter_sparsity == MEMBER.filter_sparsity
    assert scaled == replace(equal, fine_tune_epochs=3 * 2 + 2)  # 1000 / 500 MACs


@pytest.mark.parametrize(("macs", "epochs"), [(1000, 5), (667, 6), (300, 12), (250, 14), (90, 14)])
def test_epochs_are_scaled_by_macs_up_to_a_limit_that_is_told(macs, epochs):
    roles, notes = wanted(searched=result(macs=macs))

    assert roles[SCRATCH[1]].fine_tune_epochs == epochs
    told = [note for note in notes if SCRATCH[1] in note]
    if WHOLE / macs > MOST_TIMES:
        assert told == [
            "trial 0, from scratch, MAC-scaled epochs: equal computation is 11.1 times the "
            "epochs, 4 times are run"
        ]
    else:
        assert not told


def test_epochs_between_removals_count_as_fine_tuning():
    policy = replace(MEMBER, removal="iterative", removal_step=2, between_epochs=3)
    roles, _ = wanted(policy, searched=result(removed=(1, 2, 5)))

    assert roles["unpruned plus fine-tuning"].fine_tune_epochs == 2 + 2 * 3
    assert roles[SCRATCH[0]].fine_tune_epochs == 3 + 2 + 2 * 3
    assert {roles[name].removal for name in (*SCRATCH, "unpruned plus fine-tuning")} == {"one_shot"}
    assert roles["random removal"].removal == "iterative"


def test_controls_are_made_like_the_confirmed_network():
    confirmed = record(
        1, "confirm", about=0, replicate=1, result=result(removed=(1, 4, 5), macs=400)
    )
    roles, _ = wanted(records=[confirmed], seeds=2)  # the last replicate's are kept: unconfirmed
    first, _ = wanted(records=[confirmed])

    assert first[SCRATCH[0]].branches == (1, 4, 5)
    assert first[SCRATCH[1]].fine_tune_epochs == round(3 * 1000 / 400) + 2
    assert first["random removal"].branches_removed == 3
    assert roles[SCRATCH[0]].branches == (2, 3)


def test_what_cannot_be_compared_is_left_out_with_a_note():
    roles, notes = wanted(given_weights=True)
    assert not set(SCRATCH) & set(roles)
    assert sum("starts from given weights" in note for note in notes) == 2

    plain = replace(MEMBER.removing(), filter_sparsity=0.0)
    roles, notes = wanted(plain, searched=result(removed=(), macs=WHOLE))
    assert roles == {}
    assert len(notes) == len(ROLES)

    narrower = MEMBER.removing()
    roles, notes = wanted(narrower, searched=result(removed=()))
    assert set(roles) == {*SCRATCH, "unpruned plus fine-tuning"}
    assert roles[SCRATCH[0]].branches == ()
    assert notes[0] == "trial 0, random removal: no branch was removed"

    roles, notes = wanted(replace(MEMBER, criterion="random"))
    assert "random removal" not in roles
    assert "evenly spaced" in roles


# Carried out for real


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    settings = DataSettings(name="digits", train_images=64, validation=50)
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
        cache=tmp_path_factory.mktemp("cache"),
    )


class Study:
    """A study of one policy, confirmed and controlled as a driver would do it."""

    def __init__(self, ledger, context, folder):
        self.ledger, self.context, self.folder, self.epochs = ledger, context, folder, {}

    def run(self, kind, policy, **about):
        number = self.ledger.start_trial(kind, {}, policy.to_dict(), **about)
        task = TrialTask(
            number=number,
            policy=policy,
            folder=self.folder / str(number),
            replicate=about.get("replicate", 0),
        )
        heard = self.epochs[number] = []
        outcome = carry_out(task, self.context, heard.append)
        assert outcome.state is TrialState.COMPLETE, outcome.reason
        self.ledger.complete_trial(number, outcome.result, 1.0)

    def run_extra(self, trial):
        self.run(
            trial.kind, trial.policy, about=trial.about, role=trial.role, replicate=trial.replicate
        )


@pytest.fixture(scope="module")
def study(context, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    whole = build_network(context.spec)
    about = StudyRecord(
        name="controlled",
        seed=11,
        objectives=(
            Objective(name="validation_accuracy", goal="maximize", reference=0.0),
            Objective(name="macs", goal="minimize", reference=whole.total_macs),
        ),
        plan={},
    )
    with Ledger.create(folder / "ledger.sqlite", about) as ledger:
        study = Study(ledger, context, folder)
        study.run("search", MEMBER)
        for trial in confirmations(ledger.front(), ledger.trials(), 2):
            study.run_extra(trial)
        missing = controls(ledger.front(), ledger.trials(), 2, unpruned_macs=whole.total_macs)
        assert missing.notes == ()
        for trial in missing.trials:
            study.run_extra(trial)
        yield study


def by_role(study, replicate):
    return {r.role: r for r in study.ledger.trials() if r.replicate == replicate}


def test_confirmations_are_the_same_policy_on_other_seeds(study):
    trials = [r for r in study.ledger.trials() if r.kind in {"search", "confirm"}]

    assert [r.replicate for r in trials] == [0, 1, 2]
    assert all(r.policy == trials[0].policy for r in trials)
    assert len({r.result.point.validation_loss for r in trials}) == 3
    assert len(study.ledger.front()) == 1  # only the search is on the front
    assert not confirmations(study.ledger.front(), study.ledger.trials(), 2)


@pytest.mark.parametrize("replicate", [1, 2])
def test_each_control_does_what_its_name_says(study, context, replicate):
    trials = by_role(study, replicate)
    member = trials[""].result
    whole = build_network(context.spec)
    removed = {role: trials[role].result.removed for role in ROLES}

    assert member.removed
    for role in ("random removal", "evenly spaced"):
        assert len(removed[role]) == len(member.removed)
        assert trials[role].result.parent_accuracy == member.parent_accuracy  # the same parent
    for role in SCRATCH:
        found = trials[role].result
        assert removed[role] == member.removed
        assert (found.point.macs, found.point.parameters) == (
            member.point.macs, member.point.parameters,
        )  # fmt: skip
        stages = [epoch.phase for epoch in study.epochs[trials[role].number]]
        assert stages == ["fine_tune"] * len(stages)
        times = 1.0 if role == SCRATCH[0] else whole.total_macs / member.point.macs
        assert len(stages) == round(3 * min(times, MOST_TIMES)) + 2
    unpruned = trials["unpruned plus fine-tuning"]
    assert removed[unpruned.role] == ()
    assert unpruned.result.point.macs == whole.total_macs
    assert unpruned.result.parent_accuracy == member.parent_accuracy
    stages = [epoch.phase for epoch in study.epochs[unpruned.number]]
    assert stages[:3] == ["parent"] * 3
    assert set(stages[3:]) == {"fine_tune"}
    assert len(stages) <= 5  # patience may end fine-tuning early, as it may the member's


def test_random_removal_draws_anew_for_each_replicate(study):
    draws = [by_role(study, replicate)["random removal"].result.removed for replicate in (1, 2)]
    assert draws[0] != draws[1]


def test_the_whole_ends_in_verdicts(study):
    (member,) = confirmed_front(study.ledger)
    trials = study.ledger.trials()

    assert member.point.trial == 0
    assert member.accuracy.n == 2
    assert [control.role for control in member.controls] == list(ROLES)
    for control in member.controls:
        ours, theirs = (
            [r.result.point.validation_accuracy for r in trials if r.replicate and r.role == role]
            for role in ("", control.role)
        )
        assert control.comparison.pairs == 2
        assert control.comparison.difference == pytest.approx(
            sum(a - b for a, b in zip(ours, theirs, strict=True)) / 2
        )
        assert control.comparison.verdict in {"yes", "tie", "no"}
    assert not controls(study.ledger.front(), trials, 2, unpruned_macs=1e9).trials
