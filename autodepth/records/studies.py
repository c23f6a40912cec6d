"""Study folders: where they are, what is in them, finding one by name."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autodepth.errors import StudyError, did_you_mean
from autodepth.paths import absolute
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.database import hidden_name
from autodepth.records.storage import LEDGER, taking
from autodepth.trial.result import TrialState

HOME_VARIABLE = "AUTODEPTH_HOME"
LATEST = "latest"
MLFLOW_STORE = "mlflow.db"
MLFLOW_ARTIFACTS = "mlartifacts"
CACHE = "cache"
QUEUE = "queue"
EXPORTS = "exports"
IMAGES = "images.safetensors"
_BEFORE_LEDGER = ("driver.lock", "space.yaml", IMAGES, "wishes.lock")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_RESERVED = (LATEST, MLFLOW_STORE, MLFLOW_ARTIFACTS, CACHE, QUEUE, EXPORTS)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study; paths only, nothing is created by asking for them.

    Args:
        path: absolute path of the folder; its name is the study's.
    """

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def ledger_path(self) -> Path:
        """The ledger."""
        return self.path / LEDGER

    @property
    def space_path(self) -> Path:
        """The space file as it was searched."""
        return self.path / "space.yaml"

    @property
    def images_path(self) -> Path:
        """The list of a person's own images that the study has; fixed data sets have none."""
        return self.path / IMAGES

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan the study was started with, read from its ledger."""
        with Ledger.open(self.ledger_path, read_only=True) as ledger:
            return ledger.study.plan

    @property
    def trial_folders(self) -> Path:
        """Where the folders of trials lie."""
        return self.path / "trials"

    def trial_folder(self, number: int) -> Path:
        """Return where a trial keeps its files."""
        return self.trial_folders / str(number)


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """One line of the list of studies.

    Args:
        study: name.
        created: ISO 8601, UTC.
        outcome: why it ended; None if it has not.
        trials: trials started.
        complete: trials that brought back a result.
        front: points on the front.
        spent_device_seconds: device time spent.
        best_accuracy: highest validation accuracy, a fraction; of another task, how good its
            leading metric is at best; None without a complete trial.
        best: the leading metric at best, as a person reads it; None likewise.
    """

    study: str
    created: str
    outcome: str | None
    trials: int
    complete: int
    front: int
    spent_device_seconds: float
    best_accuracy: float | None
    best: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def studies_root() -> Path:
    """Return the folder of all studies: $AUTODEPTH_HOME, else ./autodepth-studies; absolute."""
    return absolute(os.environ.get(HOME_VARIABLE) or "autodepth-studies")


def check_free(name: str) -> StudyFolder:
    """Return the folder a new study of that name would have.

    Raises:
        StudyError: the name is not allowed, or taken.
    """
    if not _NAME.fullmatch(name):
        raise StudyError(
            "a study's name must be 1 to 64 of A-Z a-z 0-9 . _ - and not begin with . or -, "
            f"but got {name!r}"
        )
    if name in _RESERVED:
        raise StudyError(f"a study cannot be called {' or '.join(_RESERVED)}, but got {name!r}")
    folder = StudyFolder(studies_root() / name)
    if folder.path.exists() and not _was_never_begun(folder):
        raise StudyError(
            f"a new study needs a free name, but {name!r} is taken: "
            f"choose another, or delete {folder.path}"
        )
    return folder


def create_study_folder(name: str) -> StudyFolder:
    """Make the folder of a new study.

    Raises:
        StudyError: the name is not allowed, or taken.
        StorageError: the file system takes no folder.
    """
    folder = check_free(name)
    with taking(folder.path):
        try:
            folder.path.mkdir(parents=True)
        except FileExistsError:  # one that was never begun, or another process was quicker
            return check_free(name)
    return folder


def _was_never_begun(folder: StudyFolder) -> bool:
    """Whether a folder holds only what a driver writes before its ledger, and then died."""
    left = {path.name for path in folder.path.iterdir()} if folder.path.is_dir() else {""}
    beginning = (".space.yaml.", f".{IMAGES}.", hidden_name(LEDGER))
    return all(name in _BEFORE_LEDGER or name.startswith(beginning) for name in left)


def find_study(name: str) -> StudyFolder:
    """Return the folder of an existing study.

    Args:
        name: the study's name, or `latest` for the one started last.

    Raises:
        StudyError: there is no such study; the message lists those there are.
    """
    root = studies_root()
    if name == LATEST and (studies := list_studies()):
        return StudyFolder(root / studies[0].study)
    names = sorted(folder.name for folder in study_folders())
    if name in names:
        return StudyFolder(root / name)
    known = f"{root} has {', '.join(names)}" if names else f"{root} has none yet"
    raise StudyError(f"no study is called {name!r}{did_you_mean(name, names)}: {known}")


def list_studies() -> list[StudySummary]:
    """Return the studies, the newest first; one that cannot be read is left out with a warning."""
    summaries = []
    for folder in study_folders():
        try:
            summaries.append(_summarise(folder))
        except StudyError as error:
            _log.warning("study %s left out: %s", folder.name, error)
    return sorted(summaries, key=lambda summary: summary.created, reverse=True)


def study_folders() -> list[StudyFolder]:
    """Return the folders of all studies, in no order; nothing in them is read."""
    return [StudyFolder(ledger.parent) for ledger in studies_root().glob(f"*/{LEDGER}")]


def _summarise(folder: StudyFolder) -> StudySummary:
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        study, trials = ledger.study, ledger.trials()
        complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        points = [trial.result.point for trial in complete if trial.result]
        best = max(points, key=lambda point: point.validation_accuracy, default=None)
        return StudySummary(
            study=folder.name,
            created=study.created_at,
            outcome=study.outcome,
            trials=len(trials),
            complete=len(complete),
            front=len(ledger.front()),
            spent_device_seconds=ledger.spent(),
            best_accuracy=None if best is None else best.validation_accuracy,
            best=None if best is None else best.shown(),
        )
