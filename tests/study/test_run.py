"""A whole study in this process: real training, real ledger, real MLflow store."""

import re
import signal
import sqlite3
import threading
from dataclasses import replace

import pytest

from autodepth.errors import BudgetError, DataError, InputError, StudyError
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study, list_studies
from autodepth.records.trial_record import NODE_LEAVES
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search, search
from autodepth.study import run as study_run
from autodepth.trial import carry_out as outcome
from autodepth.trial.carry_out import TrialOutcome
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
    "sampler.startup_trials=2",
)


def study(budget="5trials", **kwargs):
    return search(
        budget=budget, settings=SMALL + tuple(kwargs.pop("settings", ())), runner="in-process",
        **kwargs,
    )  # fmt: skip


def records(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.trials()


def test_a_study_ends_with_a_front_in_ledger_folder_and_tracking():
    result = study(study="one")
    trials = records("one")

    assert (result.trials, result.complete, result.unsent) == (5, 5, 0)
    assert sorted(trial.kind for trial in trials) == ["search"] * 4 + ["unpruned"]
    assert all(trial.state is TrialState.COMPLETE for trial in trials)
    assert 0 < result.hypervolume < 1
    folder = find_study("latest")
    kept = {
        trial.number
        for trial in trials
        if (folder.trial_folder(trial.number) / "model.safetensors").exists()
    }
    assert kept == {point.trial for point in result.front}
    assert list_studies()[0].outcome == "the budget was spent"


class HalfWritten:
    """Leaves half a file in a trial's folder, as a worker that is killed within a write does."""

    def __init__(self, driver):
        self.driver = driver

    def __enter__(self):
        on_end = self.driver.on_end

        def then_leave(number, outcome=None):
            on_end(number, outcome)
            (self.driver.folder.trial_folder(number) / f".model.safetensors.{'0a' * 16}").touch()

        self.driver.on_end = then_leave

    def __exit__(self, *_):
        del self.driver.on_end


def test_what_a_worker_that_died_left_half_written_is_gone_when_the_study_ends():
    study("3trials", study="torn", watch=HalfWritten)

    assert broken_invariants(find_study("torn")) == []


def test_the_same_seed_gives_the_same_study():
    studies = [study(study=name, seed=3) for name in ("a", "b")]
    policies = [[trial.policy for trial in records(name)] for name in ("a", "b")]
    fronts = [
        [(p.trial, p.removed, replace(p.point, latency_ms=0)) for p in result.front]
        for result in studies
    ]

    assert policies[0] == policies[1]
    assert fronts[0] == fronts[1]


def test_the_budget_in_seconds_is_charged_in_full_and_not_exceeded_by_much(after_the_end):
    result = study("8cpu-s", study="timed", watch=after_the_end)
    with sqlite3.connect(find_study("timed").ledger_path) as connection:
        rows = connection.execute("SELECT TOTAL(device_seconds) FROM spending").fetchone()

    assert result.spent_device_seconds == rows[0]
    assert result.spent_device_seconds > 4  # else another trial as long would have begun
    assert after_the_end.epochs <= 1
    assert not after_the_end.begun
    assert result.complete >= 1


def test_a_bound_keeps_what_breaks_it_off_the_front():
    result = study(study="bound", settings=["constraints=[macs <= 80%]"])
    unpruned = plan_search(SearchRequest(budget="1trials", settings=SMALL)).network.total_macs

    assert all(point.point.macs <= 0.8 * unpruned for point in result.front)
    (control,) = [record for record in records("bound") if record.kind == "unpruned"]
    assert control.reason == "breaks macs <= 80%"


def test_an_interrupted_study_keeps_what_is_complete(monkeypatch):
    main = threading.get_ident()

    class AfterThree:
        def __init__(self, driver):
            self.driver = driver

        def __enter__(self):
            on_report = self.driver.on_report

            def interrupt(number, report):
                on_report(number, report)
                if number == 3:
                    signal.pthread_kill(main, signal.SIGINT)
                return self.driver.stop_requested

            self.driver.on_report = interrupt

        def __exit__(self, *_):
            pass

    result = study("50trials", study="interrupted", watch=AfterThree)
    states = [trial.state for trial in records("interrupted")]

    assert result.signal == signal.SIGINT
    assert result.outcome == "interrupted"
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.CANCELLED]
    assert result.front


def test_a_trial_that_diverges_does_not_end_the_study():
    rates = "train.learning_rate={type: choice, values: [1.0e+9, 0.1]}"
    result = study("8trials", study="diverging", settings=[rates])
    states = {trial.state for trial in records("diverging")}

    assert states == {TrialState.COMPLETE, TrialState.INFEASIBLE}
    assert all(trial.reason for trial in records("diverging") if trial.result is None)
    assert result.complete < result.trials == 8


def test_a_trial_that_breaks_is_failed_with_its_reason(monkeypatch):
    from autodepth.trial import carry_out as outcome

    real = outcome.run_trial

    def sometimes(policy, context, *, folder, on_epoch):
        if folder.name == "2":
            raise RuntimeError("the machine caught fire")
        return real(policy, context, folder=folder, on_epoch=on_epoch)

    monkeypatch.setattr(outcome, "run_trial", sometimes)
    study(study="failing")
    broken = records("failing")[2]

    assert (broken.state, broken.reason) == (
        TrialState.FAILED,
        "RuntimeError: the machine caught fire",
    )
    assert "Traceback" in (find_study("failing").trial_folder(2) / "error.txt").read_text()


def test_a_study_whose_first_trials_all_fail_ends_early_with_the_reason(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(outcome, "run_trial", broken)
    result = study(study="reason_to_stop", budget="50trials")

    assert (result.trials, result.complete) == (4, 0)
    assert result.outcome == (
        "the first 4 trials all failed, the last one: RuntimeError: no such luck"
    )


def test_arguments_of_a_space_reach_the_networks_builder():
    plan = plan_search(
        SearchRequest(
            budget="1trials",
            network="torchvision:resnet18",
            settings=[*SMALL[1:3], "network.arguments={zero_init_residual: true}"],
        )
    )

    assert plan.context.spec.arguments == {"zero_init_residual": True}


def test_given_weights_are_not_trained_again_unless_told(tmp_path):
    from autodepth.networks.catalogue import NetworkSpec, build_network
    from autodepth.networks.weights.own_files import save_weights

    network = build_network(NetworkSpec(name="resnet14", channels=1, height=8, width=8), seed=4)
    weights = tmp_path / "given.safetensors"
    save_weights(network.module, weights)
    settings = [s for s in SMALL if not s.startswith(("train.epochs", "network"))]

    request = SearchRequest(
        space="digits_resnet20", budget="1trials", network="resnet14", weights=weights,
        settings=settings,
    )  # fmt: skip
    plan = plan_search(request)
    told = plan_search(replace(request, settings=[*settings, "train.epochs=3"]))

    fixed = {d.name: d.domain.value for d in plan.space.dimensions if hasattr(d.domain, "value")}
    assert (fixed["train.epochs"], fixed["p_L"]) == (0, 1.0)
    assert "p_L, decay_shape, decay_power do not act" in plan.notes[0]
    assert not any("do not act" in note for note in told.notes)


def test_images_are_limited_so_that_the_budget_buys_trials(grey_npz):
    plan = plan_search(SearchRequest(budget="3cpu-s", data=f"npz:{grey_npz}", network="resnet20"))

    assert len(plan.context.data.train) < 450
    assert any(re.search(r"so that the budget buys about \d+ trials", n) for n in plan.notes)
    assert plan.context.spec.channels == 1


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"budget": "2gpu-h"}, BudgetError, "needs a GPU.*write cpu-h"),
        ({"budget": "50"}, BudgetError, "no unit"),
        ({"data": "npz:nowhere.npz"}, DataError, "nowhere.npz"),
        ({"network": "resnet21"}, InputError, "6n\\+2"),
        ({"weights": "nowhere.pt"}, InputError, "nowhere.pt does not exist"),
        ({"settings": ["constraints=[macs <= 0.1%]"]}, InputError, "cannot hold"),
        ({"settings": ["train.epoch=3"]}, InputError, "did you mean 'epochs'"),
        ({"concurrency": 9999}, InputError, r"concurrency must be in \[1, "),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(kwargs, error, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    with pytest.raises(error, match=message):
        search(**{"budget": "1trials", "runner": "in-process", **kwargs})

    assert list_studies() == []


def test_a_name_that_is_taken_is_refused():
    study("1trials", study="taken")

    with pytest.raises(StudyError, match="taken"):
        study("1trials", study="taken")


def test_a_policy_whose_nodes_leave_is_not_to_blame_however_often_they_do(monkeypatch):
    lost = TrialOutcome(state=TrialState.FAILED, reason=NODE_LEAVES, lost=True)
    left = iter([lost] * 8)  # of two policies: more than three of one
    carry_out = study_run.carry_out
    monkeypatch.setattr(study_run, "carry_out", lambda *task: next(left, None) or carry_out(*task))
    result = study("2trials", study="spot")
    *failed, one, other = records("spot")

    assert [trial.reason for trial in failed] == [NODE_LEAVES] * 8
    assert all(trial.policy in (one.policy, other.policy) for trial in failed)
    assert result.complete == 2
