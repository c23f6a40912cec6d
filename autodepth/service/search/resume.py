"""Going on with a study: from its ledger and stages, with what is left of its budget or more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodepth.errors import BudgetSpentError, InputError, StorageError
from autodepth.policy.survival import check_choice
from autodepth.records.driver_lock.heartbeat import Driver
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import unsent_trials
from autodepth.records.studies import StudyFolder, find_study
from autodepth.service.search.one_search import only_search
from autodepth.service.search.replan import Concurrency, keep_paths, plan_again
from autodepth.service.search.search import drive, on_cluster
from autodepth.study.confirm.baselines import ROLES
from autodepth.study.confirm.scheduler import ConfirmationRequest
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.run import Runner, StudyResult, Watch, ended_result
from autodepth.units import Budget, format_device_time, parse_budget

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster


@only_search()
def resume(  # noqa: PLR0913 - as `search`
    study: str,
    *,
    budget: str | None = None,
    concurrency: Concurrency = None,
    data: str | None = None,
    weights: str | Path | None = None,
    own_code: bool = False,
    takeover: bool = False,
    tracking_uri: str | None = None,
    runner: Runner = "ray",
    ray_address: str | None = None,
    storage: str | None = None,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Go on with a study that was interrupted, crashed or has spent its budget.

    Args:
        study: its name, or `latest`.
        budget: what to add, for example `+10gpu-h`; None goes on with what is left.
        concurrency: trials at the same time; None for as many as before, `auto` for one per
            device that is there now.
        data: where the study's images are now, such as `folder:PATH`; None for where they were.
        weights: where the weights it starts from are now; None for where they were.
        own_code: whether the network's builder may be code of one's own.
        takeover: whether to go on although a process drives the study that has not shown for
            `LEASE_SECONDS` that it lives; when it wakes up, nothing it has to say is entered.
        tracking_uri: MLflow store; None for a SQLite file beside the studies.
        runner: as of `search`.
        ray_address: as of `search`.
        storage: as of `search`.
        watch: as of `search`.

    Raises:
        InputError: another search runs in this process.
        StudyError: there is no such study, or its data or network are not what they were.
        StudyInUseError: another process drives it, and lives.
        BudgetError: nothing is left, or what was added is of another kind.
        StorageError: the study's folder is full or read-only.
    """
    with on_cluster(ray_address, storage) as cluster:
        plan, folder = plan_resume(
            study,
            budget=budget,
            concurrency=concurrency,
            data=data,
            weights=weights,
            own_code=own_code,
            cluster=cluster,
        )
        return carry_on(
            plan, folder, takeover=takeover, tracking_uri=tracking_uri, runner=runner, watch=watch
        )


def plan_resume(
    study: str,
    *,
    budget: str | None = None,
    total: str | None = None,
    concurrency: Concurrency = None,
    data: str | None = None,
    weights: str | Path | None = None,
    own_code: bool = False,
    cluster: Cluster | None = None,
) -> tuple[StudyPlan, StudyFolder]:
    """Return what is still to do; arguments and errors as of `resume`.

    Args:
        study: as of `resume`.
        budget: as of `resume`.
        total: what the study may spend in all; takes the place of its budget.
        concurrency: as of `resume`.
        data: as of `resume`.
        weights: as of `resume`.
        own_code: as of `resume`.
        cluster: where trials run, see `on_cluster`; None for this machine.
    """
    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        before, spent, over = ledger.study.plan, ledger.spent(), ledger.study.outcome is not None
        wall = ledger.wall_spent()
        trials = sum(record.counts for record in ledger.trials() if record.state.ended)
    limits = Budget(**before["limits"])
    if budget is not None:
        limits = limits.plus(parse_budget(budget.strip().removeprefix("+")))
    if total is not None:
        limits = parse_budget(total)
    if over:  # else its driver died: at least its end is still to be entered
        _check_left(limits, spent, wall, trials, before)
    plan = plan_again(
        folder, limits, concurrency, data=data, weights=weights, own_code=own_code, cluster=cluster
    )
    return plan, folder


def ended(study: str, *, tracking_uri: str | None = None) -> StudyResult:
    """Return how a study ended that nothing is left to spend of; arguments as of `resume`."""
    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        result = ended_result(folder, ledger)
    return replace(result, unsent=unsent_trials(folder, tracking_uri))


@only_search()
def confirm(  # noqa: PLR0913 - as `search`
    study: str,
    *,
    seeds: int = 2,
    roles: Sequence[str] = (),
    concurrency: Concurrency = None,
    data: str | None = None,
    weights: str | Path | None = None,
    own_code: bool = False,
    tracking_uri: str | None = None,
    runner: Runner = "ray",
    cluster: Cluster | None = None,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Retrain the front of a study on fresh seeds, and carry out controls of its members.

    What is there already is not done again. It costs what it costs: the study's budget grows by it.

    Args:
        study: its name, or `latest`.
        seeds: fresh seeds per member, at least 1.
        roles: controls, see `autodepth.study.confirm.baselines.ROLES`; none by default.
        concurrency: as of `resume`.
        data: as of `resume`.
        weights: as of `resume`.
        own_code: as of `resume`.
        tracking_uri: as of `resume`.
        runner: as of `search`.
        cluster: where trials run, see `on_cluster`; None for this machine.
        watch: as of `search`.

    Raises:
        InputError: a control is unknown, or `seeds` is below 1.
        StudyError: as of `resume`.
    """
    if seeds < 1:
        raise InputError(f"seeds must be at least 1, but got {seeds}")
    for role in roles:
        check_choice("control", role, tuple(ROLES))
    folder = find_study(study)
    plan = plan_again(
        folder,
        Budget(),
        concurrency,
        data=data,
        weights=weights,
        own_code=own_code,
        cluster=cluster,
    )
    request = ConfirmationRequest(
        seeds=seeds,
        roles=tuple(roles),
        unpruned_macs=plan.unpruned["macs"],
        given_weights=plan.context.weights is not None,
    )
    with DriverLock(folder, wait=True), Ledger.open(folder.ledger_path) as ledger:
        spent, wall = ledger.spent(), ledger.wall_spent()
        keep_paths(folder, plan)
        result = drive(
            plan, folder, ledger,
            tracking_uri=tracking_uri, runner=runner, watch=watch, request=request,
        )  # fmt: skip
        before = ledger.study
        limits = dict(before.plan["limits"])
        for name, cost in (
            ("device_seconds", ledger.spent() - spent),
            ("wall_seconds", ledger.wall_spent() - wall),
        ):
            if limits[name] is not None:
                limits[name] += cost
        paths = {name: plan.to_dict()[name] for name in ("weights", "data", "space")}
        ledger.extend({**before.plan, **paths, "limits": limits})
        ledger.end_study(result.outcome)
    return result


def carry_on(
    plan: StudyPlan,
    folder: StudyFolder,
    *,
    takeover: bool = False,
    tracking_uri: str | None = None,
    runner: Runner = "ray",
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Carry a planned resumption out; arguments as of `resume`."""
    with (
        DriverLock(folder, takeover=takeover, wait=True) as lock,
        Ledger.open(folder.ledger_path) as ledger,
    ):
        _begin_driving(ledger, lock.taken_from)  # before the first write
        keep_paths(folder, plan)
        ledger.extend(plan.to_dict())
        return drive(plan, folder, ledger, tracking_uri=tracking_uri, runner=runner, watch=watch)


def _begin_driving(ledger: Ledger, taken_from: Driver | None) -> None:
    """Make the token of earlier drivers worthless; say who keeps the ledger where one does.

    A driver that was stopped in the midst of a write keeps the ledger until it ends.
    """
    try:
        ledger.begin_driving()
    except StorageError as error:
        if taken_from is None:
            raise
        raise StorageError(
            f"{error}; if that is process {taken_from.pid} on {taken_from.host}, which the study "
            f"was taken from, `kill -9 {taken_from.pid}` there ends it"
        ) from error


def _check_left(
    limits: Budget, spent: float, wall: float, trials: int, plan: Mapping[str, Any]
) -> None:
    """Refuse to go on with nothing."""
    share = limits.share_spent(device_seconds=spent, wall_seconds=wall, trials=trials)
    if share == 1.0:
        amount = format_device_time(spent, plan["device"])
        raise BudgetSpentError(
            f"nothing is left of the budget ({amount} in {trials} trials spent): "
            "add to it, for example --budget +10cpu-min"
        )
