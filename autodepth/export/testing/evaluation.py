"""Opening the test split, which a search never sees, and keeping count of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autodepth.atomic import write_atomically
from autodepth.data.batches import Batches
from autodepth.data.content import ContentRecord
from autodepth.data.images import Images
from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings, Normalisation, without_place
from autodepth.errors import InputError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import (
    IMAGES,
    OPENINGS,
    load,
    read_architecture,
    recorded_data,
)
from autodepth.export.bundles.origin import searched_data
from autodepth.export.bundles.seal import read_sealed, sealed
from autodepth.export.testing.class_names import match_classes
from autodepth.export.testing.opening import Only, open_test_images
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.catalogue.image_channels import with_channels
from autodepth.networks.catalogue.pretrained import weights_file
from autodepth.networks.costs.cost import count_macs
from autodepth.tasks.classification import Classification
from autodepth.tasks.loading import LoadedBatches
from autodepth.tasks.own_task import make_task
from autodepth.tasks.shipped.measures.of_classes import ClassMeasures, class_measures
from autodepth.tasks.task_data import keys_of_test, refuse_shared
from autodepth.trial.device.device import choose_device
from autodepth.trial.phases.given_normalisation import choose_normalisation
from autodepth.trial.result import format_metric
from autodepth.trial.training.evaluation import evaluate

_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class FromScratch:
    """The same network trained from scratch, once per seed, for what its policy computed.

    Args:
        epochs: how long each was trained.
        share: of the computation that the policy took.
        device_seconds: all of them together took.
        test_accuracies: top-1 fractions on the test split; none before it is opened.
    """

    epochs: int
    share: float
    device_seconds: float
    test_accuracies: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One opening of the test split.

    Args:
        data: the data set, without the path to it.
        images: number of test images.
        test_accuracy: top-1 fraction on the test split; of another task, how good its leading
            metric is between its worst, 0, and its best, 1.
        test_loss: mean loss on the test split.
        macs: multiply-accumulates per image of the network.
        parameters: parameters of the network.
        opened_at: ISO 8601, UTC.
        openings_before: how often this network had been shown these test images already; a
            number above 0 means the choice may have been made by them.
        notes: which images were taken and which not, in sentences.
        from_scratch: what the same network from scratch came to; None where it was not asked for,
            or the network is from scratch itself.
        metrics: of another task than classification every metric by its name on this split, such
            as `test_miou`, the leading one first.
        unit: what stands behind the values of that one.
    """

    data: str
    images: int
    test_accuracy: float
    test_loss: float
    macs: int
    parameters: int
    opened_at: str
    openings_before: int
    notes: tuple[str, ...] = ()
    from_scratch: FromScratch | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    unit: str = "%"

    @property
    def told(self) -> str:
        """The leading metric in words: `97.2% test accuracy`."""
        if not self.metrics:
            return f"{self.test_accuracy:.2%} test accuracy"
        (name, value), *_ = self.metrics.items()
        return f"{format_metric(value, self.unit, 2)} {name}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by name; a task's metrics stand among them."""
        values = asdict(self)
        metrics, unit = values.pop("metrics"), values.pop("unit")
        if not metrics:
            return values
        del values["test_accuracy"]
        return {**values, **metrics, "unit": unit}


def evaluate_bundle(
    folder: Path,
    data: str | None = None,
    *,
    own_code: bool = False,
    only: Only | None = None,
    renamed: Mapping[str, str] | None = None,
    beside: tuple[FromScratch, Sequence[nn.Module]] | None = None,
) -> TestResult:
    """Measure an exported network on test images and record the opening in the bundle.

    Classes are matched by their names.

    Args:
        folder: a bundle.
        data: name of the data set; None takes the one the network was searched on, which is looked
            up in its study where it is a person's own.
        own_code: whether the network's builder may be code of one's own.
        only: which of these images alone, see `open_test_images`.
        renamed: names that the data have for classes of the network, by the network's.
        beside: the same network from scratch, and what it was trained for; tested on the same.

    Raises:
        BundleError: the bundle is damaged or was altered.
        DataError: the data cannot be found or read, are not what they were, are known to the
            network, or are of other classes or another kind than the network's.
    """
    architecture = read_architecture(folder, own_code=own_code)
    if not architecture.learns.is_classification:
        learns = architecture.learns
        if only is not None or renamed or (data is not None and learns.is_own):
            asked = "--data, --only-new" if learns.is_own else "--only-new"
            raise InputError(
                f"the task {learns.name} has its own test split: leave out {asked}, --set-apart "
                "and --map"
            )
        return _kept(folder, evaluate_task(folder, architecture, data, own_code=own_code))
    opened = open_test_images(folder, architecture.network, data, only)
    labels, notes = match_classes(opened.classes, architecture.classes, renamed or {}, opened.data)
    images = replace(opened.images, labels=labels[opened.images.labels])

    def measure(module: nn.Module) -> TestResult:
        return _measure(
            module,
            architecture.network,
            images,
            data=opened.data,
            normalisation=architecture.normalisation,
            measures=class_measures(architecture.learns.arguments, architecture.classes),
        )

    told = None
    if beside is not None:
        trained, modules = beside
        told = replace(
            trained, test_accuracies=tuple(measure(module).test_accuracy for module in modules)
        )
    result = replace(
        measure(load(folder, own_code=own_code)),
        openings_before=len(openings(folder, opened.data)),
        notes=(*opened.notes, *notes),
        from_scratch=told,
    )
    return _kept(folder, result)


def _kept(folder: Path, result: TestResult) -> TestResult:
    """Record an opening in the bundle."""
    previous = _read_openings(folder)
    write_atomically(folder / OPENINGS, sealed({"openings": [*previous, result.to_dict()]}))
    return result


def evaluate_task(
    folder: Path, architecture: Architecture, data: str | None, *, own_code: bool
) -> TestResult:
    """Measure an exported network on the test split of a task other than classification.

    Args:
        folder: a bundle.
        architecture: what is in it.
        data: where the data of a task that is shipped are now; None for where they were.
        own_code: whether the task may be imported and called, and the network's builder.

    Raises:
        TaskError: its code was not allowed or fails, or a test example is known to the network.
        BundleError: the bundle is damaged or was altered.
    """
    learns, spec = architecture.learns, architecture.network
    if not learns.is_own:
        learns = replace(learns, data=_data_of_task(folder, architecture, data))
    task = make_task(learns).for_network(spec)
    record = ContentRecord.from_bytes((folder / IMAGES).read_bytes())
    keys = keys_of_test(task)
    refuse_shared(task, record.development, keys, "test")
    module, device = load(folder, own_code=own_code), choose_device()
    macs = count_macs(module, torch.zeros(1, *spec.input_shape), free=spec.free)
    name = task.name if learns.data is None else without_place(learns.data.name)
    given = task.batches("test", batch_size=_BATCH, generator=None)
    found = evaluate(module.to(device), LoadedBatches(given, device=device), task)
    return TestResult(
        data=name,
        images=len(keys),
        test_accuracy=found.accuracy,
        test_loss=found.loss,
        macs=macs,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        opened_at=datetime.now(UTC).isoformat(timespec="seconds"),
        openings_before=len(openings(folder, name)),
        metrics={f"test_{name}": value for name, value in found.metrics.items()},
        unit=next(iter(task.metrics.values())).unit,
    )


def _data_of_task(folder: Path, architecture: Architecture, data: str | None) -> DataSettings:
    """Return the data of a task that is shipped, prepared as in the search."""
    found = searched_data(folder) if data is None else recorded_data(folder)
    constants = architecture.normalisation
    return replace(found, name=data or found.name, normalisation=constants)


def evaluate_network(
    name: str,
    data: str,
    *,
    weights: Path,
    weights_key: str | None = None,
    shortcut: str = "A",
) -> TestResult:
    """Measure a network that no search chose, with given weights, on a test split.

    Args:
        name: a network of the catalogue.
        data: name of the data set.
        weights: its weights, the last layer with them, or `pretrained`.
        weights_key: where in that file they are; None finds them.
        shortcut: option of the CIFAR ResNets.

    Raises:
        InputError: network, weights or data cannot be used.
    """
    settings, weights = DataSettings(name=data), weights_file(name, weights)
    images = load_data(settings)
    spec = NetworkSpec(
        name=name,
        classes=len(images.classes),
        channels=images.channels,
        height=images.height,
        width=images.width,
        shortcut="B" if shortcut == "B" else "A",
        own_code=True,  # the caller names it
    )
    spec = with_channels(spec, weights=weights, weights_key=weights_key)
    module = build_network(spec, weights=weights, weights_key=weights_key, any_head=False).module
    module.eval()
    normalisation, _ = choose_normalisation(images, spec, weights)
    return _measure(
        module,
        spec,
        images.open_test(),
        data=without_place(settings.name),
        normalisation=normalisation,
    )


def openings(folder: Path, data: str) -> list[dict[str, Any]]:
    """Return the earlier openings of a data set's test split that a bundle records."""
    return [opening for opening in _read_openings(folder) if opening.get("data") == data]


def _read_openings(folder: Path) -> list[dict[str, Any]]:
    path = folder / OPENINGS
    return list(read_sealed(path)["openings"]) if path.exists() else []


def _measure(
    module: nn.Module,
    spec: NetworkSpec,
    images: Images,
    *,
    data: str,
    normalisation: Normalisation,
    measures: ClassMeasures | None = None,
) -> TestResult:
    device = choose_device()
    macs = count_macs(module, torch.zeros(1, *spec.input_shape), free=spec.free)
    batches = Batches(
        images,
        batch_size=_BATCH,
        device=device,
        normalisation=normalisation,
        channels=spec.channels,
    )
    evaluation = evaluate(module.to(device), batches, Classification(measures=measures))
    return TestResult(
        data=data,
        images=len(images),
        test_accuracy=evaluation.accuracy,
        test_loss=evaluation.loss,
        macs=macs,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        opened_at=datetime.now(UTC).isoformat(timespec="seconds"),
        openings_before=0,
        metrics={f"test_{name}": value for name, value in evaluation.metrics.items()},
    )
