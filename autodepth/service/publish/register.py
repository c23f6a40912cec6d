"""Register a bundle in MLflow's model registry, beside the other members of its front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autodepth.atomic import sha256_of
from autodepth.errors import (
    AutodepthError,
    BundleError,
    InputError,
    TrackingError,
)
from autodepth.export.bundles import bundle as files
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.bundles.origin import study_of
from autodepth.front.selection import select
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow import payload as projection
from autodepth.records.mlflow.client import MlflowSender
from autodepth.records.mlflow.registry import Files, Member, ModelRegistry
from autodepth.records.mlflow.sync import default_tracking_uri, without_password
from autodepth.records.studies import StudyFolder, studies_root
from autodepth.records.trial_record import confirmed_means
from autodepth.report.study_files import write_study_files
from autodepth.space.file.yaml_text import parse_yaml
from autodepth.torchvision_door import import_torchvision
from autodepth.trial.result import ACCURACY, OperatingPoint

CHAMPION = "champion"
"""The alias of the network that was chosen."""
ROLES = ("knee", "smallest")
"""Aliases of what is the knee, and the smallest, of its front."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version in the registry.

    Args:
        folder: the bundle.
        name: the registered model.
        version: its number.
        aliases: what points to it now.
        listed: members of its front on the experiment's Models page.
        tracking_uri: where, without a password.
    """

    folder: str
    name: str
    version: str
    aliases: tuple[str, ...]
    listed: int
    tracking_uri: str


def register_bundle(
    folder: Path,
    *,
    name: str | None = None,
    tracking_uri: str | None = None,
    champion: bool = True,
    own_code: bool = False,
) -> Registered:
    """Put an exported network and its card into MLflow's model registry.

    Where the study it comes from is at hand, every member of its front is listed on the Models
    page of the study's experiment. Registering the same files again changes nothing but aliases.

    Args:
        folder: a bundle with `model.pt2`.
        name: of the registered model; None takes the study's, or the folder's without a study.
        tracking_uri: any MLflow tracking URI; None takes the store beside the studies.
        champion: whether the alias `champion` shall point to it.
        own_code: whether the network's builder may be code of one's own.

    Raises:
        BundleError: the bundle is damaged, was altered, or has no `model.pt2`.
        InputError: MLflow takes no such name.
        TrackingError: MLflow did not take it; the bundle is as it was.
    """
    architecture = read_architecture(folder, own_code=own_code)
    if not (folder / files.PROGRAM).exists():
        raise BundleError(f"{files.PROGRAM} is what MLflow loads, but {folder} has none")
    record = files.read_record(folder)
    name = name or record.get("study") or folder.resolve().name
    if set(name) & set("/:"):
        raise InputError(f"a registered model's name must be without / and :, but got {name!r}")
    uri = tracking_uri or default_tracking_uri(studies_root())
    study = study_of(folder, record)
    with _told_plainly(uri, folder):
        registry = ModelRegistry(uri)
        if study is None:
            origin = _alone(registry, folder, name, record)
        else:
            origin = _from_study(registry, uri, study, record["trial"])
        aliases = ((CHAMPION,) if champion else ()) + origin.roles
        version = registry.register(
            origin.experiment, origin.member, _files(folder, architecture, record), name, aliases
        )
    return Registered(
        folder=str(folder),
        name=name,
        version=version,
        aliases=aliases,
        listed=origin.listed,
        tracking_uri=without_password(uri),
    )


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """Where a network is in MLflow, and which roles it has on its front."""

    experiment: str
    member: Member
    roles: tuple[str, ...]
    listed: int


def _from_study(registry: ModelRegistry, uri: str, study: StudyFolder, trial: int) -> _Origin:
    """Send a study to MLflow and list its front."""
    with Ledger.open(study.ledger_path) as ledger:
        sender = MlflowSender(ledger, study, uri, write_study_files)
        sender.send(final=False)
        front, confirmed = ledger.front(), confirmed_means(ledger.trials())
        numbers = {point.trial for point in front}
        members = {n: _member(ledger, sender, n) for n in sorted(numbers | {trial})}
    for number in sorted(numbers):
        registry.list_member(sender.experiment, members[number])
    return _Origin(
        experiment=sender.experiment,
        member=members[trial],
        roles=tuple(role for role in ROLES if select(front, role, confirmed).trial == trial),
        listed=len(front),
    )


def _member(ledger: Ledger, sender: MlflowSender, trial: int) -> Member:
    record, run = ledger.trial(trial), sender.run_of(trial)
    assert record.result is not None
    assert run is not None  # it was sent just now
    return Member(
        name=f"trial-{trial}",
        key=projection.run_key(ledger.study, trial),
        run=run,
        params=projection.params(record.policy),
        metrics=projection.point_metrics(record.result.point),
        time=projection.milliseconds(record.ended_at or record.started_at),
    )


def _alone(registry: ModelRegistry, folder: Path, name: str, record: Mapping[str, Any]) -> _Origin:
    """Make a run for a network without a study in an experiment of the registered model's name."""
    experiment, key = registry.experiment(name), sha256_of(folder / files.CHECKSUMS)
    policy = parse_yaml((folder / files.POLICY).read_text()).content
    selected = record.get("selected")
    return _Origin(
        experiment=experiment,
        member=Member(
            name=folder.resolve().name,
            key=key,
            run=registry.run(experiment, key, folder.resolve().name),
            params=projection.params(policy if isinstance(policy, dict) else {}),
            metrics=projection.point_metrics(OperatingPoint.from_dict(record["point"])),
            time=round((folder / files.RECORD).stat().st_mtime * 1000),
        ),
        roles=tuple(role for role in ROLES if role == selected),
        listed=1,
    )


def _files(folder: Path, architecture: Architecture, record: Mapping[str, Any]) -> Files:
    point = record["point"]
    told = {key: str(record[key]) for key in ("study", "trial", "selected") if key in record}
    leading = point.get("metric", ACCURACY)
    told |= {key: str(point[key]) for key in (leading, "macs", "parameters")}
    return Files(
        folder=folder,
        digest=sha256_of(folder / files.CHECKSUMS),
        card=(folder / files.CARD).read_text(encoding="utf-8"),
        input_shape=architecture.network.input_shape,
        classes=len(architecture.classes),
        tags={f"autodepth.{key}": value for key, value in told.items()},
    )


@contextmanager
def _told_plainly(uri: str, folder: Path) -> Iterator[None]:
    """Say in one message that MLflow did not take a bundle, whatever it raised."""
    try:
        if find_spec("transformers"):  # MLflow imports it where it is there, and that torchvision
            import_torchvision()
        yield
    except AutodepthError:
        raise
    except Exception as error:  # MLflow lets through whatever its transports raise
        reason = without_password(str(error)).strip().partition("\n")[0]
        raise TrackingError(
            f"MLflow at {without_password(uri)} must take the model, but: {reason}; the export "
            f"is complete, `autodepth register {folder}` tries again"
        ) from error
