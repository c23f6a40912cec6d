"""What ends a trial or a study though there is budget left: time, memory, failures."""

import re
from dataclasses import replace

import pytest
import torch

from autodepth.errors import SpaceFileError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.records.trial_record import BEGUN_AGAIN
from autodepth.report.trial_explanation import explain_trial
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.resume import resume
from autodepth.service.search.search import plan_search, search
from autodepth.trial import carry_out as outcome
from autodepth.trial.phases.keys import parent_content
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14", "data.train_images=64", "data.validation=60", "train.epochs=2",
    "train.batch_size=32", "search.fine_tune_epochs=0", "start_with=[shallow]",
)  # fmt: skip


def study(name, *settings, trials=2):
    return search(
        budget=f"{trials}trials", study=name, settings=[*SMALL, *settings], runner="in-process"
    )


def ledger_of(name):
    return Ledger.open(find_study(name).ledger_path, read_only=True)


@pytest.fixture
def scarce(monkeypatch):
    """Let memory suffice for batches of at most so many images, as a GPU would; count attempts."""
    attempts, real = [], outcome.run_trial

    def scarce(largest):
        def run(policy, context, **more):
            attempts.append((policy.train.batch_size, context.evaluation_batch))
            if policy.train.batch_size <= largest:
                return real(policy, context, **more)
            epochs = []

            def after_one(epoch):
                more["on_epoch"](epoch)
                epochs.append(epoch)
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

            return real(policy, context, folder=more["folder"], on_epoch=after_one)

        monkeypatch.setattr(outcome, "run_trial", run)
        return attempts

    return scarce


def test_a_trial_that_runs_out_of_memory_is_carried_out_once_more_with_half_the_batch(scarce):
    attempts = scarce(16)
    result = study("halved", trials=1)
    with ledger_of("halved") as ledger:
        record, told = ledger.trial(0), explain_trial(ledger, 0)
        (member,) = ledger.front()

    assert attempts == [(32, 256), (16, 128)]
    assert result.complete == 1
    assert record.policy["train"]["batch_size"] == 32
    assert record.result.batch_size == 16
    assert member.policy["train"]["batch_size"] == 16  # what is exported, and confirmed
    assert "batches of 32, so it began again with batches of 16" in told.verdicts[0]
    assert [epoch.step for epoch in told.epochs] == [1, 2]  # of the second attempt alone


def test_a_search_that_goes_on_takes_such_a_trial_for_what_it_came_to(scarce):
    scarce(16)
    study("going", trials=1)
    resume("going", budget="+1trials", runner="in-process")
    with ledger_of("going") as ledger:
        records = ledger.trials()

    assert [record.state for record in records] == [TrialState.COMPLETE] * 2
    assert records[0].policy != records[1].policy


def test_the_smaller_batch_makes_other_stages(scarce):
    plan = plan_search(SearchRequest(budget="1trials", settings=SMALL))
    policy = outcome.Policy()
    half = replace(policy, train=replace(policy.train, batch_size=policy.train.batch_size // 2))
    keys = [parent_content(each, plan.context, plan.network) for each in (policy, half)]

    assert keys[0] != keys[1]


def test_memory_that_runs_out_again_fails_the_trial_and_no_other(scarce):
    attempts = scarce(8)
    result = study("twice", trials=2)
    with ledger_of("twice") as ledger:
        record, verdicts = ledger.trial(0), ledger.verdicts(0)

    assert attempts[:2] == [(32, 256), (16, 128)]
    assert (result.trials, result.complete) == (2, 0)
    assert record.state is TrialState.FAILED
    assert record.reason.startswith("OutOfMemoryError: CUDA out of memory")
    assert [verdict["rung"] for verdict in verdicts] == [BEGUN_AGAIN]


def test_a_trial_that_takes_longer_than_it_may_fails_at_its_next_epoch():
    result = study("slow", "limits.trial=0.2s", "train.epochs=200", trials=1)
    with ledger_of("slow") as ledger:
        record = ledger.trial(0)

    assert (result.complete, record.state) == (0, TrialState.FAILED)
    assert record.reason == "took longer than 0.2s (limits.trial)"
    assert record.device_seconds > 0


def test_a_study_ends_with_one_failed_trial_more_than_it_bears(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(outcome, "run_trial", broken)
    first = study("bears", "limits.failed_trials=1", trials=9)
    again = resume("bears", runner="in-process")  # those of before count too

    assert first.trials == again.trials == 2
    assert re.match(r"2 trials failed, and limits.failed_trials allows 1: Runtime", first.outcome)
    assert again.outcome == first.outcome


def test_limits_may_be_changed_where_a_study_goes_on(monkeypatch):
    study("changed", "limits.failed_trials=0", trials=1)
    path = find_study("changed").space_path
    path.write_text(path.read_text().replace("failed_trials: 0", "failed_trials: 5"))

    assert resume("changed", budget="+1trials", runner="in-process").trials == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("limits.trial=soon", "must be a duration such as 30min or 2h, or null, but got 'soon'"),
        ("limits.trial=0s", "must be a duration"),
        ("limits.trial=30", "must be a duration"),
        ("limits.memory=8", "must be a size such as 8GB, or null, but got 8"),
        ("limits.memory=8 apples", "must be a size"),
        ("limits.failed_trials=-1", "must be a whole number of at least 0, or null, but got -1"),
        ("limits.failed_trials=1.5", "must be a whole number"),
        ("limits.trials=9", "did you mean 'trial'"),
    ],
)
def test_limits_that_make_no_sense_are_mistakes_of_the_file(setting, message):
    with pytest.raises(SpaceFileError, match=re.escape(message)):
        plan_search(SearchRequest(budget="1trials", settings=[*SMALL, setting]))
