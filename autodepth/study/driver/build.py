"""A study's parts put together, fresh or from what its ledger tells of earlier times."""

from __future__ import annotations

from collections.abc import Callable

from autodepth.lived_time import lived_seconds
from autodepth.policy.policy import Policy
from autodepth.records.fsck import end_lost_trials, sweep
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.seeding import derive_seed
from autodepth.study.confirm.scheduler import Confirming, Evidence
from autodepth.study.driver.control_turn import Turns
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.driver.front import FrontKeeper
from autodepth.study.driver.replay import GoingOn
from autodepth.study.driver.search_state import Knowledge
from autodepth.study.driver.weight_uploads import WeightsTransit
from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.plan.estimate import unpruned_policy
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.propose.acquisition import Gaps
from autodepth.study.propose.cost_model import Foresight
from autodepth.study.propose.optuna_sampler import Searcher
from autodepth.study.propose.parent_pool import Parents
from autodepth.study.propose.proposer import FEWEST_PARKED, Proposals
from autodepth.study.propose.start_policies import parent_point, start_points
from autodepth.study.stopping.failure_policy import Failures
from autodepth.study.stopping.rungs import Rungs


def make_driver(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    *,
    side_by_side: bool,
    evidence: Evidence | None = None,
    transit: WeightsTransit | None = None,
    clock: Callable[[], float] = lived_seconds,
) -> StudyDriver:
    """Return the driver of a study; one with trials goes on from them.

    Args:
        plan: what to do.
        folder: the study's folder.
        ledger: its ledger; trials that it has as running have died and are ended.
        side_by_side: whether all places work at once, or one after the other in this process.
        evidence: what is asked of the front, with no search; None searches.
        transit: where trials on other nodes leave their weights; None where they write here.
        clock: seconds by which budget and trials are timed, as of `BudgetMeter`.
    """
    places, space = plan.places, plan.space
    dimensions = space.dimensions_for(plan.network.num_stages, len(plan.network.branches))
    concurrency = places.count if side_by_side else 1
    devices = places.devices * concurrency / places.count
    end_lost_trials(ledger, devices / concurrency)
    sweep(folder.path)
    records = ledger.trials()
    meter = BudgetMeter(
        plan.budget,
        device=places.device,
        devices=devices,
        spent_before=ledger.spent(),
        wall_before=ledger.wall_spent(),
        clock=clock,
    )
    ledger.reserve(devices)
    proposals = Proposals(
        dimensions,
        lambda point: Policy.from_dict(space.policy_values(point)),
        searcher=Searcher(
            dimensions,
            plan.objectives,
            sampler=space.sampler,
            seed=derive_seed(space.seed, "sampler", 0),
        ),
        foresight=Foresight(plan.network, plan.setting, space.constraints),
        parents=Parents(seed=derive_seed(space.seed, "parents")),
        gaps=Gaps(
            plan.objectives,
            whole_macs=plan.network.total_macs,
            share=0.0 if space.sampler.name in {"random", "qmc"} else space.sampler.gap_share,
        ),
        first=start_points(space.start_with, dimensions),
        seed=derive_seed(space.seed, "blind points"),
        most_parked=max(FEWEST_PARKED, concurrency),
    )
    knowledge = Knowledge(
        space=space,
        objectives=plan.objectives,
        unpruned=plan.unpruned,
        proposals=proposals,
        meter=meter,
        turns=Turns(
            control := unpruned_policy(space, plan.network),
            proposals=proposals,
            meter=meter,
        ),
        unpruned_point=parent_point(control, dimensions),
        rungs=Rungs(at=space.rungs.at, keep=space.rungs.keep),
        front=FrontKeeper(ledger, folder, plan.objectives, transit),
    )
    failures = Failures(borne=space.limits.failed_trials, records=records)
    going_on = GoingOn(
        knowledge,
        ledger,
        records,
        given_up=failures.given_up,
    )
    return StudyDriver(
        knowledge=knowledge,
        ledger=ledger,
        folder=folder,
        meter=meter,
        confirming=Confirming(
            space.confirmation,
            ledger=ledger,
            meter=meter,
            foresight=proposals.foresight,
            concurrency=concurrency,
            only=evidence,
        ),
        # Whoever is only asked about the front does not go through the search again.
        next_up=going_on.take_in(search_again=evidence is None),
        failures=failures,
        concurrency=concurrency,
    )
