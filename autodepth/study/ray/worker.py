"""What runs on a Ray worker; kept apart so that a worker imports what a trial needs and no more."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from autodepth.errors import ClusterError
from autodepth.lived_time import lived_seconds
from autodepth.policy.policy import Policy
from autodepth.records.trial_record import NODE_LEAVES, WEIGHTS_LOST
from autodepth.study.cluster.shipping import ShippedFiles
from autodepth.study.driver.weight_uploads import WeightUploads
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.preemption import NodePreempted, PreemptionNotice, watching_for_notice
from autodepth.trial.carry_out import ERROR_FILE, TrialOutcome, TrialTask, carry_out
from autodepth.trial.context import TrialContext
from autodepth.trial.result import EpochReport, TrialState

if TYPE_CHECKING:
    from autodepth.study.ray.worker_group import WorkerGroup

_companies: list[WorkerGroup] = []


@dataclass(frozen=True, kw_only=True)
class RemoteContext:
    """What a trial needs of a study whose driver did not start its worker.

    Args:
        shipped_files: files of the driver's host.
        transit: folder or URL where weights are left for the driver; None where its disk is here.
    """

    shipped_files: ShippedFiles
    transit: str | None


def work(
    config: dict[str, Any],
    context: TrialContext,
    resources: Resources,
    remote: RemoteContext | None = None,
) -> None:
    """Carry out one trial; every epoch and the outcome travel to the driver as Tune results.

    Args:
        config: `number`, `policy` and `folder` of the task, as plain values; `hangs_after`, the
            seconds after which the process is ended if the trial still goes on, None for never.
        context: what all trials share; Ray keeps one copy of its images per machine.
        resources: what a trial reserves; with several ranks, this worker is the first of them.
        remote: what is needed besides on another host; kept likewise.
    """
    if remote is not None:
        context = remote.shipped_files.unpack(context)
    company = None if resources.ranks == 1 else _company(context, resources)
    if company is not None:
        context = replace(context, ranks=company.ranks)
    context.limit_threads()
    told = _Told(_task_of(config), context)
    try:
        with _ending_after(config["hangs_after"]):
            end = _carry_out(told, remote)
            if company is not None:
                company.check()
    except NodePreempted:
        lost = TrialOutcome(state=TrialState.FAILED, reason=NODE_LEAVES, lost=True)
        told.tell(outcome=lost.to_json())
        raise ClusterError(NODE_LEAVES) from None  # or this worker would get the next trial
    told.tell(**end)
    if company is not None:
        company.check_step()


def _carry_out(told: _Told, remote: RemoteContext | None) -> dict[str, str]:
    """Run a trial, and return what is to be told of its end.

    Raises:
        NodeLeaves: it was put down before its end.
    """
    if remote is None:
        told.tell()  # so that the driver sees when somebody stops this process
        return {"outcome": carry_out(told.task, told.context, told.epoch, told.again).to_json()}
    trace = {}
    with watching_for_notice() as notice:
        told.heed(notice)
        told.tell(node=_this_node())
        if remote.transit is None:
            outcome = carry_out(told.task, told.context, told.epoch, told.again)
        else:
            outcome, trace["trace"] = _carry_out_elsewhere(told, remote.transit)
    return {"outcome": outcome.to_json(), **trace}


def _this_node() -> str:
    """Return the address by which the cluster knows this node; the host may have several."""
    here, nodes = ray.get_runtime_context().get_node_id(), ray.nodes()  # type: ignore[no-untyped-call]
    return next(str(node["NodeManagerAddress"]) for node in nodes if node["NodeID"] == here)


def _task_of(config: Mapping[str, Any]) -> TrialTask:
    return TrialTask(
        number=config["number"],
        policy=Policy.from_dict(config["policy"]),
        folder=Path(config["folder"]),
        replicate=config["replicate"],
        bounded=config["bounded"],
    )


class _Told:
    """What the driver is told of one trial."""

    def __init__(self, task: TrialTask, context: TrialContext) -> None:
        self.task, self.context = task, context
        self._waiting: list[str] = []
        self._notice: PreemptionNotice | None = None

    def heed(self, notice: PreemptionNotice) -> None:
        """Put the trial down at the end of an epoch once notice is given."""
        self._notice = notice
        self.context = replace(self.context, leaving=notice)

    def tell(self, **more: str) -> None:
        """Tell what waits, and more."""
        tune.report({"epochs": [*self._waiting], **more})
        self._waiting.clear()

    def epoch(self, report: EpochReport) -> None:
        """Tell of an epoch; those of a parent that is there come at once, as one message."""
        self._waiting.append(report.to_json())
        if not report.replayed:
            self.tell()
        if self._notice is not None and self._notice.heeded:
            raise NodePreempted

    def again(self, reason: str) -> None:
        """Tell that the trial begins anew."""
        self._waiting.clear()
        self.tell(again=reason)


def _company(context: TrialContext, resources: Resources) -> WorkerGroup:
    """Return the other ranks of this worker, which stay with it from trial to trial."""
    from autodepth.study.ray.worker_group import WorkerGroup  # noqa: PLC0415 - not in workers without

    if not _companies:
        bundle = resources.bundles[0]
        _companies.append(
            WorkerGroup(resources.ranks, context, cpus=bundle["CPU"], gpus=bundle["GPU"])
        )
    _companies[0].check_step()
    return _companies[0]


def _carry_out_elsewhere(told: _Told, transit: str) -> tuple[TrialOutcome, str]:
    """Run a trial on a disk the driver does not see; return its end, and its traceback."""
    with tempfile.TemporaryDirectory(prefix="autodepth-") as place:
        here = replace(told.task, folder=Path(place))
        outcome = carry_out(here, told.context, told.epoch, told.again)
        if outcome.result is not None:
            try:
                WeightUploads(transit).leave(here.number, outcome.result, here.folder)
            except OSError as error:
                reason = f"{WEIGHTS_LOST}: {transit} does not take them: {error}"
                return TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True), ""
        trace = here.folder / ERROR_FILE
        return outcome, trace.read_text() if trace.exists() else ""


@contextmanager
def _ending_after(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer: what hangs listens to nothing else.

    Time in which somebody stopped this process does not count.
    """
    over = threading.Event()

    def watch(begun: float, longest: float) -> None:
        while (left := longest - (lived_seconds() - begun)) > 0:
            if over.wait(left):
                return
        os._exit(1)

    if seconds is not None:
        about = (lived_seconds(), seconds)
        threading.Thread(target=watch, args=about, name="ending", daemon=True).start()
    try:
        yield
    finally:
        over.set()
