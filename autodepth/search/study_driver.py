"""Decides: asks the searcher, writes the ledger, minds the budget. Runners only execute.

A runner calls `next_task` while it has a free place, `report` for every epoch and `ended` once
per task; `stop_requested` tells it to stop what is running.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from autodepth.front.objective import Objective
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.search.budget_meter import BudgetMeter
from autodepth.search.outcome import TrialOutcome, TrialTask
from autodepth.search.searcher import Searcher
from autodepth.space.search_space import SearchSpace
from autodepth.trial.result import EpochReport, OperatingPoint, TrialState

# When so many trials fail and none has succeeded, the rest would too.
_HOPELESS = 4


@dataclass(frozen=True, kw_only=True)
class _Running:
    token: int | None  # of the searcher; None for the unpruned control
    started: float


class StudyDriver:
    """One study while it runs.

    Args:
        space: what is searched.
        objectives: what is optimised, in absolute numbers.
        unpruned: what the untouched network costs, by metric; relative constraints refer to it.
        ledger: takes every event before anything else does.
        folder: the study's folder.
        searcher: suggests policies.
        meter: minds the budget.
        unpruned_policy: what the control trial does, see `next_task`.
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
        searcher: Searcher,
        meter: BudgetMeter,
        unpruned_policy: Policy,
        concurrency: int = 1,
    ) -> None:
        self.space = space
        self.objectives = objectives
        self.ledger = ledger
        self.folder = folder
        self.meter = meter
        self.concurrency = concurrency
        self._unpruned_policy = unpruned_policy
        self._unpruned = unpruned
        self._searcher = searcher
        self._running: dict[int, _Running] = {}
        self._interrupted = threading.Event()
        self._failures: list[str] = []
        self._succeeded = False

    @property
    def stop_requested(self) -> bool:
        """Whether running trials have to stop now."""
        return self._interrupted.is_set() or self.meter.exhausted or bool(self.hopeless)

    @property
    def hopeless(self) -> str:
        """Why going on would only spend the budget on more failures; empty while it would not."""
        if self._succeeded or len(self._failures) < _HOPELESS:
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
        """Return the next trial, entered as running; None when no more may start.

        The first one is the unpruned control: the network trained without random depth and left
        whole, against which every other point is read.
        """
        if self.stop_requested or not self.meter.may_start():
            return None
        if self.meter.trials_started == 0:
            token, policy = None, self._unpruned_policy
            number = self.ledger.start_trial("unpruned", {}, policy.to_dict())
        else:
            token, point = self._searcher.ask()
            policy = Policy.from_dict(self.space.policy_values(point))
            number = self.ledger.start_trial("search", point, policy.to_dict())
        self._running[number] = _Running(token=token, started=time.monotonic())
        self.meter.trial_started()
        return TrialTask(number=number, policy=policy, folder=self.folder.trial_folder(number))

    def report(self, number: int, epoch: EpochReport) -> None:
        """Enter an epoch of a running trial."""
        self.ledger.record_epoch(number, epoch)

    def ended(self, number: int, outcome: TrialOutcome) -> None:
        """Enter the end of a trial, tell the searcher, and keep the weights of the front only."""
        running = self._running.pop(number)
        seconds = time.monotonic() - running.started
        if outcome.result is not None:
            # What its stages took; waiting for a worker to start is overhead of the study.
            seconds = sum(outcome.result.stage_seconds.values())
            self.meter.trial_completed(seconds)
        device_seconds = seconds * self.meter.devices / self.concurrency
        if outcome.result is None:
            assert outcome.state not in (TrialState.RUNNING, TrialState.COMPLETE)
            if outcome.state is TrialState.FAILED:
                self._failures.append(outcome.reason)
            self.ledger.end_trial(
                number, outcome.state, outcome.reason, device_seconds, spent=self.meter.spent
            )
            if running.token is not None:
                self._searcher.tell_failed(running.token)
            return
        self._succeeded = True
        point = outcome.result.point
        violations = self._violations(point)
        broken = [constraint for constraint, excess in violations.items() if excess > 0]
        self.ledger.complete_trial(
            number, outcome.result, device_seconds, broken, spent=self.meter.spent
        )
        if running.token is not None:
            values = [objective.value(point) for objective in self.objectives]
            self._searcher.tell(running.token, values, violations)
        self._keep_weights_of_front()

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

    def _violations(self, point: OperatingPoint) -> dict[str, float]:
        """Return by how much of its bound each constraint is broken, above 0 where it is."""
        violations = {}
        for constraint in self.space.constraints:
            bound = constraint.bound.of(self._unpruned.get(constraint.metric, math.nan))
            value = float(getattr(point, constraint.metric))
            excess = value - bound if constraint.relation == "<=" else bound - value
            violations[str(constraint)] = excess / max(abs(bound), 1e-12)
        return violations

    def _keep_weights_of_front(self) -> None:
        """Delete the weights of trials off the front: a study of hundreds would fill disks."""
        front = {point.trial for point in self.ledger.front(self.objectives)}
        for record in self.ledger.trials():
            if record.result is not None and record.number not in front:
                for name in filter(None, [record.result.weights_file]):
                    (self.folder.trial_folder(record.number) / name).unlink(missing_ok=True)
