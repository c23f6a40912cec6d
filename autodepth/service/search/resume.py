"""Resume a study from its ledger and cache, with what is left of its budget or more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodepth.errors import BudgetSpentError, InputError, StorageError
from autodepth.records.driver_lock.heartbeat import Driver
from autodepth.records.driver_lock.lock import DriverLock, driver_died
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import unsent_trials
from autodepth.records.studies import StudyFolder, find_study, study_folders
from autodepth.service.notify.notifier import telling
from autodepth.service.notify.places import read_places
from autodepth.service.search.one_search import only_search
from autodepth.service.search.replan import keep_paths, plan_again
from autodepth.service.search.requests import Concurrency, ResumeRequest, SearchRequest
from autodepth.service.search.search import drive, on_cluster, tracking
from autodepth.service.search.wanted_space import space_of
from autodepth.space.file.space_file import load_space
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.run import Runner, StudyResult, Watch, ended_result
from autodepth.units import Budget, format_device_time

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
    own_task: bool | None = None,
    takeover: bool = False,
    tracking_uri: str | None = None,
    notify: Sequence[str] = (),
    runner: Runner = "ray",
    ray_address: str | None = None,
    storage: str | None = None,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Go on with a study that was interrupted, crashed or has spent its budget.

    All arguments but the last are fields of `ResumeRequest`, and are told there. `watch` is as of
    `search`.

    Raises:
        InputError: another search runs in this process.
        StudyError: there is no such study, or its data or network are not what they were.
        StudyInUseError: another process drives it, and lives.
        BudgetError: nothing is left, or what was added is of another kind.
        StorageError: the study's folder is full or read-only.
    """
    request = ResumeRequest(
        study=study,
        budget=budget,
        concurrency=concurrency,
        data=data,
        weights=weights,
        own_code=own_code,
        own_task=own_task,
        takeover=takeover,
        tracking_uri=tracking_uri,
        notify=notify,
        runner=runner,
        ray_address=ray_address,
        storage=storage,
    )
    with on_cluster(request.ray_address, request.storage) as cluster:
        try:
            plan, folder = plan_resume(request, cluster=cluster)
        except BudgetSpentError:
            if (result := ended(request)) is None:
                raise
            return result
        return carry_on(plan, folder, request, watch=watch)


def plan_resume(
    request: ResumeRequest, *, cluster: Cluster | None = None
) -> tuple[StudyPlan, StudyFolder]:
    """Return what is still to do, and the study's folder; errors as of `resume`.

    Args:
        request: what is asked for.
        cluster: where trials run, see `on_cluster`; None for this machine.
    """
    folder = find_study(request.study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        before, spent, over = ledger.study.plan, ledger.spent(), ledger.study.outcome is not None
        wall = ledger.wall_spent()
        trials = sum(record.counts for record in ledger.trials() if record.state.ended)
    limits = request.limits(Budget(**before["limits"]))
    if over:  # else its driver died: at least its end is still to be entered
        _check_left(limits, spent, wall, trials, before)
    return plan_again(folder, limits, request, cluster=cluster), folder


def resumption_of(request: SearchRequest) -> ResumeRequest | None:
    """Return the request to resume the study that a search names; None if it was never begun.

    Its budget is then what the study may spend in all. Where a batch job's files lie may change
    from one to the next, so they are looked for where the request says.

    Raises:
        InputError: the request does not name its study.
    """
    if request.study is None:
        raise InputError("--go-on needs a --study NAME: by that it is found again")
    if request.study not in {folder.name for folder in study_folders()}:
        return None
    space = space_of(request)
    return ResumeRequest(
        study=request.study,
        total=request.budget,
        concurrency=request.concurrency,
        data=space.data.name if ":" in space.data.name else None,
        weights=space.network.weights,
        own_code=request.own_code or request.network is not None,
        own_task=request.own_code,
        tracking_uri=request.tracking_uri,
        notify=request.notify,
        runner=request.runner,
        ray_address=request.ray_address,
        storage=request.storage,
    )


def ended(request: ResumeRequest) -> StudyResult | None:
    """Return the result of a study that has spent its budget, where that is all that was asked for.

    So it is where the request says what may be spent in all, and where the last driver died when
    the study had ended: others are then told what it could not tell them. Else None.
    """
    folder = find_study(request.study)
    died = driver_died(folder)
    if request.total is None and not died:
        return None
    if died:
        _tell_the_end(folder, request)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        result = ended_result(folder, ledger)
    return replace(result, unsent=unsent_trials(folder, request.tracking_uri))


def _tell_the_end(folder: StudyFolder, request: ResumeRequest) -> None:
    """Tell MLflow and people what the driver of a study that ended did not live to tell."""
    places = read_places((*load_space(folder.space_path).notify, *request.notify))
    with (
        DriverLock(folder, wait=True) as lock,
        Ledger.open(folder.ledger_path) as ledger,
    ):
        _begin_driving(ledger, lock.taken_from)
        assert ledger.token is not None
        with telling(folder, places, token=ledger.token, taken_up=False):
            tracking(folder, request, ledger.token).close()


def carry_on(
    plan: StudyPlan,
    folder: StudyFolder,
    request: ResumeRequest,
    *,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Carry a planned resumption out; errors and `watch` as of `resume`.

    Args:
        plan: what is still to do, made from the request.
        folder: the study's.
        request: who is told, how it runs, and whether the study is taken over.
        watch: as of `resume`.
    """
    read_places((*plan.space.notify, *request.notify))  # before anything is written
    with (
        DriverLock(folder, takeover=request.takeover, wait=True) as lock,
        Ledger.open(folder.ledger_path) as ledger,
    ):
        _begin_driving(ledger, lock.taken_from)  # before the first write
        died = ledger.study.outcome is None
        keep_paths(folder, plan)
        ledger.extend(plan.to_dict())
        return drive(plan, folder, ledger, request, watch=watch, taken_up=died)


def _begin_driving(ledger: Ledger, taken_from: Driver | None) -> None:
    """Invalidate the tokens of earlier drivers; name the process that holds the ledger, if any.

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
    """Refuse to resume without any budget left."""
    share = limits.share_spent(device_seconds=spent, wall_seconds=wall, trials=trials)
    if share == 1.0:
        amount = format_device_time(spent, plan["device"])
        raise BudgetSpentError(
            f"nothing is left of the budget ({amount} in {trials} trials spent): "
            "add to it, for example --budget +10cpu-min"
        )
