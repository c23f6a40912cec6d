"""The front while a study runs, and the weights that are kept with it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint, front_points
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.study.driver.weight_uploads import WeightUploads
from autodepth.trial.result import TrialResult
from autodepth.trial.run_trial import WEIGHTS_FILE


class FrontWeights:
    """Keeps the front up to date, and on disk the weights of its members only.

    A study of hundreds of trials would fill disks; of trials about members no weights are kept.

    Args:
        ledger: knows every complete trial.
        folder: where trials have their weights.
        objectives: what the front is of.
        transit: where trials on other nodes leave their weights; None where they write here.
    """

    def __init__(
        self,
        ledger: Ledger,
        folder: StudyFolder,
        objectives: Sequence[Objective],
        transit: WeightUploads | None = None,
    ) -> None:
        self._ledger, self._folder, self._objectives = ledger, folder, objectives
        self._transit = transit
        self.members: list[FrontPoint] = []

    def look_again(self) -> None:
        """Take the front from the ledger, in a study that goes on."""
        self.members = self._ledger.front()

    def take_weights(self, candidate: FrontPoint | None, number: int, result: TrialResult) -> None:
        """Bring the weights of a trial on another node here, if it joins the front.

        Before the ledger calls the trial complete: a member without weights could not be exported.

        Args:
            candidate: the trial as one for the front; None where it is none.
            number: the trial.
            result: what it brought back.

        Raises:
            OSError: they did not arrive.
        """
        if self._transit is None:
            return
        members = self._with(candidate) if candidate else []
        if number in {member.trial for member in members}:
            self._transit.fetch(number, result, self._folder.trial_folder(number))
        with contextlib.suppress(OSError):  # the study clears the place when it ends
            self._transit.forget(number, result)

    def add(self, number: int) -> bool:
        """Take in a trial that was completed; return whether it is a member now."""
        candidate = self._ledger.trial(number).front_point
        before = {member.trial for member in self.members} | {number}
        if candidate is not None:
            self.members = self._with(candidate)
        after = {member.trial for member in self.members}
        for fallen in before - after:
            (self._folder.trial_folder(fallen) / WEIGHTS_FILE).unlink(missing_ok=True)
        return number in after

    def _with(self, candidate: FrontPoint) -> list[FrontPoint]:
        """Return the front with one more; of equals the first trial stays, whichever ended first.

        The ledger's front is the same: of its members the weights are wanted.
        """
        candidates = sorted([*self.members, candidate], key=lambda member: member.trial)
        return front_points(candidates, self._objectives)
