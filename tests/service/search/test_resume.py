"""A study goes on from its ledger: after Ctrl-C, after a kill, and with more budget."""

import json
import math
import os
import signal
import time
from contextlib import contextmanager, suppress

import pytest
from crash_loop import drive, start_copy

from autodepth.errors import BudgetError, StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import Tracker
from autodepth.records.studies import find_study, studies_root
from autodepth.records.trial_record import LOST
from autodepth.service.search.requests import ResumeRequest
from autodepth.service.search.resume import plan_resume, resume
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
    "sampler.startup_trials=2",
)


def trials(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.trials()


def spending(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.spending()


@contextmanager
def interrupting_in_trial(number, driver):
    on_report = driver.on_report

    def interrupt(trial, report):
        on_report(trial, report)
        if trial == number:
            driver.interrupt()
        return driver.stop_requested

    driver.on_report = interrupt
    yield


def test_an_interrupted_study_goes_on_with_what_was_under_way():
    before = search(
        budget="6trials", study="paused", settings=SMALL, runner="in-process",
        watch=lambda driver: interrupting_in_trial(3, driver),
    )  # fmt: skip
    broken_off = trials("paused")[3]
    after = resume("paused", runner="in-process")
    records = trials("paused")

    assert (before.outcome, after.outcome) == ("interrupted", "the budget was spent")
    assert broken_off.state is TrialState.CANCELLED
    assert records[4].point == broken_off.point
    assert [record.kind for record in records].count("unpruned") == 1
    assert [record.counts for record in records].count(True) == 6
    assert len(records) == 7
    assert {p.trial for p in before.front} <= {r.number for r in records}
    assert after.spent_device_seconds > before.spent_device_seconds
    weights = [
        find_study("paused").trial_folder(p.trial) / "model.safetensors" for p in after.front
    ]
    assert all(path.exists() for path in weights)


def test_more_budget_is_added_and_every_second_is_counted_once(after_the_end):
    small = {"settings": SMALL, "runner": "in-process"}
    first = search(budget="6cpu-s", study="longer", **small, watch=after_the_end)
    late = after_the_end.epochs
    with pytest.raises(BudgetError, match="only what limits a budget can be added"):
        resume("longer", budget="+3trials", runner="in-process")
    begun = time.monotonic()
    second = resume("longer", budget="+6cpu-s", runner="in-process", watch=after_the_end)
    took = time.monotonic() - begun
    split = spending("longer")

    assert (first.outcome, second.outcome) == ("the budget was spent",) * 2
    assert first.spent_device_seconds > 3  # else another trial as long would have begun
    assert second.spent_device_seconds > first.spent_device_seconds
    assert second.spent_device_seconds <= first.spent_device_seconds + took
    assert late <= 1
    assert after_the_end.epochs - late <= 1
    assert not after_the_end.begun
    assert math.fsum(split.values()) == pytest.approx(second.spent_device_seconds)
    assert split["overhead"] >= 0


def test_a_study_that_has_spent_all_says_how_to_go_on():
    search(budget="1trials", study="spent", settings=SMALL, runner="in-process")

    with pytest.raises(BudgetError, match=r"nothing is left of the budget .*--budget \+10cpu-min"):
        plan_resume(ResumeRequest(study="spent"))


def search_and_die(study, owner, method):
    """Search in this process, which dies where a method is called."""
    setattr(owner, method, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    search(budget="2trials", study=study, settings=SMALL, runner="in-process")


@pytest.mark.parametrize(
    ("owner", "method", "told"),
    [(Ledger, "end_study", None), (Tracker, "close", "the budget was spent")],
)
def test_a_study_whose_process_died_after_its_last_trial_is_closed(owner, method, told):
    process = start_copy(search_and_die, "last", owner, method)
    process.join()
    with Ledger.open(find_study("last").ledger_path, read_only=True) as ledger:
        left = ledger.study.outcome, ledger.study.ended_at
    before = trials("last")
    result = resume("last", runner="in-process")
    with Ledger.open(find_study("last").ledger_path, read_only=True) as ledger:
        ended_at = ledger.study.ended_at

    assert process.exitcode == -signal.SIGKILL
    assert left[0] == told
    assert left[1] in {None, ended_at}  # an end that was told is not told again
    assert (result.outcome, result.unsent) == ("the budget was spent", 0)
    assert [trial.number for trial in trials("last")] == [trial.number for trial in before]
    with pytest.raises(BudgetError, match="nothing is left of the budget"):
        resume("last", runner="in-process")


def test_a_study_whose_process_was_killed_goes_on():
    process = start_copy(drive, "killed", 5)
    ledger_path = studies_root() / "killed" / "ledger.sqlite"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.is_alive():
        with suppress(StudyError):  # it is being written for the first time
            if ledger_path.exists() and sum(t.result is not None for t in trials("killed")) >= 2:
                break
        time.sleep(0.05)
    process.kill()
    process.join()
    complete = [t.number for t in trials("killed") if t.result is not None]
    result = resume("killed", runner="in-process")
    records = trials("killed")

    assert len(complete) >= 2
    assert all(record.state.ended for record in records)
    assert all(record.reason == LOST for record in records if record.state is TrialState.FAILED)
    assert result.outcome == "the budget was spent"
    assert [t.number for t in records if t.result is not None][: len(complete)] == complete
    assert math.fsum(spending("killed").values()) == pytest.approx(result.spent_device_seconds)


def test_a_study_goes_on_only_with_the_data_it_began_with():
    search(budget="1trials", study="moved", settings=SMALL, runner="in-process")
    with Ledger.open(find_study("moved").ledger_path) as ledger:
        plan = {**ledger.study.plan, "data_fingerprint": "another"}
        plan["limits"] = {**plan["limits"], "trials": 5}
        ledger.extend(json.loads(json.dumps(plan)))

    with pytest.raises(StudyError, match="the data of moved changed since"):
        plan_resume(ResumeRequest(study="moved"))


def test_a_study_that_goes_on_knows_how_long_its_trials_take():
    search(budget="3trials", study="paced", settings=SMALL, runner="in-process")
    shortest = []

    @contextmanager
    def noting(driver):
        shortest.append(driver.meter.shortest(new_parent=True))
        yield

    resume("paced", budget="+1trials", runner="in-process", watch=noting)
    trained = [t.device_seconds for t in trials("paced")[:3] if t.result.phase_seconds["parent"]]

    assert min(trained) <= shortest[0] <= max(trained)
