"""A small real study of a task that is shipped, to an exported network."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from autodepth import search
from autodepth.export.exporting import export_selected
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study


@dataclass(frozen=True, kw_only=True)
class Studied:
    """What became of a study: its front, and the bundle of its best network."""

    front: list
    unpruned: dict
    bundle: Path

    def predicted(self, *images):
        """Return the lines that predict.py writes of images."""
        command = [sys.executable, self.bundle / "predict.py", *images]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line.partition(": ")[2] for line in done.stdout.splitlines()]

    @property
    def card(self):
        return (self.bundle / "README.md").read_text()


@pytest.fixture
def studied(tmp_path, monkeypatch):
    """Search a space in the test's own folder, and export the front's best network."""
    monkeypatch.chdir(tmp_path)

    def run(space, trials, *, own_code=False):
        Path("space.yaml").write_text(space)
        search(
            "space.yaml",
            budget=f"{trials}trials",
            study="shipped",
            runner="in-process",
            own_code=own_code,
        )
        study = find_study("shipped")
        with Ledger.open(study.ledger_path, read_only=True) as ledger:
            front = ledger.front()
        bundle = tmp_path / "bundle"
        export_selected(study, "best-accuracy", bundle, formats=("onnx",), own_code=own_code)
        return Studied(front=front, unpruned=study.plan["unpruned"], bundle=bundle)

    return run
