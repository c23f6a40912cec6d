"""Keeping MLflow up to date while a study runs, and afterwards.

MLflow may be slow, away or broken: training never waits for it. The driver writes to the ledger; a
thread of its own reads there what is new, sends it, and tries again later what was not taken.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

from autodepth.errors import StudyInUseError, TrackingError
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.client import MlflowSender, WriteFiles, store_key
from autodepth.records.mlflow.cursor import Outbox
from autodepth.records.mlflow.views import charts_address
from autodepth.records.studies import MLFLOW_STORE, StudyFolder

_INTERVAL_SECONDS = 2.0
_RETRY_SECONDS = 30.0
_log = logging.getLogger(__name__)


def default_tracking_uri(root: Path) -> str:
    """Return the store used when none is named: a SQLite file in the folder of all studies."""
    return f"sqlite:///{root.absolute() / MLFLOW_STORE}"


def is_server(uri: str) -> bool:
    """Whether a tracking URI is the address of a server, not a file or a database."""
    return uri.startswith(("http://", "https://"))


class Tracker:
    """Sends a study to MLflow from a thread of its own, from construction until `close`.

    Args:
        folder: the study; its ledger must exist.
        tracking_uri: any MLflow tracking URI; None takes `default_tracking_uri`.
        write_files: writes the files that go with the study's own run into a folder.
        token: of the driver it belongs to, see `Ledger.begin_driving`.

    Raises:
        StudyError: the study has no ledger.
    """

    def __init__(
        self,
        folder: StudyFolder,
        *,
        tracking_uri: str | None = None,
        write_files: WriteFiles | None = None,
        token: int | None = None,
    ) -> None:
        self.tracking_uri = tracking_uri or default_tracking_uri(folder.path.parent)
        self._folder = folder
        self._write_files = write_files
        self._ledger = Ledger.open(folder.ledger_path)
        self._ledger.database.token = token
        self._experiment: str | None = None
        self._closing = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 30.0) -> int:
        """Send what can be sent and stop; call it after `Ledger.end_study`.

        Args:
            timeout: seconds to wait for MLflow.

        Returns:
            How many trials MLflow does not have in full; `sync_study` sends them later.
        """
        self._closing.set()
        self._thread.join(timeout)
        return unsent_trials(self._folder, self.tracking_uri)

    def unsent_events(self) -> int:
        """Return how many epochs and ends of trials MLflow lacks; any thread may ask."""
        with Ledger.open(self._folder.ledger_path, read_only=True) as ledger:
            return Outbox(ledger, store_key(self.tracking_uri)).depth()

    def charts(self) -> str | None:
        """Return the address of the study's charts; None without a server that answered."""
        if self._experiment is None or not is_server(self.tracking_uri):
            return None
        return charts_address(without_password(self.tracking_uri), self._experiment)

    def _run(self) -> None:
        sender: MlflowSender | None = None
        with self._ledger as ledger:
            closing = False
            while not closing:
                closing = self._closing.is_set()  # asked first: the last pass then misses nothing
                try:
                    sender = sender or MlflowSender(
                        ledger, self._folder, self.tracking_uri, self._write_files
                    )
                    self._experiment = sender.experiment
                    sender.send(final=closing)
                    self._note(None)
                except StudyInUseError:  # whoever drives the study now tells MLflow too
                    return
                except Exception as error:  # noqa: BLE001  (tracking never ends anything)
                    self._note(f"{type(error).__name__}: {error}")
                self._closing.wait(_RETRY_SECONDS if self._problem else _INTERVAL_SECONDS)

    def _note(self, problem: str | None) -> None:
        """Log a problem when it first occurs and when it is over."""
        where = without_password(self.tracking_uri)
        if problem and not self._problem:
            _log.warning(
                "MLflow at %s does not take the trials (%s); the ledger keeps them, and they are "
                "sent again later",
                where,
                _plainly(problem),
            )
        elif self._problem and not problem:
            _log.warning("MLflow at %s takes the trials again", where)
        self._problem = problem


def unsent_trials(folder: StudyFolder, tracking_uri: str | None = None) -> int:
    """Return how many trials a store does not have in full; arguments as of `Tracker`."""
    uri = tracking_uri or default_tracking_uri(folder.path.parent)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return len(Outbox(ledger, store_key(uri)).pending())


def sync_study(
    folder: StudyFolder, tracking_uri: str | None = None, write_files: WriteFiles | None = None
) -> int:
    """Send a study to MLflow from its beginning, whatever was sent before.

    Args:
        folder: the study, ended or not.
        tracking_uri: any MLflow tracking URI; None takes `default_tracking_uri`.
        write_files: writes the files that go with the study's own run into a folder.

    Returns:
        The number of trials sent.

    Raises:
        TrackingError: MLflow did not take all of it.
    """
    uri = tracking_uri or default_tracking_uri(folder.path.parent)
    with Ledger.open(folder.ledger_path) as ledger:
        outbox = Outbox(ledger, store_key(uri))
        outbox.forget()
        trials = len(outbox.pending())
        try:
            MlflowSender(ledger, folder, uri, write_files).send(final=True)
        except Exception as error:
            raise TrackingError(
                f"MLflow at {without_password(uri)} must take the study {folder.name}, but: "
                + _plainly(str(error))
            ) from error
        return trials


def without_password(text: str) -> str:
    """Return a text with the user and password of its URLs left out."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def _plainly(problem: str) -> str:
    """Return a problem in short, without the chain of connection errors."""
    text = without_password(problem)
    return "nobody answers there" if "Max retries exceeded" in text else text
