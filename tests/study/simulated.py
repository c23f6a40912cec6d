"""A study whose trials are made up: made results on a made clock, nothing trained, no runner.

The driver, the ledger and the budget are the real ones. What a runner would say is said by the
methods of `SimulatedStudy`, so a test can say it in any order.
"""

from dataclasses import replace
from functools import cache
from itertools import combinations

from autodepth.policy.removal import in_units, unit_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import create_study_folder
from autodepth.records.trial_record import NODE_LEAVES, WORKER_DIED
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.study.driver.build import make_driver
from autodepth.study.hooks import TrialReport
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.run import start_ledger
from autodepth.trial.carry_out import TrialOutcome
from autodepth.trial.phases.branches.joint import jointly_removed
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult, TrialState
from autodepth.units import parse_budget

SMALL = ("network.name=resnet14", "data.train_images=48", "data.validation=60")
PACE = 2.0  # seconds per unit of work, see `CostModel.work`: what a trial takes is foreseen exactly


@cache
def planned(budget: str, settings: tuple[str, ...], concurrency: int) -> StudyPlan:
    """Return a plan; making one builds a network and times its steps, so each is made once."""
    return plan_search(
        SearchRequest(budget=budget, settings=[*SMALL, *settings], concurrency=concurrency)
    )


class Clock:
    """Seconds that rise when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class SimulatedStudy:
    """A study under way.

    Args:
        name: of the study.
        budget: as of `autodepth search`.
        settings: changes to the default space.
        concurrency: trials at a time.
        seed: of what is drawn.
    """

    def __init__(self, name, budget, *settings, concurrency=2, seed=0):
        self.clock = Clock()
        plan = planned(budget, settings, concurrency)
        self.plan = replace(plan, space=replace(plan.space, seed=seed))
        self.folder = create_study_folder(name)
        self.ledger = start_ledger(self.plan, self.folder)
        self.running, self.trained = {}, {}  # tasks; the trial that trained each parent
        self._drive()

    def _drive(self):
        self.driver = make_driver(
            self.plan, self.folder, self.ledger, side_by_side=True, clock=self.clock
        )

    def next(self):
        """Ask for a task as a free worker does; None for none, and `waits` says if one may come."""
        task = self.driver.next()
        self.waits = task == "wait"
        if task in ("wait", "done"):
            return None
        self.running[task.number] = task
        if self.parent(task) in self.trained:  # its epochs are told again
            self.report(task, replayed=True)
        return task

    def complete(self, task, accuracy=0.9, seconds=None):
        """Bring the result of a trial back; by default its parent takes time once."""
        self._parent_is_there(task)
        fresh = self.trained.get(self.parent(task)) == task.number
        if fresh and not self.ledger.epochs(task.number):
            self.report(task)  # no real trial trains a parent without a word
        if seconds is None:
            cost_model = self.driver.proposer.cost_model
            # A real trial tells the scores with its first epoch after them, so before its end.
            scores = outcome_of(self.plan, task, accuracy, 0.0).result.sensitivities
            cost_model.learn(task.policy, scores)
            seconds = PACE * cost_model.work(task.policy, new_parent=fresh)
        self.clock.seconds += seconds / max(1, len(self.running))
        self._end(task, outcome_of(self.plan, task, accuracy, seconds))

    def carry_out(self, task, accuracy=0.9):
        """Complete a trial, or end it before it is fine-tuned where it breaks a bound on costs."""
        point = outcome_of(self.plan, task, accuracy, 0.0).result.point
        broken = self.driver.state.violations(point)
        costs = [name for name, excess in broken.items() if excess > 0 and "accuracy" not in name]
        if task.bounded and costs:
            reason = f"breaks {costs[0]}"
            self._end(task, TrialOutcome(state=TrialState.INFEASIBLE, reason=reason))
        else:
            self.complete(task, accuracy)

    def parent(self, task):
        return self.driver.proposer.cost_model.parent(task.policy), task.replicate

    def _parent_is_there(self, task):
        if task.policy.train.epochs:
            self.trained.setdefault(self.parent(task), task.number)

    def lose(self, task, reason=WORKER_DIED):
        """Let the worker of a trial die."""
        self._end(task, TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True))

    def preempt(self, task):
        """Let the node of a trial leave."""
        self.lose(task, NODE_LEAVES)

    def fail(self, task, reason="RuntimeError: made up"):
        """Let a trial fail for a reason of its own."""
        self._end(task, TrialOutcome(state=TrialState.FAILED, reason=reason))

    def stop(self, task):
        """End a trial that was given up at a rung."""
        self._end(task, TrialOutcome(state=TrialState.STOPPED, reason="below others"))

    def report(self, task, phase="parent", accuracy=0.5, *, replayed=False):
        """Tell one epoch of a trial."""
        if phase != "parent":
            self._parent_is_there(task)
        steps = len(self.ledger.epochs(task.number)) + 1
        told = TrialReport(epochs=[epoch(phase, steps, accuracy, replayed)])
        self.driver.on_report(task.number, told)
        self.driver._buffer.commit()

    def _end(self, task, outcome):
        del self.running[task.number]
        self.driver.on_end(task.number, outcome)

    def finish(self, most=1000):
        """Carry out whatever is asked for, one trial after the other; return the tasks."""
        done = []
        while len(done) < most and (task := self.next()) is not None:
            self.complete(task, accuracy=0.9 - 0.001 * len(done))
            done.append(task)
        return done

    def kill(self):
        """Let the driver die: nothing is entered any more."""
        self.ledger.close()
        self.running.clear()

    def interrupt(self):
        """End the study in order, as Ctrl-C does."""
        self.driver.interrupt()
        self.end("interrupted")

    def end(self, outcome):
        """End the study in order."""
        self.driver.cancel_running(outcome)
        self.running.clear()
        self.driver.close(outcome)
        self.ledger.close()

    def resume(self, *, budget=None, concurrency=None):
        """Go on with the study, with more budget or another number of trials at a time."""
        plan = self.plan
        if concurrency is not None:
            plan = planned("1trials", (), concurrency)
            plan = replace(self.plan, resources=plan.resources)
        if budget is not None:
            plan = replace(plan, budget=plan.budget.plus(parse_budget(budget)))
        self.plan = plan
        self.ledger = Ledger.open(self.folder.ledger_path)
        self.ledger.extend(plan.to_dict())
        self._drive()

    def records(self, kind=None):
        return [r for r in self.ledger.trials() if kind in {None, r.kind}]


def outcome_of(plan, task, accuracy, seconds):
    """Return a result as a trial of this policy may have it: what goes is decided as in trials."""
    network, policy = plan.network, task.policy
    scores = {b.index: 0.1 * b.index for b in network.branches if b.removable}
    removal, masks = removal_from(network, policy), {}
    if policy.branches is not None:
        removed = policy.branches
    elif policy.removes_jointly:
        masks = made_up_masks(scores, removal)
        removed = jointly_removed(masks, removal, ())
    else:
        removed = removal.step(in_units(scores, unit_of(scores)), ())
    gone = sum(b.macs for b in network.branches if b.index in removed)
    macs = int((network.total_macs - gone) * (1 - policy.filter_sparsity))
    point = OperatingPoint(
        validation_accuracy=accuracy, validation_loss=1.0, macs=macs, effective_macs=macs,
        parameters=macs // 10, size_bytes=macs, latency_ms=1.0,
    )  # fmt: skip
    return TrialOutcome(
        state=TrialState.COMPLETE,
        result=TrialResult(
            point=point, removed=removed,
            sensitivities=scores if policy.scores_branches else {},
            survival=(1.0,) * len(network.branches),
            masks=masks,
            parent_accuracy=accuracy, pruned_accuracy=accuracy, phase_seconds={"parent": seconds},
        ),
    )  # fmt: skip


def made_up_masks(scores, removal):
    """Return how far the network is without sets: the further, the more of them go together."""
    every = (frozenset(c) for n in range(len(scores)) for c in combinations(scores, n))
    return {m: sum(scores[b] for b in m) ** 1.5 for m in every if removal.allows(m)}


def epoch(phase, step, accuracy, replayed):
    return EpochReport(
        phase=phase, step=step, train_loss=1.0, train_accuracy=accuracy,
        validation_accuracy=accuracy, branches_expected=6.0, branches_computed=6.0,
        gradient_norms={}, images_per_second=1.0, seconds=1.0, replayed=replayed,
        macs=10**6 * (phase != "parent"),
    )  # fmt: skip
