"""Decides what comes next and what stops, writes the ledger, keeps to the budget.

Runners only execute; all that passes between them and the driver is in `study/hooks.py`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from autodepth.records.trial_record import EXPECTED, WEIGHTS_LOST
from autodepth.study.confirm.missing import FollowUp
from autodepth.study.confirm.scheduler import ConfirmationScheduler
from autodepth.study.driver.by_hand import next_by_hand
from autodepth.study.driver.search_state import ActiveTrial, SearchState
from autodepth.study.hooks import Nothing, TrialReport
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.propose.proposer import Proposal, Proposer
from autodepth.study.stopping.failure_policy import FailurePolicy
from autodepth.trial.carry_out import TrialOutcome, TrialTask
from autodepth.trial.result import TrialResult, TrialState

# A worker that tells nothing for so many seconds after the budget ended, or for so many of its
# epochs, does not answer any more.
_PATIENCE_SECONDS, _PATIENCE_EPOCHS = 30.0, 2.0


class StudyDriver:
    """One study while it runs; implements `TrialHooks`.

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
        self.state = state
        self.ledger = ledger
        self._buffer = WriteBuffer(ledger)
        self.folder = folder
        self.meter = meter
        self.concurrency = concurrency
        self._front = state.front
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
        return self.state.proposer

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimised, in absolute numbers."""
        return self.state.objectives

    @property
    def asked(self) -> dict[int, int] | None:
        """Trials asked for about each member of the front, at most; None where a search goes on."""
        only = self._confirming.only
        if only is None:
            return None
        each = only.seeds * (1 + len(only.roles))
        return {member.trial: each for member in only.of(self._front.members)}

    @property
    def stop_requested(self) -> bool:
        """Whether running trials have to stop now."""
        halted = self._interrupted.is_set() or bool(self.halted) or bool(self.reason_to_stop)
        return halted or self.meter.exhausted

    @property
    def _overdue(self) -> bool:
        """Whether trials go on though the budget ended so long ago that they must be stuck."""
        patience = max(_PATIENCE_SECONDS, _PATIENCE_EPOCHS * self.state.longest_epoch)
        return self.meter.seconds_left < -patience

    def _took_too_long(self, number: int) -> bool:
        """Whether a running trial has taken longer than the space lets one take."""
        running = self._running.get(number)
        if running is None:
            return False
        return self.meter.now() - running.started > self._limits.trial_seconds

    @property
    def reason_to_stop(self) -> str:
        """Why going on would only spend the budget on more failures; empty while it would not."""
        return self._failures.reason_to_stop(self.state.completed)

    @property
    def interrupted(self) -> bool:
        """Whether a person or the system asked the study to end early."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Ask the study to end; safe in a signal handler."""
        self._interrupted.set()
        tell_ending(self.folder)

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Charge the study's devices from the first trial in the block until it is left."""
        try:
            yield
        finally:
            self.meter.stop()

    def next(self) -> TrialTask | Nothing:
        """Return the next trial, entered as running; else whether to ask again.

        One may come as long as any trial runs: its worker may die, and its policy is then tried
        again; and its result may bring members of the front that are to be confirmed.
        """
        self._obey()
        if self.stop_requested:
            return "done"
        task = None if self._at_asked_concurrency() else self._next_task()
        if task is not None:
            self.meter.start()  # runners reserve devices once they know what for
        return task or ("wait" if self._running else "done")

    def _next_task(self) -> TrialTask | None:
        """Return the next trial, None where none may start now.

        One of them is the unpruned control: the network trained without random depth and left
        whole, against which every other point is read.
        """
        searches = self._confirming.only is None and self.meter.may_start()
        if searches and (asked := next_by_hand(self.folder, self.ledger)):
            return self._start_extra(asked)
        if extra := self._confirming.next(self._front.members):
            return self._start_extra(extra)
        if self._confirming.waits or self._confirming.only:
            return None
        if self.meter.trials_left <= 0 and not self._running:
            return self._confirm_now()
        if not self.meter.may_start():
            return None
        return self._start_unpruned() if self.state.control_is_due() else self._next_proposed()

    def _next_proposed(self) -> TrialTask | None:
        while True:
            new_parents = self.meter.may_start(new_parent=True)
            proposal = self._next_up or self.proposer.next(
                new_parents=new_parents, fits=self.state.leaves_time_for
            )
            self._next_up = None
            if proposal is None:
                return self._confirm_now() if self.proposer.exhausted else None
            if not proposal.broken:
                return self._start(proposal)
            self._refuse(proposal)

    def on_report(self, number: int, report: TrialReport) -> bool:
        """Enter what a running trial reports; return whether it has to stop now."""
        running = self._running.get(number)
        if running is None:  # what an attempt says that was given up
            return False
        if report.node:
            self.ledger.record_node(number, report.node)
        if report.restarted:
            self._buffer.commit()  # else epochs of before would be entered after
            self.ledger.begin_again(number, report.restarted)
            running.restart()
        verdicts = []
        for epoch in report.epochs:
            verdict = self.state.on_epoch(number, running, epoch)
            if verdict is not None:
                verdicts.append((verdict.rung, asdict(verdict)))
                running.stop = verdict.reason if verdict.stop else ""
        if report.epochs:
            self._buffer.add(number, report.epochs, verdicts)
        if running.stop:
            self._buffer.commit()
        self._obey()
        running.late = running.late or self.state.cannot_end(running)
        ends = bool(running.stop or running.late)
        return self.stop_requested or ends or self._took_too_long(number)

    def on_end(self, number: int, outcome: TrialOutcome | None = None) -> None:
        """Enter the end of a trial, learn from it, and keep the weights of the front only."""
        if number not in self._running:
            return
        self._buffer.commit()
        if outcome is None or (outcome.lost and self._took_too_long(number)):
            outcome = self._ending(number)
        running = self._running.pop(number)
        outcome = self._with_weights(number, running, outcome)
        self._confirming.ended(number, complete=outcome.result is not None)
        if outcome.result is None:
            self._enter_failure(number, running, outcome)
        else:
            self._enter_result(number, running, outcome.result)

    def on_standstill(self, numbers: Sequence[int], seconds: float) -> None:
        """Charge nobody for the seconds in which workers of these trials were suspended."""
        still = [self._running[number] for number in numbers if number in self._running]
        for running in still:
            running.started += seconds
        self.meter.stood_still(seconds * len(still) / self.concurrency)

    def tick(self) -> bool:
        """Commit what waited for other reports; return whether all trials have to stop at once."""
        self._buffer.commit_due()
        self._obey()
        return self.interrupted or self._overdue

    def _obey(self) -> None:
        """Do what other processes asked of this one."""
        if read_requests(self.folder).stop:
            self.interrupt()

    def _ending(self, number: int) -> TrialOutcome:
        """Return how a trial ends that was made to stop."""
        if reason := self._running[number].stop:
            return TrialOutcome(state=TrialState.STOPPED, reason=reason)
        if self._took_too_long(number):
            reason = f"took longer than {self._limits.trial} (limits.trial)"
            return TrialOutcome(state=TrialState.FAILED, reason=reason)
        late = self._running[number].late or "the budget ended"
        reason = "interrupted" if self.interrupted else late
        return TrialOutcome(state=TrialState.CANCELLED, reason=reason)

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
        broken = any(excess > 0 for excess in self.state.violations(result.point).values())
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
            self.on_end(number, TrialOutcome(state=TrialState.CANCELLED, reason=reason))

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
        policy = self.state.control
        number = self.ledger.start_trial("unpruned", {}, policy.to_dict())
        new_parent = self.state.control_began(number)
        self._note(number, policy, kind="unpruned", new_parent=new_parent)
        self.meter.trial_started()
        return self._task(number, policy, bounded=False)

    def _start(self, proposal: Proposal) -> TrialTask:
        policy = proposal.policy
        number = self.ledger.start_trial("search", proposal.point, policy.to_dict())
        expected = self.proposer.started(proposal, number)
        if expected is not None:
            told = f"expected {self.state.told(expected.mean, expected.spread)} (validation split)"
            content = {"rung": EXPECTED, "accuracy": expected.mean, "reason": told}
            self.ledger.record([], [(number, EXPECTED, content)])
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
        longest = self._limits.trial_seconds
        return TrialTask(
            number=number, policy=policy, folder=folder, bounded=bounded, replicate=replicate,
            hangs_after=None if math.isinf(longest) else longest + _PATIENCE_SECONDS,
        )  # fmt: skip

    def _at_asked_concurrency(self) -> bool:
        asked = read_requests(self.folder).concurrency
        return asked is not None and len(self._running) >= asked

    def _refuse(self, proposal: Proposal) -> None:
        """Enter a policy that breaks a bound for certain: it is never trained and costs nothing."""
        number = self.ledger.start_trial("search", proposal.point, proposal.policy.to_dict())
        reason = f"cannot keep {', '.join(proposal.broken)}"
        self.ledger.end_trial(number, TrialState.INFEASIBLE, reason, 0.0)
        self.proposer.answer(proposal, None, proposal.broken)

    def _enter_failure(self, number: int, running: ActiveTrial, outcome: TrialOutcome) -> None:
        """Enter a trial that brought nothing back; what was lost waits to be tried again."""
        assert outcome.state not in (TrialState.RUNNING, TrialState.COMPLETE)
        if outcome.halts:
            self.halted = outcome.reason
        lost = outcome.state is TrialState.FAILED and self._failures.is_tried_again(
            running.policy.to_dict(), outcome.reason, lost=outcome.lost
        )
        self.ledger.end_trial(
            number,
            outcome.state,
            outcome.reason,
            self._device_seconds(self.meter.now() - running.started),
            spent=self.meter.spent,
            retry=running.of_search
            and not running.asked_for
            and (lost or outcome.state is TrialState.CANCELLED),
        )
        stopped = outcome.state is TrialState.STOPPED
        self.state.on_end(number, running, None, stopped=stopped)
        if lost:
            self.state.on_retry(running)

    def _enter_result(self, number: int, running: ActiveTrial, result: TrialResult) -> None:
        violations = self.state.violations(result.point)
        # What its phases took; waiting for a worker to start is overhead of the study.
        seconds = sum(result.phase_seconds.values())
        self.ledger.complete_trial(
            number,
            result,
            self._device_seconds(seconds),
            [constraint for constraint, excess in violations.items() if excess > 0],
            spent=self.meter.spent,
        )
        self.state.on_end(number, running, result)

    def _device_seconds(self, seconds: float) -> float:
        return seconds * self.meter.devices / self.concurrency
