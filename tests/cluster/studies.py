"""Submitting from the desk, and reading what the head has recorded."""

from __future__ import annotations

import json
import time

from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
)
# Long enough that trials run on a node when something happens to it, and after that.
LONGER = [*SMALL, "train.epochs=30", "search.fine_tune_epochs={type: int, min: 150, max: 200}"]


def wait_for(what, condition, seconds=900):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come in {seconds} s")


def running_on(cluster, study: str, host: str):
    """Return the trials that the ledger has as running on a host."""
    if not study_folder(cluster, study).ledger_path.exists():
        return []
    address = cluster[host].address
    found = trials(cluster, study)
    return [r for r in found if r.state is TrialState.RUNNING and r.node == address]


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
