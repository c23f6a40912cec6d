"""The front on fresh seeds: in the share of the budget kept back, or asked for afterwards."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from autodepth.errors import BudgetError, InputError, SelectionError
from autodepth.records.driver_lock.lock import wish
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.report.analysis.confirmed import confirmed_front
from autodepth.service.search.confirm import confirm
from autodepth.service.search.requests import ConfirmRequest
from autodepth.service.search.search import search

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=1",
    "search={branches_removed: {type: int, min: 0, max: 3}, fine_tune_epochs: 1}",
)


def members(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return confirmed_front(ledger), ledger.spending(), ledger.trials(), ledger.study


def test_a_front_is_confirmed_and_compared_with_controls_on_request():
    found = search(budget="4trials", study="front", settings=SMALL, runner="in-process")
    again = confirm(
        ConfirmRequest(
            study="front",
            seeds=2,
            roles=("random removal", "unpruned plus fine-tuning"),
            runner="in-process",
        )
    )
    confirmed, spending, trials, study = members("front")
    extra = [trial for trial in trials if trial.kind in {"confirm", "control"}]

    assert [point.trial for point in again.front] == [point.trial for point in found.front]
    assert all(member.accuracy.n == 2 for member in confirmed)
    assert {trial.replicate for trial in extra} == {1, 2}
    assert {trial.role for trial in extra if trial.kind == "control"} <= {
        "random removal", "unpruned plus fine-tuning",
    }  # fmt: skip
    assert spending["confirm"] > 0
    assert study.outcome == "the budget was spent"
    weights = find_study("front").path.glob("trials/*/model.safetensors")
    assert {int(path.parent.name) for path in weights} == {p.trial for p in found.front}
    before = len(trials)
    confirm(ConfirmRequest(study="front", seeds=2, roles=("random removal",), runner="in-process"))
    assert len(members("front")[2]) == before  # nothing is done twice


def test_members_may_be_chosen_as_for_an_export():
    found = search(budget="4trials", study="few", settings=SMALL, runner="in-process")
    least = min(found.front, key=lambda point: point.point.macs)

    confirm(ConfirmRequest(study="few", seeds=1, selected=["smallest"], runner="in-process"))
    confirmed = {member.point.trial for member in members("few")[0] if member.accuracy}
    assert len(found.front) > 1
    assert confirmed == {least.trial}

    with pytest.raises(SelectionError, match="trial:99"):
        confirm(ConfirmRequest(study="few", selected=["trial:99"], runner="in-process"))


def test_one_that_is_stopped_says_so_and_what_it_leaves():
    """By `autodepth stop`; how its search had ended stays as it was."""
    search(budget="3trials", study="stopped", settings=SMALL, runner="in-process")

    @contextmanager
    def asked_to_end(driver):
        wish(driver.folder, stop=True)
        yield

    request = ConfirmRequest(study="stopped", seeds=1, runner="in-process")
    found = confirm(request, watch=asked_to_end)
    assert found.interrupted
    assert found.missing == len(found.front)
    assert members("stopped")[3].outcome == "the budget was spent"

    again = confirm(request)
    assert not again.interrupted
    assert again.missing == 0


def test_one_takes_no_more_than_it_may(after_the_end):
    search(budget="3trials", study="bounded", settings=SMALL, runner="in-process")
    spent = sum(members("bounded")[1].values())
    request = ConfirmRequest(study="bounded", seeds=40, at_most="0.01cpu-s", runner="in-process")

    found = confirm(request, watch=after_the_end)
    assert found.missing > 0
    assert not found.interrupted
    assert after_the_end.begun == 0
    assert after_the_end.epochs <= 1
    limit = members("bounded")[3].plan["limits"]["device_seconds"]
    assert limit is None  # the search counts trials
    assert members("bounded")[3].outcome == "the budget was spent"
    assert found.spent_device_seconds >= spent
    with pytest.raises(BudgetError, match="takes cpu time, but got a budget of gpu time"):
        confirm(replace(request, at_most="1gpu-h"))


def test_what_is_left_of_the_time_after_all_trials_goes_into_confirmation():
    search(
        budget="3trials,2cpu-h",  # however slow the machine is
        study="kept",
        settings=[*SMALL, "confirmation={share: 0.6, seeds: 1}"],
        runner="in-process",
    )
    _, spending, trials, _ = members("kept")
    kinds = [trial.kind for trial in trials]

    assert spending.get("confirm", 0) > 0
    assert kinds.index("confirm") > kinds.index("search")
    assert all(trial.replicate == 1 for trial in trials if trial.kind == "confirm")


def test_what_cannot_be_asked_for_is_refused():
    search(budget="1trials", study="asked", settings=SMALL, runner="in-process")
    with pytest.raises(InputError, match="seeds must be at least 1, but got 0"):
        confirm(ConfirmRequest(study="asked", seeds=0, runner="in-process"))
    with pytest.raises(InputError, match=r"control must be one of random removal.*'random removl'"):
        confirm(ConfirmRequest(study="asked", roles=("random removl",), runner="in-process"))
