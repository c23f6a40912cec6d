"""Weights of trials on their way from the node that trained them to the study's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from autodepth.trial.cache.cache import open_store
from autodepth.trial.cache.entry import DamagedEntryError, seal
from autodepth.trial.result import TrialResult
from autodepth.trial.run_trial import WEIGHTS_FILE


class WeightUploads:
    """A place that every node reaches, in which weights lie until the driver has seen their trial.

    Args:
        where: a folder, or a URL that fsspec opens; of one study alone.
    """

    def __init__(self, where: str) -> None:
        self._store = open_store(where)

    def leave(self, number: int, result: TrialResult, folder: Path) -> None:
        """Leave the weights of a trial there.

        Raises:
            OSError: the place does not take them.
        """

        def fill(draft: Path) -> None:
            shutil.copyfile(folder / WEIGHTS_FILE, draft / WEIGHTS_FILE)
            seal(draft, "weights")

        self._store.keep(_entry(number, result), fill)

    def fetch(self, number: int, result: TrialResult, folder: Path) -> None:
        """Bring the weights of a trial into its folder; they are those it was measured with.

        Raises:
            OSError: they are not there, or were altered.
        """
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{WEIGHTS_FILE}.{'0' * 32}"  # as other half-written files are named
        try:
            with self._store.opened(_entry(number, result)) as entry:
                shutil.copyfile(entry / WEIGHTS_FILE, draft)
        except DamagedEntryError as error:
            raise OSError(f"the weights of trial {number} arrived damaged: {error}") from error
        draft.replace(folder / WEIGHTS_FILE)

    def forget(self, number: int, result: TrialResult) -> None:
        """Take the weights of a trial away from there."""
        self._store.remove(_entry(number, result))

    def clear(self) -> None:
        """Take everything away, what trials left that were lost too."""
        self._store.clear()


def _entry(number: int, result: TrialResult) -> str:
    return f"{result.weights_sha256}.{number:06d}"
