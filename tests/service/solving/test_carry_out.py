"""An answer becomes a trial of its study, and its policy comes to the same network again."""

import pytest

from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.one_policy.policies import carry_out_policy
from autodepth.service.search.requests import BesideRequest, SearchRequest
from autodepth.service.search.resume import resume
from autodepth.service.search.search import plan_search, search
from autodepth.service.solving.answer import read_bounds
from autodepth.service.solving.carry_out import carry_out_answer
from autodepth.service.solving.evidence import read_evidence
from autodepth.service.solving.solve import Solver
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=1",
    "search={macs_target: {min: 0.4, max: 0.9}, removal: joint_widths, fine_tune_epochs: 1}",
)


def ledger_of(study):
    return Ledger.open(find_study(study).ledger_path, read_only=True)


def test_an_answer_is_carried_out_as_a_trial_and_equals_its_policy_replayed():
    search(budget="3trials", study="small", settings=SMALL, seed=3, runner="in-process")
    with ledger_of("small") as ledger:
        answer = Solver(read_evidence(ledger)).answer(read_bounds("macs<=60%,params<=90%"))
    assert answer.policy.widths  # what narrower branches lose is known where widths were chosen
    request = BesideRequest(study="small", runner="in-process")
    record = carry_out_answer(answer, request)

    assert record.state is TrialState.COMPLETE
    assert record.role == "macs <= 60%, parameters <= 90%"
    assert record.result.removed == answer.policy.branches
    assert record.result.point.macs == answer.costs["macs"]
    assert record.result.point.parameters == answer.costs["parameters"]
    assert record.result.point.size_bytes == pytest.approx(answer.costs["size_bytes"], rel=0.01)
    assert carry_out_answer(answer, request).number == record.number  # nothing is done twice

    plan = plan_search(SearchRequest(budget="1trials", settings=SMALL, seed=3))
    policy = Policy.from_dict(record.policy)
    replayed = carry_out_policy(plan, policy, to=None, on_epoch=lambda _: None)
    assert replayed.weights_sha256 == record.result.weights_sha256
    assert replayed.point.validation_accuracy == record.result.point.validation_accuracy

    with ledger_of("small") as ledger:
        assert ledger.expectations()[record.number] == answer.expected
        assert ledger.study.plan["limits"]["trials"] == 3  # it is none of the budget's
        front = ledger.front()
    again = resume("small", budget="+1trials", runner="in-process")
    kept = {member.trial for member in again.front}
    assert kept <= {member.trial for member in front} | {record.number + 1}
