"""Submitting from the desk, and reading what the head has recorded."""

from __future__ import annotations

import json

from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
)


def dashboard(cluster) -> str:
    return f"http://{cluster['head'].address}:8265"


def study_folder(cluster, study: str) -> StudyFolder:
    return StudyFolder(cluster["head"].folder / "studies" / study)


def storage(cluster):
    return cluster["head"].folder.parent / "shared"


def submission(cluster, study: str, *options: str, settings=SMALL) -> list[str]:
    """Return the command that submits a study of small digits."""
    changes = [word for setting in settings for word in ("--set", setting)]
    home = cluster["head"].folder / "studies"
    return [
        "autodepth", "submit", "--address", dashboard(cluster), "--study", study,
        "--storage", f"file://{storage(cluster)}", "--home", str(home), *changes, *options,
    ]  # fmt: skip


def trials(cluster, study: str):
    with Ledger.open(study_folder(cluster, study).ledger_path, read_only=True) as ledger:
        return ledger.trials()


def jobs(cluster, study: str):
    status, text = cluster["desk"].run(
        "autodepth", "jobs", study, "--json", "--address", dashboard(cluster)
    )
    assert status == 0, text
    return json.loads(text[text.index("[") :])
