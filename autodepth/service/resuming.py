"""Going on with a study: from its ledger and stages, with what is left of its budget or more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from autodepth.errors import BudgetSpentError, InputError, StorageError, StudyError
from autodepth.policy.survival import check_choice
from autodepth.records.control import DriverLock
from autodepth.records.lease import Driver
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study
from autodepth.records.tracker import unsent_trials
from autodepth.search.confirming import Evidence
from autodepth.search.control_policies import ROLES
from autodepth.search.per_trial import parse_per_trial
from autodepth.search.plan import StudyPlan
from autodepth.search.planning import make_plan
from autodepth.search.run_study import Runner, StudyResult, Watch, ended_result
from autodepth.service.one_search import only_search
from autodepth.service.searching import drive, on_cluster
from autodepth.space.space_file import load_space
from autodepth.trial.latency_table import LatencyTable
from autodepth.units import Budget, format_device_time, parse_budget
from autodepth.version import __version__

if TYPE_CHECKING:
    from autodepth.search.ray_cluster import Cluster

Concurrency = int | Literal["auto"] | None
# What a study is, by its place in the plan; what was measured by the clock is no part of it, nor
# what the plan makes of the words of a space, nor what ends a trial early.
_FINGERPRINT = {
    "data_fingerprint": "data",
    "unpruned": "network",
    "weights_sha256": "weights",
    "space": "space",
}
_RESOLVED = {
    "unpruned.latency_ms", "space.network.weights", "space.data.train_images",
    "space.data.validation", "space.limits",
}  # fmt: skip
_MOST_CHANGES = 10


@only_search()
def resume(  # noqa: PLR0913 - as `search`
    study: str,
    *,
    budget: str | None = None,
    concurrency: Concurrency = None,
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
            study, budget=budget, concurrency=concurrency, own_code=own_code, cluster=cluster
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
    own_code: bool = False,
    cluster: Cluster | None = None,
) -> tuple[StudyPlan, StudyFolder]:
    """Return what is still to do; arguments and errors as of `resume`.

    Args:
        study: as of `resume`.
        budget: as of `resume`.
        total: what the study may spend in all; takes the place of its budget.
        concurrency: as of `resume`.
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
    plan = _plan_again(folder, limits, concurrency, own_code=own_code, cluster=cluster)
    return plan, folder


def ended(study: str, *, tracking_uri: str | None = None) -> StudyResult:
    """Return how a study ended that nothing is left to spend of; arguments as of `resume`."""
    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        result = ended_result(folder, ledger)
    return replace(result, unsent=unsent_trials(folder, tracking_uri))


def _plan_again(
    folder: StudyFolder,
    limits: Budget,
    concurrency: Concurrency,
    *,
    own_code: bool,
    cluster: Cluster | None,
) -> StudyPlan:
    """Return the plan of a study that exists, under a budget, with what it had resolved."""
    before = folder.plan
    table = before.get("latency_table")
    plan = make_plan(
        load_space(folder.space_path, _as_before(before)),
        limits,
        concurrency=None if concurrency == "auto" else concurrency or before["concurrency"],
        per_trial=parse_per_trial(wished) if (wished := before.get("per_trial")) else None,
        own_code=own_code,
        cluster=cluster,
        latency_table=LatencyTable.from_dict(table) if table else None,
        split_rule=before["data"].get("split_rule", "position"),
    )
    now = json.loads(json.dumps(plan.to_dict()))
    for name, what in _FINGERPRINT.items():
        if name in before and (changes := _changes(before[name], now[name], name)):
            listed = "".join(f"\n  {change}" for change in changes[:_MOST_CHANGES])
            raise StudyError(
                f"a study goes on with the {what} it began with, but the {what} of {folder.name} "
                f"changed since:{listed}\nput it back, or search anew: autodepth search "
                f"{folder.space_path} --start-from {folder.name} --budget ..."
            )
    return _telling_versions(plan, before.get("autodepth", now["autodepth"]))


def _telling_versions(plan: StudyPlan, begun: str) -> StudyPlan:
    if begun == __version__:
        return plan
    note = f"autodepth {begun} began this study, and {__version__} goes on with it"
    return replace(plan, notes=(*plan.notes, note))


def _changes(before: Any, now: Any, name: str) -> list[str]:
    """Return what differs, one `path: before -> now` each."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            change
            for key in sorted(before.keys() | now.keys())
            if f"{name}.{key}" not in _RESOLVED
            for change in _changes(before.get(key), now.get(key), f"{name}.{key}")
        ]
    return [] if before == now else [f"{name.removeprefix('space.')}: {before} -> {now}"]


@only_search()
def confirm(  # noqa: PLR0913 - as `search`
    study: str,
    *,
    seeds: int = 2,
    roles: Sequence[str] = (),
    concurrency: Concurrency = None,
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
        roles: controls, see `autodepth.search.control_policies.ROLES`; none by default.
        concurrency: as of `resume`.
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
    plan = _plan_again(folder, Budget(), concurrency, own_code=own_code, cluster=cluster)
    evidence = Evidence(
        seeds=seeds,
        roles=tuple(roles),
        unpruned_macs=plan.unpruned["macs"],
        given_weights=plan.setting.weights is not None,
    )
    with DriverLock(folder, wait=True), Ledger.open(folder.ledger_path) as ledger:
        spent, wall = ledger.spent(), ledger.wall_spent()
        result = drive(
            plan, folder, ledger,
            tracking_uri=tracking_uri, runner=runner, watch=watch, evidence=evidence,
        )  # fmt: skip
        before = ledger.study
        limits = dict(before.plan["limits"])
        for name, cost in (
            ("device_seconds", ledger.spent() - spent),
            ("wall_seconds", ledger.wall_spent() - wall),
        ):
            if limits[name] is not None:
                limits[name] += cost
        ledger.extend({**before.plan, "limits": limits})
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


def _as_before(plan: Mapping[str, Any]) -> list[str]:
    """Return what the study had resolved when it began, as changes to its space."""
    data = plan["data"]
    changes = {f"data.{name}": data[name] for name in ("train_images", "validation")}
    if plan["weights"] is not None:
        changes["network.weights"] = plan["weights"]
    return [f"{path}={json.dumps(value)}" for path, value in changes.items()]


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
