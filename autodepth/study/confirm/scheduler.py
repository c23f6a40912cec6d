"""When the front is confirmed: the share of the budget kept back, and who goes first.

Confirmation begins when what is left of the time is what it needs, or the share kept back for it
if that is less. The front it confirms is that of this moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import TrialRecord
from autodepth.space.sections.search_models import ConfirmationSection
from autodepth.study.confirm.missing import FollowUp, confirmations, controls
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.propose.predict.cost_model import CostModel

_MARGIN = 1.15  # of the time it is expected to need


@dataclass(frozen=True, kw_only=True)
class ConfirmationRequest:
    """What is asked of a front, or for by itself, and nothing else.

    Args:
        seeds: fresh seeds per member, at least 1.
        roles: controls that each member is compared with, see `baselines.ROLES`.
        unpruned_macs: multiply-accumulates of the untouched network.
        given_weights: whether the study starts from given weights.
        asked: trials that a person asked for by themselves; then nothing is asked of the front.
        members: trials of the members that it is asked of; None for all of the front.
    """

    seeds: int
    roles: tuple[str, ...]
    unpruned_macs: float
    given_weights: bool
    asked: tuple[FollowUp, ...] = ()
    members: frozenset[int] | None = None

    def of(self, front: Sequence[FrontPoint]) -> list[FrontPoint]:
        """Return the members of a front that it is asked of."""
        return [m for m in front if self.members is None or m.trial in self.members]

    def missing(
        self, front: Sequence[FrontPoint], records: Sequence[TrialRecord]
    ) -> list[FollowUp]:
        """Return what is still to be done about some members: confirmations, then controls."""
        missing = confirmations(front, records, self.seeds)
        if missing or not self.roles:
            return missing
        return list(
            controls(
                front,
                records,
                self.seeds,
                unpruned_macs=self.unpruned_macs,
                given_weights=self.given_weights,
                which=self.roles,
            ).trials
        )


class ConfirmationScheduler:
    """The trials that confirm a front, handed out one by one.

    Args:
        section: share and seeds.
        ledger: knows what was confirmed.
        meter: knows the time.
        cost_model: tells parents apart.
        concurrency: trials at the same time.
        only: what is asked for at once, without any search; None confirms when it is time.
    """

    def __init__(
        self,
        section: ConfirmationSection,
        *,
        ledger: Ledger,
        meter: BudgetMeter,
        cost_model: CostModel,
        concurrency: int,
        only: ConfirmationRequest | None = None,
    ) -> None:
        self._section, self._ledger, self._meter = section, ledger, meter
        self._cost_model, self._concurrency = cost_model, concurrency
        self._front: list[FrontPoint] = []
        self._ready: set[str] = set()
        self._training: dict[str, int] = {}
        self._waits = False
        self._begun: list[FollowUp] = []
        self.only = only

    def next(self, front: Sequence[FrontPoint], *, now: bool = False) -> FollowUp | None:
        """Return the confirmation to start now, None where it is not time or none is left.

        Args:
            front: as it is now.
            now: begin whatever the time is.
        """
        self._waits = False
        if now and self._wanted:
            self._front = self._front or list(front)
        if not self._is_time(front):
            return None
        for trial in self._missing():
            key = self._parent(trial)
            if key in self._training:
                self._waits = True
                continue
            new = key not in self._ready and trial.policy.carried_out.train.epochs > 0
            work = self._cost_model.work(trial.policy, new_parent=new)
            # A count of trials is for the search; what confirms it needs time alone.
            if self._meter.leaves_time_for(work, new_parent=new):
                self._waits = False
                return trial
        return None

    @property
    def waits(self) -> bool:
        """Whether what is missing waits for a parent that is being trained."""
        return self._waits

    def started(self, trial: FollowUp, number: int) -> bool:
        """Note that a confirmation began; return whether it trains its parent."""
        self._begun.append(trial)
        key = self._parent(trial)
        new = key not in self._ready and trial.policy.carried_out.train.epochs > 0
        if new:
            self._training[key] = number
        return new

    def ended(self, number: int, *, complete: bool) -> None:
        """Note that a confirmation ended."""
        for key in [key for key, owner in self._training.items() if owner == number]:
            del self._training[key]
            if complete:
                self._ready.add(key)

    def _missing(self) -> list[FollowUp]:
        records, only = self._ledger.trials(), self.only
        if only is None:
            return confirmations(self._front, records, self._section.seeds)
        if only.asked:
            return [trial for trial in only.asked if trial not in self._begun]
        return only.missing(self._front, records)

    def _is_time(self, front: Sequence[FrontPoint]) -> bool:
        if self.only is not None:
            self._front = self.only.of(front)
        if self._front or (self.only is not None and self.only.asked):
            return True
        left = self._meter.seconds_left
        if not (self._wanted and front):
            return False
        kept_back = self._section.share * self._meter.seconds_in_all
        if left <= min(kept_back, self._needed(front)):
            self._front = list(front)
        return bool(self._front)

    @property
    def _wanted(self) -> bool:
        """Whether there is a share for it; a budget that only counts trials has none."""
        asked = self._section.share > 0 and self._section.seeds > 0
        return asked and self._meter.seconds_left < math.inf

    def _needed(self, front: Sequence[FrontPoint]) -> float:
        """Return about how many seconds confirmation takes on all places."""
        known, cost_model = self._meter.expected, self._cost_model
        policies = [Policy.from_dict(dict(member.policy)) for member in front]
        parents = {cost_model.parent(policy): policy for policy in policies}.values()
        trained = [work for policy in parents if (work := cost_model.parent_work(policy))]
        training = [known(work, new_parent=True) for work in trained]
        tuning = [known(cost_model.tuning_work(policy), new_parent=False) for policy in policies]
        seconds = self._section.seeds * (sum(training) + sum(tuning))
        longest = max(training, default=0.0) + max(tuning)  # the last of them runs alone
        return _MARGIN * (seconds / self._concurrency + longest)

    def _parent(self, trial: FollowUp) -> str:
        return f"{self._cost_model.parent(trial.policy)} {trial.replicate}"
