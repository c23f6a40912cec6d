"""Retraining the front of a study on fresh seeds, beside controls."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from autodepth.errors import InputError
from autodepth.front.selection import select
from autodepth.policy.survival import check_choice
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study
from autodepth.records.trial_record import confirmed_means
from autodepth.service.search.one_search import only_search
from autodepth.service.search.replan import keep_paths, plan_again
from autodepth.service.search.requests import BesideRequest, ConfirmRequest
from autodepth.service.search.search import drive, on_cluster
from autodepth.study.confirm.baselines import ROLES
from autodepth.study.confirm.scheduler import ConfirmationRequest
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.run import StudyResult, Watch
from autodepth.units import Budget


@only_search()
def confirm(request: ConfirmRequest, *, watch: Watch = lambda _: nullcontext()) -> StudyResult:
    """Retrain the front of a study on fresh seeds, and carry out controls of its members.

    What is there already is not done again. The study's budget grows by what it costs, which is
    `at_most` of the request, where that says something, and what is no more than begun then is
    broken off.

    Args:
        request: which study, how many seeds, which controls.
        watch: a context entered while trials run, given the driver.

    Raises:
        InputError: a control is unknown, or `seeds` is below 1.
        BudgetError: `at_most` is no time, or of other devices than trials run on.
        SelectionError: no member of the front is what was selected.
        StudyError: as of `resume`.
        ClusterError: the cluster cannot be used.
    """
    if request.seeds < 1:
        raise InputError(f"seeds must be at least 1, but got {request.seeds}")
    for role in request.roles:
        check_choice("control", role, tuple(ROLES))
    _ = request.most  # before anything is loaded
    with on_cluster(request.ray_address, request.storage) as cluster:
        folder = find_study(request.study)
        plan = plan_again(folder, Budget(), request, cluster=cluster)
        return _retrain(plan, folder, request, watch)


def _retrain(
    plan: StudyPlan, folder: StudyFolder, request: ConfirmRequest, watch: Watch
) -> StudyResult:
    with DriverLock(folder, wait=True), Ledger.open(folder.ledger_path) as ledger:
        front, sure = ledger.front(), confirmed_means(ledger.trials())
        chosen = [select(front, wish, sure).trial for wish in request.selected]
        confirmation = ConfirmationRequest(
            seeds=request.seeds,
            roles=tuple(request.roles),
            unpruned_macs=plan.unpruned["macs"],
            given_weights=plan.context.weights is not None,
            members=frozenset(chosen) or None,
        )
        spent, wall = ledger.spent(), ledger.wall_spent()
        plan = allowed(plan, request, ledger)
        keep_paths(folder, plan)
        result = drive(plan, folder, ledger, request, watch=watch, confirmation=confirmation)
        limits = limits_with(ledger, spent, wall)
        paths = {name: plan.to_dict()[name] for name in ("weights", "data", "space")}
        ledger.extend({**ledger.study.plan, **paths, "limits": limits})
        ledger.end_study(result.outcome)
        members = confirmation.of(ledger.front())
        missing = len(confirmation.missing(members, ledger.trials()))
    return replace(result, missing=missing)


def allowed(plan: StudyPlan, request: BesideRequest, ledger: Ledger) -> StudyPlan:
    """Return a plan that ends once what a request may take at most is taken.

    Raises:
        BudgetError: that is of other devices than those of the plan.
    """
    budget = request.most.beyond(
        plan.resources.device,
        device_seconds=ledger.spent(),
        wall_seconds=ledger.wall_spent(),
    )
    return replace(plan, budget=budget)


def limits_with(ledger: Ledger, spent: float, wall: float) -> dict[str, Any]:
    """Return a study's limits, grown by what was spent since: it costs the search nothing.

    Args:
        ledger: the study's.
        spent: device seconds before.
        wall: seconds for which devices were reserved before.
    """
    limits = dict(ledger.study.plan["limits"])
    for name, cost in (
        ("device_seconds", ledger.spent() - spent),
        ("wall_seconds", ledger.wall_spent() - wall),
    ):
        if limits[name] is not None:
            limits[name] += cost
    return limits
