"""A finished study to export from."""

from __future__ import annotations

import pytest

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
