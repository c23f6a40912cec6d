"""In-memory state of a running study: parents, scores, results at rungs, the front.

Nothing is written to the ledger here: a trial changes the state alike whether it is carried out
now or was by an earlier part of the study (`replay.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from autodepth.front.objective import Objective
from autodepth.front.violations import violations_of
from autodepth.policy.policy import Policy
from autodepth.records.trial_record import TrialKind
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.task_section import CLASSIFICATION
from autodepth.study.driver.control_turn import ControlTurn
from autodepth.study.driver.front import FrontWeights
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.propose.predict.cost_model import CarriedOut
from autodepth.study.propose.proposer import Proposal, Proposer
from autodepth.study.propose.sampling.optuna_sampler import Point
from autodepth.study.stopping.rungs import Rungs, Verdict
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult


@dataclass(kw_only=True)
class ActiveTrial:
    """A trial under way.

    Args:
        policy: what it carries out.
        proposal: of the search; None for the control, for trials about a front's member, and for
            what a person asked for.
        started: on the clock of `lived_seconds`; later by what its worker was stopped for.
        kind: as the ledger has it.
        new_parent: whether it trains its parent.
    """

    policy: Policy
    proposal: Proposal | None = None
    started: float = 0.0
    kind: TrialKind = "search"
    new_parent: bool = True
    epochs: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)  # epochs of another trial, told again
    curves: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    last: EpochReport | None = None
    fastest: dict[str, float] = field(default_factory=dict)  # seconds of an epoch, by phase
    stop: str = ""  # why it has to stop
    late: str = ""  # why it cannot end before the budget does

    @property
    def of_search(self) -> bool:
        """Whether it belongs to the search, not to what is asked of a member of its front."""
        return self.kind in {"search", "unpruned"}

    @property
    def asked_for(self) -> bool:
        """Whether a person asked for it: the search did not come to it."""
        return self.kind == "search" and self.proposal is None

    def note(self, epoch: EpochReport) -> None:
        """Count an epoch."""
        self.epochs[epoch.phase] += 1
        self.found[epoch.phase] += epoch.replayed
        self.curves[epoch.phase].append(epoch.validation_accuracy)
        if not epoch.replayed:
            self.fastest[epoch.phase] = min(
                epoch.seconds, self.fastest.get(epoch.phase, epoch.seconds)
            )
        self.last = epoch

    @property
    def epochs_left(self) -> int:
        """How many epochs are left of the phase that it is in; 0 where nobody can tell."""
        policy = self.policy.carried_out
        planned = {"parent": policy.train.epochs, "fine_tune": policy.fine_tune_epochs}
        if self.last is None or policy.patience is not None:
            return 0
        return max(0, planned.get(self.last.phase, 0) - self.epochs[self.last.phase])

    def restart(self) -> None:
        """Forget its epochs: it begins anew."""
        self.epochs.clear()
        self.found.clear()
        self.curves.clear()
        self.fastest.clear()
        self.last, self.stop, self.late = None, "", ""

    @property
    def parent_trained(self) -> bool | None:
        """Whether its time holds the training of a parent; None where it holds a part of it."""
        told, found = self.epochs["parent"], self.found["parent"]
        if not told:
            return self.new_parent
        return not found if found in {0, told} else None


class SearchState:
    """Parents, sensitivities, accuracies at rungs, the front.

    Args:
        space: what is searched.
        objectives: what is optimised, in absolute numbers.
        unpruned: what the untouched network costs, by metric; relative constraints refer to it.
        proposer: which policy comes next.
        meter: knows how long trials take.
        control_turn: tells when the control comes.
        unpruned_point: the settings of its parent that are searched; None where the space has
            no such parent.
        rungs: compares trials with each other.
        front: the front and the weights kept with it.
    """

    def __init__(  # noqa: PLR0913 - the one place where the parts of a search meet
        self,
        *,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        unpruned: Mapping[str, float],
        proposer: Proposer,
        meter: BudgetMeter,
        control_turn: ControlTurn,
        unpruned_point: Point | None,
        rungs: Rungs,
        front: FrontWeights,
    ) -> None:
        self.space, self.objectives, self.unpruned = space, objectives, unpruned
        self.proposer, self.meter, self._control_turn = proposer, meter, control_turn
        self.unpruned_point = unpruned_point
        self.rungs, self.front = rungs, front
        self.completed = 0
        self.longest_epoch = 0.0

    def violations(self, point: OperatingPoint) -> dict[str, float]:
        """Return by what share of its bound each constraint is broken, above 0 where it is."""
        return violations_of(point, self.space.constraints, self.unpruned)

    def told(self, mean: float, spread: float) -> str:
        """Return what is expected of a trial: of accuracy, or how good the leading metric is."""
        of = "" if self.space.task.name == CLASSIFICATION else " from worst to best"
        return f"{mean:.1%} +- {spread:.1%}{of}"

    def values(self, point: OperatingPoint) -> list[float]:
        """Return the objectives of a network."""
        return [objective.value(point) for objective in self.objectives]

    def leaves_time_for(self, policy: Policy, new_parent: bool) -> bool:
        """Whether a policy can be carried out in what is left of the budget."""
        work = self.proposer.cost_model.work(policy, new_parent=new_parent)
        return self.meter.leaves_time_for(work, new_parent=new_parent)

    def _note_duration(self, seconds: float, running: ActiveTrial) -> None:
        """Learn from how long the phases of a complete trial took, all on one place."""
        new_parent = running.parent_trained
        if new_parent is None:
            return
        policy, work = running.policy.carried_out, None
        if policy.fine_tune_epochs or (new_parent and policy.train.epochs):
            work = self.proposer.cost_model.work(running.policy, new_parent=new_parent)
        self.meter.trial_completed(seconds, work, new_parent=new_parent)

    def _note_cut_off(self, running: ActiveTrial) -> None:
        """Learn from how long the part of a trial took that is over."""
        policy, cost_model = running.policy.carried_out, self.proposer.cost_model
        new_parent = running.parent_trained
        if new_parent is None or not running.epochs["fine_tune"]:
            return
        undone = cost_model.tuning_pass(policy) * running.epochs_left
        work = cost_model.work(policy, new_parent=new_parent) - undone
        seconds = self.meter.now() - running.started
        self.meter.trial_cut_off(seconds, work, new_parent=new_parent)

    @property
    def control(self) -> Policy:
        """The policy that leaves the network whole."""
        return self._control_turn.control

    def control_is_due(self) -> bool:
        """Whether the control comes next."""
        return self._control_turn.is_due(any_complete=self.completed > 0)

    def control_began(self, number: int) -> bool:
        """Note that a trial carries the control out; return whether it trains its parent."""
        self._control_turn.begins()
        parents, control = self.proposer.parents, self.control
        key = self.proposer.cost_model.parent(control)
        new_parent = parents.state(key) != "ready" and control.train.epochs > 0
        parents.started(key, number)
        parents.add_work(new=control.train.epochs if new_parent else 0.0, known=0.0)
        return new_parent

    def cannot_end(self, running: ActiveTrial) -> str:
        """Return why a trial cannot come to its end before the budget does; empty where it can.

        It is judged by the fastest of its epochs, of two at least: the first is often slow. What
        the budget would cut off was for nothing, and what fits can begin in its place.
        """
        last, left = running.last, running.epochs_left
        if last is None or not left or running.epochs[last.phase] - running.found[last.phase] < 2:
            return ""
        seconds = running.fastest[last.phase]
        if left * seconds <= self.meter.seconds_left:
            return ""
        return (
            f"the budget would end before it: {left} epochs of {seconds:.2g} s or more were left, "
            f"and {max(0.0, self.meter.seconds_left):.0f} s"
        )

    def on_epoch(
        self, number: int, running: ActiveTrial, epoch: EpochReport, *, judged: bool = False
    ) -> Verdict | None:
        """Learn from an epoch; return the verdict of a rung that it reached, if it reached one.

        Args:
            number: of the trial.
            running: the trial.
            epoch: its next one.
            judged: whether verdicts on this trial are known already; then there is no other.
        """
        running.note(epoch)
        self.longest_epoch = max(self.longest_epoch, epoch.seconds)
        if running.of_search:
            self._learn_of_parent(number, running, epoch)
        phase, policy = epoch.phase, running.policy.carried_out
        if epoch.replayed or running.kind != "search" or phase not in self.space.rungs.stages:
            return None
        epochs = policy.train.epochs if phase == "parent" else policy.fine_tune_epochs
        fine_tuning = policy.train.fine_tune_learning_rate or policy.train.learning_rate
        from_scratch = policy.origin == "scratch"  # it learns all of it, not the rest
        reached = (
            number,
            "scratch" if from_scratch else phase,
            running.epochs[phase],
            epochs,
            epoch.validation_accuracy,
            epoch.branches_expected if phase == "parent" else float(epoch.macs),
        )
        rate = policy.train.learning_rate if phase == "parent" else fine_tuning
        if judged:
            self.rungs.note(*reached, rate=rate)
            return None
        return self.rungs.report(*reached, rate=rate)

    def on_end(
        self,
        number: int,
        running: ActiveTrial,
        result: TrialResult | None,
        *,
        stopped: bool = False,
    ) -> None:
        """Learn from the end of a trial, which the ledger has.

        Args:
            number: of the trial.
            running: the trial.
            result: what it brought back; None where it came to nothing.
            stopped: whether it was given up at a rung, so that its parent is not tried again.
        """
        if result is None:
            self._came_to_nothing(number, running, stopped=stopped)
        else:
            self._learn(number, running, result)  # its scores tell how much work it was
            self._note_duration(sum(result.phase_seconds.values()), running)

    def _learn(self, number: int, running: ActiveTrial, result: TrialResult) -> None:
        self.completed += 1
        parents, cost_model = self.proposer.parents, self.proposer.cost_model
        if running.of_search:
            self._parent_is_ready(running)
            cost_model.learn(running.policy, result.sensitivities, result.masks)
            self._learn_of_network(number, running, result)
            self.rungs.final(number, result.point.validation_accuracy)
        if running.proposal is not None:
            values, violations = self.values(result.point), self.violations(result.point)
            self.proposer.answer(running.proposal, values, violations)
        if self.front.add(number):
            parents.credit(cost_model.parent(running.policy))

    def _learn_of_network(self, number: int, running: ActiveTrial, result: TrialResult) -> None:
        proposer, point = self.proposer, result.point
        accuracy, macs = point.validation_accuracy, float(point.macs)
        proposer.prospects.improvement.ended(number, self.values(point), macs)
        end = CarriedOut(trial=number, removed=result.removed, macs=macs, accuracy=accuracy)
        proposer.cost_model.note(running.policy, end)
        if running.proposal is not None:
            proposer.members.add(running.proposal.point, running.policy, end)
            self._learn_curves(running, macs, ended=True)

    def _learn_curves(self, running: ActiveTrial, macs: float | None, *, ended: bool) -> None:
        assert running.proposal is not None
        curves = dict(running.curves)
        if not running.new_parent:
            curves.pop("parent", None)
        self.proposer.prospects.learn(
            running.proposal.point, running.policy, curves, macs=macs, ended=ended
        )

    def _came_to_nothing(self, number: int, running: ActiveTrial, *, stopped: bool) -> None:
        self.proposer.parents.lost(number, given_up=stopped)
        if running.late:  # a confirmation, too: else the same one would begin again
            self._note_cut_off(running)
        if running.proposal is not None:
            values = self._reached(running.last) if stopped else None
            macs = None if running.last is None else float(running.last.macs)
            self.proposer.prospects.improvement.ended(number, values, macs)
            if stopped and running.last is not None:
                self._learn_curves(running, float(running.last.macs) or None, ended=False)
            self.proposer.left_undone(running.policy, running.epochs["fine_tune"])
            self.proposer.answer(running.proposal, values, settled=stopped)

    def on_retry(self, running: ActiveTrial) -> None:
        """Let the policy of a trial that was lost be the next one tried."""
        if running.of_search:
            self.meter.trial_lost()
        if running.proposal is not None:
            self.proposer.again(running.proposal.point)
        elif running.kind == "unpruned":
            self._control_turn.was_lost()

    def _learn_of_parent(self, number: int, running: ActiveTrial, epoch: EpochReport) -> None:
        if epoch.phase != "parent":
            self._parent_is_ready(running)
            if epoch.sensitivities:
                self.proposer.cost_model.learn(running.policy, epoch.sensitivities)
                if running.proposal is not None:
                    self.proposer.scored(running.proposal, number)
        else:
            parent = self.proposer.cost_model.parent(running.policy)
            self.proposer.parents.trained(parent, epoch.validation_accuracy)

    def _parent_is_ready(self, running: ActiveTrial) -> None:
        if running.asked_for:  # its parent is known by the trial that scored it
            return
        point = self.unpruned_point if running.proposal is None else running.proposal.point
        parent = self.proposer.cost_model.parent(running.policy)
        self.proposer.parents.ready(parent, point)

    def _reached(self, last: EpochReport | None) -> list[float] | None:
        """Return the objectives of a trial when it was stopped; None where they are not known."""
        if last is None or not last.macs:
            return None
        known = {last.metric: last.leading, **last.metrics, "macs": float(last.macs)}
        if any(objective.name not in known for objective in self.objectives):
            return None
        return [known[objective.name] for objective in self.objectives]
