"""`autodepth search` and `autodepth resume`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.studies import (
    Concurrency,
    ConcurrencyAsBefore,
    Json,
    OwnCode,
    RayAddress,
    Storage,
    Study,
    read_concurrency,
)
from autodepth.errors import BudgetSpentError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autodepth.search.places import Places
    from autodepth.search.plan import StudyPlan
    from autodepth.search.run_study import StudyResult
    from autodepth.space.search_models import StartPoint


def search(  # noqa: PLR0913, PLR0917 - an option each
    space: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPACE]",
            help="Space file; else ./autodepth.yaml, else ResNet-20 on handwritten digits.",
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            help="What may be spent: 50gpu-h, 90cpu-min, 12h, 400trials; "
            "several by commas, the first to end wins.",
        ),
    ] = ...,  # type: ignore[assignment]
    study: Annotated[str | None, typer.Option(help="Name of the study.")] = None,
    data: Annotated[
        str | None, typer.Option(help="digits, cifar10, ..., folder:PATH or npz:FILE.")
    ] = None,
    network: Annotated[str | None, typer.Option(help="resnet56, torchvision:NAME, ...")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights to start from; training before pruning is then off, "
            "unless --set train.epochs=N."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change the space: train.epochs=3."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the study.")] = None,
    concurrency: Concurrency = "auto",
    per_trial: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="What a trial reserves: 0.25gpu (four on a GPU), 2gpu (one on two), 4cpu, "
            "2x1cpu (two processes).",
        ),
    ] = None,
    ray_address: RayAddress = None,
    storage: Storage = None,
    start_from: Annotated[
        str | None,
        typer.Option(metavar="STUDY", help="Try first what is on the front of an earlier study."),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--go-on",
            help="Go on with --study if it is there; --budget is then what it may spend in all.",
        ),
    ] = False,
    own_code: OwnCode = False,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow store; else a SQLite file beside the studies.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Search for shallow networks within a budget.

    Example: autodepth search --budget 4cpu-min
    """
    from autodepth.cli.progress import watching  # noqa: PLC0415
    from autodepth.records.studies import check_free  # noqa: PLC0415
    from autodepth.service.searching import (  # noqa: PLC0415
        carry_out_plan,
        choose_space,
        on_cluster,
        plan_search,
    )

    if go_on and _is_there(study):
        assert study is not None
        own = own_code or network is not None
        _go_on(
            study, None, budget, concurrency, ray_address, storage,
            own_code=own, tracking_uri=tracking_uri, json=json,
        )  # fmt: skip
        return
    if study is not None and not dry_run:
        check_free(study)  # before data are read and steps are timed
    chosen, count = choose_space(space), read_concurrency(concurrency)
    with on_cluster(ray_address, storage) as cluster:
        plan = plan_search(
            chosen,
            budget=budget,
            data=data,
            network=network,
            weights=weights,
            settings=settings or (),
            seed=seed,
            concurrency=None if count == "auto" else count,
            per_trial=per_trial,
            start_from=start_from,
            own_code=own_code,
            cluster=cluster,
        )
        if dry_run:
            give_json(_plan_values(plan)) if json else give("\n".join(_plan_lines(plan, chosen)))
            return
        say("\n".join(_plan_lines(plan, chosen)))
        result = carry_out_plan(
            plan,
            study=study,
            tracking_uri=tracking_uri,
            watch=lambda driver: watching(plan, driver),
        )
    _tell(result, plan, json=json)


def _is_there(study: str | None) -> bool:
    """Whether a study has begun; `--go-on` needs its name."""
    from autodepth.records.studies import study_folders  # noqa: PLC0415

    if study is None:
        raise InputError("--go-on needs a --study NAME: by that it is found again")
    return study in {folder.name for folder in study_folders()}


def resume(  # noqa: PLR0913, PLR0917 - an option each
    study: Study = "latest",
    budget: Annotated[
        str | None, typer.Option(help="What to add: +10gpu-h, +50trials; else what is left.")
    ] = None,
    concurrency: ConcurrencyAsBefore = None,
    ray_address: RayAddress = None,
    storage: Storage = None,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Go on without a driver that has stopped showing life."),
    ] = False,
    own_code: OwnCode = False,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow store; else a SQLite file beside the studies.")
    ] = None,
    json: Json = False,
) -> None:
    """Go on with a study that was interrupted or has spent its budget.

    Example: autodepth resume latest --budget +1cpu-h
    """
    _go_on(
        study, budget, None, concurrency, ray_address, storage,
        takeover=takeover, own_code=own_code, tracking_uri=tracking_uri, json=json,
    )  # fmt: skip


def _go_on(  # noqa: PLR0913
    study: str,
    more: str | None,
    total: str | None,
    concurrency: str | None,
    ray_address: str | None,
    storage: str | None,
    *,
    takeover: bool = False,
    own_code: bool,
    tracking_uri: str | None,
    json: bool,
) -> None:
    from autodepth.cli.progress import watching  # noqa: PLC0415
    from autodepth.service.resuming import carry_on, plan_resume  # noqa: PLC0415
    from autodepth.service.searching import on_cluster  # noqa: PLC0415

    with on_cluster(ray_address, storage) as cluster:
        try:
            plan, folder = plan_resume(
                study,
                budget=more,
                total=total,
                concurrency=read_concurrency(concurrency),
                own_code=own_code,
                cluster=cluster,
            )
        except BudgetSpentError as error:
            if total is None:
                raise
            say(f"{study} is done: {error}")
            return
        say("\n".join(_plan_lines(plan, folder.space_path)))
        result = carry_on(
            plan,
            folder,
            takeover=takeover,
            tracking_uri=tracking_uri,
            watch=lambda driver: watching(plan, driver),
        )
    _tell(result, plan, json=json)


def _tell(result: StudyResult, plan: StudyPlan, *, json: bool) -> None:
    if json:
        give_json({**asdict(result), "front": [point.to_dict() for point in result.front]})
    else:
        _print_result(result, plan)
    sys.exit(_status(result))


def _plan_lines(plan: StudyPlan, space: Path) -> list[str]:
    from autodepth.search.estimate import reach  # noqa: PLC0415
    from autodepth.units import format_duration, format_macs  # noqa: PLC0415

    network, data, macs = plan.network, plan.setting.data, reach(plan.network, plan.space)
    identity = sum(branch.shortcut == "identity" for branch in network.branches)
    shape = "x".join(map(str, network.input_shape))
    lines = [
        f"space     {space.name if space.is_absolute() else space}, seed {plan.space.seed}",
        f"budget    {plan.budget.plan(plan.places.device, plan.places.devices)}, "
        f"{plan.places.count} trials at a time{_each(plan.places)}",
        f"network   {plan.setting.spec.name}: {len(network.branches)} residual branches "
        f"({identity} identity, {len(network.branches) - identity} projection) "
        f"in {network.num_stages} stages",
        f"data      {data.settings.name}: {len(data.train):,} images to train on, "
        f"{len(data.validation):,} to validate, {len(data.classes)} classes, {shape}",
        f"reach     {format_macs(macs.least)} to {format_macs(macs.most)} MACs "
        f"(middle {format_macs(macs.middle)})",
    ]
    if first := plan.space.start_with:
        lines.append(f"first     {_first_policies(first)}")
    lines += [f"bound     {bound}: {verdict}" for bound, verdict in plan.bounds.items()]
    trials, seconds = plan.affordable_trials, format_duration(plan.seconds_per_trial)
    count = "any number of" if trials == float("inf") else f"about {max(trials, 0):.0f}"
    lines.append(f"trials    {count}, of about {seconds} each (estimate from a few timed steps)")
    return [*lines, *(f"note      {note}" for note in plan.notes)]


def _each(places: Places) -> str:
    if not places.per_trial:
        return ""
    together = f", {places.ranks} processes" if places.ranks > 1 else ""
    return f" of {places.per_trial}{together} each"


def _first_policies(first: Sequence[StartPoint]) -> str:
    names = [point for point in first if isinstance(point, str)]
    others = len(first) - len(names)
    told = [f"{others} told by their settings"] if others else []
    return ", ".join([*told, *names])


def _plan_values(plan: StudyPlan) -> dict[str, Any]:
    from autodepth.search.estimate import reach  # noqa: PLC0415

    trials = plan.affordable_trials
    return {
        **plan.to_dict(),
        "branches": len(plan.network.branches),
        "macs": asdict(reach(plan.network, plan.space)),
        "seconds_per_trial": plan.seconds_per_trial,
        "bounds": dict(plan.bounds),
        "affordable_trials": None if trials == float("inf") else trials,
        "notes": list(plan.notes),
    }


def _print_result(result: StudyResult, plan: StudyPlan) -> None:
    from autodepth.cli.tables import print_front  # noqa: PLC0415
    from autodepth.records.ledger import Ledger  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415
    from autodepth.report.confirmed import confirmed_front  # noqa: PLC0415
    from autodepth.search.run_study import SPENT  # noqa: PLC0415
    from autodepth.units import format_device_time  # noqa: PLC0415

    spent = format_device_time(result.spent_device_seconds, plan.places.device)
    say(
        f"{result.study}: {result.complete} of {result.trials} trials complete, {spent}; "
        f"{result.outcome}"
    )
    if result.unsent:
        say(
            f"{result.unsent} trials are not in MLflow yet; "
            f"send them: autodepth sync {result.study}"
        )
    if not result.front and result.outcome != SPENT:
        return
    if not result.front:
        needed = plan.seconds_per_trial * plan.places.devices
        say(
            "no trial could be completed; one takes about "
            f"{format_device_time(needed, plan.places.device)}: raise the budget, or lower "
            "train.epochs or data.train_images"
        )
        return
    give(
        f"{result.study}: {len(result.front)} points on the front, "
        f"hypervolume {result.hypervolume:.3f} (validation split)"
    )
    with Ledger.open(find_study(result.study).ledger_path, read_only=True) as ledger:
        members = confirmed_front(ledger)
    print_front(members, plan.unpruned["macs"])
    if any(member.accuracy for member in members):
        say("confirmed: mean and standard deviation in % over fresh seeds (how many)")
    say(f"export one: autodepth export {result.study} --select knee --to exports/{result.study}")


def _status(result: StudyResult) -> int:
    from autodepth.search.run_study import SPENT  # noqa: PLC0415

    if result.signal:
        return 128 + result.signal
    if result.halted:
        return os.EX_IOERR
    if result.front:
        return 0
    return 3 if result.outcome == SPENT else 1
