"""When the control comes: the network trained without random depth and left whole."""

from __future__ import annotations

from autodepth.policy.policy import Policy
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.propose.proposer import Proposer

# The control comes when the search has begun so many times the work that its training is; where
# small networks from scratch make a front by themselves, it is not to hold them up.
_WORK_BEFORE_CONTROL, _WORK_BEFORE_CONTROL_OF_SMALL = 2.0, 8.0


class ControlTurn:
    """Decides when the unpruned control is due.

    Args:
        control: the policy that leaves the network whole.
        proposer: what the search goes on with.
        meter: minds the budget.
        whole_first: whether policies of the search begin with the whole network, too.
    """

    def __init__(
        self,
        control: Policy,
        *,
        proposer: Proposer,
        meter: BudgetMeter,
        whole_first: bool = True,
    ) -> None:
        self._whole_first = whole_first
        self.control = control
        self._control_begun = False
        self._proposer, self._meter = proposer, meter

    def is_due(self, *, any_complete: bool) -> bool:
        """Return whether the control comes next.

        Beside the very first trial: nothing is known then that would tell of a better use of a
        second place, and policies may share its parent later. Else once it is cheap beside what was
        done already, for no parent costs more.

        Args:
            any_complete: whether any trial of the study was completed.
        """
        if self._control_begun:
            return False
        if self._meter.trials_left == 1:
            return True
        parents, epochs = self._proposer.parents, self.control.train.epochs
        state = parents.state(self._proposer.cost_model.parent(self.control))
        if state == "ready" or not epochs:
            return True
        beside_first = parents.work > 0 and not any_complete and self._whole_first
        times = _WORK_BEFORE_CONTROL if self._whole_first else _WORK_BEFORE_CONTROL_OF_SMALL
        begun = beside_first or parents.work >= times * epochs
        work = self._proposer.cost_model.work(self.control, new_parent=True)
        time = self._meter.leaves_time_for(work, new_parent=True)
        return state != "training" and begun and time

    def begins(self) -> None:
        """The control is carried out."""
        self._control_begun = True

    def was_lost(self) -> None:
        """The control has to be carried out once more."""
        self._control_begun = False
