"""Carrying a policy out that somebody asked for: one more trial of a study that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from autodepth.errors import BudgetSpentError, StoppedError
from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study
from autodepth.records.trial_record import EXPECTED, TrialRecord
from autodepth.service.search.confirm import allowed, limits_with
from autodepth.service.search.one_search import only_search
from autodepth.service.search.replan import keep_paths, plan_again
from autodepth.service.search.requests import BesideRequest
from autodepth.service.search.search import drive, on_cluster
from autodepth.study.confirm.missing import FollowUp
from autodepth.study.confirm.scheduler import ConfirmationRequest
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.run import Watch
from autodepth.units import Budget


@dataclass(frozen=True, kw_only=True)
class AskedPolicy:
    """A policy that somebody wants carried out.

    Args:
        policy: what to do.
        role: what the trial is called in the ledger; not empty.
        expected: what was expected of it, as the ledger keeps that; None where nothing was.
    """

    policy: Policy
    role: str
    expected: Mapping[str, Any] | None = None


@only_search()
def carry_out_asked(
    asked: AskedPolicy, request: BesideRequest, *, watch: Watch = lambda _: nullcontext()
) -> TrialRecord:
    """Carry a policy out as a trial of its study, and return that.

    One that a trial has carried out already is not carried out again. The study's budget grows by
    what it costs, which is `at_most` of the request, where that says something.

    Args:
        asked: the policy.
        request: which study, where its files are now, and how trials run.
        watch: a context entered while it runs, given the driver.

    Raises:
        StudyError: as of `resume`.
        StoppedError: it was asked to end before the trial began.
        BudgetError: `at_most` is no time, of other devices, or too little for the trial to begin.
        ClusterError: the cluster cannot be used.
    """
    _ = request.most  # before anything is loaded
    with on_cluster(request.ray_address, request.storage) as cluster:
        folder = find_study(request.study)
        plan = plan_again(folder, Budget(), request, cluster=cluster)
        with DriverLock(folder, wait=True), Ledger.open(folder.ledger_path) as ledger:
            return _known(ledger, asked) or _carry_out(plan, folder, ledger, asked, request, watch)


def _known(ledger: Ledger, asked: AskedPolicy) -> TrialRecord | None:
    """Return the trial that has carried the policy out; None where there is none."""
    policy = asked.policy.to_dict()
    return next(
        (r for r in ledger.trials() if r.of_search and r.result and r.carried_out == policy), None
    )


def _carry_out(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    asked: AskedPolicy,
    request: BesideRequest,
    watch: Watch,
) -> TrialRecord:
    wanted = FollowUp(kind="search", role=asked.role, policy=asked.policy, replicate=0)
    confirmation = ConfirmationRequest(
        seeds=0,
        roles=(),
        unpruned_macs=plan.unpruned["macs"],
        given_weights=plan.context.weights is not None,
        asked=(wanted,),
    )
    spent, wall, number = ledger.spent(), ledger.wall_spent(), len(ledger.trials())
    plan = allowed(plan, request, ledger)
    keep_paths(folder, plan)
    result = drive(plan, folder, ledger, request, watch=watch, confirmation=confirmation)
    begun = len(ledger.trials()) > number
    if begun and asked.expected is not None:
        ledger.record([], [(number, EXPECTED, asked.expected)])
    paths = {name: plan.to_dict()[name] for name in ("weights", "data", "space")}
    limits = limits_with(ledger, spent, wall)
    ledger.extend({**ledger.study.plan, **paths, "limits": limits})
    ledger.end_study(result.outcome)
    if not begun and result.interrupted:
        raise StoppedError(f"{folder.name} was asked to end before the policy's trial began")
    if not begun and request.at_most is not None:
        raise BudgetSpentError(
            f"what a policy may take must suffice for its trial, but {request.at_most} do not"
        )
    return ledger.trial(number)
