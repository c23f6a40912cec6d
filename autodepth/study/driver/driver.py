"""Decides: asks for policies, writes the ledger, minds the budget. Runners only execute.

A runner calls `next_task` while it has a free place, `report` for every epoch and `ended` once
per task; `should_stop` tells it which running trial has to stop.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.lock import read_requests, tell_ending
from autodepth.records.fsck import sweep
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.write_buffer import WriteBuffer
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import WEIGHTS_LOST
from autodepth.study.confirm.missing import FollowUp
from autodepth.study.confirm.scheduler import ConfirmationScheduler
from autodepth.study.driver.search_state import ActiveTrial, SearchState
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.propose.proposer import Proposal, Proposer
from autodepth.study.stopping.failure_policy import FailurePolicy
from autodepth.trial.carry_out import TrialOutcome, TrialTask
from autodepth.trial.result import EpochReport, TrialState

# A worker that tells nothing for so many seconds after the budget ended, or for so many of its
# epochs, does not answer any more.
_PATIENCE_SECONDS, _PATIENCE_EPOCHS = 30.0, 2.0


class StudyDriver:
    """One study while it runs.

    Args:
        state: what the search has learned.
        ledger: has every end and every verdict that stops before anybody hears of it.
        folder: the study's folder.
        meter: minds the budget.
        confirming: hands out what confirms the front.
        next_up: the policy that a search that goes on came to already.
        failures: those of earlier parts of the study, and when they are too many.
        concurrency: how many trials share the reserved devices.
    """

    def __init__(
        self,
        *,
        state: SearchState,
        ledger: Ledger,
        folder: StudyFolder,
        meter: BudgetMeter,
        confirming: ConfirmationScheduler,
        failures: FailurePolicy,
        next_up: Proposal | None = None,
        concurrency: int = 1,
    ) -> None:
        self.known = state
        self.ledger = ledger
        self._buffer = WriteBuffer(ledger)
        self.folder = folder
        self.meter = meter
        self.concurrency = concurrency
        self._control_turn, self._front = state.control_turn, state.front
        self._next_up = next_up
        self._running: dict[int, ActiveTrial] = {}
        self._interrupted = threading.Event()
        self._limits = state.space.limits
        self._failures = failures
        self.halted = ""
        """Why no trial can be carried out for now: the disk takes no more; else empty."""
        self._confirming = confirming

    @property
    def proposer(self) -> Proposer:
        """Which policy comes next."""
        return self.known.proposer

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimised, in absolute numbers."""
        return self.known.objectives

    @property
    def asked(self) -> dict[int, int] | None:
        """Trials asked for about each member of the front, at most; None where a search goes on."""
        only = self._confirming.only
        if only is None:
            return None
        each = only.seeds * (1 + len(only.roles))
        return {member.trial: each for member in self._front.members}

    @property
    def stop_requested(self) -> bool:
        """Whether running trials have to stop now."""
        if read_requests(self.folder).stop:
            self.interrupt()
        halted = self._interrupted.is_set() or bool(self.halted) or bool(self.reason_to_stop)
        return halted or self.meter.exhausted

    @property
    def overdue(self) -> bool:
        """Whether trials go on though the budget ended so long ago that they must be stuck."""
        patience = max(_PATIENCE_SECONDS, _PATIENCE_EPOCHS * self.known.longest_epoch)
        return self.meter.seconds_left < -patience

    def should_stop(self, number: int) -> bool:
        """Whether a running trial has to stop now."""
        running = self._running.get(number)
        told = running is not None and bool(running.stop)
        return self.stop_requested or told or self.took_too_long(number)

    def took_too_long(self, number: int) -> bool:
        """Whether a running trial has taken longer than the space lets one take."""
        running = self._running.get(number)
        if running is None:
            return False
        return self.meter.now() - running.started > self._limits.trial_seconds

    def stood_still(self, numbers: Sequence[int], seconds: float) -> None:
        """Hear that the workers of some trials were stopped: that time is charged to nobody.

        Args:
            numbers: of the trials.
            seconds: for how long each of them stood still just now.
        """
        still = [self._running[number] for number in numbers if number in self._running]
        for running in still:
            running.started += seconds
        self.meter.stood_still(seconds * len(still) / self.concurrency)

    @property
    def longest_trial(self) -> float | None:
        """Seconds after which a trial that has not ended must hang; None where it may take any."""
        seconds = self._limits.trial_seconds
        return None if math.isinf(seconds) else seconds + _PATIENCE_SECONDS

    def placed(self, number: int, node: str) -> None:
        """Enter the node that a running trial is on."""
        self.ledger.record_node(number, node)

    def is_running(self, number: int) -> bool:
        """Whether a trial was started and has not ended."""
        return number in self._running

    @property
    def reason_to_stop(self) -> str:
        """Why going on would only spend the budget on more failures; empty while it would not."""
        return self._failures.reason_to_stop(
            self.known.completed, any_complete=self._control_turn.any_complete
        )

    @property
    def interrupted(self) -> bool:
        """Whether a person or the system asked the study to end early."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Ask the study to end; safe in a signal handler."""
        self._interrupted.set()
        tell_ending(self.folder)

    def next_task(self) -> TrialTask | None:
        """Return the next trial, entered as running; None when none may start now, see `waiting`.

        One of them is the unpruned control: the network trained without random depth and left
        whole, against which every other point is read.
        """
        if self.stop_requested or self._at_wished_concurrency():
            return None
        if extra := self._confirming.next(self._front.members):
            return self._start_extra(extra)
        if self._confirming.waits or self._confirming.only:
            return None
        if self.meter.trials_left <= 0 and not self._running:
            return self._confirm_now()
        if not self.meter.may_start():
            return None
        return (
            self._start_unpruned() if self._control_turn.control_is_due() else self._next_proposed()
        )

    def _next_proposed(self) -> TrialTask | None:
        while True:
            new_parents = self.meter.may_start(new_parent=True)
            proposal = self._next_up or self.proposer.next(
                new_parents=new_parents, fits=self.known.leaves_time_for
            )
            self._next_up = None
            if proposal is None:
                return self._confirm_now() if self.proposer.exhausted else None
            if not proposal.broken:
                return self._start(proposal)
            self._refuse(proposal)

    @property
    def waiting(self) -> bool:
        """Whether a trial may start later, though none may now.

        That is so as long as any trial runs: its worker may die, and its policy is then tried
        again; and its result may bring members of the front that are to be confirmed.
        """
        return bool(self._running) and not self.stop_requested

    def report(self, number: int, *epochs: EpochReport) -> None:
        """Enter epochs of a running trial, and compare it with others."""
        running, verdicts = self._running[number], []
        for epoch in epochs:
            verdict = self.known.take_in(number, running, epoch, self.known.rungs.report)
            if verdict is not None:
                verdicts.append((verdict.rung, asdict(verdict)))
                running.stop = verdict.reason if verdict.stop else ""
        self._buffer.add(number, epochs, verdicts)
        if running.stop:
            self._buffer.commit()

    def settle(self) -> None:
        """Put on the disk what waited for other reports; runners call it again and again."""
        self._buffer.commit_due()

    def begun_again(self, number: int, reason: str) -> None:
        """Enter that a running trial begins anew, and forget what it told of its epochs."""
        self._buffer.commit()  # else what it told before would be entered after
        self.ledger.begin_again(number, reason)
        running = self._running[number]
        running.epochs.clear()
        running.found.clear()
        running.last, running.stop = None, ""

    def ending(self, number: int) -> TrialOutcome:
        """Return how a trial ends that was made to stop."""
        if reason := self._running[number].stop:
            return TrialOutcome(state=TrialState.STOPPED, reason=reason)
        if self.took_too_long(number):
            reason = f"took longer than {self._limits.trial} (limits.trial)"
            return TrialOutcome(state=TrialState.FAILED, reason=reason)
        reason = "interrupted" if self.interrupted else "the budget ended"
        return TrialOutcome(state=TrialState.CANCELLED, reason=reason)

    def ended(self, number: int, outcome: TrialOutcome) -> None:
        """Enter the end of a trial, tell the searcher, and keep the weights of the front only."""
        self._buffer.commit()
        running = self._running.pop(number)
        outcome = self._with_weights(number, running, outcome)
        seconds = self.meter.now() - running.started
        if outcome.result is not None:
            # What its phases took; waiting for a worker to start is overhead of the study.
            seconds = sum(outcome.result.phase_seconds.values())
            self.known.took(seconds, running)
        self._confirming.ended(number, complete=outcome.result is not None)
        device_seconds = seconds * self.meter.devices / self.concurrency
        if outcome.result is None:
            self._came_to_nothing(number, running, outcome, device_seconds)
            return
        violations = self.known.violations(outcome.result.point)
        broken = [constraint for constraint, excess in violations.items() if excess > 0]
        self.ledger.complete_trial(
            number, outcome.result, device_seconds, broken, spent=self.meter.spent
        )
        self.known.learn(number, running, outcome.result)

    def _with_weights(
        self, number: int, running: ActiveTrial, outcome: TrialOutcome
    ) -> TrialOutcome:
        """Bring the weights of a trial here before the ledger calls it complete."""
        if (result := outcome.result) is None:
            return outcome
        candidate = FrontPoint(
            trial=number, point=result.point, policy=running.policy.to_dict(),
            removed=result.removed,
        )  # fmt: skip
        broken = any(excess > 0 for excess in self.known.violations(result.point).values())
        joins = running.of_search and not broken
        try:
            self._front.take_weights(candidate if joins else None, number, result)
        except OSError as error:
            reason = f"{WEIGHTS_LOST}: {error}"
            return TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True)
        return outcome

    def cancel_running(self, reason: str) -> None:
        """End every trial that still runs as cancelled."""
        for number in list(self._running):
            self.ended(number, TrialOutcome(state=TrialState.CANCELLED, reason=reason))

    def close(self, outcome: str) -> None:
        """End the study: what was reserved but served no trial is charged as overhead."""
        self.meter.stop()
        sweep(self.folder.trial_folders)  # a worker that died may have left half a file
        self.ledger.balance(self.meter.spent)
        self.ledger.end_study(outcome)

    @property
    def running(self) -> int:
        """How many trials run now."""
        return len(self._running)

    def _start_unpruned(self) -> TrialTask:
        policy = self._control_turn.control
        number = self.ledger.start_trial("unpruned", {}, policy.to_dict())
        new_parent = self.known.control_began(number)
        self._note(number, policy, kind="unpruned", new_parent=new_parent)
        self.meter.trial_started()
        return self._task(number, policy, bounded=False)

    def _start(self, proposal: Proposal) -> TrialTask:
        policy = proposal.policy
        number = self.ledger.start_trial("search", proposal.point, policy.to_dict())
        self.proposer.started(proposal, number)
        self._note(number, policy, proposal=proposal, new_parent=proposal.new_parent)
        self.meter.trial_started()
        return self._task(number, policy)

    def _confirm_now(self) -> TrialTask | None:
        """Use what is left of the budget on the front, when nothing is left to try."""
        extra = self._confirming.next(self._front.members, now=True)
        return self._start_extra(extra) if extra else None

    def _start_extra(self, extra: FollowUp) -> TrialTask:
        number = self.ledger.start_trial(
            extra.kind, {}, extra.policy.to_dict(),
            about=extra.about, role=extra.role, replicate=extra.replicate,
        )  # fmt: skip
        new_parent = self._confirming.started(extra, number)
        self._note(number, extra.policy, kind=extra.kind, new_parent=new_parent)
        return self._task(number, extra.policy, bounded=False, replicate=extra.replicate)

    def _note(self, number: int, policy: Policy, **about: Any) -> None:
        self._running[number] = ActiveTrial(policy=policy, started=self.meter.now(), **about)

    def _task(
        self, number: int, policy: Policy, *, bounded: bool = True, replicate: int = 0
    ) -> TrialTask:
        folder = self.folder.trial_folder(number)
        return TrialTask(
            number=number, policy=policy, folder=folder, bounded=bounded, replicate=replicate
        )  # fmt: skip

    def _at_wished_concurrency(self) -> bool:
        wished = read_requests(self.folder).concurrency
        return wished is not None and len(self._running) >= wished

    def _refuse(self, proposal: Proposal) -> None:
        """Enter a policy that breaks a bound for certain: it is never trained and costs nothing."""
        number = self.ledger.start_trial("search", proposal.point, proposal.policy.to_dict())
        reason = f"cannot keep {', '.join(proposal.broken)}"
        self.ledger.end_trial(number, TrialState.INFEASIBLE, reason, 0.0)
        self.proposer.answer(proposal, None, proposal.broken)

    def _came_to_nothing(
        self, number: int, running: ActiveTrial, outcome: TrialOutcome, device_seconds: float
    ) -> None:
        assert outcome.state not in (TrialState.RUNNING, TrialState.COMPLETE)
        if outcome.halts:
            self.halted = outcome.reason
        self.ledger.end_trial(
            number, outcome.state, outcome.reason, device_seconds, spent=self.meter.spent
        )
        stopped = outcome.state is TrialState.STOPPED
        self.known.came_to_nothing(number, running, stopped=stopped)
        if outcome.state is TrialState.FAILED and self._failures.is_tried_again(
            running.policy.to_dict(), outcome.reason, lost=outcome.lost
        ):
            self._try_again(running)

    def _try_again(self, running: ActiveTrial) -> None:
        """Carry a policy out once more whose worker died; its training goes on where it was."""
        if running.of_search:
            self.meter.trial_lost()
        if running.proposal is not None:
            self.proposer.again(running.proposal.point)
        elif running.kind == "unpruned":
            self._control_turn.control_was_lost()
