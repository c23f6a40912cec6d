"""Whose turn it is: when the control comes, and when one trial gets all places."""

from __future__ import annotations

from autodepth.policy.policy import Policy
from autodepth.search.budget_meter import BudgetMeter
from autodepth.search.proposals import Proposals

# The control comes when the search has begun so many times the work that its training is.
_WORK_BEFORE_CONTROL = 2.0


class Turns:
    """Tells what comes next.

    Args:
        control: the policy that leaves the network whole.
        proposals: what the search goes on with.
        meter: minds the budget.
        places: how many trials share the reserved devices.
        pools_places: whether one trial can compute on several places, as CPUs can.
    """

    def __init__(
        self,
        control: Policy,
        *,
        proposals: Proposals,
        meter: BudgetMeter,
        places: int,
        pools_places: bool,
    ) -> None:
        self.control = control
        self._control_begun = False
        self._proposals, self._meter = proposals, meter
        self._places = places if pools_places else 1
        self.any_complete = False

    @property
    def first_alone(self) -> bool:
        """Whether the trial that starts now gets all places, and no other starts beside it.

        Until there is one network nothing compares with it, and the sooner its parent is there,
        the sooner others share it.
        """
        return self._places > 1 and not self.any_complete

    @property
    def places(self) -> int:
        """How many places the trial that starts now computes on."""
        return self._places if self.first_alone else 1

    def control_is_due(self) -> bool:
        """Return whether the control comes next: once it is cheap beside what was done already.

        No parent costs more than that of the control, and the front gains nothing from it.
        """
        if self._control_begun:
            return False
        if self._meter.last_trial:
            return True
        parents, epochs = self._proposals.parents, self.control.train.epochs
        state = parents.state(self._proposals.foresight.parent(self.control))
        if state == "ready" or not epochs:
            return True
        begun = parents.work >= _WORK_BEFORE_CONTROL * epochs
        work = self._proposals.foresight.work(self.control, new_parent=True)
        time = self._meter.leaves_time_for(work, new_parent=True)
        return state != "training" and begun and time

    def control_begins(self) -> None:
        """The control is carried out."""
        self._control_begun = True

    def control_was_lost(self) -> None:
        """The control has to be carried out once more."""
        self._control_begun = False
