"""The driver over made results: retries, known networks, budgets and confirmation, in any order."""

from collections import Counter
from dataclasses import replace

import pytest
from study.simulated import SimulatedStudy, epoch

from autodepth.policy.policy import Policy
from autodepth.records.fsck import broken_invariants
from autodepth.records.trial_record import EXPECTED, WORKER_DIED
from autodepth.study.hooks import TrialReport
from autodepth.trial.result import TrialState

FEW = "search={branches_removed: {type: int, min: 0, max: 1}}"
PLAIN = ("sampler.name=random", "start_with=[]", "confirmation.share=0")


def test_a_worker_that_asked_in_vain_is_asked_again_while_a_trial_runs():
    study = SimulatedStudy("last", "3trials", *PLAIN)
    first, second = study.next(), study.next()
    study.complete(first)
    third = study.next()
    study.complete(second)

    assert study.next() is None
    assert study.waits  # else the runner takes it for the end, which is for ever
    study.lose(third)
    again = study.next()
    assert again is not None
    study.complete(again)
    assert study.next() is None
    assert not study.waits


def tell(study, task, seconds, phase="fine_tune"):
    """Tell an epoch that took so many seconds; return whether its trial has to stop."""
    study.clock.seconds += seconds
    steps = len(study.ledger.epochs(task.number)) + 1
    told = replace(epoch(phase, steps, 0.5, replayed=False), seconds=seconds)
    stops = study.driver.on_report(task.number, TrialReport(epochs=[told]))
    study.driver._buffer.commit()
    return stops


SCRATCH = (
    "start_with=[{fine_tune_epochs: 20}]",
    "search={origin: scratch, fine_tune_epochs: {type: int, min: 1, max: 20},"
    " branches_removed: {type: int, min: 0, max: 2}}",
)


def test_a_trial_that_cannot_end_within_the_budget_is_stopped_as_soon_as_that_is_seen():
    study = SimulatedStudy("late", "20s", *PLAIN, *SCRATCH, concurrency=1)
    with study.driver.reserved():
        task = study.next()
        epochs = task.policy.carried_out.fine_tune_epochs
        assert not tell(study, task, 3.0)  # the first epoch is often slow
        assert not tell(study, task, 0.5)  # there is time for all others like this one
        assert not tell(study, task, 0.6)  # the fastest tells
        study.clock.seconds = 20 - 0.5 * (epochs - 4)
        assert tell(study, task, 0.5)  # and there is half a second less now
        study._end(task, None)
        (record,) = study.records("search")
        assert record.state is TrialState.CANCELLED
        assert record.reason == (
            f"the budget would end before it: {epochs - 4} epochs of 0.5 s or more were left, "
            f"and {0.5 * (epochs - 4) - 0.5:.0f} s"
        )
        shorter = study.next()  # in what is left
    assert shorter is not None
    assert shorter.policy.carried_out.fine_tune_epochs < epochs - 4
    study.complete(shorter, seconds=0.1)
    assert broken_invariants(study.folder) == []


@pytest.mark.parametrize("patience", [None, 3])
def test_a_trial_that_may_end_early_is_not_stopped_for_its_length(patience):
    space = f"search={{fine_tune_epochs: 20, patience: {'null' if patience is None else patience}}}"
    study = SimulatedStudy("patient", "20s", *PLAIN, space, concurrency=1)
    with study.driver.reserved():
        task = study.next()
        assert not tell(study, task, 3.0)
        assert tell(study, task, 3.0) == (patience is None)


def test_what_is_thought_of_before_the_first_trial_is_charged_to_nobody():
    study = SimulatedStudy("thinking", "3trials", *PLAIN)
    with study.driver.reserved():
        study.clock.seconds += 7
        first = study.next()
        study.clock.seconds += 2
        study.next()
        study.clock.seconds += 1

    assert first is not None
    assert study.driver.meter.wall_spent == 3


def test_a_policy_is_tried_again_though_the_space_is_exhausted():
    study = SimulatedStudy("exhausted", "50trials", *PLAIN, FEW, concurrency=2)
    study.complete(study.next())
    while (task := study.next()) is not None:  # a space of two policies, and the control
        last = task
    for task in list(study.running.values()):
        if task is not last:
            study.complete(task)
    assert study.next() is None
    assert study.driver.proposer.exhausted
    assert study.waits

    study.lose(last)
    again = study.next()
    assert again is not None
    assert again.policy == last.policy


def test_a_confirmation_whose_worker_died_is_tried_again():
    study = SimulatedStudy(
        "confirm", "1h", *PLAIN[:2], FEW, "confirmation={share: 0.5, seeds: 1}", concurrency=2
    )
    while (task := study.next()) is not None and task.replicate == 0:
        study.complete(task)
    other = study.next()
    if other is not None:
        study.complete(other)
    assert study.next() is not None or study.waits
    study.lose(task)
    again = study.next()
    assert again is not None
    assert again.policy == task.policy


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_preempted_trials_are_no_failures_after_a_resume_either(end):
    study = SimulatedStudy("spot", "20trials", *PLAIN, "limits={failed_trials: 2}")
    for _ in range(4):
        study.preempt(study.next())
    assert study.driver.reason_to_stop == ""
    study.complete(study.next())
    getattr(study, end)()
    study.resume()

    assert study.driver.reason_to_stop == ""
    assert study.next() is not None


def test_failures_of_their_own_count_after_a_resume_as_before():
    study = SimulatedStudy("fails", "20trials", *PLAIN, "limits={failed_trials: 2}")
    for _ in range(3):
        study.fail(study.next())
    assert "3 trials failed" in study.driver.reason_to_stop
    study.interrupt()
    study.resume()
    assert "3 trials failed" in study.driver.reason_to_stop


def test_a_policy_that_killed_three_workers_counts_as_failed_and_is_not_tried_after_a_resume():
    study = SimulatedStudy("killer", "20trials", *PLAIN, "limits={failed_trials: 0}", concurrency=1)
    first = study.next()
    study.lose(first)
    while "failed" not in study.driver.reason_to_stop:
        task = study.next()
        if task.policy == first.policy:
            study.lose(task)
        else:
            study.complete(task)
    assert sum(r.policy == first.policy.to_dict() for r in study.records()) == 3
    assert study.driver.reason_to_stop.startswith("1 trial failed")
    study.interrupt()
    study.resume()
    assert study.driver.reason_to_stop.startswith("1 trial failed")
    assert WORKER_DIED in study.driver.reason_to_stop


@pytest.mark.parametrize("removal", ["one_shot", "greedy", "iterative"])
def test_equal_policies_are_carried_out_once_however_branches_go(removal):
    space = f"search={{removal: {removal}, branches_removed: {{type: int, min: 0, max: 2}}}}"
    study = SimulatedStudy("greedy", "12trials", *PLAIN, space, concurrency=1)
    study.finish()

    policies = Counter(r.policy["branches_removed"] for r in study.records("search"))
    assert set(policies.values()) == {1}
    assert study.driver.proposer.exhausted
    study.driver.close("the budget was spent")
    assert broken_invariants(study.folder) == []


def test_a_control_that_finds_its_parent_ready_does_not_make_parents_look_cheap():
    study = SimulatedStudy(
        "control", "50trials", *PLAIN, "start_with=[{p_L: 1.0}]",
        "search={p_L: {values: [1.0, 0.8]}, branches_removed: {type: int, min: 0, max: 3},"
        " fine_tune_epochs: {type: int, min: 1, max: 4}}",
        concurrency=1,
    )  # fmt: skip
    while not study.records("unpruned"):
        task = study.next()
        before = study.driver.meter.expected(10.0, new_parent=True)
        study.complete(task)
    assert study.driver.meter.expected(10.0, new_parent=True) == before


def test_a_parent_from_the_cache_of_an_earlier_study_does_not_make_parents_look_cheap():
    study = SimulatedStudy("cached", "50trials", *PLAIN, "search.origin=parent", concurrency=1)
    task = study.next()
    study.complete(task, seconds=20.0)
    before = study.driver.meter.expected(10.0, new_parent=True)
    while True:
        task = study.next()
        if study.driver._running[task.number].new_parent:
            break
        study.complete(task)
    study.report(task, replayed=True)
    study.complete(task, seconds=0.1)
    assert study.driver.meter.expected(10.0, new_parent=True) == before


def test_a_trial_that_finds_no_parent_where_one_was_counts_as_one_that_trained_it():
    study = SimulatedStudy("gone", "50trials", *PLAIN, "search.origin=parent", concurrency=1)
    task = study.next()
    while study.driver._running[task.number].new_parent:
        study.complete(task)
        task = study.next()
    running = study.driver._running[task.number]
    assert running.parent_trained is False
    running.restart()
    study.report(task)  # the cache had it no more
    assert running.parent_trained is True
    study.report(task, replayed=True)
    assert running.parent_trained is None


def test_a_count_of_trials_that_is_used_up_leaves_the_time_for_confirmation():
    study = SimulatedStudy(
        "both", "2trials,1h", *PLAIN[:2], "confirmation={share: 0.2, seeds: 1}", concurrency=1
    )
    study.complete(study.next(), accuracy=0.9)
    study.complete(study.next(), accuracy=0.8)
    third = study.next()
    assert third is not None
    assert third.replicate == 1


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_wall_time_is_what_a_clock_on_the_wall_says_whatever_the_devices(before, after):
    study = SimulatedStudy("wall", "2h", *PLAIN, concurrency=before)
    study.next()
    study.clock.seconds += 3600
    study.interrupt()
    study.resume(concurrency=after)
    assert study.driver.meter.seconds_left == pytest.approx(3600)


JOINT = (
    "start_with=[]",
    "confirmation.share=0",
    "sampler.startup_trials=2",
    "search={removal: joint, branches_removed: {type: int, min: 0, max: 3},"
    " p_L: {min: 0.5, max: 1.0, step: 0.25}, fine_tune_epochs: {type: int, min: 1, max: 4}}",
    "sampler.gap_share=0.8",
)


def judged_and_searched(name, broken_at):
    """Return policies and what was expected of each, of a search that died after some trials."""
    study = SimulatedStudy(name, "14trials", *JOINT, concurrency=1)
    for done in range(14):
        if done == broken_at:
            study.kill()
            study.resume()
        task = study.next()
        far = study.driver.proposer.cost_model.masks.divergence(task.policy)
        study.complete(task, accuracy=0.9 - 0.02 * (far or 0.0))
    found = [
        (
            r.policy,
            [v["accuracy"] for v in study.ledger.verdicts(r.number) if v["rung"] == EXPECTED],
        )
        for r in study.records("search")
    ]
    known = study.driver.proposer.cost_model.masks
    study.end("the budget was spent")
    return found, [known.divergence(Policy.from_dict(dict(policy))) for policy, _ in found]


def test_a_search_that_goes_on_expects_of_judged_sets_what_it_had_expected():
    whole, far = judged_and_searched("whole", None)
    broken, again = judged_and_searched("broken", 9)

    assert broken == whole
    assert again == far
    assert all(distance is not None for distance in far)  # every parent had a trial that judged
    assert sum(bool(expected) for _, expected in whole) > 5
