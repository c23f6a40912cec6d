"""A policy by hand is a trial of its study, within the time that it may take."""

from contextlib import contextmanager

import pytest

from autodepth.errors import BudgetError, BudgetSpentError, StoppedError
from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.lock import wish
from autodepth.service.one_policy.asked import AskedPolicy, carry_out_asked
from autodepth.service.search.requests import BesideRequest
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=1",
    "search={branches_removed: {type: int, min: 0, max: 3}, fine_tune_epochs: 1}",
)
ASKED = AskedPolicy(
    policy=Policy.from_dict({"branches_removed": 4, "train": {"epochs": 1}}), role="mine"
)


@contextmanager
def asked_to_end(driver):
    wish(driver.folder, stop=True)
    yield


def test_a_policy_is_carried_out_within_what_it_may_take():
    search(budget="2trials", study="hand", settings=SMALL, runner="in-process")

    def request(at_most=None):
        return BesideRequest(study="hand", at_most=at_most, runner="in-process")

    with pytest.raises(BudgetError, match="takes cpu time, but got a budget of gpu time"):
        carry_out_asked(ASKED, request("1gpu-h"))
    with pytest.raises(BudgetSpentError, match=r"must suffice for its trial, but 0\.001cpu-s do"):
        carry_out_asked(ASKED, request("0.001cpu-s"))
    with pytest.raises(StoppedError, match="hand was asked to end before the policy's trial began"):
        carry_out_asked(ASKED, request(), watch=asked_to_end)

    trial = carry_out_asked(ASKED, request("2cpu-h"))
    assert (trial.state, trial.role) == (TrialState.COMPLETE, "mine")
    assert carry_out_asked(ASKED, request("0.001cpu-s")).number == trial.number  # known already
