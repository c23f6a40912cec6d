"""A finished study to export from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autodepth.export.exporting import export_selected
from autodepth.front.selection import FrontPoint
from autodepth.records.studies import StudyFolder, find_study
from autodepth.service.searching import search


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPTH_HOME", str(tmp_path_factory.mktemp("exported")))
        search(
            budget="5trials",
            study="source",
            settings=["network.name=resnet14", "data.train_images=200", "train.epochs=4"],
            runner="in-process",
        )
        return find_study("source")


@pytest.fixture(scope="session")
def exported(
    study: StudyFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FrontPoint, list[str]]:
    """The smallest network of the study as a bundle, never to be changed, and what was told."""
    to = tmp_path_factory.mktemp("exports") / "smallest"
    told: list[str] = []
    return to, export_selected(study, "smallest", to, tell=told.append), told


@pytest.fixture
def bundle(exported: tuple[Path, FrontPoint, list[str]], tmp_path: Path) -> tuple[Path, FrontPoint]:
    """A copy of it that a test may change."""
    folder, point, _ = exported
    return Path(shutil.copytree(folder, tmp_path / "bundle")), point
