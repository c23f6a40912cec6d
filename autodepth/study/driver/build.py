"""A study's parts put together, fresh or from what its ledger tells of earlier times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autodepth.lived_time import lived_seconds
from autodepth.policy.policy import Policy
from autodepth.records.fsck import end_lost_trials, sweep
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.seeding import derive_seed
from autodepth.space.domains import Dimension
from autodepth.study.confirm.scheduler import ConfirmationRequest, ConfirmationScheduler
from autodepth.study.driver.control_turn import ControlTurn
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.driver.front import FrontWeights
from autodepth.study.driver.replay import Replay
from autodepth.study.driver.search_state import SearchState
from autodepth.study.driver.weight_uploads import WeightUploads
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.plan.estimate import unpruned_policy
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.propose.candidates import BASE, Candidates
from autodepth.study.propose.known.member_pool import MemberPool
from autodepth.study.propose.known.parent_pool import ParentPool
from autodepth.study.propose.predict.acquisition import ExpectedImprovement
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.study.propose.proposer import FEWEST_PARKED, Proposer
from autodepth.study.propose.prospects import Prospects
from autodepth.study.propose.sampling.optuna_sampler import OptunaSampler, Point
from autodepth.study.propose.start_policies import parent_point, start_points
from autodepth.study.stopping.failure_policy import FailurePolicy
from autodepth.study.stopping.rungs import Rungs


def make_driver(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    *,
    side_by_side: bool,
    request: ConfirmationRequest | None = None,
    transit: WeightUploads | None = None,
    clock: Callable[[], float] = lived_seconds,
) -> StudyDriver:
    """Return the driver of a study; one with trials goes on from them.

    Args:
        plan: what to do.
        folder: the study's folder.
        ledger: its ledger; trials that it has as running have died and are ended.
        side_by_side: whether all places work at once, or one after the other in this process.
        request: what is asked of the front, with no search; None searches.
        transit: where trials on other nodes leave their weights; None where they write here.
        clock: seconds by which budget and trials are timed, as of `BudgetMeter`.
    """
    resources, space = plan.resources, plan.space
    dimensions = space.dimensions_for(plan.network.num_stages, len(plan.network.branches))
    concurrency = resources.count if side_by_side else 1
    devices = resources.devices * concurrency / resources.count
    end_lost_trials(ledger, devices / concurrency)
    sweep(folder.path)
    records = ledger.trials()
    meter = BudgetMeter(
        plan.budget,
        device=resources.device,
        devices=devices,
        spent_before=ledger.spent(),
        wall_before=ledger.wall_spent(),
        clock=clock,
    )
    ledger.reserve(devices)
    proposer = make_proposer(plan, dimensions, most_parked=max(FEWEST_PARKED, concurrency))
    state = SearchState(
        space=space,
        objectives=plan.objectives,
        unpruned=plan.unpruned,
        proposer=proposer,
        meter=meter,
        control_turn=ControlTurn(
            control := unpruned_policy(space, plan.network),
            proposer=proposer,
            meter=meter,
            whole_first=not proposer.candidates.from_scratch,
        ),
        unpruned_point=parent_point(control, dimensions),
        rungs=Rungs(at=space.rungs.at, keep=space.rungs.keep),
        front=FrontWeights(ledger, folder, plan.objectives, transit),
    )
    failures = FailurePolicy(max_failures=space.limits.failed_trials, records=records)
    replay = Replay(
        state,
        ledger,
        records,
        given_up=failures.given_up,
    )
    return StudyDriver(
        state=state,
        ledger=ledger,
        folder=folder,
        meter=meter,
        confirming=ConfirmationScheduler(
            space.confirmation,
            ledger=ledger,
            meter=meter,
            cost_model=proposer.cost_model,
            concurrency=concurrency,
            only=request,
        ),
        # Whoever is only asked about the front does not go through the search again.
        next_up=replay.run(search_again=request is None),
        failures=failures,
        concurrency=concurrency,
    )


def make_proposer(
    plan: StudyPlan, dimensions: Sequence[Dimension], *, most_parked: int
) -> Proposer:
    """Return what proposes the policies of a study, before anything is known."""
    space = plan.space
    cost_model = CostModel(plan.network, plan.context, space.constraints)
    parents = ParentPool(seed=derive_seed(space.seed, "parents"))
    members = MemberPool(seed=derive_seed(space.seed, "members"))
    leading, metric = next(iter(plan.context.task.metrics.items()))
    by_chance = space.sampler.name in {"random", "qmc"}
    # Eight bits change no MACs, so what MACs stand for is told by nothing but its measurement.
    untold = any(d.name == "quantise" for d in dimensions) and not any(
        objective.name == "macs" for objective in plan.objectives
    )

    def policy_of(point: Point) -> Policy:
        settings = {name: value for name, value in point.items() if name != BASE}
        values = space.policy_values(settings)
        if BASE in point:
            values[BASE] = members.policy(int(str(point[BASE])))
        return Policy.from_dict(values)

    return Proposer(
        policy_of,
        sampler=OptunaSampler(
            dimensions,
            plan.objectives,
            sampler=space.sampler,
            seed=derive_seed(space.seed, "sampler", 0),
        ),
        cost_model=cost_model,
        parents=parents,
        members=members,
        candidates=Candidates(
            dimensions,
            parents=parents,
            members=members,
            seed=derive_seed(space.seed, "blind points"),
        ),
        prospects=Prospects(
            dimensions,
            cost_model=cost_model,
            parents=parents,
            improvement=ExpectedImprovement(
                plan.objectives,
                whole_macs=plan.network.total_macs,
                share=0.0 if by_chance or untold else space.sampler.gap_share,
                leading=f"validation_{leading}",
                quality=metric.share,
            ),
        ),
        first=start_points(space.start_with, dimensions),
        most_parked=most_parked,
    )
