"""Carrying a policy out that somebody asked for: one more trial of a study that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study
from autodepth.records.trial_record import EXPECTED, TrialRecord
from autodepth.service.search.confirm import limits_with
from autodepth.service.search.one_search import only_search
from autodepth.service.search.replan import keep_paths, plan_again
from autodepth.service.search.requests import StudyRequest
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
    asked: AskedPolicy, request: StudyRequest, *, watch: Watch = lambda _: nullcontext()
) -> TrialRecord:
    """Carry a policy out as a trial of its study, and return that.

    One that a trial has carried out already is not carried out again. It costs what it costs: the
    study's budget grows by it.

    Args:
        asked: the policy.
        request: which study, where its files are now, and how trials run.
        watch: a context entered while it runs, given the driver.

    Raises:
        StudyError: as of `resume`.
        ClusterError: the cluster cannot be used.
    """
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
    request: StudyRequest,
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
    keep_paths(folder, plan)
    result = drive(plan, folder, ledger, request, watch=watch, confirmation=confirmation)
    if asked.expected is not None:
        ledger.record([], [(number, EXPECTED, asked.expected)])
    paths = {name: plan.to_dict()[name] for name in ("weights", "data", "space")}
    limits = limits_with(ledger, spent, wall)
    ledger.extend({**ledger.study.plan, **paths, "limits": limits})
    ledger.end_study(result.outcome)
    return ledger.trial(number)
