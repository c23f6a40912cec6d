"""A finished study to export from."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autodepth.data.reading.sources import read_parts
from autodepth.data.settings import DataSettings
from autodepth.export.exporting import export_selected
from autodepth.front.selection import FrontPoint
from autodepth.records.studies import HOME_VARIABLE, StudyFolder, find_study
from autodepth.service.search.search import search


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digits as data of a person's own, in a place of this machine."""
    place = tmp_path_factory.mktemp("data") / "numerals.npz"
    digits = read_parts(DataSettings(name="digits"))
    parts = {"train": digits.train, "test": digits.test()}
    np.savez(
        place,
        **{f"x_{part}": images.pixels for part, images in parts.items()},
        **{f"y_{part}": images.labels for part, images in parts.items()},
    )
    return f"npz:{place}"


@pytest.fixture(scope="session")
def study(data: str, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPTH_HOME", str(tmp_path_factory.mktemp("exported")))
        search(
            budget="5trials",
            study="source",
            settings=[
                f"data.name={data}",
                *("network.name=resnet14", "data.train_images=200", "train.epochs=4"),
                "search.origin=parent",
            ],
            runner="in-process",
        )
        return find_study("source")


@pytest.fixture(scope="session")
def exported(
    study: StudyFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FrontPoint, list[str]]:
    """The smallest network of the study, never to be changed, and what was told."""
    to = tmp_path_factory.mktemp("exports") / "smallest"
    told: list[str] = []
    formats = ("torch", "onnx", "int8")  # executorch is an extra: test_executorch.py
    point = export_selected(study, "smallest", to, formats=formats, tell=told.append)
    return to, point, told


@pytest.fixture
def bundle(exported: tuple[Path, FrontPoint, list[str]], tmp_path: Path) -> tuple[Path, FrontPoint]:
    """A copy of it that a test may change."""
    folder, point, _ = exported
    return Path(shutil.copytree(folder, tmp_path / "bundle")), point


@pytest.fixture
def home(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of studies, as the program sees it."""
    monkeypatch.setenv(HOME_VARIABLE, str(study.path.parent))
    return study.path.parent


@pytest.fixture
def places_told() -> Callable[[Path], dict[str, set[str]]]:
    """Tells which files of a folder name places of this machine, and which places."""
    places = {sys.prefix, sys.base_prefix, tempfile.gettempdir(), str(Path.home()), str(Path.cwd())}

    def told(folder: Path) -> dict[str, set[str]]:
        contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert contents
        found = {
            path.name: {place for place in places if f"{place}/".encode() in content}
            for path, content in contents.items()
        }
        return {name: places for name, places in found.items() if places}

    return told
