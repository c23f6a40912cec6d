"""Decides: asks for policies, writes the ledger, minds the budget. Runners only execute.

A runner calls `next_task` while it has a free place, `report` for every epoch and `ended` once
per task; `should_stop` tells it which running trial has to stop.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from autodepth.front.objective import Objective
from autodepth.policy.policy import Policy
from autodepth.records.control import read_wishes
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import TrialKind
from autodepth.search.budget_meter import BudgetMeter
from autodepth.search.confirmation import ExtraTrial
from autodepth.search.confirming import Confirming
from autodepth.search.front_keeper import FrontKeeper
from autodepth.search.outcome import TrialOutcome, TrialTask
from autodepth.search.proposals import Proposal, Proposals
from autodepth.search.rungs import Rungs
from autodepth.search.searcher import Point
from autodepth.search.turns import Turns
from autodepth.space.objectives import Constraint
from autodepth.space.search_space import SearchSpace
from autodepth.trial.result import EpochReport, OperatingPoint, TrialState

# When so many trials fail and none has succeeded, the rest would too.
_HOPELESS = 4


@dataclass(kw_only=True)
class _Running:
    proposal: Proposal | None  # None for the control and for trials about a member of the front
    policy: Policy
    started: float
    kind: TrialKind = "search"
    new_parent: bool = True
    places: int = 1
    epochs: Counter[str] = field(default_factory=Counter)
    last: EpochReport | None = None
    stop: str = ""  # why it has to stop

    @property
    def of_search(self) -> bool:
        return self.kind in {"search", "unpruned"}


class StudyDriver:
    """One study while it runs.

    Args:
        space: what is searched.
        objectives: what is optimised, in absolute numbers.
        unpruned: what the untouched network costs, by metric; relative constraints refer to it.
        ledger: takes every event before anything else does.
        folder: the study's folder.
        proposals: which policy comes next.
        meter: minds the budget.
        turns: tells when the control comes, and on how many places a trial computes.
        unpruned_point: the settings of its parent that are searched; None where the space has
            no such parent.
        rungs: compares trials with each other.
        confirming: hands out what confirms the front.
        concurrency: how many trials share the reserved devices.
    """

    def __init__(  # noqa: PLR0913 - the one place where the parts of a study meet
        self,
        *,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        unpruned: Mapping[str, float],
        ledger: Ledger,
        folder: StudyFolder,
        proposals: Proposals,
        meter: BudgetMeter,
        turns: Turns,
        unpruned_point: Point | None,
        rungs: Rungs,
        confirming: Confirming,
        concurrency: int = 1,
    ) -> None:
        self.space = space
        self.objectives = objectives
        self.ledger = ledger
        self.folder = folder
        self.meter = meter
        self.concurrency = concurrency
        self.proposals = proposals
        self._turns = turns
        self._unpruned_point = unpruned_point
        self.unpruned = unpruned
        self._running: dict[int, _Running] = {}
        self._interrupted = threading.Event()
        self._failures: list[str] = []
        self._front = FrontKeeper(ledger, folder, objectives)
        self._rungs = rungs
        self._confirming = confirming

    @property
    def stop_requested(self) -> bool:
        """Whether running trials have to stop now."""
        if read_wishes(self.folder).stop:
            self.interrupt()
        return self._interrupted.is_set() or self.meter.exhausted or bool(self.hopeless)

    def should_stop(self, number: int) -> bool:
        """Whether a running trial has to stop now."""
        running = self._running.get(number)
        return self.stop_requested or (running is not None and bool(running.stop))

    def is_running(self, number: int) -> bool:
        """Whether a trial was started and has not ended."""
        return number in self._running

    @property
    def hopeless(self) -> str:
        """Why going on would only spend the budget on more failures; empty while it would not."""
        if self._turns.any_complete or len(self._failures) < _HOPELESS:
            return ""
        return f"the first {_HOPELESS} trials all failed, the last one: {self._failures[-1]}"

    @property
    def interrupted(self) -> bool:
        """Whether a person or the system asked the study to end early."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Ask the study to end; safe in a signal handler."""
        self._interrupted.set()

    def next_task(self) -> TrialTask | None:
        """Return the next trial, entered as running; None when none may start now, see `waiting`.

        One of them is the unpruned control: the network trained without random depth and left
        whole, against which every other point is read.
        """
        first = self._turns.first_alone and bool(self._running)
        if self.stop_requested or self._at_wished_concurrency() or first:
            return None
        if extra := self._confirming.next(self._front.members):
            return self._start_extra(extra)
        if self._confirming.waits or self._confirming.only or not self.meter.may_start():
            return None
        return self._start_unpruned() if self._turns.control_is_due() else self._next_proposed()

    def _next_proposed(self) -> TrialTask | None:
        while True:
            proposal = self.proposals.next(new_parents=self.meter.may_start(new_parent=True))
            if proposal is None:
                return self._confirm_now() if self.proposals.exhausted else None
            if not proposal.broken:
                return self._start(proposal)
            self._refuse(proposal)

    @property
    def first_alone(self) -> bool:
        """Whether a trial has all places to itself, the others waiting for it."""
        return self._turns.first_alone

    @property
    def waiting(self) -> bool:
        """Whether a trial may start later, though none may now."""
        if self.stop_requested or not self._running:
            return False
        if self._confirming.waits or self._at_wished_concurrency() or self._turns.first_alone:
            return True
        if self._confirming.only:
            return False
        return self.meter.may_start() and not self.proposals.exhausted

    def report(self, number: int, *epochs: EpochReport) -> None:
        """Enter epochs of a running trial, and compare it with others."""
        self.ledger.record_epochs(number, *epochs)
        running = self._running[number]
        for epoch in epochs:
            running.epochs[epoch.stage] += 1
            running.last = epoch
            if epoch.stage != "parent" and running.of_search:
                self._parent_is_ready(running)
            if not epoch.replayed and running.kind == "search":
                self._compare(number, running, epoch)

    def ending(self, number: int) -> TrialOutcome:
        """Return how a trial ends that was made to stop."""
        if reason := self._running[number].stop:
            return TrialOutcome(state=TrialState.STOPPED, reason=reason)
        reason = "interrupted" if self.interrupted else "the budget ended"
        return TrialOutcome(state=TrialState.CANCELLED, reason=reason)

    def ended(self, number: int, outcome: TrialOutcome) -> None:
        """Enter the end of a trial, tell the searcher, and keep the weights of the front only."""
        running = self._running.pop(number)
        seconds = time.monotonic() - running.started
        if outcome.result is not None:
            # What its stages took; waiting for a worker to start is overhead of the study.
            seconds = sum(outcome.result.stage_seconds.values())
            self.meter.trial_completed(seconds * running.places, new_parent=running.new_parent)
        self._confirming.ended(number, complete=outcome.result is not None)
        device_seconds = seconds * self.meter.devices * running.places / self.concurrency
        if outcome.result is None:
            self._came_to_nothing(number, running, outcome, device_seconds)
            return
        self._turns.any_complete = True
        point = outcome.result.point
        if running.of_search:
            self._parent_is_ready(running)
            self.proposals.foresight.learn(running.policy, outcome.result.sensitivities)
            self._rungs.final(number, point.validation_accuracy)
        violations = violations_of(point, self.space.constraints, self.unpruned)
        broken = [constraint for constraint, excess in violations.items() if excess > 0]
        self.ledger.complete_trial(
            number, outcome.result, device_seconds, broken, spent=self.meter.spent
        )
        if running.proposal is not None:
            values = [objective.value(point) for objective in self.objectives]
            self.proposals.answer(running.proposal, values, violations)
        if self._front.add(number):
            parents, foresight = self.proposals.parents, self.proposals.foresight
            parents.praise(foresight.parent(running.policy))

    def cancel_running(self, reason: str) -> None:
        """End every trial that still runs as cancelled."""
        for number in list(self._running):
            self.ended(number, TrialOutcome(state=TrialState.CANCELLED, reason=reason))

    def close(self, outcome: str) -> None:
        """End the study: what was reserved but served no trial is charged as overhead."""
        self.meter.stop()
        self.ledger.balance(self.meter.spent)
        self.ledger.end_study(outcome)

    @property
    def running(self) -> int:
        """How many trials run now."""
        return len(self._running)

    def _start_unpruned(self) -> TrialTask:
        self._turns.control_begins()
        policy = self._turns.control
        number = self.ledger.start_trial("unpruned", {}, policy.to_dict())
        parents, foresight = self.proposals.parents, self.proposals.foresight
        parents.started(foresight.parent(policy), number)
        parents.add_work(new=policy.train.epochs, known=0.0)
        self._note(number, policy, kind="unpruned")
        self.meter.trial_started()
        return self._task(number, policy, bounded=False)

    def _start(self, proposal: Proposal) -> TrialTask:
        policy = proposal.policy
        number = self.ledger.start_trial("search", proposal.point, policy.to_dict())
        self.proposals.started(proposal, number)
        self._note(number, policy, proposal=proposal, new_parent=proposal.new_parent)
        self.meter.trial_started()
        return self._task(number, policy)

    def _confirm_now(self) -> TrialTask | None:
        """Use what is left of the budget on the front, when nothing is left to try."""
        extra = self._confirming.next(self._front.members, now=True)
        return self._start_extra(extra) if extra else None

    def _start_extra(self, extra: ExtraTrial) -> TrialTask:
        number = self.ledger.start_trial(
            extra.kind, {}, extra.policy.to_dict(),
            about=extra.about, role=extra.role, replicate=extra.replicate,
        )  # fmt: skip
        new_parent = self._confirming.started(extra, number)
        self._note(number, extra.policy, kind=extra.kind, new_parent=new_parent)
        return self._task(number, extra.policy, bounded=False, replicate=extra.replicate)

    def _note(self, number: int, policy: Policy, **about: Any) -> None:
        about = {"proposal": None, "places": self._turns.places, **about}
        self._running[number] = _Running(policy=policy, started=time.monotonic(), **about)

    def _task(
        self, number: int, policy: Policy, *, bounded: bool = True, replicate: int = 0
    ) -> TrialTask:
        folder = self.folder.trial_folder(number)
        return TrialTask(
            number=number, policy=policy, folder=folder, bounded=bounded, replicate=replicate,
            places=self._running[number].places,
        )  # fmt: skip

    def _at_wished_concurrency(self) -> bool:
        wished = read_wishes(self.folder).concurrency
        return wished is not None and len(self._running) >= wished

    def _compare(self, number: int, running: _Running, epoch: EpochReport) -> None:
        """Compare a trial with others, where the epoch is a rung, and give a hopeless one up."""
        stage, policy = epoch.stage, running.policy
        if stage not in self.space.rungs.stages:
            return
        epochs = policy.train.epochs if stage == "parent" else policy.fine_tune_epochs
        cost = epoch.branches_expected if stage == "parent" else float(epoch.macs)
        fine_tuning = policy.train.fine_tune_learning_rate or policy.train.learning_rate
        verdict = self._rungs.report(
            number,
            stage,
            running.epochs[stage],
            epochs,
            epoch.validation_accuracy,
            cost,
            rate=policy.train.learning_rate if stage == "parent" else fine_tuning,
        )
        if verdict is not None:
            self.ledger.record_verdict(number, verdict.rung, asdict(verdict))
            running.stop = verdict.reason if verdict.stop else ""

    def _refuse(self, proposal: Proposal) -> None:
        """Enter a policy that breaks a bound for certain: it is never trained and costs nothing."""
        number = self.ledger.start_trial("search", proposal.point, proposal.policy.to_dict())
        reason = f"cannot keep {', '.join(proposal.broken)}"
        self.ledger.end_trial(number, TrialState.INFEASIBLE, reason, 0.0)
        self.proposals.answer(proposal, None, proposal.broken)

    def _parent_is_ready(self, running: _Running) -> None:
        point = self._unpruned_point if running.proposal is None else running.proposal.point
        parent = self.proposals.foresight.parent(running.policy)
        self.proposals.parents.ready(parent, point)

    def _came_to_nothing(
        self, number: int, running: _Running, outcome: TrialOutcome, device_seconds: float
    ) -> None:
        assert outcome.state not in (TrialState.RUNNING, TrialState.COMPLETE)
        if outcome.state is TrialState.FAILED:
            self._failures.append(outcome.reason)
        self.ledger.end_trial(
            number, outcome.state, outcome.reason, device_seconds, spent=self.meter.spent
        )
        stopped = outcome.state is TrialState.STOPPED
        self.proposals.parents.lost(number, given_up=stopped)
        if running.proposal is not None:
            values = self._reached(running.last) if stopped else None
            self.proposals.answer(running.proposal, values, settled=stopped)

    def _reached(self, last: EpochReport | None) -> list[float] | None:
        """Return the objectives of a trial when it was stopped; None where they are not known."""
        if last is None or not last.macs:
            return None
        known = {"validation_accuracy": last.validation_accuracy, "macs": float(last.macs)}
        if any(objective.name not in known for objective in self.objectives):
            return None
        return [known[objective.name] for objective in self.objectives]


def violations_of(
    point: OperatingPoint, constraints: Sequence[Constraint], unpruned: Mapping[str, float]
) -> dict[str, float]:
    """Return by what share of its bound each constraint is broken, above 0 where it is."""
    return {
        str(bound): bound.excess(
            float(getattr(point, bound.metric)), unpruned.get(bound.metric, math.nan)
        )
        for bound in constraints
    }
