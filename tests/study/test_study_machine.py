"""Whatever happens to a study in whatever order, its ledger is whole and nothing is forgotten."""

import os
import shutil
import tempfile
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from study.simulated import PACE, SimulatedStudy

from autodepth.policy.policy import Policy
from autodepth.records.fsck import broken_invariants

SPACE = (
    "search={p_L: {values: [0.8, 1.0]}, removal: {values: [one_shot, greedy]},"
    " branches_removed: {type: int, min: 0, max: 1}, fine_tune_epochs: 2}",
    "train.epochs=3", "sampler.name=random", "start_with=[]",
    "confirmation={share: 0.1, seeds: 1}", "limits={failed_trials: 3}",
)  # fmt: skip


class StudyMachine(RuleBasedStateMachine):
    """Workers that ask, report, end and die; a driver that is killed, stopped and resumed."""

    @initialize(
        resources=st.integers(1, 2), budget=st.sampled_from(["9trials,2h", "1h", "3trials"])
    )
    def begin(self, resources, budget):
        self.home = tempfile.mkdtemp(prefix="autodepth-machine-")
        self.environment = mock.patch.dict(os.environ, {"AUTODEPTH_HOME": self.home})
        self.environment.start()
        self.study = SimulatedStudy("machine", budget, *SPACE, concurrency=resources)
        self.driven_from, self.wall_before = 0.0, 0.0

    def teardown(self):
        if not hasattr(self, "study"):
            return
        try:
            self.ends_with_nothing_left_to_do()
        finally:
            self.environment.stop()
            shutil.rmtree(self.home)

    def some(self, pick):
        tasks = sorted(self.study.running.values(), key=lambda task: task.number)
        return tasks[pick % len(tasks)]

    @property
    def resources(self):
        return self.study.plan.resources.count

    any_runs = precondition(lambda self: self.study.running)

    @rule()
    def ask(self):
        if len(self.study.running) == self.resources:  # no worker is free
            return
        if self.study.next() is None and self.study.running:
            # What runs may be lost, or bring what is to be confirmed.
            assert self.study.waits or self.study.driver.stop_requested

    @any_runs
    @rule(pick=st.integers(0, 9), phase=st.sampled_from(["parent", "fine_tune"]))
    def report(self, pick, phase):
        self.study.report(self.some(pick), phase)

    @any_runs
    @rule(pick=st.integers(0, 9), accuracy=st.sampled_from([0.3, 0.6, 0.9]))
    def complete(self, pick, accuracy):
        self.study.complete(self.some(pick), accuracy)

    @any_runs
    @rule(pick=st.integers(0, 9), how=st.sampled_from(["lose", "preempt", "fail", "stop"]))
    def come_to_nothing(self, pick, how):
        getattr(self.study, how)(self.some(pick))

    @any_runs
    @rule(how=st.sampled_from(["complete", "preempt", "lose"]), times=st.integers(2, 5))
    def again_and_again(self, how, times):
        for _ in range(times):
            self.ask()
            self.ask()
            if self.study.running:
                getattr(self.study, how)(self.some(0))

    @rule(seconds=st.sampled_from([1.0, 60.0]))
    def time_passes(self, seconds):
        self.study.clock.seconds += seconds

    @rule(
        how=st.sampled_from(["kill", "interrupt"]),
        resources=st.none() | st.integers(1, 2),
        more=st.none() | st.just("trials"),
    )
    def resume(self, how, resources, more):
        reason_to_stop = self.study.driver.reason_to_stop
        getattr(self.study, how)()
        if more and self.study.plan.budget.trials is None:
            more = None
        self.study.resume(concurrency=resources, budget=f"2{more}" if more else None)
        assert bool(self.study.driver.reason_to_stop) == bool(reason_to_stop)
        assert self.breaches() == []

    def breaches(self):
        return [b for b in broken_invariants(self.study.folder) if "driven" not in b.rule]

    @invariant()
    def the_pace_of_trials_is_known_as_it_is(self):
        if hasattr(self, "study"):
            for new_parent in (True, False):
                step_time = self.study.driver.meter.expected(1.0, new_parent=new_parent)
                assert step_time == pytest.approx(PACE) or not step_time, (
                    self.study.driver.meter._paces
                )

    def network_of(self, policy):
        return self.study.driver.proposer.cost_model.end(Policy.from_dict(dict(policy)))

    def state_of_parent(self, policy):
        proposer = self.study.driver.proposer
        return proposer.parents.state(proposer.cost_model.parent(Policy.from_dict(dict(policy))))

    def ends_with_nothing_left_to_do(self):
        study = self.study
        for task in list(study.running.values()):
            study.complete(task)
        study.finish()
        over = study.driver.stop_requested
        records = study.records("search")
        settled = [r.policy for r in records if not r.broken_off]
        networks = [self.network_of(policy) for policy in settled]
        given_up = study.driver._failures.given_up
        out_of_trials = study.driver.meter.trials_left <= 0
        for record in records:
            retried = record.policy in settled or record.number in given_up
            mine = self.network_of(record.policy)
            # Another policy may have come to the very network meanwhile, tuned as long or longer.
            known = mine is not None and any(
                theirs is not None
                and theirs.network == mine.network
                and theirs.epochs >= mine.epochs
                for theirs in networks
            )
            attempts = sum(r.policy == record.policy for r in records)
            # A parent that was given up at a rung is not trained again, not for this policy either.
            hopeless = self.state_of_parent(record.policy) == "given_up"
            assert over or out_of_trials or retried or known or hopeless or attempts >= 3
        front = study.driver.state.front.members
        if front and not over and study.plan.budget.wall_seconds:
            assert study.records("confirm")
        study.end("the budget was spent")
        assert self.breaches() == []


TestStudyMachine = StudyMachine.TestCase
TestStudyMachine.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
