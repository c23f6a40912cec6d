"""A policy that a person asks for comes next in a search that runs, and once."""

from study.simulated import SimulatedStudy

from autodepth.records.driver_lock.by_hand import FOLDER, ask_for, asked_for
from autodepth.trial.result import TrialState

PLAIN = ("sampler.name=random", "start_with=[]", "confirmation.share=0")


def trials(study, role):
    return [record for record in study.ledger.trials() if record.role == role]


def test_it_comes_next_and_is_carried_out_once():
    study = SimulatedStudy("hand", "9trials", *PLAIN)
    first = study.next()
    wanted = first.policy.to_dict() | {"p_L": 0.123}
    role = ask_for(study.driver.folder, wanted)
    task = study.next()
    assert task.policy.to_dict()["p_L"] == 0.123
    study.complete(first)
    other = study.next()
    assert other.policy != task.policy  # it runs already
    study.complete(task)
    study.complete(other)
    study.next()
    assert asked_for(study.driver.folder) == {}
    (record,) = trials(study, role)
    assert (record.number, record.kind, record.state) == (
        task.number,
        "search",
        TrialState.COMPLETE,
    )
    assert not record.counts  # the search did not come to it


def test_one_whose_worker_died_or_whose_driver_did_comes_again():
    study = SimulatedStudy("lost", "9trials", *PLAIN)
    study.complete(study.next())
    wanted = study.next().policy.to_dict() | {"p_L": 0.25}
    role = ask_for(study.driver.folder, wanted)
    study.lose(study.next())
    again = study.next()
    assert again.policy.to_dict()["p_L"] == 0.25
    study.kill()
    study.resume()
    third = study.next()
    assert third.policy.to_dict()["p_L"] == 0.25
    study.complete(third)
    study.next()
    states = [record.state for record in trials(study, role)]
    assert states == [TrialState.FAILED, TrialState.FAILED, TrialState.COMPLETE]
    assert asked_for(study.driver.folder) == {}


def test_what_is_no_policy_is_put_aside():
    study = SimulatedStudy("bad", "9trials", *PLAIN)
    ask_for(study.driver.folder, {"nothing": 1})
    (study.driver.folder.path / FOLDER / "broken.json").write_text("{")
    task = study.next()
    assert task is not None
    assert trials(study, task) == []
    study.complete(task)
    assert asked_for(study.driver.folder) == {}
