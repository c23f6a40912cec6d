"""A study from its plan to its front."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Literal

from autodepth.errors import InputError
from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import Objective, objective_values
from autodepth.front.selection import FrontPoint
from autodepth.records.cache_place import cache_limit_bytes, cache_location
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import EXHAUSTED, INTERRUPTED, SPENT, StudyRecord
from autodepth.study.cluster.shipping import pack
from autodepth.study.confirm.scheduler import ConfirmationRequest
from autodepth.study.driver.build import make_driver
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.driver.weight_uploads import WeightUploads
from autodepth.study.hooks import TrialHooks, TrialReport
from autodepth.study.plan.plan import StudyPlan
from autodepth.trial.carry_out import StopTrial, TrialOutcome, TrialTask, carry_out
from autodepth.trial.context import TrialContext
from autodepth.trial.result import EpochReport

Runner = Literal["ray", "in-process"]
Watch = Callable[[StudyDriver], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """How a study ended.

    Args:
        study: its name.
        outcome: why it ended, in words.
        front: its front, in the order of the trials, measured on the validation split.
        hypervolume: of the front, each cost in units of the unpruned network's.
        trials: how many trials were started.
        complete: how many of them brought a result.
        spent_device_seconds: what was charged.
        signal: number of the signal that ended it early, 0 without one.
        halted: whether it ended because the disk takes no more.
        interrupted: whether this run of it was asked to end early, by a signal or by `stop`; how
            it ended is `outcome`, which after a confirmation is how its search did.
        missing: trials of a confirmation that the time it might take did not suffice for.
        unsent: trials the tracking server does not have yet.
        charts: address of its charts on that server; None without one, or where it is away.
    """

    study: str
    outcome: str
    front: tuple[FrontPoint, ...]
    hypervolume: float
    trials: int
    complete: int
    spent_device_seconds: float
    signal: int = 0
    halted: bool = False
    interrupted: bool = False
    missing: int = 0
    unsent: int = 0
    charts: str | None = None


def start_ledger(plan: StudyPlan, folder: StudyFolder) -> Ledger:
    """Enter a new study."""
    return Ledger.create(
        folder.ledger_path,
        StudyRecord(
            name=folder.name,
            seed=plan.space.seed,
            objectives=plan.objectives,
            plan=plan.to_dict(),
        ),
    )


def run_study(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    *,
    runner: Runner = "ray",
    request: ConfirmationRequest | None = None,
    unsent: Callable[[], int] = lambda: 0,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Spend a study's budget.

    SIGINT and SIGTERM end it early and in order: what is complete stays, what runs is cancelled.

    Args:
        plan: what to do.
        folder: the study's folder.
        ledger: its ledger; a study with trials goes on from them.
        runner: `ray`, or `in-process` for one trial after the other in this process.
        request: what is asked of the front, with no search; None searches.
        unsent: returns how many events the tracking store does not have, for the metrics.
        watch: a context entered while trials run, given the driver.
    """
    storage = None if plan.cluster is None else plan.cluster.storage
    place = None if storage is None else _transit_place(storage, ledger.study)
    transit = None if place is None else WeightUploads(place)
    if runner != "ray" and plan.resources.ranks > 1:
        raise InputError("several processes per trial need the runner ray")
    driver = make_driver(
        plan,
        folder,
        ledger,
        side_by_side=runner == "ray",
        request=request,
        transit=transit,
    )
    context = replace(
        plan.context,
        cache=cache_location(storage),
        cache_limit_bytes=cache_limit_bytes(),
        constraints=plan.space.constraints,
        memory_bytes=plan.space.limits.memory_bytes,
    )
    with _signals_interrupt(driver) as received, watch(driver):
        if runner == "ray":
            _run_on_ray(driver, context, plan, place, unsent)
        else:
            run_in_process(driver, context)
    if transit is not None:
        with suppress(OSError):  # what stays there is taken away when the study ends again
            transit.clear()
    outcome = (
        driver.halted or driver.reason_to_stop or (INTERRUPTED if driver.interrupted else SPENT)
    )
    driver.cancel_running(outcome)
    if request is not None and outcome in {SPENT, INTERRUPTED}:
        outcome = ledger.study.outcome or outcome  # of its search: that is no further now
    if outcome == SPENT and driver.proposer.exhausted:
        outcome = EXHAUSTED
    driver.close(outcome)
    return replace(
        _result(ledger, folder, driver.objectives, outcome),
        signal=received[0] if received else 0,
        halted=bool(driver.halted),
        interrupted=driver.interrupted,
    )


def ended_result(folder: StudyFolder, ledger: Ledger) -> StudyResult:
    """Return how a study ended, as its ledger has it.

    Args:
        folder: the study's folder.
        ledger: its ledger; the study has ended.
    """
    study = ledger.study
    return _result(ledger, folder, study.objectives, study.outcome or SPENT)


def run_in_process(hooks: TrialHooks, context: TrialContext) -> None:
    """Run trials until the driver has no more."""
    with hooks.reserved():
        while isinstance(task := hooks.next(), TrialTask):
            hooks.on_end(task.number, _run_one(task, hooks, context))


def _run_one(task: TrialTask, hooks: TrialHooks, context: TrialContext) -> TrialOutcome | None:
    def on_epoch(epoch: EpochReport) -> None:
        if hooks.on_report(task.number, TrialReport(epochs=[epoch])):
            raise StopTrial

    def on_restart(reason: str) -> None:
        hooks.on_report(task.number, TrialReport(restarted=reason))

    try:
        return carry_out(task, context, on_epoch, on_restart)
    except StopTrial:
        return None


def _run_on_ray(
    driver: StudyDriver,
    context: TrialContext,
    plan: StudyPlan,
    transit: str | None,
    unsent: Callable[[], int],
) -> None:
    from autodepth.study.ray.runner import run_on_ray  # noqa: PLC0415 - seconds
    from autodepth.study.ray.worker import RemoteContext  # noqa: PLC0415

    remote = None
    if plan.cluster is not None:
        shipped_files = pack(context.spec, context.weights, context.learns)
        remote = RemoteContext(shipped_files=shipped_files, transit=transit)
    run_on_ray(driver, context, plan.resources, remote, unsent)


def _transit_place(storage: str, study: StudyRecord) -> str:
    """Return where weights of one study lie: studies of one name may share a storage."""
    key = hashlib.sha256(study.created_at.encode()).hexdigest()[:8]
    return f"{storage.rstrip('/')}/weights/{study.name}-{key}"


def _result(
    ledger: Ledger, folder: StudyFolder, objectives: Sequence[Objective], outcome: str
) -> StudyResult:
    front, records = ledger.front(), ledger.trials()
    values = objective_values([member.point for member in front], objectives)
    return StudyResult(
        study=folder.name,
        outcome=outcome,
        front=tuple(front),
        hypervolume=relative_hypervolume(values, objectives),
        trials=len(records),
        complete=sum(record.result is not None for record in records),
        spent_device_seconds=ledger.spent(),
    )


@contextmanager
def _signals_interrupt(driver: StudyDriver) -> Iterator[list[int]]:
    """Turn the first SIGINT or SIGTERM into an orderly end; a second Ctrl-C ends at once.

    A second SIGTERM does not: what stops a job of Ray sends it to each of its processes, and ours
    pass it on to each other.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        driver.interrupt()
        if signal.SIGINT in previous:
            signal.signal(signal.SIGINT, previous[signal.SIGINT])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    except ValueError:  # not the main thread: the caller minds signals itself
        previous.clear()
    try:
        yield received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
