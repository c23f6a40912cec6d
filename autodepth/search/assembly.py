"""A study's parts put together, fresh or from what its ledger tells of earlier times."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import TrialRecord
from autodepth.search.budget_meter import BudgetMeter
from autodepth.search.confirming import Confirming, Evidence
from autodepth.search.estimate import unpruned_policy
from autodepth.search.foresight import Foresight
from autodepth.search.parents import Parents
from autodepth.search.plan import StudyPlan
from autodepth.search.proposals import Proposals
from autodepth.search.rungs import Rungs
from autodepth.search.searcher import Point, Searcher
from autodepth.search.start_points import parent_point, start_points
from autodepth.search.study_driver import StudyDriver, violations_of
from autodepth.search.turns import Turns
from autodepth.seeding import derive_seed
from autodepth.trial.result import TrialState

LOST = "its driver ended while it ran"
"""Why a trial failed that a resumed study finds running."""


def make_driver(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    *,
    side_by_side: bool,
    evidence: Evidence | None = None,
) -> StudyDriver:
    """Return the driver of a study; one with trials goes on from them.

    Args:
        plan: what to do.
        folder: the study's folder.
        ledger: its ledger; trials that it has as running have died and are ended.
        side_by_side: whether all places work at once, or one after the other in this process.
        evidence: what is asked of the front, with no search; None searches.
    """
    places, space = plan.places, plan.space
    dimensions = space.dimensions_for(plan.network.num_stages, len(plan.network.branches))
    concurrency = places.count if side_by_side else 1
    devices = places.devices * concurrency / places.count
    _end_the_dead(ledger, devices / concurrency)
    records = ledger.trials()
    meter = BudgetMeter(
        plan.budget,
        device=places.device,
        devices=devices,
        spent_before=ledger.spent(),
        trials_before=sum(record.counts for record in records),
    )
    proposals = Proposals(
        dimensions,
        lambda point: Policy.from_dict(space.policy_values(point)),
        searcher=Searcher(
            dimensions,
            plan.objectives,
            sampler=space.sampler,
            seed=derive_seed(space.seed, "sampler", len(records)),
        ),
        foresight=Foresight(plan.network, plan.setting, space.constraints),
        parents=Parents(seed=derive_seed(space.seed, "parents")),
        first=_first(records, start_points(space.start_with, dimensions)),
        seed=derive_seed(space.seed, "blind points"),
    )
    control = unpruned_policy(space, plan.network)
    control_point = parent_point(control, dimensions)
    driver = StudyDriver(
        space=space,
        objectives=plan.objectives,
        unpruned=plan.unpruned,
        ledger=ledger,
        folder=folder,
        proposals=proposals,
        meter=meter,
        turns=Turns(
            control,
            control_begun=any(
                record.kind == "unpruned" and record.state is not TrialState.CANCELLED
                for record in records
            ),
            proposals=proposals,
            meter=meter,
            places=concurrency,
            pools_places=places.device == "cpu",
            any_complete=any(record.result is not None for record in records),
        ),
        unpruned_point=control_point,
        rungs=Rungs(at=space.rungs.at, keep=space.rungs.keep),
        confirming=Confirming(
            space.confirmation,
            ledger=ledger,
            meter=meter,
            foresight=proposals.foresight,
            concurrency=concurrency,
            only=evidence,
        ),
        concurrency=concurrency,
    )
    _remember(driver, records, control_point)
    return driver


def _remember(
    driver: StudyDriver, records: Sequence[TrialRecord], control_point: Point | None
) -> None:
    """Take in what earlier parts of the study came to."""
    proposals, space = driver.proposals, driver.space
    complete = [
        (record, Policy.from_dict(dict(record.policy)), record.result)
        for record in records
        if record.result is not None and record.of_search
    ]
    for _, policy, result in complete:
        proposals.foresight.learn(policy, result.sensitivities)
    for record, policy, result in complete:
        if record.kind == "unpruned":
            new_parent = policy.train.epochs > 0
            proposals.parents.ready(proposals.foresight.parent(policy), control_point)
        else:
            values = [objective.value(result.point) for objective in driver.objectives]
            violations = violations_of(result.point, space.constraints, driver.unpruned)
            new_parent = proposals.remember(dict(record.point), policy, values, violations)
        place = driver.meter.devices / driver.concurrency
        driver.meter.trial_completed(record.device_seconds / place, new_parent=new_parent)
    for record in records:
        if record.kind == "search" and record.state is TrialState.FAILED:
            proposals.searcher.learn(dict(record.point), None)


def _end_the_dead(ledger: Ledger, devices_each: float) -> None:
    """End trials that ran when the study's driver died; their epochs are charged as failed."""
    for record in ledger.trials():
        if record.state is TrialState.RUNNING:
            seconds = math.fsum(epoch.seconds for epoch in ledger.epochs(record.number))
            spent = ledger.spent()
            charged = min(seconds * devices_each, ledger.spending().get("overhead", 0.0))
            ledger.end_trial(record.number, TrialState.FAILED, LOST, charged, spent=spent)


def _first(records: Sequence[TrialRecord], wanted: Sequence[Point]) -> list[Point]:
    """Return what to try first: in a study that goes on, what was under way when it ended."""
    if not records:
        return list(wanted)
    done = [record.point for record in records if record.result is not None]
    broken_off = [
        dict(record.point)
        for record in records
        if record.state is TrialState.CANCELLED or record.reason == LOST
    ]
    return [point for point in broken_off if point and point not in done]
