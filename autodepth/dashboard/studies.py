"""The studies of this folder as the server has read them so far."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from autodepth.dashboard.study_view import Snapshot, StudyView
from autodepth.errors import NetworkError, StudyError
from autodepth.front.objective import objective_values
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study, study_folders
from autodepth.report.analysis.attainment import hypervolume_curve
from autodepth.report.analysis.comparison import compare_studies, recorded_study
from autodepth.report.analysis.importance import importance
from autodepth.report.figures.branch_strip import Branch, known_branches
from autodepth.seeding import derive_seed


class Studies:
    """Views by name, and what is too costly to work out at every look."""

    def __init__(self) -> None:
        self._views: dict[str, StudyView] = {}
        self._importance: dict[str, tuple[int, dict[str, Any]]] = {}
        self._lock, self._analysing = threading.Lock(), threading.Lock()
        self._building = threading.Lock()

    def list(self) -> list[dict[str, Any]]:
        """Return what there is to choose from, the newest first; no trial is read."""
        found = []
        for folder in study_folders():
            try:
                found.append(_line(folder))
            except StudyError:
                continue  # being made, or of another version: `autodepth studies` says which
        return sorted(found, key=lambda line: str(line["created"]), reverse=True)

    def warm(self) -> None:
        """Read the study that is asked for first, the newest, before it is asked for."""
        with suppress(StudyError):  # whoever asks for it is told
            for line in self.list()[:1]:
                self.view(line["study"]).look()

    def view(self, name: str) -> StudyView:
        """Return the view of a study.

        Raises:
            StudyError: there is no such study.
        """
        folder = find_study(name)
        with self._lock:
            return self._views.setdefault(folder.name, StudyView(folder))

    def branches(self, found: Snapshot) -> tuple[Branch, ...]:
        """Return the branches of a study's unpruned network.

        None for one that code of one's own builds: a server runs no such code.
        """
        network = json.dumps(found.study.plan["network"], sort_keys=True)
        try:
            with self._building:  # seconds of work for a large network: once
                return _branches(network)
        except (NetworkError, StudyError, TypeError):
            return ()

    def importance(self, found: Snapshot) -> dict[str, Any]:
        """Return which dimensions matter, worked out anew when a tenth more trials are complete."""
        complete = sum(r.kind == "search" and r.result is not None for r in found.records)
        with self._analysing:  # minutes of work for many trials: once
            known = self._importance.get(found.instance)
            enough = complete if found.study.ended_at else complete / 1.1
            if known is None or known[0] < enough:
                seed = derive_seed(found.study.seed, "importance")
                known = complete, importance(found.records, seed=seed).to_dict()
                self._importance[found.instance] = known
        return known[1]

    def hypervolume(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the hypervolume of studies over device time, and how they compare.

        Raises:
            InputError: they cannot be compared.
            StudyError: there is no such study.
        """
        studies = []
        for folder in map(find_study, dict.fromkeys(names)):
            with Ledger.open(folder.ledger_path, read_only=True) as ledger:
                studies.append(recorded_study(folder.name, ledger))
        if len(studies) > 1:
            return compare_studies(studies).to_dict()
        (study,) = studies
        values = objective_values([point for _, point in study.points], study.objectives)
        spent = [at for at, _ in study.points]
        curve = hypervolume_curve(list(zip(spent, values, strict=True)), study.objectives)
        told = {
            "study": study.name,
            "device": study.device,
            "spent_device_seconds": study.spent,
            "hypervolume": curve[-1][1] if curve else 0.0,
            "curve": [list(step) for step in curve],
        }
        return {"studies": [told], "rivalries": [], "notes": [], "same_device": True}


@functools.lru_cache(maxsize=32)
def _branches(network: str) -> tuple[Branch, ...]:
    from autodepth.networks.catalogue import NetworkSpec  # noqa: PLC0415 - torch: a second

    return known_branches(NetworkSpec.from_dict(json.loads(network)))


def _line(folder: StudyFolder) -> dict[str, Any]:
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        study, counts = ledger.study, ledger.counts()
    plan = study.plan
    return {
        "study": folder.name,
        "created": study.created_at,
        "outcome": study.outcome,
        "running": driver_of(folder) is not None,
        "trials": sum(counts.values()),
        "network": plan["network"]["name"],
        "data": plan["data"]["name"],
        "sampler": plan.get("space", {}).get("sampler", {}).get("name"),
    }
