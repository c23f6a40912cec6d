"""`autodepth trial`, `autodepth prune` and `autodepth sensitivity`: one policy, no search."""

from __future__ import annotations

from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import (
    Data,
    Free,
    Json,
    Network,
    NetworkName,
    NewBundle,
    OwnCode,
    Seed,
    Settings,
    TrustData,
    WeightsKey,
)
from autodepth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autodepth.export.writing import Format
    from autodepth.networks.residual_network import ResidualNetwork
    from autodepth.policy.policy import Policy
    from autodepth.policy.settings import Criterion
    from autodepth.service.one_policy.policies import Sensitivity
    from autodepth.service.search.requests import SearchRequest
    from autodepth.study.plan.plan import StudyPlan
    from autodepth.trial.result import EpochReport

_ONE_TRIAL = "1trials"  # the budget of what is no search
_HEADERS: dict[Criterion, str] = {  # ten of them fit into 80 columns
    "ablation_accuracy": "abl.\nacc.",
    "ablation_loss": "abl.\nloss",
    "ablation_kl": "abl.\nKL",
    "block_influence": "block\ninfl.",
    "magnitude": "magni-\ntude",
    "bn_scale": "bn\nscale",
    "taylor": "\ntaylor",
    "norm_ratio": "norm\nratio",
    "random": "\nrandom",
    "evenly_spaced": "evenly\nspaced",
    "stage_ends": "stage\nends",
}
Weights = Annotated[Path, typer.Option(help="The trained weights, or `pretrained`.")]
TrainedOn = Annotated[str, typer.Option("--data", help="digits, cifar10, folder:PATH, ...")]
Formats = Annotated[
    str | None,
    typer.Option(help="What to export beside weights: torch,onnx,int8,executorch, or none."),
]


def trial(  # noqa: PLR0913, PLR0917 - an option each
    policy: Annotated[Path, typer.Argument(metavar="POLICY.yaml", help="A policy's settings.")],
    space: Annotated[Path | None, typer.Option(help="Space file with network and data.")] = None,
    network: Network = None,
    data: Data = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights to start from, or `pretrained`.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to export to.")] = None,
    formats: Formats = None,
    seed: Seed = None,
    settings: Settings = None,
    weights_key: WeightsKey = None,
    free: Free = None,
    own_code: OwnCode = False,
    trust_data: TrustData = False,
    json: Json = False,
) -> None:
    """Carry out one policy: train, score, remove, fine-tune, measure.

    Example: autodepth trial exports/digits/policy.yaml --to exports/again
    """
    from autodepth.service.one_policy.policies import read_policy
    from autodepth.service.search.requests import SearchRequest

    if formats is not None and to is None:
        raise InputError("--formats says what to write to a folder: give that as --to")
    wanted, told = _formats(formats), read_policy(policy)
    settings = [*(settings or []), *_said(free, weights_key)]
    request = SearchRequest(
        space=space,
        budget=_ONE_TRIAL,
        network=network,
        weights=weights,
        data=data,
        seed=seed,
        settings=settings,
        own_code=own_code,
        trust_data=trust_data,
    )
    plan = _plan(request)
    _carry_out(plan, told, to=to, formats=wanted, json=json)


def prune(  # noqa: PLR0913, PLR0917 - an option each
    network: NetworkName,
    weights: Weights,
    data: TrainedOn,
    to: NewBundle,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file: what to remove, how to recover.")
    ] = None,
    macs: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="In its place: share of MACs to leave, such as 60%."),
    ] = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="DATA is a folder of any images, without classes.")
    ] = False,
    formats: Formats = None,
    seed: Seed = None,
    settings: Settings = None,
    weights_key: WeightsKey = None,
    free: Free = None,
    trust_data: TrustData = False,
    json: Json = False,
) -> None:
    """Prune a trained network by one policy, fine-tune it, and export it.

    Training before pruning is left out, whatever the policy says of it. With --macs the set of
    branches goes without which outputs change least, and the rest is fitted to the features of the
    whole network, without fine-tuning. Where there are no labels, accuracy is how often it answers
    as the network given.

    Example: autodepth prune resnet56 --weights r56.th --data cifar10 --macs 60% --to slim
    """
    from autodepth.service.one_policy.policies import read_policy, without_fine_tuning

    if (policy is None) == (macs is None):
        raise InputError(
            "prune needs either --policy FILE or --macs SHARE, but got "
            + ("neither" if policy is None else "both")
        )
    wanted = _formats(formats)
    told = without_fine_tuning(macs or "") if policy is None else read_policy(policy)
    told = replace(told, train=replace(told.train, epochs=0))
    settings = [*(settings or []), *_said(free, weights_key)]
    if no_labels:  # what is validated on also says which branches go, so it takes more of them
        data, settings = _unlabelled(data), ["data.validation=0.3", *settings]
    plan = _given(network, weights, data, seed, settings, trust_data=trust_data)
    _carry_out(plan, told, to=to, formats=wanted, json=json)


def sensitivity(  # noqa: PLR0913, PLR0917 - an option each
    network: NetworkName,
    weights: Weights,
    data: TrainedOn,
    criterion: Annotated[
        str, typer.Option(help="A criterion, several by commas, or all.")
    ] = "ablation_loss",
    images: Annotated[int, typer.Option(min=1, help="Validation images to measure on.")] = 512,
    to: Annotated[
        Path | None, typer.Option(help="Heat map to write: FILE.png, .svg, .pdf or .html.")
    ] = None,
    seed: Seed = None,
    settings: Settings = None,
    weights_key: WeightsKey = None,
    free: Free = None,
    trust_data: TrustData = False,
    json: Json = False,
) -> None:
    """Measure what each branch of a trained network is worth, by one criterion or all.

    Example: autodepth sensitivity resnet56 --weights r56.th --data cifar10 --criterion all
    """
    from autodepth.policy.settings import CRITERIA
    from autodepth.policy.survival import check_choice
    from autodepth.report.figures.sensitivity_figure import (
        check_figure_file,
        draw_sensitivities,
    )
    from autodepth.service.one_policy.policies import measure_sensitivities

    # The order within stages is the same for every network, and eleven columns are too many.
    shown = tuple(name for name in CRITERIA if name != "stage_ends")
    names = shown if criterion == "all" else tuple(criterion.split(","))
    for name in names:
        check_choice("criterion", name, (*CRITERIA, "all"))
    if to is not None:
        check_figure_file(to)
    settings = [*(settings or []), *_said(free, weights_key)]
    plan = _given(network, weights, data, seed, settings, trust_data=trust_data)
    chosen: list[Criterion] = [name for name in CRITERIA if name in names]
    measured, found = measure_sensitivities(plan, chosen, images)
    count = min(images, len(plan.context.data.validation))
    if to is not None:
        title = f"{network}: what each branch is worth ({count:,} validation images)"
        scaled = {str(name): item.scaled for name, item in found.items()}
        stages = {branch.index: branch.stage for branch in measured.branches}
        draw_sensitivities(to, scaled, stages, title=title)
        say(f"{to} written")
    if json:
        give_json(
            {
                "measured_on": f"{count} images of the validation split",
                "criteria": {name: asdict(item) for name, item in found.items()},
            }
        )
    else:
        _print_table(measured, found, count)


def _unlabelled(data: str) -> str:
    """Return the images of a folder as images without labels."""
    kind, _, place = data.partition(":")
    if kind not in {"folder", "unlabelled"} or not place:
        raise InputError(f"--no-labels takes --data folder:PATH, but got {data!r}")
    return f"unlabelled:{place}"


def _given(
    network: str,
    weights: Path,
    data: str,
    seed: int | None,
    settings: list[str] | None,
    *,
    trust_data: bool,
) -> StudyPlan:
    """Return a plan that takes nothing from a space file in the current folder."""
    from autodepth.service.search.requests import SearchRequest
    from autodepth.space.file.shipped import default_space

    request = SearchRequest(
        space=default_space(),
        budget=_ONE_TRIAL,
        network=network,
        weights=weights,
        data=data,
        seed=seed,
        settings=settings or (),
        trust_data=trust_data,
    )
    return _plan(request)


def _said(free: list[str] | None, weights_key: str | None) -> list[str]:
    """Return `--free` and `--weights-key` as `path=value` changes to a space."""
    said = [f"network.free={free}"] if free else []
    return said if weights_key is None else [*said, f"network.weights_key={dumps(weights_key)}"]


def _plan(request: SearchRequest) -> StudyPlan:
    from autodepth.service.search.search import plan_search

    plan = plan_search(request)
    for note in plan.notes:
        if note not in plan.of_space:  # a policy has nothing to do with what is searched
            say(f"note: {note}")
    return plan


def _formats(text: str | None) -> Sequence[Format]:
    from autodepth.export.writing import FORMATS, read_formats

    return FORMATS if text is None else read_formats(text)


def _carry_out(
    plan: StudyPlan, policy: Policy, *, to: Path | None, formats: Sequence[Format], json: bool
) -> None:
    from autodepth.service.one_policy.policies import carry_out_policy
    from autodepth.units import format_bytes, format_macs

    result = carry_out_policy(plan, policy, to=to, formats=formats, on_epoch=_tell, tell=say)
    if json:
        give_json(result.to_dict())
        return
    point, most = result.point, plan.unpruned["macs"]
    removed = " ".join(map(str, result.removed)) or "none"
    unlabelled = plan.context.data.settings.unlabelled
    answered = "of validation images answered as before"
    measured = answered if unlabelled else point.metric_in_words
    give(
        f"{point.shown(digits=2)} {measured} (parent "
        f"{point.shown(result.parent_accuracy, 2)}, pruned before fine-tuning "
        f"{point.shown(result.pruned_accuracy, 2)})\n"
        f"{format_macs(point.macs)} MACs ({point.macs / most:.0%} of the unpruned network), "
        f"{point.parameters:,} parameters, {format_bytes(point.size_bytes)}, "
        f"{point.latency_ms:.2f} ms per image\n"
        f"branches removed: {removed}"
    )
    if to is not None:
        give(f"{to}: exported")


def _tell(epoch: EpochReport) -> None:
    gap = "" if epoch.metrics else f"gap {epoch.generalisation_gap:+.1%}, "
    say(
        f"{epoch.phase.replace('_', '-')} epoch {epoch.step}: loss {epoch.train_loss:.3f}, "
        f"{epoch.metric if epoch.metrics else 'validation'} {epoch.shown()}, {gap}"
        f"{epoch.branches_computed:.1f} branches per step, {epoch.seconds:.1f} s"
    )


def _print_table(
    network: ResidualNetwork, found: dict[Criterion, Sensitivity], images: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    from autodepth.policy.removal import unit_of

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("", justify="right")
    table.add_column("stage", justify="right")
    for name in found:
        table.add_column(_HEADERS[name], justify="right", no_wrap=True)
    for branch in network.branches:
        cells = [item.scaled.get(branch.index) for item in found.values()]
        texts = ["-" if cell is None else f"{cell:.2f}" for cell in cells]
        table.add_row(str(branch.index), str(branch.stage), *texts)
    table.add_section()
    units = [f"{unit_of(item.raw):.3g}" for item in found.values()]
    table.add_row("", "1.00 =", *units)
    Console().print(table)
    say(
        f"1.00 is the mean of the branches, what it is in the criterion's unit is told last; "
        f"measured on {images:,} images of the validation split"
    )
