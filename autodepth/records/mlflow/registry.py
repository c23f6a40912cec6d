"""Exported networks in MLflow's model registry; imports MLflow, as `client` does.

An MLflow model here is the bundle as it is, beside an `MLmodel` file that says how to load its
program: `mlflow.pytorch.load_model` and `mlflow models serve` run the very file that was compared
with the searched network. Registering twice changes nothing but where aliases point.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from autodepth.records.mlflow.client import connect

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

BUNDLE = "data/bundle"
"""The folder inside an MLflow model that holds the exported files."""
_BUNDLE_TAG, _KEY_TAG = "autodepth.bundle", "autodepth.trial_key"
_MODEL_TYPE = "image classifier"
_LONGEST_CARD = 90_000  # MLflow takes 100,000 characters


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network as the Models page of an experiment lists it.

    Args:
        name: what it is called there.
        key: by which it is found again.
        run: the run it comes from.
        params: how it was made.
        metrics: what it costs and achieves.
        time: of the metrics, milliseconds since 1970.
    """

    name: str
    key: str
    run: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    time: int


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is registered.

    Args:
        folder: the bundle; it holds a program of torch.export as `model.pt2`.
        digest: tells this bundle from any other.
        card: the model card, Markdown.
        input_shape: (C, H, W) of an image.
        classes: how many scores there are.
        tags: what else is to be known of it.
    """

    folder: Path
    digest: str
    card: str
    input_shape: tuple[int, ...]
    classes: int
    tags: Mapping[str, str]


class ModelRegistry:
    """The Models page of experiments, and the registry beside it.

    Args:
        uri: any MLflow tracking URI.
    """

    def __init__(self, uri: str) -> None:
        self._client = connect(uri)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is made if it is not there."""
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id) if found else self._client.create_experiment(name)

    def run(self, experiment: str, key: str, name: str) -> str:
        """Return the run with a key, which is made, and ended, if it is not there."""
        found = self._client.search_runs([experiment], f"tags.`{_KEY_TAG}` = '{key}'")
        if found:
            return str(found[0].info.run_id)
        made = self._client.create_run(experiment, tags={_KEY_TAG: key}, run_name=name)
        self._client.set_terminated(made.info.run_id)
        return str(made.info.run_id)

    def list_member(self, experiment: str, member: Member) -> None:
        """Put a network on the Models page, where it is not there yet."""
        if not self._models(experiment, _KEY_TAG, member.key):
            self._add(experiment, member)

    def register(
        self, experiment: str, member: Member, files: Files, name: str, aliases: Sequence[str]
    ) -> str:
        """Register the files of a network, and let aliases point to them.

        Args:
            experiment: id of the experiment it comes from.
            member: the network.
            files: its bundle.
            name: the registered model, which is made if it is not there.
            aliases: what shall point to this version from now on.

        Returns:
            The number of its version.
        """
        model = self._with_files(experiment, member, files)
        number = self._version(model, files, name)
        for alias in aliases:
            self._client.set_registered_model_alias(name, alias, number)
        return number

    def _with_files(self, experiment: str, member: Member, files: Files) -> LoggedModel:
        """Return the logged model that has these files."""
        if known := self._models(experiment, _BUNDLE_TAG, files.digest):
            return known[0]
        bare = [m for m in self._models(experiment, _KEY_TAG, member.key) if not _has_files(m)]
        model = bare[0] if bare else self._add(experiment, member)
        with warnings.catch_warnings(), TemporaryDirectory(prefix="autodepth-") as scratch:
            warnings.simplefilter("ignore")  # of MLflow's own type hints, when it is imported
            folder = Path(scratch) / "model"
            write_mlflow_model(folder, files, model_id=model.model_id, run=member.run)
            self._client.log_model_artifacts(model.model_id, str(folder))
        # Last: whoever finds the tag finds the files.
        self._client.set_logged_model_tags(model.model_id, {_BUNDLE_TAG: files.digest})
        return model

    def _version(self, model: LoggedModel, files: Files, name: str) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for known in self._client.search_model_versions(f"name = '{name}'"):
            if known.tags.get(_BUNDLE_TAG) == files.digest:
                return str(known.version)
        made = self._client.create_model_version(
            name,
            source=model.artifact_location,
            run_id=model.source_run_id,
            model_id=model.model_id,
            tags={**files.tags, _BUNDLE_TAG: files.digest},
            description=files.card[:_LONGEST_CARD],
        )
        return str(made.version)

    def _models(self, experiment: str, tag: str, value: str) -> list[LoggedModel]:
        return list(self._client.search_logged_models([experiment], f"tags.`{tag}` = '{value}'"))

    def _add(self, experiment: str, member: Member) -> LoggedModel:
        from mlflow.entities import LoggedModelStatus, Metric  # noqa: PLC0415

        model = self._client.create_logged_model(
            experiment,
            name=member.name,
            source_run_id=member.run,
            tags={_KEY_TAG: member.key},
            params=dict(member.params),
            model_type=_MODEL_TYPE,
        )
        metrics = [
            Metric(key, value, member.time, 0, model_id=model.model_id, run_id=member.run)
            for key, value in member.metrics.items()
        ]
        self._client.log_batch(member.run, metrics=metrics, synchronous=True)
        return self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _pin(name: str) -> str:
    """Return the installed version of a library, without the build's suffix."""
    return f"{name}=={version(name).partition('+')[0]}"


def _has_files(model: LoggedModel) -> bool:
    return _BUNDLE_TAG in model.tags


def write_mlflow_model(
    folder: Path, files: Files, *, model_id: str | None = None, run: str | None = None
) -> None:
    """Write a bundle as an MLflow model of the flavours `pytorch` and `python_function`.

    Args:
        folder: the folder to write; must not exist.
        files: the bundle.
        model_id: of the logged model it is for.
        run: it comes from.
    """
    import torch  # noqa: PLC0415
    from mlflow import pyfunc, pytorch  # noqa: PLC0415
    from mlflow.models import Model, ModelSignature  # noqa: PLC0415
    from mlflow.types import Schema, TensorSpec  # noqa: PLC0415

    kind = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(kind, (-1, *files.input_shape))]),
        outputs=Schema([TensorSpec(kind, (-1, files.classes))]),
    )
    example = np.random.default_rng(0).standard_normal((1, *files.input_shape))
    model = Model(model_uuid=model_id, model_id=model_id, run_id=run)
    with TemporaryDirectory(prefix="autodepth-") as scratch:
        source = Path(scratch) / Path(BUNDLE).name
        shutil.copytree(files.folder, source)
        pyfunc.save_model(
            folder,
            loader_module=pytorch.__name__,
            data_path=str(source),
            mlflow_model=model,
            signature=signature,
            input_example=example.round(2).astype(kind),
            pip_requirements=[_pin(name) for name in ("mlflow", "torch", "numpy")],
            model_config={"device": None},
        )
    model.add_flavor(
        pytorch.FLAVOR_NAME, model_data=BUNDLE, pytorch_version=str(torch.__version__), code=None
    )
    model.save(folder / "MLmodel")
