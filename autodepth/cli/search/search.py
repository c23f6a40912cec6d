"""`autodepth search` and `autodepth resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import (
    Concurrency,
    ConcurrencyAsBefore,
    Data,
    Json,
    Moved,
    MovedWeights,
    Network,
    Notify,
    OwnCode,
    RayAddress,
    Seed,
    Settings,
    Storage,
    Study,
    TrackingStore,
    TrustData,
    WeightsKey,
    read_concurrency,
)
from autodepth.cli.search.plan_and_result import plan_lines, plan_values, result_values, tell
from autodepth.errors import BudgetSpentError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autodepth.export.writing import Format
    from autodepth.service.search.requests import ResumeRequest, SearchRequest


def search(  # noqa: PLR0913, PLR0917 - an option each
    space: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPACE]",
            help="Space file, or a shipped one by name; else ./autodepth.yaml, else "
            "trained_network where weights are given, else ResNet-20 on handwritten digits.",
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
    data: Data = None,
    network: Network = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights to start from, or `pretrained`; training before pruning is then off, "
            "unless --set train.epochs=N."
        ),
    ] = None,
    weights_key: WeightsKey = None,
    settings: Settings = None,
    seed: Seed = None,
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
    trust_data: TrustData = False,
    formats: Annotated[
        str | None,
        typer.Option(
            help="What to export to later: torch,onnx,int8,executorch; tried before training."
        ),
    ] = None,
    tracking_uri: TrackingStore = None,
    notify: Notify = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Search for shallow networks within a budget.

    Example: autodepth search --budget 4cpu-min
    """
    from autodepth.service.search.requests import SearchRequest

    request = SearchRequest(
        space=space,
        budget=budget,
        study=study,
        data=data,
        network=network,
        weights=weights,
        weights_key=weights_key,
        settings=settings or (),
        seed=seed,
        concurrency=read_concurrency(concurrency),
        per_trial=per_trial,
        start_from=start_from,
        own_code=own_code,
        trust_data=trust_data,
        formats=_formats(formats),
        tracking_uri=tracking_uri,
        notify=tuple(notify or ()),
        ray_address=ray_address,
        storage=storage,
    )
    if go_on:
        from autodepth.service.search.resume import resumption_of

        if (resumption := resumption_of(request)) is not None:
            _go_on(resumption, json=json)
            return
    _begin(request, dry_run=dry_run, json=json)


def _begin(request: SearchRequest, *, dry_run: bool, json: bool) -> None:
    from autodepth.cli.search.live_view import watching
    from autodepth.records.studies import check_free
    from autodepth.service.search.search import (
        carry_out_plan,
        on_cluster,
        plan_search,
    )
    from autodepth.service.search.wanted_space import choose_space

    if request.study is not None and not dry_run:
        check_free(request.study)  # before data are read and steps are timed
    chosen = choose_space(request.space, trained=request.weights is not None)
    with on_cluster(request.ray_address, request.storage) as cluster:
        plan = plan_search(request, cluster=cluster)
        if dry_run:
            give_json(plan_values(plan)) if json else give("\n".join(plan_lines(plan, chosen)))
            return
        say("\n".join(plan_lines(plan, chosen)))
        result = carry_out_plan(plan, request, watch=watching)
    tell(result, plan, json=json)


def _formats(text: str | None) -> Sequence[Format]:
    if text is None:
        return ()
    from autodepth.export.writing import read_formats

    return read_formats(text)


def resume(  # noqa: PLR0913, PLR0917 - an option each
    study: Study = "latest",
    budget: Annotated[
        str | None, typer.Option(help="What to add: +10gpu-h, +50trials; else what is left.")
    ] = None,
    total: Annotated[
        str | None,
        typer.Option(help="In its place: what it may spend in all, however often this is said."),
    ] = None,
    concurrency: ConcurrencyAsBefore = None,
    data: Moved = None,
    weights: MovedWeights = None,
    ray_address: RayAddress = None,
    storage: Storage = None,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Go on without a driver that has stopped showing life."),
    ] = False,
    own_code: OwnCode = False,
    tracking_uri: TrackingStore = None,
    notify: Notify = None,
    json: Json = False,
) -> None:
    """Go on with a study that was interrupted or has spent its budget.

    Example: autodepth resume latest --budget +1cpu-h
    """
    from autodepth.service.search.requests import ResumeRequest

    if budget is not None and total is not None:
        raise InputError("--budget adds and --total says what in all: give one of them")
    request = ResumeRequest(
        study=study,
        budget=budget,
        total=total,
        concurrency=read_concurrency(concurrency),
        data=data,
        weights=weights,
        own_code=own_code,
        takeover=takeover,
        tracking_uri=tracking_uri,
        notify=tuple(notify or ()),
        ray_address=ray_address,
        storage=storage,
    )
    _go_on(request, json=json)


def _go_on(request: ResumeRequest, *, json: bool) -> None:
    from autodepth.cli.search.live_view import watching
    from autodepth.service.search.resume import carry_on, ended, plan_resume
    from autodepth.service.search.search import on_cluster

    with on_cluster(request.ray_address, request.storage) as cluster:
        try:
            plan, folder = plan_resume(request, cluster=cluster)
        except BudgetSpentError as error:
            if (result := ended(request)) is None:
                raise
            say(f"{request.study} is done: {error}")
            if json:
                give_json(result_values(result))
            return
        say("\n".join(plan_lines(plan, folder.space_path)))
        result = carry_on(plan, folder, request, watch=watching)
    tell(result, plan, json=json)
